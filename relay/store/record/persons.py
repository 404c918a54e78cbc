"""Finding a person's events without keeping an index of persons: a keyed hash of a value, such as an e-mail.

Standard library only. The key is RELAY_SECRET_KEY, so an index that leaks cannot be tried against a list of addresses.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable

TAIL = 9
"""By so many of its last digits a telephone number is known: they are the same at home, abroad and in every spelling.
Rarely two people have them in common; whoever must not mistake one for the other compares what their events hold."""
_NUMBER = re.compile(r"\+?[0-9\s().\u00a0/-]{9,40}")
_OTHERS = re.compile(r"[^0-9]")


class PersonIndex:
    """Makes the keys. Values compare without case and outer blanks, telephone numbers by their last digits."""

    def __init__(self, key: str) -> None:
        self._key = hashlib.sha256(b"marks\0" + key.encode()).digest()

    def key_of(self, value: str) -> str:
        """The key of a value: 24 hexadecimal digits."""
        return self._digest(tail_of(value) or value.strip().casefold())

    def exact_key_of(self, value: str) -> str:
        """The key of a value as it is written, which earlier versions have kept of telephone numbers, too."""
        return self._digest(value.strip().casefold())

    def keys_of(self, values: Iterable[str]) -> tuple[str, ...]:
        """The keys of several values, each once."""
        return tuple(dict.fromkeys(self.key_of(value) for value in values if value.strip()))

    def _digest(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()[:24]


def tail_of(value: str) -> str | None:
    """What telephone numbers that are dialled alike have in common; None where it is none."""
    text = value.strip()
    if not _NUMBER.fullmatch(text):
        return None
    digits = _OTHERS.sub("", text)
    # With a word before it, for it is no value that somebody could have typed.
    return f"number {digits[-TAIL:]}" if TAIL <= len(digits) <= 15 else None
