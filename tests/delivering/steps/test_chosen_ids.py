"""Ids of our own: chosen so that a portal takes them, believed only where it repeats them."""

from __future__ import annotations

import re

import pytest

from relay.core.ids import new_delivery_id, utc_now
from relay.core.lifecycle import State, Verdict
from relay.core.plan import Call
from relay.sandbox import bizproc
from tests.delivering.contexts import BATCHING, LEAD, add, alerts, batch_sizes, send, start_by_hand
from workers.bitrix24.bizproc import OWN_ID, own_id_of, start_parameters
from workers.portal.pace import HONOURED, IGNORED

CALL = Call("main", 713, LEAD, {"p1": "v", "p2": ["a", "b"]})


@pytest.fixture
def context(open_context):
    return open_context(own_id="echo")


def test_an_id_has_the_native_shape_and_belongs_to_its_delivery():
    deliveries = [new_delivery_id(utc_now()) for _ in range(500)]
    ids = [own_id_of(delivery_id) for delivery_id in deliveries]

    assert all(re.fullmatch(r"[0-9a-f]{14}\.[0-9]{8}", own_id) for own_id in ids)
    assert len(set(ids)) == 500
    assert ids == [own_id_of(delivery_id) for delivery_id in deliveries]


def test_an_own_id_is_sent_flat_and_nested_with_all_parameters_in_both():
    marked = {"p1": "v", "p2": ["a", "b"], OWN_ID: "ID"}

    assert start_parameters(CALL, "ID") == {
        "TEMPLATE_ID": 713,
        "DOCUMENT_ID": list(LEAD),
        "PARAMETERS": {**marked, "713": marked},
    }
    assert CALL.parameters == {"p1": "v", "p2": ["a", "b"]}


def test_own_ids_that_are_off_add_nothing_to_a_call():
    assert start_parameters(CALL, None)["PARAMETERS"] == CALL.parameters


def test_own_ids_are_off_unless_the_portal_says_otherwise(open_context, record, portal):
    context = open_context()
    delivery = send(context, add(record))

    assert delivery.workflow_id != own_id_of(delivery.id)
    assert context.pace.read().own_id is None


@pytest.mark.parametrize("profile", ["a", "b"])
@pytest.mark.parametrize("batch", [False, True])
def test_both_generations_of_the_server_honour_an_own_id(open_context, record, portal, profile, batch):
    portal.configure(profile=profile)
    context = open_context(own_id="echo", **(BATCHING if batch else {}))
    deliveries = [add(record, lead=n, parameters={"Email": "a@b.c"}) for n in range(1, 4)]

    for one in deliveries:
        send(context, one)

    settled = record.deliveries(one.id for one in deliveries)
    assert [one.workflow_id for one in settled] == [own_id_of(one.id) for one in deliveries]
    assert context.pace.read().own_id == HONOURED
    assert portal.started()[0]["parameters"]["Email"] == "a@b.c"
    assert alerts(record) == []


def test_a_portal_that_ignores_own_ids_is_noticed_once_and_its_word_is_taken(context, record, portal, monkeypatch):
    monkeypatch.setattr(bizproc, "OWN_ID", "SomethingElse")
    deliveries = [send(context, add(record, lead=n)) for n in range(1, 4)]

    assert {one.state for one in deliveries} == {State.STARTED}
    assert {one.workflow_id for one in deliveries} == {workflow["id"] for workflow in portal.started()}
    assert context.pace.read().own_id == IGNORED
    assert alerts(record) == ["own_id_ignored"]


def test_an_id_that_exists_can_only_be_of_an_earlier_attempt(context, record, sandbox):
    delivery = add(record)
    own_id = own_id_of(delivery.id)
    begun = start_by_hand(sandbox.url, start_parameters(delivery.call, own_id))

    settled = send(context, delivery)

    assert begun["result"] == own_id
    assert (settled.state, settled.workflow_id) == (State.STARTED, own_id)
    assert settled.attempts[0].verdict is Verdict.STARTED
    assert settled.attempts[0].description == "WorkflowAlreadyExists"
    assert len(sandbox.portal.started()) == 1


def test_an_id_that_exists_is_of_an_earlier_attempt_in_a_batch_as_well(open_context, record, sandbox):
    context = open_context(own_id="echo", **BATCHING)
    context.pace.learn_took(context.pace.read(), "1", 10)
    deliveries = [add(record, lead=n) for n in range(1, 4)]
    start_by_hand(sandbox.url, start_parameters(deliveries[1].call, own_id_of(deliveries[1].id)))

    send(context, deliveries[0])

    settled = record.deliveries(one.id for one in deliveries)
    assert [one.workflow_id for one in settled] == [own_id_of(one.id) for one in deliveries]
    assert batch_sizes(sandbox.portal) == [1, 3]
    assert len(sandbox.portal.started()) == 3


def test_without_an_id_of_ours_the_same_words_prove_nothing(open_context, record, portal):
    portal.add_faults({"kind": "error", "code": "", "description": "WorkflowAlreadyExists"})

    assert send(open_context(), add(record)).state is State.UNCERTAIN
