"""Comments that follow a start: which wait, who sends them, and what has become of each.

A comment waits from the moment at which its workflow is known to have started, written by the same script
(lua/common.lua, `conclude`). It is claimed once, before it is sent, and counts as missing from then on; only its claim
can say otherwise. So at most one is sent, whatever dies, and nobody has to look for what a dead worker had claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.events import CommentState, Delivery
from relay.core.ids import from_ms, to_ms
from relay.store.record import codec
from relay.store.redis import keys
from relay.store.redis.scripts import Argument, Script, ScriptCall, guarded, run, run_all

SAY, SAID, HUSH = Script.load("say"), Script.load("said"), Script.load("hush")


@dataclass(frozen=True, slots=True)
class CommentOutcome:
    """The outcome of a claimed comment.

    delivery: as it was claimed. again_at: when it may be sent again; only of one that was certainly not executed.
    """

    delivery: Delivery
    state: CommentState
    reason: str = ""
    again_at: datetime | None = None


class Comments:
    """The comments of all portals. Every method raises RecordUnavailableError.

    replicas: number that must have a claim before its comments are sent.
    """

    def __init__(self, redis: Redis, replicas: int = 0) -> None:
        self._redis = redis
        self._replicas = replicas

    @guarded
    def waiting(self, portals: Iterable[str], now: datetime) -> dict[str, datetime]:
        """The portals with comments that may be sent now, and since when the oldest might."""
        names = list(portals)
        with self._redis.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.zrangebyscore(keys.COMMENTS + name, "-inf", to_ms(now), start=0, num=1, withscores=True)
            answers: list[Any] = pipeline.execute()
        return {name: from_ms(int(found[0][1])) for name, found in zip(names, answers, strict=True) if found}

    @guarded
    def claim(self, portal: str, claim_id: str, now: datetime, limit: int) -> list[Delivery]:
        """Claim the oldest comments that may be sent to a portal now, at most `limit`, if its gate is open.

        claim_id: chosen by the caller. After a lost answer, the same claim returns the same deliveries. They come
        without their attempts.
        """
        argv: list[Argument] = [portal, to_ms(now), limit, claim_id]
        claimed = run(self._redis, ScriptCall(SAY, [keys.COMMENTS + portal], argv), self._replicas)
        return [codec.delivery_from_hash(codec.flat_to_hash(flat), ()) for flat in claimed]

    @guarded
    def note(self, outcomes: Sequence[CommentOutcome], now: datetime) -> None:
        """Write what has become of claimed comments. Doing it twice is safe."""
        for answer in run_all(self._redis, [_call_of(one, now) for one in outcomes]):
            if isinstance(answer, Exception):
                raise answer


def _call_of(outcome: CommentOutcome, now: datetime) -> ScriptCall:
    delivery = outcome.delivery
    tries = delivery.comment.tries if delivery.comment else 0
    state = CommentState.WAITING if outcome.again_at else outcome.state
    again_at = to_ms(outcome.again_at) if outcome.again_at else ""
    argv: list[Argument] = [delivery.id, tries, state.value, outcome.reason, to_ms(now), again_at]
    return ScriptCall(SAID, [keys.DELIVERY + delivery.id], argv)


def hush(redis: Redis, delivery_ids: Sequence[str], reason: str, now: datetime) -> None:
    """Count the comments of these deliveries that wait as missing. Raises redis.exceptions.RedisError."""
    run(redis, ScriptCall(HUSH, [], [to_ms(now), reason, *delivery_ids]))
