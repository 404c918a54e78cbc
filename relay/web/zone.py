"""The time zone of who looks: what static/zone.js has told in a cookie, else UTC. Times on pages are in it.

Exports, the API and the command line tell UTC: nothing of theirs comes here. A page names its zone once, in its header.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from flask import Flask, g, has_request_context, request
from markupsafe import Markup

COOKIE = "zone"
NAME = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


def tell_time(app: Flask) -> None:
    """Give templates the filters of times."""
    app.jinja_env.filters.update(moment=moment, stamp=stamp, clock=clock, typed=typed)


def zone_now() -> tzinfo:
    """The zone of this request; outside of one, UTC."""
    if not has_request_context():
        return UTC
    if "zone" not in g:
        g.zone = _known(request.cookies.get(COOKIE, ""))
    found: tzinfo = g.zone
    return found


def local(at: datetime) -> datetime:
    """The same time on the clocks of who looks."""
    return at.astimezone(zone_now())


def moment(at: datetime) -> Markup:
    """A time as a page shows it, with UTC for who points at it."""
    utc = at.astimezone(UTC)
    shown = Markup('<time datetime="{}" title="{:%Y-%m-%d %H:%M:%S} UTC">{}</time>')
    return shown.format(utc.isoformat(), utc, stamp(at))


def stamp(at: datetime) -> str:
    """Day and time, for a sentence."""
    return f"{local(at):%Y-%m-%d %H:%M:%S}"


def clock(at: datetime) -> str:
    """The time of today."""
    return f"{local(at):%H:%M:%S}"


def typed(at: datetime | None) -> str:
    """A time as it could have been typed into a field, and is read again; empty where there is none."""
    if at is None:
        return ""
    found = local(at)
    return f"{found:%Y-%m-%d %H:%M}" if found.second == 0 else f"{found:%Y-%m-%d %H:%M:%S}"


def _known(name: str) -> tzinfo:
    """The zone of this name; UTC where there is none. A browser may send anything."""
    if not NAME.fullmatch(name):
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError):  # a folder of zones is no zone
        return UTC
