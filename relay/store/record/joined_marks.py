"""Several keys of one person as one: a number has many spellings, and each may have marked other events."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from redis import Redis

from relay.store.redis import keys
from relay.store.redis.guard import guarded

JOINED_S = 60
"""For so long the events of several keys stand under one, for whoever looks through them."""


@guarded
def one_key_for(redis: Redis, person_keys: Sequence[str]) -> str | None:
    """A key under which the events of all these stand; None where there are none. Raises RecordUnavailableError."""
    with redis.pipeline(transaction=False) as pipeline:
        for key in person_keys:
            pipeline.exists(keys.MARKS + key)
        known = [key for key, count in zip(person_keys, pipeline.execute(), strict=True) if count]
    if len(known) < 2:
        return known[0] if known else None
    joined = "any:" + hashlib.sha256("".join(sorted(known)).encode()).hexdigest()[:24]
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.zunionstore(keys.MARKS + joined, [keys.MARKS + key for key in known])
        pipeline.expire(keys.MARKS + joined, JOINED_S)
        pipeline.execute()
    return joined
