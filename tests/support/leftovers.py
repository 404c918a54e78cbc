"""What a record holds that does not end by itself."""

from __future__ import annotations

from relay.store.record.record import Record


def keys_of(record: Record) -> set[str]:
    """Everything of ours and every job, except counts, and what ends by itself."""
    redis = record.redis
    found = {key for pattern in ("relay:*", "rq:job:*") for key in redis.keys(pattern) if redis.pttl(key) == -1}
    return {key.decode() for key in found} - {"relay:ledger", "relay:portals", "relay:wakes", "relay:high-water"}
