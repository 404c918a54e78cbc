"""What a delivery has to do with others: which wait until it is final, and which one replays it. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import Redis

from relay.core.events import Delivery
from relay.core.lifecycle import FINAL
from relay.store.record import codec
from relay.store.redis import keys
from relay.store.redis.guard import guarded

MOST_BEHIND = 100


class Relations:
    """Of any delivery. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def behind(self, delivery: Delivery) -> list[str]:
        """Ids of those that wait until this one is final, the next one first; none where their order is no matter.

        Of more than MOST_BEHIND, the first so many.
        """
        order = codec.order_key(delivery)
        if not order or delivery.state in FINAL:
            return []
        found: Any = self._redis.zrangebylex(keys.ORDER + order, f"({delivery.id}", "+", start=0, num=MOST_BEHIND)
        return [member.decode() for member in found]

    @guarded
    def replaced(self, delivery_ids: Sequence[str]) -> dict[str, str]:
        """The replay of each of these deliveries that was replayed."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for one in delivery_ids:
                pipeline.hget(keys.DELIVERY + one, "replayed_by")
            answers: list[Any] = pipeline.execute()
        return {one: kept.decode() for one, kept in zip(delivery_ids, answers, strict=True) if kept}
