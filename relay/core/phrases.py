"""A text that knows how it was made, so that a page can say it in another language. To all others it is just English.

What is made here ends in logs, messages and terminals as it is; only relay/web/language.py looks at how it was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Self


class Phrase(str):
    """An English text, with the message and the values that it was made of. plural: where it depends on `number`."""

    __slots__ = ("message", "number", "plural", "values")
    message: str
    plural: str
    number: int
    values: Mapping[str, Any]

    def __new__(cls, message: str, values: Mapping[str, Any], plural: str = "", number: int = 1) -> Self:
        """Fill the message, or from two on the plural, in the way of `%`."""
        shown = {name: listed(value) for name, value in values.items()}
        made = super().__new__(cls, (plural if plural and number != 1 else message) % shown)
        made.message, made.plural, made.number, made.values = message, plural, number, values
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        """What a copy is made of."""
        return (self.message, self.values, self.plural, self.number)


class Moment(str):
    """A time as a value of a phrase: in UTC, and says so; a page says it in the zone of who looks."""

    __slots__ = ("at",)
    at: datetime

    def __new__(cls, at: datetime) -> Self:
        """As text, to the minute."""
        made = super().__new__(cls, f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC")
        made.at = at
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        """What a copy is made of."""
        return (self.at,)


def listed(value: Any) -> Any:
    """A tuple as a list with commas; any other value as it is."""
    return ", ".join(str(one) for one in value) if isinstance(value, tuple) else value


def sentences(texts: Iterable[str]) -> str:
    """Several as one, with semicolons."""
    first, *more = texts
    return Phrase("%(one)s; %(other)s", {"one": first, "other": sentences(more)}) if more else first


def phrase(message: str, **values: Any) -> Phrase:
    """A text with its values: `%(name)s` in the message. A value can be a phrase itself; a per cent sign is `%%`."""
    return Phrase(message, values)


def phrases(one: str, many: str, count: int, **values: Any) -> Phrase:
    """A text that depends on a number, which is `%(count)s` in it."""
    return Phrase(one, {"count": count, **values}, many, count)


def verbatim(text: str) -> Phrase:
    """A text that somebody else has written: it is the same in every language, also where it looks like one of ours."""
    return Phrase("%(text)s", {"text": text})
