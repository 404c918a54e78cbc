"""A portal at one moment, in one round trip: all that a worker has to know before the next thing. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.ids import to_ms
from relay.store.portals.gate import View, view_from_hash
from relay.store.portals.learned import Learned, learned_from_hash
from relay.store.redis import keys
from relay.store.redis.guard import guarded


@dataclass(frozen=True, slots=True)
class Survey:
    """How many questions of persons wait, how many uncertain deliveries are to be looked into now, how many could be
    sent now; the gate; what was learned.
    """

    questions: int
    doubtful: int
    due: int
    gate: View
    learned: Learned


@guarded
def survey(redis: Redis, portal: str, now: datetime) -> Survey:
    """Look at all of it. Raises RecordUnavailableError."""
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.llen(keys.QUESTIONS + portal)
        pipeline.zcount(keys.DOUBTFUL + portal, "-inf", to_ms(now))
        pipeline.zcount(keys.WAITING + portal, "-inf", to_ms(now))
        pipeline.hgetall(keys.GATE + portal)
        pipeline.hgetall(keys.PACE + portal)
        answers: list[Any] = pipeline.execute()
    questions, doubtful, due, gate, learned = answers
    return Survey(questions, doubtful, due, view_from_hash(gate), learned_from_hash(learned))
