"""What a record holds that does not end by itself."""

from __future__ import annotations

from typing import Any

from relay.store.record.record import Record

COUNTS = (
    "relay:ledger", "relay:portals", "relay:wakes", "relay:high-water", "relay:numbered", "relay:numbers:",
    "relay:last-heard",
)  # fmt: skip


def keys_of(record: Record) -> set[str]:
    """Everything of ours and every job, except counts, when a source was heard last, and what ends by itself."""
    redis: Any = record.redis  # its stubs do not say that it answers with bytes
    found = {key for pattern in ("relay:*", "rq:job:*") for key in redis.keys(pattern) if redis.pttl(key) == -1}
    return {name for key in found if not (name := key.decode()).startswith(COUNTS)}
