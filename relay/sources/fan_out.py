"""One request, many events: finds the entries of a batch, and what stands around each. Pure.

Nothing is lost on the way: a member of a list that no path leads into is an entry itself, and where no path leads
anywhere the whole body is one event.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.configuration.expressions import Expression
from relay.core.errors import TooLargeError
from relay.core.faults import fault

MOST_ENTRIES, MOST_PROVEN_ENTRIES = 1_000, 3_000
"""Of one request, where anybody may send, and where the sender is proven: SendGrid posts 768 KB, about 2,000 events
(docs.sendgrid.com/for-developers/tracking-events/event).
"""
MOST_BYTES = 16_000_000
"""What the events of one request may weigh together: each has the head of the request and what stands around it."""
_PATH = re.compile(r"body(\.[A-Za-z_][A-Za-z0-9_-]*|\[\])*", re.ASCII)
_MISSING = object()

Names = tuple[str, ...]
Way = tuple[Names, ...]
"""The names to each list on the way, one after the other: body.entry[].changes[] is (("entry",), ("changes",))."""


@dataclass(frozen=True, slots=True)
class Found:
    """One entry. envelope: the body with the one member that leads here in the place of each list, and null in the
    place of the entry.
    """

    body: Any = field(repr=False)
    envelope: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class FanOut:
    """The paths to the lists whose members are events. unless: where this finds something, the whole is one event."""

    paths: tuple[Way, ...]
    unless: Expression | None = None

    def entries(self, body: Any, most: int = MOST_ENTRIES) -> list[Found] | None:
        """Every entry in order; None where no path leads anywhere. Raises TooLargeError for more than so many."""
        if not any(_leads(body, way[0]) for way in self.paths):
            return None
        found = []
        for entry in _entries(body, self.paths):
            found.append(entry)
            if len(found) > most:
                raise TooLargeError(fault("too_many_entries", most=f"{most:,}"))
        return found


def parse_path(text: str) -> Way:
    """A path as it is written. Raises ValueError."""
    if not _PATH.fullmatch(text):
        raise ValueError(text)
    steps = text.removeprefix("body").removesuffix("[]").split("[]")
    return tuple(tuple(name for name in step.split(".") if name) for step in steps)


def entry_json(value: Any) -> bytes:
    """An entry, or an envelope, as it is kept."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _entries(unit: Any, ways: Sequence[Way]) -> Iterator[Found]:
    """The entries in one unit: the body, or a member of a list."""
    leading = [way for way in ways if way and _leads(unit, way[0])]
    if not leading:
        yield Found(unit, None)
        return
    for names in dict.fromkeys(way[0] for way in leading):
        target = _at(unit, names)
        following = [way[1:] for way in leading if way[0] == names]
        for member in _members(target):
            for found in _entries(member, following):
                yield Found(found.body, _with(unit, names, found.envelope))


def _members(target: Any) -> list[Any]:
    """The members of a list; also of one whose indexes in a form do not begin at 0, which is read as a map."""
    if isinstance(target, dict) and target and all(key.isascii() and key.isdecimal() for key in target):
        return list(target.values())
    return target if isinstance(target, list) else [target]


def _leads(unit: Any, names: Names) -> bool:
    found = _at(unit, names)
    return isinstance(found, list | dict)


def _at(unit: Any, names: Names) -> Any:
    for name in names:
        unit = unit.get(name, _MISSING) if isinstance(unit, dict) else _MISSING
    return unit


def _with(unit: Any, names: Names, inner: Any) -> Any:
    """The unit with something else in this place; only what leads there is copied."""
    if not names:
        return inner
    around: Mapping[str, Any] = unit
    return {**around, names[0]: _with(around[names[0]], names[1:], inner)}
