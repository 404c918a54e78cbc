"""A time as people type it: `26.11.2026 14:00`, `2026-11-26`, `yesterday 9:00`, `tomorrow`, `2 hours ago`, `in 2 hours`
or `14:30`.

It is read strictly: nothing is guessed. A day comes before its month, unless the year is in front. Without a year it is
the last such day, or the next one if a future time is expected. Of an hour that a zone has twice, the first is
meant. Words are those of every language that pages speak, from the catalogues. A general parser was tried (dateparser):
it stops the door for a second when it first reads, and finds a time in whatever is typed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from relay.web.language import catalogues

CONTEXT = "words for a time that is typed, with | between"
DAY = {"tomorrow": timedelta(days=-1), "today": timedelta(0), "yesterday": timedelta(days=1)}
NOW, AGO, AT, IN = "now", "ago", "at", "in"
UNITS = {
    "min|minute|minutes": timedelta(minutes=1),
    "h|hour|hours": timedelta(hours=1),
    "d|day|days": timedelta(days=1),
    "w|week|weeks": timedelta(weeks=1),
}
WORDS = (*DAY, NOW, AGO, AT, IN, *UNITS)
"""As they are in the catalogues, in this context."""
LONGEST_DISTANCE = timedelta(days=36_500)
CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?")
DATE = re.compile(r"(\d{1,2})\.(\d{1,2})(?:\.(\d{4}))?")
DISTANCE = re.compile(r"(\d{1,6}) ?(\D+?) (\S+)")
DISTANCE_AHEAD = re.compile(r"(\S+) (\d{1,6}) ?(\D+)")


def read_time(text: str, now: datetime, zone: tzinfo, *, is_ahead: bool = False) -> datetime:
    """The time in UTC. zone: the zone of a text that names none. is_ahead: a future time is expected.

    Raises ValueError for any other text.
    """
    words, here = " ".join(text.split()).casefold(), now.astimezone(zone)
    if words in _spellings(NOW):
        return now.astimezone(UTC)
    if match := DISTANCE.fullmatch(words):
        return _before(now, int(match[1]), match[2], match[3])
    if is_ahead and (match := DISTANCE_AHEAD.fullmatch(words)) and match[1] in _spellings(IN):
        return now.astimezone(UTC) + _length(int(match[2]), match[3])
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        found = _of_day(words, here, is_ahead=is_ahead)
    return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)


def _before(now: datetime, count: int, unit: str, ago: str) -> datetime:
    if ago not in _spellings(AGO):
        raise ValueError("no distance")
    return now.astimezone(UTC) - _length(count, unit)


def _length(count: int, unit: str) -> timedelta:
    for words, length in UNITS.items():
        if unit in _spellings(words) and count * length <= LONGEST_DISTANCE:
            return count * length
    raise ValueError("no distance")


def _of_day(words: str, here: datetime, *, is_ahead: bool) -> datetime:
    """A day with or without a time, or a time of today."""
    day, _, rest = words.partition(" ")
    first, _, after = rest.partition(" ")
    time = after if first in _spellings(AT) else rest
    if CLOCK.fullmatch(words):
        return _at(here, words)
    for name, back in DAY.items():
        if day in _spellings(name):
            return _at(here - back, time)
    if match := DATE.fullmatch(day):
        day_and_month = int(match[1]), int(match[2])
        year = int(match[3]) if match[3] else _year_of(day_and_month, here, is_ahead=is_ahead)
        return _at(here.replace(year, day_and_month[1], day_and_month[0]), time)
    raise ValueError("no day")


def _year_of(day_and_month: tuple[int, int], here: datetime, *, is_ahead: bool) -> int:
    today, meant = (here.month, here.day), day_and_month[::-1]
    if is_ahead:
        return here.year + (meant < today)
    return here.year - (meant > today)


def _at(day: datetime, time: str) -> datetime:
    match = CLOCK.fullmatch(time or "0:00")
    if match is None:
        raise ValueError("no time of a day")
    return day.replace(hour=int(match[1]), minute=int(match[2]), second=int(match[3] or 0), microsecond=0, fold=0)


def _spellings(words: str) -> set[str]:
    """How a word is written in any language that pages speak."""
    said = [words, *(catalogue.pgettext(CONTEXT, words) for catalogue in catalogues().values())]
    return {spelling for one in said for spelling in one.casefold().split("|")}
