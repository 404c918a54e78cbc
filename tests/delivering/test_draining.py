"""What a woken worker does, in which order, and what becomes of a claim whose answer was lost."""

from __future__ import annotations

import pytest

from relay.core.errors import RecordUnavailableError
from relay.core.lifecycle import State
from relay.store.portals.questions import Questions
from tests.delivering.contexts import QUEUE, add, methods, work_off
from workers.delivery import worker
from workers.delivery.worker import drain, step

START = "bizproc.workflow.start"


def test_a_shift_works_until_there_is_nothing_to_do(context, record, portal):
    deliveries = [add(record, lead=n) for n in range(1, 21)]

    drain(context)

    assert {one.state for one in record.deliveries(one.id for one in deliveries)} == {State.STARTED}


def test_a_shift_begins_no_call_when_it_is_told_to_stop(context, record, portal):
    add(record)
    add(record, lead=2)
    told = iter([False, True])

    drain(context, lambda: next(told))

    assert methods(portal) == {START: 1}


def test_what_is_left_when_a_shift_is_over_has_a_job(context, record, portal, monkeypatch):
    monkeypatch.setattr(worker, "DRAIN_S", 0.0)
    for number in range(3):
        add(record, lead=number + 1)
    drain(context)
    assert methods(portal) == {}
    record.redis.delete(QUEUE)

    step(context)

    assert record.redis.llen(QUEUE) == 1


def test_a_person_is_answered_first(context, record, portal):
    add(record)
    asked = Questions(record.redis).ask("main", "ping", "", context.clock())

    assert step(context)

    assert Questions(record.redis).read(asked.id).state == "done"
    assert START not in methods(portal)


def test_those_in_doubt_and_those_that_wait_take_turns(context, record, portal, clock):
    portal.add_faults({"kind": "html_502", "times": 1, "method": START})
    work_off_one(context, record)
    clock.advance(10)
    context.gate.resume(clock())
    for number in range(2, 4):
        add(record, lead=number)

    step(context)

    assert methods(portal) == {START: 2, "bizproc.workflow.instances": 1}


def work_off_one(context, record):
    add(record)
    work_off(context)


def test_a_record_that_is_away_ends_the_shift_and_no_job(context, valkey, monkeypatch):
    monkeypatch.setattr(worker, "step", lambda _desk: (_ for _ in ()).throw(RecordUnavailableError("away")))

    drain(context)


def test_what_a_claim_took_whose_answer_was_lost_waits_again_and_is_sent_once(context, record, portal, monkeypatch):
    deliveries = [add(record, lead=n) for n in range(1, 4)]
    claim = record.claim

    def claim_and_lose(_self, *arguments, **options):
        claim(*arguments, **options)
        raise RecordUnavailableError("TimeoutError")

    monkeypatch.setattr(type(record), "claim", claim_and_lose)
    with pytest.raises(RecordUnavailableError):
        step(context)
    assert record.delivery(deliveries[0].id).state is State.SENDING
    monkeypatch.undo()

    drain(context)

    settled = record.deliveries(one.id for one in deliveries)
    assert [(one.state, len(one.attempts)) for one in settled] == [(State.STARTED, 1)] * 3
    assert len(portal.started()) == 3
    assert record.counts().imbalances == []


def test_what_a_claim_took_is_given_back_even_where_the_gate_has_closed(context, record, portal, clock):
    delivery = add(record)
    context.claim.is_unanswered = True
    record.claim("main", context.claim.id, clock())
    context.gate.pause_by_person(clock())

    step(context)

    assert record.delivery(delivery.id).state is State.PENDING
    assert not record.delivery(delivery.id).attempts
    assert methods(portal) == {}
