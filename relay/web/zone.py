"""The visitor's time zone, from the cookie of static/zone.js or else UTC, and times in figures (moments.py: in words).

Exports, the API and the command line use UTC and not this module. A page names its zone once, in its header.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from flask import g, has_request_context, request

COOKIE = "zone"
NAME = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


def zone_now() -> tzinfo:
    """The zone of this request; outside of one, UTC."""
    if not has_request_context():
        return UTC
    if "zone" not in g:
        g.zone = _known(request.cookies.get(COOKIE, ""))
    found: tzinfo = g.zone
    return found


def set_zone(name: str) -> None:
    """Tell the times of this request in a zone, instead of the cookie's; in UTC if it is unknown."""
    g.zone = _known(name)


def local(at: datetime) -> datetime:
    """The same time in the visitor's zone."""
    return at.astimezone(zone_now())


def clock(at: datetime) -> str:
    """The time of today."""
    return f"{local(at):%H:%M:%S}"


def typed(at: datetime | None) -> str:
    """A time as it can be typed into a field; empty for None."""
    if at is None:
        return ""
    found = local(at)
    return f"{found:%Y-%m-%d %H:%M}" if found.second == 0 else f"{found:%Y-%m-%d %H:%M:%S}"


def _known(name: str) -> tzinfo:
    """The zone of this name; UTC if it is unknown. A browser may send anything."""
    if not NAME.fullmatch(name):
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError):  # OSError: the name of a folder of zones
        return UTC
