"""What was learned about a portal while working with it, as it is on record. Workers write it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from redis import Redis

from relay.store.portals.methods import MethodState, methods_in
from relay.store.redis import keys
from relay.store.redis.fields import write_fields
from relay.store.redis.guard import guarded
from relay.store.redis.scripts import Argument, Script, ScriptCall, run

OPERATING_LIMIT_S = 480.0
"""Operating time of one method in ten minutes (docs: limits.md); a refusal below it teaches a lower one."""
OPERATING_RESERVE_S = 5.0
"""How far from the limit the last call is made: others may use the same credential."""

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?")

TAKE, SLOW = Script.load("take"), Script.load("slow")


class Echo(StrEnum):
    """What a portal does with a workflow id of ours."""

    HONOURED = "honoured"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Learned:
    """A portal as it has shown itself.

    own_id: whether it honours ids of ours, once known; own_id_at: the mark of the address at which that was seen. Where
    starts have been sent without ids since, it is not known. host: where it has moved to. site: its address, as the
    workers were given it. takes_ms: how long a start takes, by template id, and a call of another method, by its name.
    methods: the state of each that was called, by name. batch_limit: how many calls the portal takes in one request,
    where it has refused more; None: as many as is configured.
    """

    own_id: Echo | None = None
    own_id_at: str = ""
    host: str | None = None
    site: str | None = None
    operating_limit_s: float = OPERATING_LIMIT_S
    batch_limit: int | None = None
    takes_ms: Mapping[str, float] = field(default_factory=dict)
    methods: Mapping[str, MethodState] = field(default_factory=dict)

    def echo_at(self, mark: str) -> Echo | None:
        """What is known of the portal at the address of this mark: what it does with ids of ours."""
        return self.own_id if self.own_id_at == mark else None

    @property
    def address(self) -> str | None:
        """Where people open it in a browser: `https://HOST`. It becomes a link, so nothing else is one."""
        return next((text for text in (self.host, self.site) if text and _ORIGIN.fullmatch(text)), None)

    @property
    def granted_s(self) -> float:
        """How much operating time of one method may be used, in a window."""
        return self.operating_limit_s - OPERATING_RESERVE_S

    def operating_s(self, now: datetime) -> float:
        """The operating time used by the method that has used most, of what the portal still counts."""
        return max([method.used_s(now) for method in self.methods.values()], default=0.0)


@guarded
def read_learned(redis: Redis, portal: str) -> Learned:
    """What is known now. Raises RecordUnavailableError."""
    kept: Any = redis.hgetall(keys.PACE + portal)
    return learned_from_hash(kept)


def learned_from_hash(kept: Mapping[bytes, bytes]) -> Learned:
    """What was learned, as its hash says it."""
    text = {name.decode(): value.decode() for name, value in kept.items()}
    takes_ms = {name[2:]: float(value) for name, value in text.items() if name.startswith("t:")}
    return Learned(
        own_id=Echo(text["own_id"]) if "own_id" in text else None,
        own_id_at=text.get("own_id_at", ""),
        host=text.get("host"),
        site=text.get("site"),
        operating_limit_s=float(text.get("operating_limit", OPERATING_LIMIT_S)),
        batch_limit=int(text["batch_limit"]) if "batch_limit" in text else None,
        takes_ms=takes_ms,
        methods={method.name: method for method in methods_in(text, takes_ms)},
    )


def learn(redis: Redis, portal: str, fields: Mapping[str, str]) -> None:
    """Keep some of it, by the names of the hash. Raises RecordUnavailableError."""
    write_fields(redis, keys.PACE + portal, fields)


@guarded
def forget(redis: Redis, portal: str, *names: str) -> None:
    """Keep these parts of it no longer. Raises RecordUnavailableError."""
    redis.hdel(keys.PACE + portal, *names)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A portal's pace now. filled: requests that its bucket holds; factor: below 1 where the portal has slowed us."""

    filled: float = 0.0
    factor: float = 1.0


@guarded
def read_bucket(redis: Redis, portal: str, rate_per_s: float) -> Bucket:
    """How full the bucket is by the server's clock (take.lua fills it). Raises RecordUnavailableError."""
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.hmget(keys.BUCKET + portal, ["tat", "factor", "slowed_at"])
        pipeline.time()
        answers: list[Any] = pipeline.execute()
    (tat, factor, slowed_at), (seconds, microseconds) = answers
    now_ms = seconds * 1000 + microseconds / 1000
    kept = 1.0
    if factor and slowed_at:
        kept = min(1.0, float(factor) * 2 ** min((now_ms - float(slowed_at)) / keys.RECOVERY_MS, 60))
    return Bucket(max(0.0, (float(tat or 0) - now_ms) * rate_per_s * kept / 1000), kept)


@guarded
def take_slot(redis: Redis, portal: str, rate_per_s: float, burst: int, patience_ms: int) -> tuple[bool, int, int]:
    """Reserve a request: whether one is reserved, milliseconds until it, how many are free beside it."""
    argv: list[Argument] = [str(rate_per_s), burst, patience_ms]
    reserved, wait_ms, free = run(redis, ScriptCall(TAKE, [keys.BUCKET + portal], argv))
    return bool(reserved), int(wait_ms), int(free)


@guarded
def slow_down(redis: Redis, portal: str, rate_per_s: float, burst: int) -> float:
    """Halve the pace; what it is then, from 0 to 1."""
    return int(run(redis, ScriptCall(SLOW, [keys.BUCKET + portal], [str(rate_per_s), burst]))) / 1000
