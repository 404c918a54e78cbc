"""1,000 events that find a client, make a lead and start a workflow on it, while 5 % of all answers are cut after
execution and workers are killed: no lead is made twice, and no workflow started twice."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import Any

from relay.core.lifecycle import State
from relay.core.placeholders import Placeholder, PlaceholderValue
from relay.core.plan import Step, StepKind
from tests.chaos.stage import Sandbox, Stage, doubles, make_entry, until

SHARE = 0.05
CONFIG = "{{plan: standard, rate: 100, burst: 1, own_id: {own_id}, batch: 5, settle_after: 1s}}"
"""Slow enough, with the portal's 100 ms of latency, that many kills fall in mid-call."""


def steps_of(number: int) -> tuple[Step, ...]:
    """What stands before each start: a client whom nobody knows, and a lead for him."""
    phone = f"+7999{number:07d}"
    client = Step("client", StepKind.FIND, "contact", 3, {"phone": phone})
    values = {"title": f"n{number}", "phone": phone, "contactId": PlaceholderValue((Placeholder("client"),))}
    return client, Step("lead", StepKind.MAKE, "lead", 1, values)


def is_over(stage: Stage, own_id: str) -> bool:
    """Whether all are final, or left to a person."""
    counts = stage.ledger().deliveries
    moving = counts[State.PENDING] + counts[State.SENDING] + counts[State.RETRYING]
    if own_id == "echo":
        return moving + counts[State.UNCERTAIN] == 0
    return moving == 0 and stage.record.redis.zcard("relay:doubtful:main") == 0


def twice(sandbox: Sandbox) -> int:
    """How many events have more than one lead, by the title that each has given it."""
    titles = Counter(document["fields"]["title"] for document in sandbox.documents())
    return sum(1 for count in titles.values() if count > 1)


def document(count: int, kills: int, own_id: str) -> str:
    """One row."""
    with Stage() as stage:
        settings: dict[str, Any] = {
            "rate": None,
            "operating_limit_s": None,
            "instances_visible": False,
            "latency_ms": 100,
        }
        sandbox = stage.add_portal("main", CONFIG.format(own_id=own_id), **settings)
        sandbox.post("faults", [{"kind": "drop_after_start", "share": SHARE}])
        stage.fill("main", count, make=lambda portal, number: make_entry(portal, number, steps_of(number)))
        stage.start_workers("main", 2)
        begin = time.monotonic()
        done = stage.kill_workers(kills)
        until(lambda: is_over(stage, own_id), "all are final, or left to a person", 600)
        took = time.monotonic() - begin
        ledger, workflows, made = stage.ledger(), sandbox.workflows(), len(sandbox.documents())
        made_twice = twice(sandbox)
    return (
        f"find, make and start {count}, cut 5 %, kill -9 {done} times, own id {own_id:4}: {made} documents, "
        f"{made_twice} made twice, {len(workflows)} workflows, {doubles(workflows)} doubled, "
        f"{ledger.deliveries[State.STARTED]} started, {ledger.deliveries[State.UNCERTAIN]} uncertain, "
        f"{ledger.deliveries[State.DEAD]} dead, "
        f"ledger {'balances' if not ledger.imbalances else ledger.imbalances}, {took:.0f} s"
    )


if __name__ == "__main__":
    count, kills = (int(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) > 2 else (1_000, 20)
    for own_id in ("echo", "off"):
        print(document(count, kills, own_id), flush=True)
