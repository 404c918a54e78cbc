"""What is wrong, as a code and its values: in errors, on record, in groups. Pure.

A Fault reads as its English message, so a log, a terminal or the API shows it as it is; a page says it in its language.
Nothing decides by that text: code compares `code` and `values`, and the record keeps those (`as_data`, `as_text`).
Earlier versions kept sentences. Such a text is read as it is, and shown as it is in every language.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from relay.core.catalogue import EXPECTED, MESSAGES
from relay.core.phrases import Moment, Phrase, verbatim

MOST_FIELDS = 10
"""So many names of fields make a kind; a rule with more missing is grouped by the first."""


class Fault(Phrase):
    """One thing that is wrong. values: text, numbers, a Moment, a Fault, or a tuple of these."""

    __slots__ = ("code",)
    code: str

    def __new__(cls, code: str, values: Mapping[str, Any] | None = None) -> Self:
        """Raises KeyError where the catalogue has no such code, or its message another value."""
        given = {name: tuple(one) if isinstance(one, list) else one for name, one in (values or {}).items()}
        made = super().__new__(cls, MESSAGES[code], given)
        made.code = code
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        """What a copy is made of."""
        return (self.code, self.values)

    def format(self, *_args: object, **_values: object) -> Self:
        """Itself: its values are in it. marshmallow formats the messages that it is given."""
        return self

    @property
    def is_expectation(self) -> bool:
        """Whether it says what was expected, and not what was found."""
        return self.code in EXPECTED

    @property
    def kind(self) -> Fault:
        """The same without its numbers: where a body breaks off, or how large it was, makes no kind of its own."""
        return Fault(self.code, {name: _kind_of(value) for name, value in self.values.items()})


def fault(code: str, **values: Any) -> Fault:
    """A fault of the catalogue with the values of its message."""
    return Fault(code, values)


def code_of(text: str | None) -> str | None:
    """The code of a fault; None for a word or a text that is none."""
    return text.code if isinstance(text, Fault) else None


def fault_of(reason: str | None, errors: Mapping[str, Sequence[str]]) -> str:
    """What a rejected event has in common with others, by which they are grouped; never a value of the event.

    An event that an earlier version rejected keeps the text by which that version grouped it: a group of its own.
    """
    if errors:
        return fault("cannot_be_filled", fields=sorted(errors)[:MOST_FIELDS])
    if isinstance(reason, Fault):
        # Whether a body was kept is no part of what was wrong with it.
        why = reason.values["why"] if reason.code == "body_not_kept" else reason
        return why.kind if isinstance(why, Fault) else str(why)
    return reason or fault("no_reason")


def as_data(text: str) -> Any:
    """A fault as JSON keeps it: a map of `code` and values; any other text as it is."""
    if isinstance(text, Fault):
        return {"code": text.code} | {name: _value_as_data(value) for name, value in text.values.items()}
    return str(text)


def from_data(data: Any) -> str:
    """The fault that JSON has kept. A text of an earlier version stays one, and so does a code of a later version."""
    if not isinstance(data, Mapping):
        return verbatim(str(data))
    try:
        values = {name: _value_from_data(value) for name, value in data.items() if name != "code"}
        return Fault(data["code"], values)
    except KeyError:
        return verbatim(str(data.get("code")))


def as_text(text: str) -> str:
    """The same as one text, for a field of a hash or a query: a code alone, or JSON with its values."""
    if not isinstance(text, Fault):
        return str(text)
    return json.dumps(as_data(text), ensure_ascii=False, separators=(",", ":")) if text.values else text.code


def from_text(text: str) -> str:
    """The fault that `as_text` wrote; a plain text, where it is none."""
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
    """What `errors_as_data` wrote, or an earlier version, which kept sentences."""
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
