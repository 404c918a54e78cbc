"""The requirements of the rules that the web process runs with, on record for the workers and the dashboard."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.ids import to_ms
from relay.core.requirements import Requirement
from relay.store.redis import keys
from relay.store.redis.guard import guarded


@guarded
def publish_rules(redis: Redis, digest: str, requirements: Iterable[Requirement], now: datetime) -> None:
    """Leave what the rules ask of the portals. Raises RecordUnavailableError."""
    text = json.dumps([requirement.to_wire() for requirement in requirements])
    redis.hset(keys.RULES, mapping={"digest": digest, "requirements": text, "at": to_ms(now)})


@guarded
def rules_digest(redis: Redis) -> str | None:
    """The digest alone. Raises RecordUnavailableError."""
    kept: Any = redis.hget(keys.RULES, "digest")
    return kept.decode() if kept else None


@guarded
def published_rules(redis: Redis) -> tuple[str, list[Requirement]] | None:
    """The digest and the requirements that were left last; None before the first, and where another version left them.

    Raises RecordUnavailableError.
    """
    kept: Any = redis.hmget(keys.RULES, ["digest", "requirements"])
    try:
        return kept[0].decode(), [Requirement.from_wire(wire) for wire in json.loads(kept[1])]
    except (AttributeError, KeyError, TypeError, ValueError):
        return None  # a web process of this version leaves them anew when it starts
