"""What in a body belongs to a person, where no rule has said so: addresses and numbers, by their looks. Pure.

By these an event is found that no rule could use. It is done while its sender waits, so it looks at so many values and
characters and finds so many at most, and every expression is linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from relay.core.phones import find_phones

MOST_VALUES, MOST_CHARACTERS, MOST_FOUND = 200, 10_000, 6
SHORTEST = 6
"""No address and no number is shorter."""
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}+@[\w-]{1,63}+(?:\.[\w-]{1,63}+){1,8}+")
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
    yield from (phone.text for phone in find_phones(text) if phone.is_one)
