"""A start whose end is watched for carries its one-time address, and a lost answer is found out by the end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.core.events import CallbackSettings, CallbackState, OnUncertain, Policy, new_callback
from relay.core.lifecycle import State
from relay.operations.replay import Replayer
from relay.rules import RuleBook
from relay.store import Store
from tests.delivering.contexts import BATCHING, look_into, send, work_off
from tests.support.making import make_delivery, make_entry, write
from workers.bitrix24.bizproc import own_id_of

BASE = "https://relay.example.com"
LOST = {"kind": "drop_after_start", "method": "bizproc.workflow.start"}


def add_watched(context, **policy):
    entry = make_entry(at=context.clock())
    watch = CallbackSettings("RelayCallback", 3600)
    delivery = make_delivery(entry.event.id, at=context.clock())
    delivery = replace(delivery, policy=Policy(watch=watch, **policy), watched=new_callback(BASE))
    write(context.record, replace(entry, deliveries=[delivery]))
    return delivery


def finish(context, delivery):
    token = delivery.watched.address.rpartition("/")[2]
    return Store(context.record.redis).endings.finish(token, context.clock(), "s=ok")


@pytest.mark.parametrize("own_id", ["off", "echo"])
def test_the_portal_gets_the_address_and_the_relays_time_begins(open_context, portal, own_id):
    context = open_context(own_id=own_id)
    delivery = add_watched(context)

    started = send(context, delivery)

    (workflow,) = portal.started()
    assert workflow["parameters"]["RelayCallback"] == delivery.watched.address
    assert (started.state, started.watched.state) == (State.STARTED, CallbackState.WAITING)
    assert (started.watched.until - context.clock()).total_seconds() == 3600
    assert (workflow["id"] == own_id_of(delivery.id)) == (own_id == "echo")


def test_in_a_batch_each_start_carries_its_own(open_context, portal):
    context = open_context(**BATCHING)
    deliveries = [add_watched(context) for _ in range(5)]

    work_off(context)

    sent = {workflow["parameters"]["RelayCallback"] for workflow in portal.started()}
    assert sent == {delivery.watched.address for delivery in deliveries}


@pytest.mark.parametrize("on_uncertain", OnUncertain)
def test_a_start_whose_answer_was_lost_is_known_by_its_end_and_never_sent_again(
    open_context, portal, clock, on_uncertain
):
    context = open_context(own_id="off")
    portal.add_faults([LOST])
    delivery = send(context, add_watched(context, on_uncertain=on_uncertain))
    assert delivery.state is State.UNCERTAIN

    finish(context, delivery)
    clock.advance(86_400)
    context.gate.resume(clock())
    work_off(context)

    found = context.record.delivery(delivery.id)
    assert (found.state, found.reason, found.watched.state) == (State.STARTED, "finished", CallbackState.FINISHED)
    assert len(portal.started()) == 1
    assert context.record.doubtful("main", clock()) == 0


def test_asked_again_under_its_own_id_it_carries_the_same_address(open_context, portal, clock):
    context = open_context(own_id="echo")
    send(context, add_watched(context))  # by which it is known that the portal honours our ids
    portal.add_faults([{"kind": "drop_before", "method": "bizproc.workflow.start"}])
    delivery = send(context, add_watched(context))
    assert delivery.state is State.UNCERTAIN

    clock.advance(3600)
    context.gate.resume(clock())
    delivery = look_into(context, delivery)

    workflow, _ = portal.started()
    assert delivery.state is State.STARTED
    assert workflow["parameters"]["RelayCallback"] == delivery.watched.address


def test_a_replay_carries_another_address(open_context, portal, clock):
    context = open_context()
    old = send(context, add_watched(context))

    (fresh,) = Replayer(context.record, {}, RuleBook((), ""), None, BASE).replay(old.id, current_rules=False)
    clock.advance(60)
    fresh = send(context, fresh)

    addresses = [workflow["parameters"]["RelayCallback"] for workflow in portal.started()]
    assert addresses == [fresh.watched.address, old.watched.address]
    assert fresh.watched.address != old.watched.address
