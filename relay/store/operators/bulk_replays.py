"""Bulk acts on record: the order and its progress. One process at a time works on one, by a lease.

Most of them are replays, hence the name; others leave what they find, or settle it.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from redis import Redis

from relay.core.errors import NotFoundError
from relay.core.events import Delivery, Event
from relay.core.faults import Fault, as_text, code_of, from_text
from relay.core.lifecycle import BulkAct, State
from relay.core.phrases import phrase
from relay.store.redis import keys
from relay.store.redis.scripts import Argument, Script, ScriptCall, guarded, run

ORDER = Script.load("order")
KEPT_S = 7 * 86_400
MOST_REASONS = 8
"""Number of different reasons for skipping that are counted apart."""
OTHER_REASONS = "skipped_other_reasons"


class BulkState(StrEnum):
    """The state of a bulk replay."""

    DRY_RUN = "dry_run"
    RUNNING = "running"
    HELD = "held"
    """Stopped, because the record has gone back in time and forgotten what it had done. A person lets it go on."""
    FINISHED = "finished"
    CANCELLED = "cancelled"


def new_bulk_id() -> str:
    return "rpl_" + secrets.token_hex(10)


@dataclass(frozen=True, slots=True)
class Bulk:
    """One of them. wanted: the filter as a query. cursor: where the next step begins; found: at the beginning.

    replayed: to how many it was done; refused: to how many it could not be, and skipped says why: faults as
    `as_text` writes them (core/faults.py), of an earlier version sentences, each with how many.
    note: why, in the person's words. begun_at: when it was ordered, as ISO 8601: what has changed since is left alone.
    """

    id: str | None
    state: BulkState
    rules: str
    wanted: dict[str, str] = field(default_factory=dict)
    who: str = ""
    cursor: str | None = None
    found: int = 0
    replayed: int = 0
    refused: int = 0
    sample: tuple[str, ...] = ()
    act: BulkAct = BulkAct.REPLAY
    note: str = ""
    skipped: dict[str, int] = field(default_factory=dict)
    begun_at: str = ""

    def has_changed(self, one: Event | Delivery) -> bool:
        """Whether something happened to it after it was ordered. An event that has moved is in another state."""
        if isinstance(one, Event) or not self.begun_at:
            return False
        return one.updated_at > datetime.fromisoformat(self.begun_at)

    def with_skipped(self, fault: Fault) -> Bulk:
        """The same with one more skipped."""
        why = as_text(fault)
        known = why if why in self.skipped or len(self.skipped) < MOST_REASONS else OTHER_REASONS
        skipped = self.skipped | {known: self.skipped.get(known, 0) + 1}
        return replace(self, refused=self.refused + 1, skipped=skipped)

    def to_wire(self) -> dict[str, Any]:
        names = ("id", "act", "state", "rules", "found", "replayed", "refused")
        faults = [(from_text(why), count) for why, count in self.skipped.items()]
        skipped = {
            "skipped": {str(one): count for one, count in faults},
            "skipped_codes": _counted((code_of(one), count) for one, count in faults),
        }
        return {name: getattr(self, name) for name in names} | skipped | {"sample": list(self.sample)}


def _counted(codes: Iterable[tuple[str | None, int]]) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for code, count in codes:
        counted[code or OTHER_REASONS] += count
    return dict(counted)


class Bulks:
    """Bulk replays on record. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def begin(self, bulk: Bulk, asked: str) -> Bulk:
        """Keep a new one; or where one that was asked for in the same words runs or is held, that one.

        asked: the digest of what was asked for.
        """
        argv: list[Argument] = [keys.BULK, bulk.id or "", _to_json(bulk), KEPT_S, BulkState.RUNNING, BulkState.HELD]
        return _from_json(run(self._redis, ScriptCall(ORDER, [keys.bulk_asked(asked), keys.BULKS], argv)))

    @guarded
    def read(self, bulk_id: str) -> Bulk:
        """Raises NotFoundError."""
        kept: Any = self._redis.get(keys.BULK + bulk_id)
        if kept is None:
            raise NotFoundError(phrase("no replay %(bulk_id)s", bulk_id=bulk_id))
        return _from_json(kept)

    @guarded
    def running(self) -> list[str]:
        """The ids of those that run."""
        return self._members(keys.BULKS)

    @guarded
    def held(self) -> list[str]:
        """The ids of those that are held."""
        return self._members(keys.HELD_BULKS)

    @guarded
    def keep(self, bulk: Bulk) -> None:
        """Keep its progress, in the list of those that run, or are held, or in none."""
        self._write(bulk)
        bulk_id = bulk.id or ""
        with self._redis.pipeline(transaction=True) as pipeline:
            for state, index in ((BulkState.RUNNING, keys.BULKS), (BulkState.HELD, keys.HELD_BULKS)):
                if bulk.state is state:
                    pipeline.sadd(index, bulk_id)
                else:
                    pipeline.srem(index, bulk_id)
            pipeline.execute()

    @guarded
    def ask_to_stop(self, bulk_id: str) -> None:
        """Ask it to stop; its process notices before the next step."""
        self._redis.set(keys.bulk_word(bulk_id), BulkState.CANCELLED, ex=KEPT_S)

    @guarded
    def go_on(self, bulk: Bulk) -> Bulk:
        """Let a held one run again."""
        running = replace(bulk, state=BulkState.RUNNING)
        self._redis.delete(keys.bulk_word(bulk.id or ""))
        self.keep(running)
        return running

    @guarded
    def is_stopping(self, bulk_id: str) -> bool:
        """Whether it is to stop."""
        return bool(self._redis.exists(keys.bulk_word(bulk_id)))

    @guarded
    def as_told(self, bulk: Bulk) -> Bulk:
        """The same, but cancelled or held where that was ordered (see rollback.py)."""
        word: Any = self._redis.get(keys.bulk_word(bulk.id or ""))
        if word is None:
            return bulk
        state = BulkState.HELD if word.startswith(BulkState.HELD.encode()) else BulkState.CANCELLED
        return replace(bulk, state=state)

    @guarded
    def note_made(self, bulk_id: str, delivery_id: str) -> None:
        """Keep that it has dealt with this delivery; what a replay makes is noted as it is made (lua/replay.lua)."""
        self._redis.zadd(keys.MADE + bulk_id, {delivery_id: 0})

    @guarded
    def outcomes(self, bulk_id: str) -> dict[State, int]:
        """The present states of the deliveries that it has made or settled, without empty ones."""
        made, states = keys.MADE + bulk_id, sorted(set(State) - {State.STARTED})
        with self._redis.pipeline(transaction=True) as pipeline:
            for state in states:
                pipeline.zintercard(2, [made, keys.DELIVERIES_BY_STATE + state])
            pipeline.zcard(made)
            *counts, total = pipeline.execute()
        # Started ones have no index of their own.
        by_state = dict(zip(states, counts, strict=True)) | {State.STARTED: total - sum(counts)}
        return {state: by_state[state] for state in State if by_state[state]}

    def _members(self, index: str) -> list[str]:
        found: Any = self._redis.smembers(index)
        return sorted(member.decode() for member in found)

    def _write(self, bulk: Bulk) -> None:
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.set(f"{keys.BULK}{bulk.id}", _to_json(bulk), ex=KEPT_S)
            pipeline.expire(f"{keys.MADE}{bulk.id}", KEPT_S)
            pipeline.execute()


def _to_json(bulk: Bulk) -> str:
    return json.dumps({name: getattr(bulk, name) for name in bulk.__slots__} | {"sample": list(bulk.sample)})


def _from_json(kept: bytes) -> Bulk:
    wire = json.loads(kept)
    # Orders of earlier versions have no act, or have `held_at`.
    wire["begun_at"] = wire.pop("held_at", "") or wire.get("begun_at", "")
    act = BulkAct(wire.get("act", BulkAct.REPLAY))
    return Bulk(**{**wire, "state": BulkState(wire["state"]), "sample": tuple(wire["sample"]), "act": act})
