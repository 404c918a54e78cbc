"""Faults: a code and its values, in errors, on record and in groups. Pure.

A Fault is also its English message, so a log, a terminal or the API shows it directly; a page translates it. No code
depends on that text: it compares `code` and `values`, and the record keeps these (`as_data`, `as_text`). Earlier
versions kept sentences. Such a text is read and shown as it is, in every language.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from relay.core.catalogue import EXPECTED, MESSAGES
from relay.core.phrases import Moment, Phrase, verbatim

MOST_FIELDS = 10
"""The most field names in a group; if more are missing, the first ones decide."""


class Fault(Phrase):
    """One fault. values: text, numbers, a Moment, a Fault, or a tuple of these."""

    __slots__ = ("code",)
    code: str

    def __new__(cls, code: str, values: Mapping[str, Any] | None = None) -> Self:
        """Raises KeyError if the catalogue has no such code, or its message needs another value."""
        given = {name: tuple(one) if isinstance(one, list) else one for name, one in (values or {}).items()}
        made = super().__new__(cls, MESSAGES[code], given)
        made.code = code
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        """The arguments for a copy."""
        return (self.code, self.values)

    def format(self, *_args: object, **_values: object) -> Self:
        """Return itself: its values are already in it. marshmallow formats the messages that it gets."""
        return self

    @property
    def is_expectation(self) -> bool:
        """Whether it names what was expected, not what was found."""
        return self.code in EXPECTED

    @property
    def kind(self) -> Fault:
        """The fault without its numbers, for grouping: the size of a body or the position of an error does not
        matter.
        """
        return Fault(self.code, {name: _kind_of(value) for name, value in self.values.items()})


def fault(code: str, **values: Any) -> Fault:
    """A fault of the catalogue with the values of its message."""
    return Fault(code, values)


def code_of(text: str | None) -> str | None:
    """The code of a fault; None for any other text."""
    return text.code if isinstance(text, Fault) else None


def fault_of(reason: str | None, errors: Mapping[str, Sequence[str]]) -> str:
    """The group of a rejected event, without values of the event.

    An event rejected by an earlier version keeps the text of that version as its group.
    """
    if errors:
        return fault("cannot_be_filled", fields=sorted(errors)[:MOST_FIELDS])
    if isinstance(reason, Fault):
        # Group by the cause: it does not matter whether the body was kept.
        why = reason.values["why"] if reason.code == "body_not_kept" else reason
        return why.kind if isinstance(why, Fault) else str(why)
    return reason or fault("no_reason")


def as_data(text: str) -> Any:
    """A fault as JSON keeps it: a map of `code` and values; any other text as it is."""
    if isinstance(text, Fault):
        return {"code": text.code} | {name: _value_as_data(value) for name, value in text.values.items()}
    return str(text)


def from_data(data: Any) -> str:
    """Read a fault from JSON. A text of an earlier version and a code of a later version stay texts."""
    if not isinstance(data, Mapping):
        return verbatim(str(data))
    try:
        values = {name: _value_from_data(value) for name, value in data.items() if name != "code"}
        return Fault(data["code"], values)
    except KeyError:
        return verbatim(str(data.get("code")))


def as_text(text: str) -> str:
    """A fault as one text, for a hash field or a query: the code alone, or JSON with its values."""
    if not isinstance(text, Fault):
        return str(text)
    return json.dumps(as_data(text), ensure_ascii=False, separators=(",", ":")) if text.values else text.code


def from_text(text: str) -> str:
    """Read what `as_text` wrote; any other text stays as it is."""
    if text in MESSAGES:
        return from_data({"code": text})
    if text[:1] != "{":
        return str(text)
    try:
        data = json.loads(text)
        return from_data(data) if isinstance(data.get("code"), str) else str(text)
    except (ValueError, TypeError, RecursionError):  # a query can hold anything
        return str(text)


def errors_as_data(errors: Mapping[str, Sequence[str]]) -> dict[str, list[Any]]:
    """Errors by field, as JSON keeps them."""
    return {name: [as_data(one) for one in messages] for name, messages in errors.items()}


def errors_from_data(data: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """Read what `errors_as_data` wrote, or sentences of an earlier version."""
    return {name: [from_data(one) for one in messages] for name, messages in data.items()}


def codes_of(errors: Mapping[str, Sequence[str]]) -> dict[str, list[str | None]]:
    """The codes of errors by field, in their order; None for a sentence of an earlier version."""
    return {name: [code_of(one) for one in messages] for name, messages in errors.items()}


def _kind_of(value: Any) -> Any:
    if isinstance(value, Fault):
        return value.kind
    return "#" if isinstance(value, int | float) else value


def _value_as_data(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_value_as_data(one) for one in value]
    if isinstance(value, Moment):
        return {"at": value.at.isoformat()}
    return as_data(value) if isinstance(value, str) else value


def _value_from_data(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_value_from_data(one) for one in value)
    if isinstance(value, Mapping):
        return Moment(datetime.fromisoformat(value["at"])) if "at" in value else from_data(value)
    return value
