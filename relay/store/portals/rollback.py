"""Rollback detection: a record that went back in time is noticed, and nothing that may have been sent is sent again.

A server that comes back with a truncated file, an older copy, or as a replica without the last writes has forgotten
acknowledged events and sent deliveries. Scripts count these promises (`count_promise` in lua/common.lua). Each process
remembers the highest number it has seen, and a file on its machine outlives it. Where replicas are waited for, a
promise counts only when they have it: a server that was cut off may count what it will lose.

After a rollback, bulk orders stop, since they do not know how far they came, and so do a person's timed pauses. Every
portal's gate closes until a person resumes it. A waiting delivery may have been sent since, so it becomes uncertain,
and reconciliation asks the portal. A document that may have been made is looked for before it is made. Comments that
wait are not sent: nobody can find out whether they were. A process killed
in the middle leaves the rest to the next one, for the mark is set last.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from redis import Redis

from relay.core.errors import RecordUnavailableError
from relay.core.events import SETTLE_S, Attempt, Delivery
from relay.core.folders import make_folder
from relay.core.ids import DELIVERY_PREFIX, earliest_id
from relay.core.lifecycle import State, Verdict
from relay.core.plan import StepKind
from relay.core.telemetry import get_logger
from relay.store.portals.gate import Gate
from relay.store.portals.learned import Echo
from relay.store.portals.portal import PortalRecord
from relay.store.record.comments import hush
from relay.store.record.entries import Settlement
from relay.store.record.record import Record
from relay.store.redis import keys
from relay.store.redis.scripts import NotReplicatedError, confirm, guarded, lease

log = get_logger()


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """The progress of a record. generation: number of noticed rollbacks. promises: receipts and claims so far."""

    generation: int = 0
    promises: int = 0


class HighWater:
    """The mark of one record, as this process knows it. folder: None: it is not kept beyond the process.

    replicas: number that must have a promise.
    """

    def __init__(self, redis: Redis, folder: Path | None, replicas: int = 0) -> None:
        self._redis = redis
        self._replicas = replicas
        self._folder = folder
        self._guard = threading.Lock()
        self._record, self._is_met = "", False
        self._seen = Mark()
        self._kept = Mark()
        self._cannot_keep = False

    @guarded
    def read(self) -> Mark:
        """The mark of the record now. Begins anew for another record, or an empty one."""
        kept: Any = self._redis.hmget(keys.HIGH_WATER, ["id", "generation", "promises"])
        record = kept[0].decode() if kept[0] else ""
        if record != self._record or not self._is_met:
            self._meet(record)
            return self.read()  # the file may be newer than what was read before it
        return Mark(int(kept[1] or 0), int(kept[2] or 0))

    def compare(self) -> tuple[Mark, Mark]:
        """The mark now, and the highest ever, which is higher after a rollback.

        Raises RecordUnavailableError.
        """
        with self._guard:
            now, seen = self.read(), self._seen
        if now <= seen or not self._is_promised():
            return now, seen  # as of one moment: others go on
        with self._guard:
            self._seen = max(self._seen, now)
        return now, now

    def note_promise_after(self, before: Mark) -> None:
        """Note one promise after this mark, so that its loss is noticed."""
        with self._guard:
            self._seen = max(self._seen, Mark(before.generation, before.promises + 1))

    @guarded
    def begin_generation(self, passed: Mark) -> None:
        """Accept the record as it is: higher marks of the former generation no longer count."""
        now = self.read()
        generation = max(now.generation, passed.generation) + 1
        self._redis.hset(keys.HIGH_WATER, "generation", str(generation))
        with self._guard:
            self._seen = max(self._seen, Mark(generation, now.promises))
        self.keep()

    def keep(self) -> None:
        """Write the mark into the file, if it is higher than the one there. On a full disk an older one stays."""
        if self._folder is None or not self._record or self._seen <= self._kept:
            return
        try:
            make_folder(self._folder)
            with (self._folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                before = self._read_file()
                if self._seen > before:
                    self._write_file(self._seen)
            self._kept = max(self._seen, before)
            self._cannot_keep = False
        except OSError as error:
            if not self._cannot_keep:
                log.warning("high_water.not_kept", folder=str(self._folder), reason=type(error).__name__)
            self._cannot_keep = True

    @guarded
    def _is_promised(self) -> bool:
        """Whether everything written so far would survive a failover."""
        with suppress(NotReplicatedError):
            if self._replicas:
                confirm(self._redis, self._replicas)
            return True
        return False

    def _meet(self, record: str) -> None:
        if record and self._record:
            log.warning("record.replaced", reason="another record answers than before: it is taken as it is")
        if not record and self._folder and any(self._folder.glob("[0-9a-f]*")):
            log.warning("record.empty", reason="on this machine it was not: if it should not be, restore a backup")
        self._record, self._is_met = record, True
        self._seen = self._kept = self._read_file()

    def _read_file(self) -> Mark:
        with suppress(OSError, ValueError):
            if self._folder and self._record:
                generation, promises = (self._folder / self._record).read_text("ascii").split()
                return Mark(int(generation), int(promises))
        return Mark()

    def _write_file(self, mark: Mark) -> None:
        assert self._folder is not None  # noqa: S101 - for the type checker: `keep` has looked
        path = self._folder / f"{self._record}.new"
        with path.open("w", encoding="ascii") as file:
            file.write(f"{mark.generation} {mark.promises}\n")
            file.flush()
            os.fsync(file.fileno())
        path.rename(self._folder / self._record)


WENT_BACK = "went_back"
ORDERS_KEPT_S = 7 * 86_400
LEASE = timedelta(seconds=60)
AT_ONCE = 200
INTERVAL_S = 0.25
"""Interval at which the mark is read and kept. Promises after the last one are not known."""


def notice(redis: Redis, record: Record, high_water: HighWater, holder: str, now: datetime) -> Mark | None:
    """The mark of the record; None after a rollback: deliveries that may have been sent were held, or are being held.

    Raises RecordUnavailableError.
    """
    reached, highest = high_water.compare()
    if reached >= highest:
        return reached
    with lease(redis, "setback", holder, LEASE) as is_ours:
        reached, highest = high_water.compare()  # another process may have dealt with it
        if is_ours and reached < highest:
            hold(redis, record, high_water, highest, now)
    return None


def hold(redis: Redis, record: Record, high_water: HighWater, passed: Mark, now: datetime) -> None:
    """Hold every delivery that may have been sent since the record's present state. passed: its highest mark."""
    missing = passed.promises - high_water.read().promises
    orders, portals = _hold_orders(redis), _portals(redis)
    for portal in portals:
        Gate(redis, portal).hold_for_person(WENT_BACK, now)
    marks = {portal: _own_id_at(redis, portal) for portal in portals}
    _hush(redis, portals, now)
    held = sum(_hold_all(record, state, marks, now) for state in (State.PENDING, State.RETRYING, State.SENDING))
    high_water.begin_generation(passed)
    log.error("record.went_back", missing_promises=missing, deliveries_held=held, orders_held=orders, portals=portals)


def run_watch(look: Callable[[], object], high_water: HighWater, stop: threading.Event) -> None:
    """Read the mark and keep it, until `stop` is set."""
    while not stop.wait(INTERVAL_S):
        try:
            look()
        except RecordUnavailableError:
            continue  # those who need the record report it
        high_water.keep()


@guarded
def _hold_orders(redis: Redis) -> int:
    """Hold the bulk orders that run (store/operators/bulk_replays.py). Returns their number."""
    found: Any = redis.smembers(keys.BULKS)
    for order in found:
        redis.set(keys.bulk_word(order.decode()), "held", ex=ORDERS_KEPT_S)
    return len(found)


@guarded
def _portals(redis: Redis) -> list[str]:
    found: Any = redis.smembers(keys.PORTALS)
    return sorted(name.decode() for name in found)


@guarded
def _hush(redis: Redis, portals: Sequence[str], now: datetime) -> None:
    """Send no comment that waits in this record, or that would follow a start which it has forgotten."""
    opened = (State.PENDING, State.RETRYING, State.SENDING, State.UNCERTAIN)
    for index in (*(keys.DELIVERIES_BY_STATE + state for state in opened), *(keys.COMMENTS + one for one in portals)):
        found: Any = redis.zrange(index, 0, -1)
        ids = [one for member in found if (one := member.decode()) < earliest_id(DELIVERY_PREFIX, now)]
        for first in range(0, len(ids), AT_ONCE):
            hush(redis, ids[first : first + AT_ONCE], WENT_BACK, now)


def _own_id_at(redis: Redis, portal: str) -> str:
    """The mark of the address to which forgotten starts went with own ids; empty where that is unknown.

    The record says that own ids are honoured only while no start was sent without one (workers/portal/pace.py).
    """
    learned = PortalRecord(redis, portal).learned()
    return learned.own_id_at if learned.own_id is Echo.HONOURED else ""


def _hold_all(record: Record, state: State, marks: Mapping[str, str], now: datetime) -> int:
    """Hold every delivery of this state, except later ones, which nobody has sent. Returns their number."""
    cursor: str | None = earliest_id(DELIVERY_PREFIX, now)
    count = 0
    while ids := record.page(keys.DELIVERIES_BY_STATE + state, before=cursor, limit=AT_ONCE):
        count += _hold_some(record, record.deliveries(ids), marks, now)
        cursor = ids[-1]
    return count


def _hold_some(record: Record, deliveries: Sequence[Delivery], marks: Mapping[str, str], now: datetime) -> int:
    # A delivery claimed for its start becomes uncertain by itself, when its claim has lapsed.
    own = [one for one in deliveries if one.state is not State.SENDING or one.next_step]
    results = record.settle_all([_as_uncertain(one, marks.get(one.call.portal, ""), now) for one in own], now)
    return sum(result is None for result in results)


def _as_uncertain(delivery: Delivery, own_id_at: str, now: datetime) -> Settlement:
    """The settlement as uncertain. One can ask the portal about a start; about steps, only a person knows."""
    done = {result.name for result in delivery.results}
    makes = [step.name for step in delivery.plan.steps if step.kind is StepKind.MAKE] if delivery.plan else []
    unsure = tuple(dict.fromkeys((*delivery.unsure, *(name for name in makes if name not in done))))
    after = replace(delivery, own_id_at=own_id_at, unsure=unsure if delivery.next_step else delivery.unsure)
    next_at = None if delivery.next_step else now + timedelta(seconds=SETTLE_S)
    # Reconciliation recognises a started workflow by this time (workers/delivery/reconcile.py).
    tried = Attempt(delivery.next_number, delivery.updated_at, 0, Verdict.AMBIGUOUS, description="forgotten, if any")
    return Settlement(delivery, State.UNCERTAIN, WENT_BACK, tried, next_at=next_at, after=after)
