"""The numbers of a day: by rule, source, portal or template. Reads only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import abort, render_template, request

from relay.core.ids import utc_now
from relay.web.dashboard.frame import blueprint
from relay.web.language import _
from relay.web.presenters.numbers import GROUPS, days_of, numbers_of
from relay.web.services import services
from relay.web.zone import local, zone_now


@blueprint.get("/numbers")
def numbers() -> Any:
    """One day in one grouping; today by rule, where nothing else is asked."""
    now, by = utc_now(), request.args.get("by", "rule")
    if by not in GROUPS:
        abort(400, _("by: expected one of %(names)s", names=", ".join(GROUPS)))
    named = days_of(("today", "yesterday"), local(now))
    since = _day(request.args.get("day", ""), named[0][1])
    return render_template(
        "numbers.html",
        by=by,
        groupings=list(GROUPS),
        since=since,
        named=named,
        day_long=timedelta(days=1),
        day=numbers_of(services().store.statistics, by, since, now),
    )


def _day(text: str, today: datetime) -> datetime:
    if not text:
        return today
    try:
        day = datetime.strptime(text[:10], "%Y-%m-%d").replace(tzinfo=zone_now())
        # The page names the day before and the one after: at the ends of the calendar there is none.
        for distance in (-1, 2):
            (day + timedelta(days=distance)).astimezone(UTC)
    except (ValueError, OverflowError):
        abort(400, _("day: expected a day such as 2026-06-01"))
    return day
