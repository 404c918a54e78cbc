"""The outcome is known in one process only, and is written whatever the record does meanwhile."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from relay.core.ids import utc_now
from relay.core.lifecycle import State, Verdict
from relay.store.record.record import HARD_DEADLINE
from tests.delivering.contexts import add, send
from tests.delivering.wire import Wire, answering, respond
from workers.delivery import deliver
from workers.delivery.deliver import deliver_next
from workers.maintenance.repair import sweep

STARTED = respond({"result": "66e81a641752f8.56521481", "time": {}})


@pytest.fixture
def pauses(monkeypatch):
    """What is done instead of waiting for the record; returns the pauses."""

    def use(instead):
        waited = []

        def sleep(seconds):
            waited.append(seconds)
            instead()

        fake = SimpleNamespace(sleep=sleep, monotonic=lambda: time.monotonic() + sum(waited))
        monkeypatch.setattr(deliver, "time", fake)
        return waited

    return use


def answer_after(act):
    """A portal where something happens between the call and its answer."""

    def handle(connection):
        while connection.read_request():
            act()
            connection.send(STARTED)

    return Wire(handle)


def test_an_outcome_waits_until_the_record_takes_it(open_context, record, valkey, pauses):
    waited = pauses(lambda: valkey.redis.config_set("min-replicas-to-write", "0"))
    with answer_after(valkey.make_read_only) as wire:
        context = open_context(wire.url)
        delivery = send(context, add(record))

    assert (delivery.state, delivery.workflow_id) == (State.STARTED, "66e81a641752f8.56521481")
    assert waited == [0.1]


def test_an_outcome_that_cannot_be_written_leaves_it_to_the_sweeper(open_context, record, valkey, pauses):
    waited = pauses(lambda: None)
    delivery = add(record)
    with answer_after(valkey.make_read_only) as wire:
        context = open_context(wire.url)
        deliver_next(context, context.survey())

    valkey.redis.config_set("min-replicas-to-write", "0")
    assert HARD_DEADLINE.total_seconds() / 2 < sum(waited) < HARD_DEADLINE.total_seconds()
    assert record.delivery(delivery.id).state is State.SENDING
    sweep(record, utc_now() + HARD_DEADLINE, {})
    assert record.delivery(delivery.id).state is State.UNCERTAIN


def test_what_the_sweeper_was_in_doubt_about_is_known_by_the_answer_that_comes_after_all(open_context, record):
    with answer_after(lambda: sweep(record, utc_now() + HARD_DEADLINE * 2, {})) as wire:
        context = open_context(wire.url)
        delivery = send(context, add(record))

    assert (delivery.state, delivery.reason) == (State.STARTED, None)
    assert [one.verdict for one in delivery.attempts] == [Verdict.AMBIGUOUS, Verdict.STARTED]
    assert record.delivery_of_workflow(delivery.workflow_id) == delivery.id
    assert record.counts().imbalances == []


def test_a_workflow_that_another_delivery_has_is_not_taken_for_ours(open_context, record):
    with answering(STARTED) as wire:
        context = open_context(wire.url)
        first, second = send(context, add(record)), send(context, add(record, lead=2))

    assert first.state is State.STARTED
    assert (second.state, second.reason, second.workflow_id) == (State.UNCERTAIN, "workflow_of_another", None)
    assert record.counts().imbalances == []
