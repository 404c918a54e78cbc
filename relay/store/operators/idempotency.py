"""Requests that must not be done twice: a key is claimed before the act, and holds the answer after it."""

from __future__ import annotations

from typing import Any

from redis import Redis

from relay.store.redis import keys
from relay.store.redis.guard import guarded

KEPT_S = 86_400
CLAIM_S = 300


class Idempotency:
    """The keys, by a digest of what they are for. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def claim(self, digest: str, text: str) -> str | None:
        """Claim a key with this text, which is nobody else's; None where it was free, else what another has left."""
        if self._redis.set(keys.ONCE + digest, text, nx=True, ex=CLAIM_S):
            return None
        kept: Any = self._redis.get(keys.ONCE + digest)
        left = (kept or b"").decode()
        return None if left == text else left  # it was free, and the answer that said so was lost

    @guarded
    def keep(self, digest: str, text: str) -> None:
        """Keep an answer for a day."""
        self._redis.set(keys.ONCE + digest, text, ex=KEPT_S)

    @guarded
    def release(self, digest: str) -> None:
        """The act was not done: the key is free again."""
        self._redis.delete(keys.ONCE + digest)
