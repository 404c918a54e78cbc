"""What a process under test does: one use case of web, worker or operator, with the real parts, on a given clock.

Run in a child that may be killed at any step, and in the test itself for whoever asks again after the kill.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from relay.core.errors import RelayError
from relay.core.lifecycle import State
from relay.operations.bulk_replay import BulkReplays
from relay.operations.configure import Config, load_config
from relay.operations.erase import Eraser, Traces
from relay.operations.ingest import Ingest, Ingested
from relay.operations.operator_acts import OperatorActs
from relay.operations.probing import Prober
from relay.operations.replay import Replayer
from relay.sources import Webhook
from relay.store import Store
from relay.store.record.collector import Collector
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Record
from relay.store.record.search import Filter
from relay.store.redis import connection
from tests.delivering.contexts import Clock, make_context, use_webhook
from tests.steps import bugs
from tests.support.folders import WEB_SECRETS
from workers.delivery.deliver import deliver_next
from workers.delivery.reconcile import reconcile_next
from workers.maintenance.sweeper import prune, sweep
from workers.portal import gatekeeper
from workers.portal.context import Context

CONFIG = "RELAY_CONFIG"
PERSONS = PersonIndex(WEB_SECRETS["RELAY_SECRET_KEY"])
BASE = "https://relay.example.com"
HELD_S = 60.0
"""A process that is held at a step waits for its answer for so long."""
WHO = "operator"


@cache
def config_of(folder: str) -> Config:
    return load_config(Path(folder), os.environ, base=BASE)


class FixedClock(Clock):
    """Stands where it is put."""

    def __init__(self, now: datetime) -> None:
        self.now = now


class OneRound(threading.Event):
    """Tells a thread's loop to end after its first round."""

    def wait(self, timeout: float | None = None) -> bool:
        was_set = self.is_set()
        self.set()
        return was_set


@dataclass(frozen=True, slots=True)
class Hands:
    """All that an act may need, on connections of its own."""

    context: Context
    config: Config

    @property
    def store(self) -> Store:
        return self.context.store

    @property
    def record(self) -> Record:
        return self.context.record

    @property
    def ingest(self) -> Ingest:
        store = self.store
        parts = (Collector(store.record), PERSONS, Prober(store.senders), store.places)
        return Ingest(self.config.rules, *parts, base=BASE)

    @property
    def operator(self) -> OperatorActs:
        replayer = Replayer(self.record, self.config.sources, self.config.rules, PERSONS, BASE)
        return OperatorActs(self.store, replayer, self.context.clock)

    @property
    def bulk(self) -> BulkReplays:
        return BulkReplays(self.store, self.operator)

    @classmethod
    def at(cls, redis_url: str, portal_url: str, now: datetime, folder: str, **options: Any) -> Hands:
        record = Record(connection.connect(redis_url))
        context = make_context(record, use_webhook(portal_url, **options), FixedClock(now))
        return cls(context, config_of(folder))


def receive(hands: Hands, source: str, body: str, headers: dict[str, str]) -> list[str]:
    """The events that the sender was told of."""
    webhook = Webhook("POST", {"Content-Type": "application/json", **headers}, "", body.encode())
    taken = hands.ingest.receive(hands.config.sources[source], webhook, hands.context.clock())
    assert isinstance(taken, Ingested)
    return [receipt.event_id for receipt in taken.receipts]


def send(hands: Hands) -> int:
    """How many turns it took until nothing waits."""
    turns = 0
    while deliver_next(hands.context):
        turns += 1
    return turns


def send_once(hands: Hands) -> bool:
    return deliver_next(hands.context)


def look_into(hands: Hands) -> bool:
    return reconcile_next(hands.context)


def ask_portal(hands: Hands) -> bool:
    return gatekeeper.ask(hands.context)


def mend(hands: Hands) -> int:
    return sum(sweep(hands.record, hands.context.clock(), hands.config.portals).values())


def forget_old(hands: Hands) -> bool:
    return prune(hands.record, hands.context.clock()) is None


def wake(hands: Hands) -> int:
    return hands.record.wake(["main"], hands.context.clock())


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
    hands.bulk.run(OneRound())


def erase(hands: Hands, value: str) -> bool:
    if traces := traces_of(hands, value):
        Eraser(hands.store, PERSONS, hands.context.clock).erase(value, traces, WHO, cancel=True)
    return bool(traces)


def traces_of(hands: Hands, value: str) -> Traces:
    return Eraser(hands.store, PERSONS, hands.context.clock).find(value, lambda _seen, _total: None)


def finish(hands: Hands, token: str) -> bool:
    return hands.store.endings.finish(token, hands.context.clock()) is not None


ACTS: dict[str, Callable[..., Any]] = {
    act.__name__: act
    for act in (
        receive, send, send_once, look_into, ask_portal, mend, forget_old, wake, replay, settle, cancel, leave, pause,
        resume, begin_bulk, step_bulks, erase, finish,
    )
}  # fmt: skip


def run(order: dict[str, Any]) -> Any:
    """What the act returns; or under `refused`, by which of our errors it ended."""
    connection.ANSWER_TIMEOUT_S = HELD_S
    if order["bug"]:
        bugs.BUGS[order["bug"]]()
    now, folder = datetime.fromisoformat(order["now"]), os.environ[CONFIG]
    hands = Hands.at(order["redis_url"], order["portal_url"], now, folder, **order["options"])
    try:
        return ACTS[order["act"]](hands, **order["given"])
    except RelayError as error:
        return {"refused": type(error).__name__}


if CONFIG in os.environ:
    config_of(os.environ[CONFIG])  # before the first fork
