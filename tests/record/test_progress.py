"""How far a delivery is moves with its state, or not at all; and a claim takes what each method is granted."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta

import pytest

from relay.core.errors import LostRace
from relay.core.events import finish_step
from relay.core.lifecycle import State
from relay.core.placeholders import Placeholder, PlaceholderValue
from relay.core.plan import How, Plan, Step, StepKind
from relay.store.record.entries import Allowance, Entry, Load
from relay.store.redis import keys
from tests.support.making import NOON, make_attempt, make_call, make_entry, with_turn, write, write_one

SECOND = timedelta(seconds=1)
ADD, LIST = "crm.item.add", "crm.item.list"
FIND = Step("deal", StepKind.FIND, "deal", 2, {"title": "D"})
MAKE = Step("lead", StepKind.MAKE, "lead", 1, {"title": "T", "parentId2": PlaceholderValue((Placeholder("deal"),))})
MANY = Load(50, 10**6, 1)


def write_planned(record, *steps, at=NOON):
    """A delivery with these steps before its start."""
    entry = make_entry(at=at)
    document = (*make_call().document_id[:2], PlaceholderValue(("LEAD_", Placeholder("lead"))))
    plan = Plan(entry.deliveries[0].id, steps, replace(make_call(), document_id=document))
    delivery = replace(entry.deliveries[0], plan=plan, call=plan.shown())
    write(record, Entry(entry.event, [delivery]))
    return delivery


def claim(record, load=MANY, now=NOON + 60 * SECOND):
    return record.claim("main", secrets.token_hex(8), now, load)


def method_of(redis, delivery):
    return (redis.hget(keys.DELIVERY + delivery.id, "method") or b"").decode()


def test_what_a_step_came_to_is_written_with_the_state(redis, record):
    delivery = write_planned(record, FIND, MAKE)
    assert (method_of(redis, delivery), record.delivery(delivery.id)) == (LIST, delivery)
    (claimed,) = claim(record)

    progress = finish_step(claimed, How.FOUND, 7, NOON, tries=1)
    record.settle(claimed, progress.state, NOON + 61 * SECOND, attempt=make_attempt(), after=progress.delivery)

    settled = record.delivery(delivery.id)
    assert (settled.state, settled.values, settled.next_step.name) == (State.PENDING, {"deal": 7}, "lead")
    assert method_of(redis, delivery) == ADD
    assert record.counts().imbalances == []


def test_the_last_step_fills_the_call_and_moves_the_delivery_to_its_document(redis, record):
    delivery = write_planned(record, MAKE)
    (claimed,) = claim(record)

    progress = finish_step(claimed, How.MADE, 17, NOON)
    record.settle(claimed, progress.state, NOON, after=progress.delivery)

    assert record.delivery(delivery.id).call.document_id[2] == "LEAD_17"
    assert (record.of_document("LEAD_17", 9), record.of_document("LEAD_{lead}", 9)) == ([delivery.id], [])
    assert method_of(redis, delivery) == ""


def test_whoever_lost_the_race_writes_no_result(record):
    write_planned(record, MAKE)
    (claimed,) = claim(record)
    progress = finish_step(claimed, How.MADE, 17, NOON)

    with pytest.raises(LostRace):
        record.settle(with_turn(claimed, 9), progress.state, NOON, after=progress.delivery)

    assert record.delivery(claimed.id) == claimed


def test_what_is_to_be_looked_for_and_how_often_was_asked_survive(redis, record):
    write_planned(record, MAKE)
    (claimed,) = claim(record)
    after = replace(claimed, unsure=("lead",), asked=2)

    record.settle(claimed, State.RETRYING, NOON, reason="made_unknown", next_at=NOON + SECOND, after=after)

    settled = record.delivery(claimed.id)
    assert (settled.unsure, settled.asked, settled.is_looked_for) == (("lead",), 2, True)
    assert method_of(redis, claimed) == LIST


def test_a_delivery_whose_step_is_done_keeps_its_place_in_the_line(record):
    first, second = write_planned(record, FIND, MAKE), write_one(record, NOON + SECOND)
    (claimed,) = claim(record, Load(1))
    progress = finish_step(claimed, How.NOTHING, None, NOON)

    record.settle(claimed, progress.state, NOON + 30 * SECOND, after=progress.delivery)

    assert [one.id for one in claim(record)] == [first.id, second.id]


def test_a_delivery_of_an_earlier_version_is_claimed_for_its_start(redis, record):
    delivery = write_one(record)
    redis.hdel(keys.DELIVERY + delivery.id, "method", "plan", "results", "asked", "unsure")

    (claimed,) = claim(record, replace(MANY, allowances={ADD: Allowance(0, 0, NOON + 600 * SECOND)}))

    assert (claimed.id, claimed.plan, claimed.results, claimed.next_method) == (delivery.id, None, (), "")


# What a portal grants.


def test_what_calls_a_method_that_is_used_up_is_put_where_it_may_be_called_again(record):
    used_up, other = write_planned(record, MAKE), write_planned(record, FIND, MAKE, at=NOON + SECOND)
    until = NOON + 600 * SECOND

    claimed = claim(record, replace(MANY, allowances={ADD: Allowance(0, 0, until)}))

    assert [one.id for one in claimed] == [other.id]
    waiting = record.delivery(used_up.id)
    assert (waiting.state, waiting.next_attempt_at, waiting.turn) == (State.PENDING, until, 1)
    assert [record.due("main", at) for at in (until - SECOND, until)] == [0, 1]


def test_no_more_is_taken_than_the_time_that_is_left(record):
    deliveries = [write_planned(record, MAKE, at=NOON + n * SECOND) for n in range(5)]
    until = NOON + 600 * SECOND

    load = replace(MANY, takes_ms={ADD: 1800}, allowances={ADD: Allowance(50, 4_000, until)})
    claimed = claim(record, load)

    assert [one.id for one in claimed] == [one.id for one in deliveries[:2]]
    assert {one.next_attempt_at for one in record.deliveries(one.id for one in deliveries[2:])} == {until}


def test_one_tries_a_method_and_the_others_stand_where_they_stood(record):
    deliveries = [write_planned(record, MAKE, at=NOON + n * SECOND) for n in range(3)]
    start = write_one(record, NOON + 9 * SECOND)

    claimed = claim(record, replace(MANY, allowances={ADD: Allowance(1, 10**9, NOON)}))

    assert [one.id for one in claimed] == [deliveries[0].id, start.id]
    assert record.due("main", NOON + 60 * SECOND) == 2


def test_starts_are_granted_under_no_name(record):
    start, step = write_one(record), write_planned(record, MAKE, at=NOON + SECOND)

    claimed = claim(record, replace(MANY, allowances={"": Allowance(0, 0, NOON + 600 * SECOND)}))

    assert [one.id for one in claimed] == [step.id]
    assert record.delivery(start.id).next_attempt_at == NOON + 600 * SECOND


def test_behind_any_number_that_cannot_go_now_one_that_can_is_found(record):
    for number in range(450):
        write_planned(record, MAKE, at=NOON + number * SECOND / 1000)
    start = write_one(record, NOON + SECOND)

    claimed = claim(record, Load(1, 0, 0, {}, {ADD: Allowance(0, 0, NOON + 600 * SECOND)}))

    assert [one.id for one in claimed] == [start.id]
    assert record.counts().imbalances == []
