"""Finding a person's events without keeping an index of persons: a keyed hash of a value, such as an e-mail.

Standard library only. The key is RELAY_SECRET_KEY, so an index that leaks cannot be tried against a list of addresses.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable


class PersonIndex:
    """Makes the keys. Values compare without case and outer blanks."""

    def __init__(self, key: str) -> None:
        self._key = hashlib.sha256(b"marks\0" + key.encode()).digest()

    def key_of(self, value: str) -> str:
        """The key of a value: 24 hexadecimal digits."""
        return hmac.new(self._key, value.strip().casefold().encode(), hashlib.sha256).hexdigest()[:24]

    def keys_of(self, values: Iterable[str]) -> tuple[str, ...]:
        """The keys of several values, each once."""
        return tuple(dict.fromkeys(self.key_of(value) for value in values if value.strip()))
