"""The outlines of the rules that the web process runs with, on record for the workers and the dashboard."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.ids import to_ms
from relay.core.requirements import Outline
from relay.store.redis import keys
from relay.store.redis.guard import guarded


@guarded
def publish_rules(redis: Redis, digest: str, outlines: Iterable[Outline], now: datetime) -> None:
    """Leave what the rules ask of the portals. Raises RecordUnavailableError."""
    text = json.dumps([outline.to_wire() for outline in outlines])
    redis.hset(keys.RULES, mapping={"digest": digest, "outlines": text, "at": to_ms(now)})


@guarded
def published_rules(redis: Redis) -> tuple[str, list[Outline]] | None:
    """The digest and the outlines that were left last; None before the first. Raises RecordUnavailableError."""
    kept: Any = redis.hmget(keys.RULES, ["digest", "outlines"])
    if kept[0] is None:
        return None
    return kept[0].decode(), [Outline.from_wire(wire) for wire in json.loads(kept[1])]
