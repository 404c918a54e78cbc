"""The filters, order, selection and paging of the portal's list methods, in both of its generations.

`Query` is that of the older bizproc methods. Facts: bizproc-workflow-instances.md (docs), getFilter in
bizproc/lib/restservice.php and main/classes/general/sqlwhere.php (source).

`read_filter` is that of the newer methods: prefixes of names, lists of values, groups joined by OR. Facts:
crm/universal/crm-item-list.md, user/user-get.md (docs).

Both work on plain rows; the caller says which fields there are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, TypeVar

from relay.sandbox import php
from relay.sandbox.answers import RestError, Result
from relay.sandbox.settings import Profile

PAGE_SIZE = 50
T = TypeVar("T")
Kind = Literal["text", "number", "date"]
Value = str | int | float | None
Row = Mapping[str, Value]
RowCondition = Callable[[Row], bool]

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
        page = page_of(found, self.parameters.get("START"), lambda row: {name: show(name, row) for name in names})
        return page if page.total is not None else replace(page, total=0)

    def _conditions(self) -> list[RowCondition]:
        given = php.as_map(self.parameters.get("FILTER")) or {}
        parsed = [self._condition(key, wanted) for key, wanted in given.items()]
        return [condition for condition in parsed if condition is not None]

    def _condition(self, key: str, wanted: object) -> RowCondition | None:
        """None for an operator, field or date that is not understood: it is dropped and the filter gets wider."""
        operator = next(sign for sign in _OPERATORS[self.profile] if key.startswith(sign))
        name = key[len(operator) :]
        if self.profile == "b":
            name = name.upper()
        if name not in self.fields:
            return None
        choices = [self._read(self.fields[name], item) for item in listed(wanted)]
        tests = [_row_test(self.fields[name], operator.lstrip("!") or "", choice) for choice in choices if choice != ()]
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


def page_of(rows: Sequence[T], start: object, show: Callable[[T], object]) -> Result:
    """Fifty rows from `start` on, with total and next. A negative start counts nothing: then both are None."""
    first = max(0, php.to_int(start))
    shown = [show(row) for row in rows[first : first + PAGE_SIZE]]
    if php.to_int(start) < 0:
        return Result(shown)
    following = first + PAGE_SIZE
    return Result(shown, total=len(rows), next=following if following < len(rows) else None)


def listed(wanted: object) -> list[object]:
    """A value, or the members of an array of values."""
    members = php.as_map(wanted)
    return [wanted] if members is None else list(members.values())


def _row_test(kind: Kind, operator: str, wanted: Value | tuple[()]) -> Callable[[Value], bool]:
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


Look = Callable[[str], list[Value]]
"""Field name -> the values that a row has there."""
Condition = Callable[[Look], bool]
KindOf = Callable[[str], Kind | None]
"""Field name -> how it is compared; None where the condition is to be passed over."""

OPERATORS = ("!=%", "!%=", "!@", "!=", "!%", "=%", "%=", ">=", "<=", "@", "=", "!", ">", "<", "%", "")
"""Longest first."""


def read_filter(given: Mapping[str, object], kind_of: KindOf) -> Condition:
    """All conditions, or any of them where `logic` is OR. A member that is itself a map under a number is a group."""
    conditions: list[Condition] = []
    for key, wanted in given.items():
        if key.lower() == "logic":
            continue
        group = php.as_map(wanted) if key.isdecimal() else None
        if group is not None:
            conditions.append(read_filter(group, kind_of))
        elif (condition := _condition(key, wanted, kind_of)) is not None:
            conditions.append(condition)
    if str(given.get("logic", "")).upper() == "OR":
        return lambda look: any(holds(look) for holds in conditions)
    return lambda look: all(holds(look) for holds in conditions)


def split_operator(key: str) -> tuple[str, str]:
    """The operator before a field's name, and the name."""
    operator = next(sign for sign in OPERATORS if key.startswith(sign))
    return operator, key[len(operator) :]


def _condition(key: str, wanted: object, kind_of: KindOf) -> Condition | None:
    operator, name = split_operator(key)
    kind = kind_of(name)
    if kind is None:
        return None
    tests = [_test(operator.lstrip("!"), kind, each) for each in listed(wanted)]
    negative = operator.startswith("!")
    return lambda look: any(test(value) for value in look(name) or [None] for test in tests) is not negative


def _test(operator: str, kind: Kind, wanted: object) -> Callable[[Value], bool]:
    text = "1" if wanted is True else php.to_string(wanted)
    if operator in ("%", "=%", "%="):
        pattern = like(f"%{_literal(text or '')}%" if operator == "%" else text or "")
        return lambda value: value is not None and pattern.fullmatch(str(value)) is not None
    if not text:
        return lambda value: value in (None, "")
    sought = _read(kind, text)
    if sought is None:
        return lambda _value: False
    target = rank(sought)
    return lambda value: value is not None and compare(operator, rank(value), target)


def _read(kind: Kind, text: str) -> Value:
    """A value of the filter as values of this kind are; None where it is none, and then nothing is found."""
    if kind == "date":
        return seconds_of(text)
    if kind == "number":
        try:
            return float(text)
        except ValueError:
            return None
    return text


def _literal(text: str) -> str:
    """A text whose wildcards are characters like any other."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
