"""Where journeys begin: what is on record and at the portal before the process under test does its act.

Each beginning brings a world there, with the real functions and without the tap, and returns what the act is given.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from relay.core.events import Policy
from relay.core.lifecycle import State
from tests.delivering.contexts import add, start_by_hand
from tests.delivering.plans import planned as write_planned
from tests.steps import acts
from tests.steps.world import OTHER, World
from tests.support.configs import rule_of
from tests.support.folders import SECRETS, WATCHED_RULE, copy_config
from tests.support.making import claim_one
from workers.bitrix24.bizproc import START, start_parameters
from workers.bitrix24.timeline import LOG

TOKEN = {"X-Relay-Token": SECRETS["SOURCE_WEBSITE_TOKEN"]}
SOURCES = """
  leads:
    verify: {kind: none}
    each: body.leads
    dedup: {from: body.id}
  limited:
    verify: {kind: none}
    dedup: {body: true}
    limit: {events: 10, bytes: 1MB, at_once: 2}
"""
PERSON = "ada@example.com"
Beginning = Callable[[World], Mapping[str, Any]]


def config_for_steps(folder: Path) -> Path:
    """The shipped configuration with sources and rules for the journeys; an old one there is replaced."""
    shutil.rmtree(folder / "config", ignore_errors=True)
    config = copy_config(folder)
    sources, rules = config / "sources.yaml", config / "rules"
    sources.write_text(sources.read_text("utf-8") + SOURCES, "utf-8")
    (rules / "watched.yaml").write_text(WATCHED_RULE, "utf-8")
    for number in (1, 2, 3):
        rule = rule_of("website", "body.form == 'three'", note="body.note") | {"name": f"three-{number}"}
        rule["start"]["document_id"] = {"lead": str(number)}
        (rules / f"three-{number}.yaml").write_text(yaml.safe_dump(rule), "utf-8")
    for source in ("leads", "limited"):
        rule = rule_of(source, "body.id")
        rule["extract"]["id"] = {"from": "body.id", "type": "integer"}
        rule["start"]["document_id"] = {"lead": "{id}"}
        (rules / f"{source}.yaml").write_text(yaml.safe_dump(rule), "utf-8")
    _write_other(folder, config)
    return config


def _write_other(folder: Path, config: Path) -> None:
    shutil.rmtree(folder / OTHER, ignore_errors=True)
    shutil.copytree(config, folder / OTHER)
    for file in (folder / OTHER / "rules").glob("*.yaml"):
        rule = yaml.safe_load(file.read_text("utf-8"))
        order = {} if rule.get("make") else {"order_by": "document"}
        file.write_text(yaml.safe_dump(rule | {"on_uncertain": "resend"} | order), "utf-8")


def post(source: str, content: Any, headers: Mapping[str, str] = TOKEN) -> dict[str, Any]:
    """What the act `receive` is given."""
    return {"source": source, "body": json.dumps(content), "headers": dict(headers)}


SEED = post("website", {"lead": {"id": 1}, "user": 1, "submission_id": "1"})
THREE = post("website", {"form": "three", "note": "n", "submission_id": "1"})
GROUP = [post("website", {"lead": {"id": one}, "user": 1, "submission_id": str(one)}) for one in (1, 2, 3)]
LEADS = post("leads", {"leads": [{"id": 1}, {"id": 2}, {"id": 3}]}, {})
CALLBACK = post("website", {"form": "callback", "name": "Ada", "phone": "+79990000001", "email": PERSON})
WATCHED = post("website", {"form": "watched", "id": 1, "email": PERSON})


def given(given: Mapping[str, Any]) -> Beginning:
    return lambda _world: given


def received(given: Mapping[str, Any], then: Mapping[str, Any] | None = None) -> Beginning:
    def begin(world: World) -> Mapping[str, Any]:
        receipts = acts.receive(world.hands, **given)[acts.ACKNOWLEDGED]
        world.acknowledged += receipts if then is None else []
        return given if then is None else then

    return begin


def without_scripts(world: World) -> Mapping[str, Any]:
    world.valkey.redis.script_flush()
    return SEED


def waiting(*leads: int, fault: Mapping[str, Any] | None = None) -> Beginning:
    """Deliveries that wait, before a portal that will fail like this."""

    def begin(world: World) -> Mapping[str, Any]:
        for lead in leads:
            add(world.record, lead=lead)
        if fault:
            world.portal.add_faults({"times": 1, **fault})
        return {}

    return begin


def three_at_once(world: World) -> Mapping[str, Any]:
    add(world.record, lead=9)
    acts.send(world.hands)  # how long a start takes is known then
    return waiting(1, 2, 3)(world)


def two_in_order(world: World) -> Mapping[str, Any]:
    """Two deliveries of one document, the second of which goes after the first."""
    for _ in range(2):
        add(world.record, lead=1, policy=Policy(is_ordered=True))
    return {}


def ending_at_once(world: World) -> Mapping[str, Any]:
    """A delivery, before a portal whose workflows are in no list: only a person can find out about them."""
    world.portal.configure(instances_visible=False)
    return waiting(1)(world)


def planned(*steps: Any, fault: str = "", **options: Any) -> Beginning:
    def begin(world: World) -> Mapping[str, Any]:
        write_planned(world.record, *steps, **options)
        if fault:
            world.portal.add_faults({"times": 1, "kind": fault, "method": "crm.item.add"})
        return {}

    return begin


def claimed(begin: Beginning, ago_s: float = 121) -> Beginning:
    """What a worker had claimed so long ago that has called nobody; after 120 s its claim has lapsed."""

    def begin_claimed(world: World) -> Mapping[str, Any]:
        begin(world)
        assert world.record.claim("main", acts.CLAIM, world.clock.now)
        world.let_pass(ago_s)
        return {}

    return begin_claimed


def uncertain(is_started: bool) -> Beginning:
    """A delivery whose answer was lost, and whose time to be looked into has come."""

    def begin(world: World) -> Mapping[str, Any]:
        if is_started:
            waiting(1, fault={"kind": "drop_after_start", "method": START})(world)
            acts.send_once(world.hands)
            world.let_pass(61)
            acts.resume(world.hands)
        else:
            claimed(waiting(1))(world)
            acts.mend(world.hands)
        return {}

    return begin


def uncertain_with_own_id(world: World) -> Mapping[str, Any]:
    add(world.record, lead=9)
    acts.send(world.hands)  # that our ids are honoured is known then
    return uncertain(is_started=True)(world)


def undecided(state: State, is_started: bool) -> Beginning:
    """A delivery that only a person can decide, and what the person will say."""

    def begin(world: World) -> Mapping[str, Any]:
        delivery = add(world.record, lead=1)
        claimed = claim_one(world.record, delivery, world.clock.now)
        world.record.settle(claimed, State.UNCERTAIN, world.clock.now, reason="not_seen_running")
        found = start_by_hand(world.server.url, start_parameters(delivery.call, None))["result"] if is_started else None
        return {"delivery_id": delivery.id, "state": state.value, "workflow_id": found}

    return begin


def dead(world: World) -> Mapping[str, Any]:
    """A delivery that the portal has refused, and that nobody has dealt with."""
    delivery = add(world.record, lead=1)
    claimed = claim_one(world.record, delivery, world.clock.now)
    world.record.settle(claimed, State.DEAD, world.clock.now, reason="error_not_found")
    return {"delivery_id": delivery.id}


def cancelled(*leads: int, then: Callable[[World, list[str]], Mapping[str, Any]]) -> Beginning:
    def begin(world: World) -> Mapping[str, Any]:
        ids = [add(world.record, lead=lead).id for lead in leads]
        for one in ids:
            acts.cancel(world.hands, one)
        return then(world, ids)

    return begin


def wanted(_world: World, ids: list[str]) -> Mapping[str, Any]:
    return {"wanted": ids[0]}


def named(_world: World, ids: list[str]) -> Mapping[str, Any]:
    return {"delivery_id": ids[0]}


def begun_bulk(world: World, _ids: list[str]) -> Mapping[str, Any]:
    world.let_pass(1)
    acts.begin_bulk(world.hands)
    return {}


def started(*leads: int) -> Beginning:
    def begin(world: World) -> Mapping[str, Any]:
        ids = [add(world.record, lead=lead).id for lead in leads]
        acts.send(world.hands)
        return {"wanted": ids[0]}

    return begin


def commented(*leads: int, fault: str = "") -> Beginning:
    """Deliveries that have started, and whose comments wait."""

    def begin(world: World) -> Mapping[str, Any]:
        for lead in leads:
            add(world.record, lead=lead, comment="it has begun")
        acts.send(world.hands)
        if fault:
            world.portal.add_faults({"times": 1, "kind": fault, "method": LOG})
        return {}

    return begin


def paused(world: World) -> Mapping[str, Any]:
    acts.pause(world.hands)
    return waiting(1)(world)


def in_trouble(world: World) -> Mapping[str, Any]:
    gate = world.hands.context.gate
    gate.back_off(gate.look(), "unreachable", world.clock.now - timedelta(seconds=5))
    return waiting(1)(world)


def watched(world: World) -> Mapping[str, Any]:
    received(WATCHED)(world)
    acts.send(world.hands)
    (delivery,) = world.deliveries()
    assert delivery.watched
    return {"token": delivery.watched.address.rsplit("/", 1)[-1]}


def old(world: World) -> Mapping[str, Any]:
    started(1, 2)(world)
    world.let_pass(86_400)
    return {}


def packed(world: World) -> Mapping[str, Any]:
    old(world)
    acts.pack_final(world.hands)
    return {}


def received_and_sent(world: World) -> Mapping[str, Any]:
    acts.receive(world.hands, **CALLBACK)
    acts.send(world.hands)
    return {"value": PERSON}


def ids(begin: Beginning, world: World) -> list[str]:
    """A beginning, and the deliveries on record then."""
    begin(world)
    return [one.id for one in world.deliveries()]
