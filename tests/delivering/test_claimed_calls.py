"""What is true of a call is written with its claim: no later setting, and none of another host, decides about it."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
import requests

from relay.core.events import OnUncertain, Policy
from relay.core.lifecycle import State
from relay.store.portals.rollback import hold
from relay.store.record.record import HARD_DEADLINE
from tests.delivering.contexts import (
    add,
    look_into,
    make_portal,
    methods,
    send,
    started_documents,
    use_webhook,
    work_off,
)
from tests.delivering.plans import made, make, planned
from tests.support.making import claim_one
from workers.bitrix24.bizproc import own_id_of
from workers.delivery.deliver import prepare
from workers.maintenance.repair import sweep
from workers.portal.claims import LAPSES_IN

START, INSTANCES = "bizproc.workflow.start", "bizproc.workflow.instances"
LOST = {"kind": "drop_after_start", "method": START}
NEVER_RAN = {"kind": "drop_before", "method": START}
RESEND = Policy(OnUncertain.RESEND)


@pytest.fixture
def off(open_context):
    return open_context(own_id="off")


@pytest.fixture
def echo(open_context):
    return open_context(own_id="echo")


def lose(context, portal, fault=LOST, **options):
    """A delivery whose answer is lost."""
    portal.add_faults(fault)
    delivery = send(context, add(context.record, **options))
    assert delivery.state is State.UNCERTAIN
    context.gate.resume(context.clock())
    return delivery


def teach(echo):
    """Any start under an id of ours teaches that the portal honours them."""
    delivery = send(echo, add(echo.record, lead=99))
    assert delivery.workflow_id == own_id_of(delivery.id)


def look_until_decided(context, delivery):
    while delivery.state is State.UNCERTAIN and delivery.next_attempt_at:
        context.clock.now = max(context.clock.now, delivery.next_attempt_at)
        delivery = look_into(context, delivery)
    return delivery


def end_all(portal, sandbox):
    """Every workflow on the portal has ended, so that none is in a list."""
    for one in portal.started():
        url = f"{sandbox.url}/rest/1/sandbox/bizproc.workflow.terminate"
        requests.post(url, json={"ID": one["id"]}, timeout=5)


def test_a_call_that_carried_no_id_of_ours_is_never_sent_again_under_one(off, echo, portal, sandbox):
    lost = lose(off, portal)
    teach(echo)
    end_all(portal, sandbox)

    left = look_until_decided(echo, lost)

    assert started_documents(portal).count("LEAD_1") == 1
    assert (left.state, left.reason, left.next_attempt_at) == (State.UNCERTAIN, "not_seen_running", None)


def test_a_call_over_which_its_worker_was_killed_is_known_by_what_the_worker_had_claimed_it_for(
    off, echo, portal, clock
):
    lost, carried = add(off.record, lead=1), add(off.record, lead=2)
    claim_one(off.record, lost, clock(), off.manner)
    claim_one(off.record, carried, clock(), echo.manner)
    clock.now += HARD_DEADLINE + timedelta(seconds=1)
    sweep(off.record, clock(), {})
    teach(echo)

    left, sent = (look_until_decided(echo, off.record.delivery(one.id)) for one in (lost, carried))

    assert (left.state, sent.state) == (State.UNCERTAIN, State.STARTED)
    assert started_documents(portal) == ["LEAD_99", "LEAD_2"]


def test_a_call_that_carried_an_id_is_found_by_it_though_own_ids_are_off_by_now(off, echo, portal):
    lost = lose(echo, portal)

    found = look_until_decided(off, lost)

    assert (found.state, found.workflow_id) == (State.STARTED, own_id_of(lost.id))
    assert started_documents(portal) == ["LEAD_1"]


def test_while_own_ids_are_off_nothing_is_sent_again_under_one(off, echo, portal):
    teach(echo)
    lost = lose(echo, portal, NEVER_RAN)

    left = look_until_decided(off, lost)

    assert (left.state, left.reason) == (State.UNCERTAIN, "not_seen_running")
    assert started_documents(portal) == ["LEAD_99"]


def test_of_a_call_that_a_rule_had_sent_again_the_last_one_counts(off, echo, portal, sandbox):
    lost = lose(off, portal, policy=RESEND)
    teach(echo)
    end_all(portal, sandbox)
    resent = look_until_decided(echo, lost)
    assert (resent.state, resent.reason) == (State.RETRYING, "resent_not_seen_running")
    portal.add_faults(LOST)

    again = send(echo, resent)
    echo.gate.resume(echo.clock())
    end_all(portal, sandbox)
    found = look_until_decided(echo, again)

    assert (found.state, found.workflow_id) == (State.STARTED, own_id_of(lost.id))
    assert started_documents(portal).count("LEAD_1") == 2, "what the rule allows, and no more"


def test_two_hosts_with_two_settings_look_at_each_call_by_its_own(off, echo, portal, sandbox):
    teach(echo)
    plain = lose(off, portal)
    teach(echo)
    carried = lose(echo, portal, lead=2)
    end_all(portal, sandbox)

    left, found = look_until_decided(echo, plain), look_until_decided(echo, carried)

    assert (left.state, left.reason) == (State.UNCERTAIN, "not_seen_running")
    assert (found.state, found.reason) == (State.STARTED, "started_before")
    assert sorted(started_documents(portal)) == ["LEAD_1", "LEAD_2", "LEAD_99", "LEAD_99"]


def test_that_one_portal_honours_our_ids_says_nothing_of_another_of_the_same_name(open_context, echo, portal, clock):
    teach(echo)
    url = echo.address.base_url.replace("127.0.0.1", "localhost").partition("/rest")[0]
    moved = open_context(url, own_id="echo")
    lost = lose(echo, portal, NEVER_RAN)

    left = look_until_decided(moved, lost)

    assert (left.state, left.reason) == (State.UNCERTAIN, "not_seen_running")
    teach(moved)
    assert moved.pace.read().echo_at(moved.address.mark)
    assert not moved.pace.read().echo_at(echo.address.mark)


@pytest.mark.parametrize(
    ("before", "after"), [("echo", State.STARTED), ("off", State.UNCERTAIN), ("", State.UNCERTAIN)]
)
def test_what_was_forgotten_is_sent_again_only_where_the_record_says_that_all_starts_carried_ids(
    off, echo, clock, before, after
):
    if before:
        teach(echo)
    if before == "off":
        send(off, add(off.record, lead=98))
    waiting, store = add(off.record), off.store
    clock.now = max(clock.now, waiting.created_at) + timedelta(seconds=1)
    hold(off.record.redis, off.record, store.high_water, store.high_water.read(), clock())
    echo.gate.resume(clock())
    teach(echo)

    assert look_until_decided(echo, off.record.delivery(waiting.id)).state is after


def test_a_sweeper_of_another_portal_gives_a_document_the_time_that_its_claimer_knew(context, portal, sandbox, clock):
    patient = make_portal(settle_after_s=600)
    address = use_webhook(sandbox.url, settle_after_s=600)
    delivery = planned(context.record, make("lead", "lead"))
    manner = type(context).open(context.store, address).manner
    (claimed,) = context.record.claim("main", "a-claim", clock(), manner=manner, lapses_in=LAPSES_IN)
    begun = clock()
    clock.advance(13)

    assert sweep(context.record, clock(), {"crm": patient}) == {State.RETRYING: 1}

    swept = context.record.delivery(delivery.id)
    assert claimed.settle_s == swept.settle_s == 600
    assert swept.next_attempt_at >= begun + timedelta(seconds=600)


def test_a_document_that_is_being_made_is_not_made_again_by_a_sweeper_that_knows_nothing_of_its_portal(
    context, portal, sandbox, clock
):
    planned(context.record, make("lead", "lead"))
    (claimed,) = context.record.claim("main", "a-claim", clock(), lapses_in=LAPSES_IN)
    (call,), _ = prepare(context, [claimed])

    def make_late():
        time.sleep(0.3)
        requests.post(f"{sandbox.url}/rest/1/sandbox/{call.method}", json=call.parameters, timeout=5)

    busy = threading.Thread(target=make_late)
    busy.start()
    clock.advance(13)
    sweep(context.record, clock(), {})
    work_off(context)
    busy.join()
    clock.advance(90)
    work_off(context)

    assert len(made(portal)) == 1
    assert methods(portal)["crm.item.add"] == 1
