"""What in a body belongs to a person, where no rule has said so: addresses and numbers, by their looks. Pure.

By these an event is found that no rule could use. It is done while its sender waits, so it looks at so many values and
characters and finds so many at most, and every expression is linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

MOST_VALUES, MOST_CHARACTERS, MOST_FOUND = 200, 10_000, 6
SHORTEST = 6
"""No address and no number is shorter."""
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}+@[\w-]{1,63}+(?:\.[\w-]{1,63}+){1,8}+")
NUMBER = re.compile(r"(?<![\w.,+-])(?:\+|00)?\(?[0-9](?:[ ().\u00a0/-]{0,3}[0-9]){8,14}(?!\w)")
_DIGITS = re.compile(r"[0-9](?:[ ().\u00a0/-]{0,3}[0-9]){8}")
"""What every number has in it. It is looked for first: a body of 10 KB mostly has none, and this passes over it in a
tenth of the time, because it can only begin with a digit."""
_BEFORE = 3
"""Characters that may stand before the digits of a number: `00(`."""
_DATE = re.compile(r"[0-9]{4}[-./][0-9]{2}[-./][0-9]{2}|[0-9]{2}[./-][0-9]{2}[./-][0-9]{4}")
_UNIX_TIME = re.compile(r"1[0-9]{9}(?:[0-9]{3})?")
_ABROAD = ("+", "00")
_ADDRESSES = ("http://", "https://")
"""Of pages and programs: what is in them is no number that anybody dials."""


def persons_in(body: Any) -> list[str]:
    """The first addresses and numbers in a body as it was read, each once."""
    found: dict[str, None] = {}
    for text in _texts_in(body):
        for value in _looked_at(text):
            found[value] = None
            if len(found) == MOST_FOUND:
                return list(found)
    return list(found)


def _texts_in(body: Any) -> Iterator[str]:
    """The texts and large numbers in it, in their order, until enough was looked at."""
    waiting, values, characters = [body], 0, 0
    while waiting and values < MOST_VALUES and characters < MOST_CHARACTERS:
        value = waiting.pop()
        values += 1
        if isinstance(value, str):
            if len(value) >= SHORTEST and not value.startswith(_ADDRESSES):
                yield value[: MOST_CHARACTERS - characters]
                characters += len(value)
        elif isinstance(value, dict):
            waiting.extend(reversed(value.values()))
        elif isinstance(value, list | tuple):
            waiting.extend(reversed(value))
        elif type(value) is int and 10**9 <= value < 10**15:
            yield str(value)


def _looked_at(text: str) -> Iterator[str]:
    if "@" in text:
        yield from _EMAIL.findall(text)
    for number in numbers_in(text):
        count = sum(map(str.isdigit, number))
        if (count >= 10 or number.startswith(_ABROAD)) and not (_DATE.match(number) or _UNIX_TIME.fullmatch(number)):
            yield number


def numbers_in(text: str) -> list[str]:
    """What looks like NUMBER in it, in their order."""
    digits = _DIGITS.search(text)
    return NUMBER.findall(text, max(0, digits.start() - _BEFORE)) if digits else []
