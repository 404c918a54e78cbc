"""What a process under test does: one use case of web, worker or operator, with the real parts, on a given clock.

Run in a child that may be killed at any step, and in the test itself for whoever asks again after the kill.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from relay.configuration.portals import Portal
from relay.core import ids
from relay.core.errors import RelayError
from relay.core.lifecycle import State
from relay.operations.bulk_replay import BulkReplays, run_bulk_replays
from relay.operations.configure import Config, load_config
from relay.operations.erase import Eraser, Traces
from relay.operations.ingest import Ingest, Ingested, Prober, Spooler
from relay.operations.operator_acts import OperatorActs
from relay.operations.replay import Replayer
from relay.sources import Webhook
from relay.store import Store
from relay.store.record.collector import Collector
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Record
from relay.store.record.search import Filter, list_deliveries
from relay.store.record.spool import Spool
from relay.store.redis import connection
from tests.delivering.contexts import Clock, make_context, use_webhook
from tests.steps import bugs
from tests.support.folders import WEB_SECRETS
from tests.support.waiting import until
from workers.delivery import deliver
from workers.delivery.comments import Sender
from workers.delivery.reconcile import reconcile_next
from workers.maintenance.repair import sweep
from workers.maintenance.retention import PackCursors, Terms, pack, prune, remove_bodies, run_retention
from workers.portal import gatekeeper
from workers.portal.context import Context

CONFIG, MOVED, SET_BY = "RELAY_CONFIG", "STEPS_MOVED", "STEPS_SET_BY"
"""Names in the environment: of the configuration, of the file with the seconds that have passed, and of the file with
the seconds by which somebody has set the clock of the machine."""
ACKNOWLEDGED = "acknowledged"
PERSONS = PersonIndex(WEB_SECRETS["RELAY_SECRET_KEY"])
BASE = "https://relay.example.com"
HELD_S = 60.0
"""A process that is held at a step waits for its answer for so long."""
RETENTION = timedelta(days=90)
WHO, CLAIM = "operator", "of-a-dead-worker"


@cache
def config_of(folder: str) -> Config:
    return load_config(Path(folder), os.environ, base=BASE)


class MachineClock(Clock):
    """Stands still until it is moved, and jumps only where the product takes the time from a clock that was set."""

    def __init__(self) -> None:
        super().__init__()
        self._told = ids.utc_now()

    def __call__(self) -> datetime:
        return self.now + timedelta(minutes=round((ids.utc_now() - self._told) / timedelta(minutes=1)))


class ProcessClock(MachineClock):
    """The clocks of a child, which files move: time has passed for everybody while it was held, or its machine's clock
    was set.
    """

    def __init__(self, now: datetime) -> None:
        super().__init__()
        self.now = now
        self._monotonic, self._time_ns = time.monotonic, time.time_ns
        time.monotonic = self._read_monotonic
        time.time_ns = self._read_time_ns

    def __call__(self) -> datetime:
        return super().__call__() + timedelta(seconds=_seconds_in(MOVED))

    def _read_monotonic(self) -> float:
        return self._monotonic() + _seconds_in(MOVED)

    def _read_time_ns(self) -> int:
        return self._time_ns() + round(_seconds_in(SET_BY) * 1e9)


def _seconds_in(name: str) -> float:
    try:
        return float(Path(os.environ[name]).read_text("utf-8"))
    except FileNotFoundError:
        return 0.0


class OneRound(threading.Event):
    """Tells a thread's loop to end after its first round."""

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - as the thread calls it
        was_set = self.is_set()
        self.set()
        return was_set


@dataclass(frozen=True, slots=True)
class Hands:
    """All that an act may need, on connections of its own."""

    context: Context
    config: Config
    collector: Collector
    folder: str

    @property
    def store(self) -> Store:
        return self.context.store

    @property
    def record(self) -> Record:
        return self.context.record

    @property
    def portals(self) -> dict[str, Portal]:
        """What its workers serve."""
        return {self.context.portal.name: self.context.portal}

    @property
    def ingest(self) -> Ingest:
        store = self.store
        spooler = Spooler(self.record, self.collector, Spool.of(Path(self.folder) / "state", 1))
        parts = (spooler, PERSONS, Prober(store.senders), store.slots)
        return Ingest(self.config.rules, *parts, base=BASE)

    @property
    def operator(self) -> OperatorActs:
        replayer = Replayer(self.record, self.config.sources, self.config.rules, PERSONS, BASE)
        return OperatorActs(self.store, replayer, self.context.clock)

    @property
    def bulk(self) -> BulkReplays:
        return BulkReplays(self.store, self.operator)

    @classmethod
    def at(cls, redis_url: str, portal_url: str, clock: Clock, folder: str, **options: Any) -> Hands:
        record = Record(connection.connect(redis_url))
        context = make_context(record, use_webhook(portal_url, **options), clock)
        return cls(context, config_of(folder), Collector(record), folder)


def receive(hands: Hands, source: str, body: str, headers: dict[str, str]) -> dict[str, list[str]]:
    """The events that the sender is told of."""
    webhook = Webhook("POST", {"Content-Type": "application/json", **headers}, "", body.encode())
    taken = hands.ingest.receive(hands.config.sources[source], webhook, hands.context.clock())
    assert isinstance(taken, Ingested)
    return {ACKNOWLEDGED: [receipt.event_id for receipt in taken.receipts]}


def _has_gathered(collector: Collector, count: int) -> bool:
    return len(collector._waiting) == count


def receive_together(hands: Hands, posts: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Several senders at the same time, whose events share one round trip."""
    collector = Collector(hands.record)
    together = replace(hands, collector=collector)
    threads: list[threading.Thread] = []
    told: list[dict[str, list[str]]] = []

    def receive_one(post: dict[str, Any]) -> None:
        with suppress(RelayError):  # this one is told to come again
            told.append(receive(together, **post))

    with collector._lead.awaited(SimpleNamespace(is_done=False)):  # somebody writes, and meanwhile the others gather
        for number, post in enumerate(posts, 1):
            threads.append(threading.Thread(target=receive_one, args=(post,)))
            threads[-1].start()
            until(partial(_has_gathered, collector, number), "one more waits")
    for thread in threads:
        thread.join()
    return {ACKNOWLEDGED: [one for each in told for one in each[ACKNOWLEDGED]]}


def send(hands: Hands) -> int:
    """How many turns it took until nothing waits."""
    turns = 0
    while deliver.deliver_next(hands.context, hands.context.survey()):
        turns += 1
    return turns


def send_once(hands: Hands) -> bool:
    return deliver.deliver_next(hands.context, hands.context.survey())


def say(hands: Hands) -> None:
    """Send the comments that wait."""
    Sender(hands.context).work()


def look_into(hands: Hands) -> bool:
    return reconcile_next(hands.context)


def ask_portal(hands: Hands) -> bool:
    return gatekeeper.ask(hands.context)


def mend(hands: Hands) -> int:
    return sum(sweep(hands.record, hands.context.clock(), hands.portals).values())


def give_back(hands: Hands) -> None:
    """What a worker does that had no answer to its claim."""
    hands.context.claim.id = CLAIM
    deliver.give_back(hands.context)


def repair(hands: Hands) -> None:
    """All that others do about a delivery whose worker is silent: sweep, ask the portal, decide by that, send."""
    wake(hands)
    mend(hands)
    look_into(hands)
    waiting = list_deliveries(hands.record, Filter(state=State.UNCERTAIN), None, 1).rows
    for one in waiting:
        settle(hands, one.id, State.RETRYING)
    send_once(hands)


def forget_old(hands: Hands) -> bool:
    return prune(hands.record, hands.context.clock()) is None


def forget_by_the_servers_clock(hands: Hands) -> None:
    """One round of the thread that forgets what is old."""
    run_retention(hands.store, Terms(RETENTION), OneRound())


def pack_final(hands: Hands) -> int:
    return pack(hands.store.compaction, PackCursors(), hands.context.clock(), threading.Event())


def forget_bodies(hands: Hands) -> bool:
    return remove_bodies(hands.store, hands.context.clock(), None, hands.context.clock())[1]


def wake(hands: Hands) -> int:
    return hands.record.notify(hands.portals, hands.context.clock())


def replay(hands: Hands, wanted: str, is_current: bool = False) -> list[str]:
    return [one.id for one in hands.operator.replay(wanted, WHO, current_rules=is_current)]


def settle(hands: Hands, delivery_id: str, state: str, workflow_id: str | None = None) -> str:
    return hands.operator.settle(delivery_id, WHO, State(state), "note", workflow_id).state


def cancel(hands: Hands, delivery_id: str) -> str:
    return hands.operator.cancel(delivery_id, WHO, "note").state


def leave(hands: Hands, delivery_id: str) -> str:
    return hands.operator.leave(delivery_id, WHO, "note").state


def pause(hands: Hands) -> None:
    hands.operator.pause("main", WHO)


def resume(hands: Hands) -> None:
    hands.operator.resume("main", WHO)


def begin_bulk(hands: Hands) -> str | None:
    return hands.bulk.begin(Filter(state=State.DEAD), "original", WHO).id


def step_bulks(hands: Hands) -> None:
    """One round of the thread that does bulk replays."""
    run_bulk_replays(lambda: hands.bulk, OneRound())


def step_bulks_and_send(hands: Hands) -> None:
    step_bulks(hands)
    send(hands)


def end_held_bulks(hands: Hands, *, goes_on: bool) -> bool:
    """Let orders that were held go on, or cancel them; whether there were any."""
    held = hands.bulk.bulks.held()
    for bulk_id in held:
        (hands.bulk.go_on if goes_on else hands.bulk.cancel)(bulk_id, WHO)
    return bool(held)


def erase(hands: Hands, value: str) -> bool:
    if traces := traces_of(hands, value):
        Eraser(hands.store, PERSONS, clock=hands.context.clock).erase(value, traces, WHO, cancel=True)
    return bool(traces)


def traces_of(hands: Hands, value: str) -> Traces:
    return Eraser(hands.store, PERSONS, clock=hands.context.clock).find(value, lambda _seen, _total: None)


def finish(hands: Hands, token: str) -> bool:
    return hands.store.endings.finish(token, hands.context.clock()) is not None


ACTS: dict[str, Callable[..., Any]] = {
    act.__name__: act
    for act in (
        receive, receive_together, send, send_once, say, look_into, ask_portal, mend, give_back, repair, forget_old,
        pack_final, forget_bodies, wake, replay, settle, cancel, leave, pause, resume, begin_bulk, step_bulks,
        step_bulks_and_send, erase, finish,
    )
}  # fmt: skip


def run(order: dict[str, Any]) -> Any:
    """What the act returns; or under `refused`, by which of our errors it ended."""
    connection.ANSWER_TIMEOUT_S = HELD_S
    if order["bug"]:
        bugs.BUGS[order["bug"]](pytest.MonkeyPatch())
    clock = ProcessClock(datetime.fromisoformat(order["now"]))
    hands = Hands.at(order["redis_url"], order["portal_url"], clock, os.environ[CONFIG], **order["options"])
    try:
        return ACTS[order["act"]](hands, **order["given"])
    except RelayError as error:
        return {"refused": type(error).__name__}


if CONFIG in os.environ:
    config_of(os.environ[CONFIG])  # before the first fork
