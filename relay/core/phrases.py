"""Texts that keep their message and values, so that a page can translate them. Everywhere else they are plain English.

Logs, messages and terminals use the text as it is; only relay/web/language.py reads the parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Self

_VERBATIM = "%(text)s"


class Phrase(str):
    """An English text with its message and values. plural: the message for other numbers than one."""

    __slots__ = ("message", "number", "plural", "values")
    message: str
    plural: str
    number: int
    values: Mapping[str, Any]

    def __new__(cls, message: str, values: Mapping[str, Any], plural: str = "", number: int = 1) -> Self:
        """Fill the message, or the plural, with `%`."""
        shown = {name: listed(value) for name, value in values.items()}
        made = super().__new__(cls, (plural if plural and number != 1 else message) % shown)
        made.message, made.plural, made.number, made.values = message, plural, number, values
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        """The arguments for a copy."""
        return (self.message, self.values, self.plural, self.number)


class Moment(str):
    """A time as a value of a phrase, in UTC; a page shows it in the reader's zone."""

    __slots__ = ("at",)
    at: datetime

    def __new__(cls, at: datetime) -> Self:
        """As text, to the minute."""
        made = super().__new__(cls, f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC")
        made.at = at
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        """The arguments for a copy."""
        return (self.at,)


def listed(value: Any) -> Any:
    """Join a tuple with commas; any other value stays as it is."""
    return ", ".join(str(one) for one in value) if isinstance(value, tuple) else value


def sentences(texts: Iterable[str]) -> str:
    """Join several texts with semicolons."""
    first, *more = texts
    return Phrase("%(one)s; %(other)s", {"one": first, "other": sentences(more)}) if more else first


def phrase(message: str, **values: Any) -> Phrase:
    """Make a text with values: `%(name)s` in the message. A value can be a phrase; write `%%` for a per cent sign."""
    return Phrase(message, values)


def phrases(one: str, many: str, count: int, **values: Any) -> Phrase:
    """Make a text that depends on a number, `%(count)s`."""
    return Phrase(one, {"count": count, **values}, many, count)


def verbatim(text: str) -> Phrase:
    """Mark a text that others wrote: it is never translated, even if it equals one of our messages."""
    return Phrase(_VERBATIM, {"text": text})


def is_ours(text: object) -> bool:
    """Whether a text is one of our messages, which a page translates; not one that others wrote."""
    return isinstance(text, Phrase) and text.message != _VERBATIM
