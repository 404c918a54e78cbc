"""FILTER, ORDER, SELECT and paging of the bizproc list methods, with the habits of the real ones.

Facts: bizproc-workflow-instances.md (docs), getFilter in bizproc/lib/restservice.php and
main/classes/general/sqlwhere.php (source). Works on plain rows; knows neither workflows nor templates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from relay.sandbox import php
from relay.sandbox.answers import RestError, Result
from relay.sandbox.settings import Profile

PAGE_SIZE = 50
Kind = Literal["text", "number", "date"]
Value = str | int | float | None
Row = Mapping[str, Value]
Condition = Callable[[Row], bool]

_OPERATORS: Mapping[Profile, tuple[str, ...]] = {
    "a": ("<=", ">=", "!", "<", ">", ""),
    "b": ("!=", "<=", ">=", "=", "!", "<", ">", ""),
}
"""Longest first. In generation A `=ID` is the field named "=ID", which does not exist."""


@dataclass(frozen=True, slots=True)
class Query:
    """A list request. fields: name -> kind of value. shift_s: seconds added to every date of the filter."""

    parameters: Mapping[str, object]
    fields: Mapping[str, Kind]
    profile: Profile
    default_select: tuple[str, ...]
    default_order: tuple[str, str]
    shift_s: float = 0.0

    def page(self, rows: Sequence[Row], show: Callable[[str, Row], object]) -> Result:
        """The page asked for. show(name, row): the value as it is written into the answer."""
        found = [row for row in rows if all(holds(row) for holds in self._conditions())]
        for name, direction in reversed(self._order()):
            found.sort(key=lambda row, name=name: rank(row[name]), reverse=direction == "desc")  # type: ignore[misc] # mypy cannot infer a lambda with a default
        names = self._select()
        start = php.to_int(self.parameters.get("START"))
        first = max(0, start)
        shown = [{name: show(name, row) for name in names} for row in found[first : first + PAGE_SIZE]]
        if start < 0:
            return Result(shown, total=0)  # start=-1: do not count
        following = first + PAGE_SIZE
        return Result(shown, total=len(found), next=following if following < len(found) else None)

    def _conditions(self) -> list[Condition]:
        given = php.as_map(self.parameters.get("FILTER")) or {}
        parsed = [self._condition(key, wanted) for key, wanted in given.items()]
        return [condition for condition in parsed if condition is not None]

    def _condition(self, key: str, wanted: object) -> Condition | None:
        """None for an operator, field or date that is not understood: it is dropped and the filter gets wider."""
        operator = next(sign for sign in _OPERATORS[self.profile] if key.startswith(sign))
        name = key[len(operator) :]
        if self.profile == "b":
            name = name.upper()
        if name not in self.fields:
            return None
        choices = [self._read(self.fields[name], item) for item in listed(wanted)]
        tests = [_test(self.fields[name], operator.lstrip("!") or "", choice) for choice in choices if choice != ()]
        if not tests:
            return None
        negative = operator.startswith("!")
        return lambda row: any(test(row[name]) for test in tests) is not negative

    def _read(self, kind: Kind, wanted: object) -> Value | tuple[()]:
        """A value of the filter as the field's kind; () where it cannot be read."""
        text = php.to_string(wanted)
        if not text:
            return () if text is None else None
        if kind == "number":
            return php.to_int(wanted)
        if kind == "text":
            return text
        moment = seconds_of(text)
        return () if moment is None else moment + self.shift_s

    def _order(self) -> list[tuple[str, str]]:
        given = php.as_map(self.parameters.get("ORDER")) or {}
        order = [(name.upper(), str(direction).lower()) for name, direction in given.items()]
        return [item for item in order if item[0] in self.fields] or [self.default_order]

    def _select(self) -> Sequence[str]:
        given = self.parameters.get("SELECT")
        wanted = php.as_map(given) or {}
        if any(php.as_map(name) is not None for name in wanted.values()):
            raise RestError("ERROR_SELECT_VALIDATION_FAILURE")
        names = [str(name).upper() for name in wanted.values()]
        return [name for name in names if name in self.fields] or self.default_select


def listed(wanted: object) -> list[object]:
    """A value, or the members of an array of values."""
    members = php.as_map(wanted)
    return [wanted] if members is None else list(members.values())


def _test(kind: Kind, operator: str, wanted: Value | tuple[()]) -> Callable[[Value], bool]:
    if wanted is None:
        return lambda value: value in (None, "")
    if kind == "text" and operator == "":
        pattern = like(str(wanted))
        return lambda value: value is not None and pattern.fullmatch(str(value)) is not None
    return lambda value: value is not None and compare(operator, rank(value), rank(wanted))


def compare(operator: str, left: tuple[float, str], right: tuple[float, str]) -> bool:
    """Whether two ranks stand in the relation of `<`, `<=`, `>`, `>=`, or else are equal."""
    if operator == "<":
        return left < right
    if operator == "<=":
        return left <= right
    if operator == ">":
        return left > right
    if operator == ">=":
        return left >= right
    return left == right


def rank(value: Value | tuple[()]) -> tuple[float, str]:
    """Numbers by size, texts without regard to case; nothing comes first."""
    if isinstance(value, (int, float)):
        return (float(value), "")
    return (0.0, value.casefold() if isinstance(value, str) else "")


def like(pattern: str) -> re.Pattern[str]:
    r"""MySQL's LIKE: `_` and `%` are wildcards, and a backslash only quotes the next character.

    So a class name with backslashes never matches itself.
    """
    parts: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            parts.append(re.escape(next(characters, "\\")))
        else:
            parts.append({"_": ".", "%": ".*"}.get(character, re.escape(character)))
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)


def seconds_of(text: str) -> float | None:
    """A date of a request as seconds since 1970, in UTC where it says no zone; None where it cannot be read."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
