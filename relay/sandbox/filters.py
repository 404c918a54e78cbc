"""The filter of the newer list methods: prefixes of names, lists of values, and groups joined by OR.

Facts: crm/universal/crm-item-list.md, user/user-get.md (docs). Works on the comparable values of a row by field name;
which fields there are is for the caller to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from relay.sandbox import php
from relay.sandbox.rows import Kind, Value, compare, like, listed, rank, seconds_of

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


def split(key: str) -> tuple[str, str]:
    """The operator before a field's name, and the name."""
    operator = next(sign for sign in OPERATORS if key.startswith(sign))
    return operator, key[len(operator) :]


def _condition(key: str, wanted: object, kind_of: KindOf) -> Condition | None:
    operator, name = split(key)
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
