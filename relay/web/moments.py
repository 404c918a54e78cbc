"""Times in words: with their day as people of the page's language write it, in the visitor's time zone (zone.py)."""

from __future__ import annotations

from datetime import UTC, date, datetime

from babel.dates import format_date
from flask import Flask
from markupsafe import Markup

from relay.core.ids import utc_now
from relay.web.language import language_now
from relay.web.zone import clock, local, typed


def tell_time(app: Flask) -> None:
    """Add the filters for times to templates."""
    app.jinja_env.filters.update(moment=moment, hour=hour, stamp=stamp, clock=clock, typed=typed)


def moment(at: datetime) -> Markup:
    """A time as a page shows it, with UTC in a tooltip."""
    return _marked(at, stamp(at))


def hour(at: datetime) -> Markup:
    """The same without the day, in a list that has the days as dividers."""
    return _marked(at, clock(at))


def stamp(at: datetime) -> str:
    """Day and time, for a sentence: `29 November, 19:33:23`."""
    return f"{day_in_words(local(at).date())}, {clock(at)}"


def day_in_words(day: date) -> str:
    """A day of the visitor's zone: `29 November`, with its year if that is not this one."""
    pattern = "d MMMM" if day.year == local(utc_now()).year else "d MMMM y"
    return format_date(day, pattern, locale=language_now().replace("-", "_"))


def _marked(at: datetime, shown: str) -> Markup:
    utc = at.astimezone(UTC)
    markup = Markup('<time datetime="{}" title="{:%Y-%m-%d %H:%M:%S} UTC">{}</time>')
    return markup.format(utc.isoformat(timespec="seconds"), utc, shown)
