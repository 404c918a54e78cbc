"""Finding a person's events without keeping an index of persons: a keyed hash of a value, such as an e-mail.

The key is RELAY_SECRET_KEY, so an index that leaks cannot be tried against a list of addresses.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from relay.core.phones import tail_of


class PersonIndex:
    """Makes the keys. Values compare without case and outer blanks, telephone numbers by their last digits."""

    def __init__(self, key: str) -> None:
        self._key = hashlib.sha256(b"marks\0" + key.encode()).digest()

    def key_of(self, value: str) -> str:
        """The key of a value: 24 hexadecimal digits."""
        tail = tail_of(value)
        # With a word before it, for it is no value that somebody could have typed.
        return self._digest(f"number {tail}" if tail else value.strip().casefold())

    def exact_key_of(self, value: str) -> str:
        """The key of a value as it is written, which earlier versions have kept of telephone numbers, too."""
        return self._digest(value.strip().casefold())

    def keys_of(self, values: Iterable[str]) -> tuple[str, ...]:
        """The keys of several values, each once."""
        return tuple(dict.fromkeys(self.key_of(value) for value in values if value.strip()))

    def _digest(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()[:24]
