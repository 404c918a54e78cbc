"""The end of a workflow on record: heard of once, from whatever state, or overdue; and the books balance."""

from __future__ import annotations

import secrets
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.core.errors import LostRace, MovedOn
from relay.core.events import CallbackSettings, CallbackState, Policy, new_callback
from relay.core.lifecycle import State, Verdict
from relay.store.record.record import Ending, Endings, Record
from relay.store.record.search import Filter, list_deliveries
from relay.store.redis import keys
from tests.support.making import NOON, claim_one, make_attempt, make_entry, write
from workers.maintenance.retention import PackCursors, pack

MINUTE = timedelta(minutes=1)
WITHIN = timedelta(hours=1)
BASE = "https://relay.example.com"


@pytest.fixture
def endings(record):
    return Endings(record.redis)


def write_watched(record, **policy):
    """A delivery whose end is watched for, on record."""
    entry = make_entry()
    watch = CallbackSettings("RelayCallback", int(WITHIN.total_seconds()))
    (delivery,) = entry.deliveries
    delivery = replace(delivery, policy=Policy(watch=watch, **policy), watched=new_callback(BASE))
    write(record, replace(entry, deliveries=[delivery]))
    return delivery


def bring(record, state, **policy):
    delivery = write_watched(record, **policy)
    if state is State.PENDING:
        return delivery
    claimed = claim_one(record, delivery)
    if state is not State.SENDING:
        workflow_id = "wf-1" if state is State.STARTED else None
        record.settle(claimed, state, NOON, reason="because", workflow_id=workflow_id)
    return record.delivery(delivery.id)


def token_of(delivery):
    return delivery.watched.address.rpartition("/")[2]


def check_books(record, delivery_id):
    """That indexes and hash say the same of the end, and that the ledger balances."""
    delivery = record.delivery(delivery_id)
    watched, redis = delivery.watched, record.redis
    is_awaited = watched.state is CallbackState.WAITING and delivery.state is State.STARTED
    assert record.counts().imbalances == []
    assert (redis.zscore(keys.AWAITED, delivery.id) is not None) == is_awaited
    assert (redis.zscore(keys.OVERDUE, delivery.id) is not None) == (watched.state is CallbackState.OVERDUE)
    assert (watched.finished_at is not None) == (watched.state is CallbackState.FINISHED)
    return delivery


def test_the_call_that_people_see_is_without_the_address_and_the_one_that_is_sent_has_it(record):
    delivery = record.delivery(write_watched(record).id)

    assert delivery.call_as_sent.parameters == {"Parameter1": "user_1", "RelayCallback": delivery.watched.address}
    assert token_of(delivery) not in str(delivery.to_wire())
    assert token_of(delivery) not in repr(delivery)


def test_a_token_stands_in_no_key_and_in_no_index(record):
    token = token_of(write_watched(record))
    everything = [key for key in record.redis.keys("*") if not key.startswith(keys.DELIVERY.encode())]

    assert all(token.encode() not in key for key in everything)
    assert token.encode() not in b"".join(record.redis.hgetall(keys.ADDRESSES))


@pytest.mark.parametrize("state", [State.PENDING, State.RETRYING, State.UNCERTAIN])
def test_where_it_was_not_known_whether_it_has_started_the_call_proves_it(record, endings, state):
    delivery = bring(record, state)

    assert endings.finish(token_of(delivery), NOON + MINUTE, "s=ok", ["crm", "X", "LEAD_1"]) == Ending(
        delivery.id, is_first=True
    )

    found = check_books(record, delivery.id)
    assert (found.state, found.reason, found.next_attempt_at) == (State.STARTED, "finished", None)
    assert (found.watched.finished_at, found.watched.query) == (NOON + MINUTE, "s=ok")
    assert found.watched.document_id == ("crm", "X", "LEAD_1")
    assert record.due("main", NOON + timedelta(days=3)) == 0
    assert record.unresolved_uncertain() == 0
    assert record.counts().since_start["delivery:started"] == 1


def test_what_has_started_stays_so_and_the_end_is_noted(record, endings):
    delivery = bring(record, State.STARTED)

    endings.finish(token_of(delivery), NOON + MINUTE)

    found = check_books(record, delivery.id)
    assert (found.state, found.reason, found.watched.state) == (State.STARTED, "because", CallbackState.FINISHED)


@pytest.mark.parametrize("is_packed", [False, True])
def test_what_was_given_up_and_has_ended_had_started_and_needs_nobody(store, record, endings, is_packed):
    delivery = bring(record, State.DEAD)
    assert record.unresolved_dead() == 1
    if is_packed:
        later = NOON + timedelta(days=1)
        assert pack(store.compaction, PackCursors(), later, threading.Event()) == 2

    assert endings.finish(token_of(delivery), NOON + MINUTE, "s=ok") == Ending(delivery.id, is_first=True)

    found = check_books(record, delivery.id)
    assert (found.state, found.reason, found.watched.query) == (State.STARTED, "finished", "s=ok")
    assert (record.unresolved_dead(), record.is_unresolved_dead(delivery.id)) == (0, False)
    assert list_deliveries(record, Filter(state=State.DEAD), None, 10).rows == ()
    counts = record.counts()
    assert (counts.deliveries[State.DEAD], counts.deliveries[State.STARTED]) == (0, 1)
    assert (counts.since_start["delivery:dead"], counts.since_start["delivery:started"]) == (1, 1), "both have happened"
    assert record.prune(found.event_id)
    assert record.counts().total == 0


def test_of_what_was_given_up_and_replayed_both_are_told_once(record, endings):
    delivery = bring(record, State.DEAD)
    again = replace(make_entry().deliveries[0], event_id=delivery.event_id, replay_of=delivery.id)
    record.replay(record.event(delivery.event_id), delivery, [again])

    ending = endings.finish(token_of(delivery), NOON + MINUTE)

    assert ending == Ending(delivery.id, is_first=True, replayed_by=again.id)
    assert check_books(record, delivery.id).state is State.STARTED
    assert record.delivery(again.id).state is State.PENDING, "it is a delivery of its own: a person may cancel it"
    assert endings.finish(token_of(delivery), NOON + 2 * MINUTE) == Ending(delivery.id, is_first=False)


def test_what_turns_out_to_have_started_just_then_is_not_replayed_as_if_it_were_dead(record, endings):
    delivery = bring(record, State.DEAD)
    again = replace(make_entry().deliveries[0], event_id=delivery.event_id, replay_of=delivery.id)
    endings.finish(token_of(delivery), NOON + MINUTE)

    with pytest.raises(MovedOn):
        record.replay(record.event(delivery.event_id), delivery, [again])

    assert record.counts().total == 1


@pytest.mark.parametrize("state", [State.UNCERTAIN, State.RETRYING, State.DEAD, State.PENDING, State.STARTED])
def test_an_end_that_comes_before_the_answer_is_on_record_is_not_lost_whatever_the_answer_was(record, endings, state):
    claimed = bring(record, State.SENDING)
    endings.finish(token_of(claimed), NOON + MINUTE)
    assert check_books(record, claimed.id).state is State.SENDING

    attempt = make_attempt(Verdict.AMBIGUOUS)
    workflow_id = "wf-1" if state is State.STARTED else None
    record.settle(claimed, state, NOON + MINUTE, attempt=attempt, reason="timed_out", workflow_id=workflow_id)

    found = check_books(record, claimed.id)
    assert (found.state, found.workflow_id, found.watched.state) == (State.STARTED, workflow_id, CallbackState.FINISHED)
    assert found.reason == ("timed_out" if workflow_id else "finished")
    assert len(found.attempts) == 1
    assert record.counts().since_start["delivery:started"] == 1
    assert record.unresolved_dead() == 0


def test_whoever_looks_into_an_uncertain_one_meanwhile_loses_the_race(record, endings):
    bring(record, State.UNCERTAIN)
    record.redis.zadd(f"{keys.DOUBTFUL}main", dict.fromkeys(record.redis.zrange(keys.UNDECIDED, 0, -1), 0))
    record.redis.delete(keys.UNDECIDED)
    looked = record.look("main", NOON)
    endings.finish(token_of(looked), NOON)

    with pytest.raises(LostRace):
        record.settle(looked, State.RETRYING, NOON)


def test_a_second_call_changes_nothing(record, endings):
    delivery = bring(record, State.STARTED)
    endings.finish(token_of(delivery), NOON + MINUTE, "s=ok")

    assert endings.finish(token_of(delivery), NOON + 2 * MINUTE, "s=other") == Ending(delivery.id, is_first=False)
    assert record.delivery(delivery.id).watched.query == "s=ok"
    assert record.delivery(delivery.id).watched.finished_at == NOON + MINUTE


def test_a_token_that_no_start_carries_is_nothing(record, endings):
    write_watched(record)

    assert not endings.is_known(secrets.token_urlsafe(24))
    assert endings.finish(secrets.token_urlsafe(24), NOON) is None


def test_the_time_counts_from_the_start_and_what_is_over_it_is_overdue_once(record, endings):
    delivery = write_watched(record)
    claimed = claim_one(record, delivery)
    record.settle(claimed, State.STARTED, NOON + MINUTE, workflow_id="wf-1")

    assert record.delivery(delivery.id).watched.until == NOON + MINUTE + WITHIN
    assert endings.note_overdue(NOON + WITHIN) == []
    assert endings.note_overdue(NOON + MINUTE + WITHIN) == [delivery.id]
    assert endings.note_overdue(NOON + 2 * WITHIN) == []
    assert (endings.overdue(), check_books(record, delivery.id).watched.state) == (1, CallbackState.OVERDUE)


@pytest.mark.parametrize("deal", ["finish", "leave", "replay", "prune"])
def test_what_is_overdue_is_so_until_it_is_heard_of_left_replayed_or_forgotten(record, endings, deal):
    delivery = bring(record, State.STARTED)
    endings.note_overdue(NOON + WITHIN)

    if deal == "finish":
        endings.finish(token_of(delivery), NOON + WITHIN)
    elif deal == "leave":
        assert record.leave(delivery.id)
        assert not record.leave(delivery.id)
    elif deal == "replay":
        again = replace(make_entry().deliveries[0], event_id=delivery.event_id, replay_of=delivery.id)
        record.replay(record.event(delivery.event_id), delivery, [again])
    else:
        assert record.prune(delivery.event_id)

    assert endings.overdue() == 0
    if deal != "prune":
        wanted = CallbackState.FINISHED if deal == "finish" else CallbackState.LEFT
        assert check_books(record, delivery.id).watched.state is wanted


def test_an_end_that_comes_after_it_was_left_is_noted(record, endings):
    delivery = bring(record, State.STARTED)
    endings.note_overdue(NOON + WITHIN)
    record.leave(delivery.id)

    assert endings.finish(token_of(delivery), NOON + WITHIN)
    assert check_books(record, delivery.id).watched.state is CallbackState.FINISHED


def test_what_is_forgotten_leaves_no_key_behind(record, endings):
    delivery = bring(record, State.STARTED)

    assert record.prune(delivery.event_id)

    assert not endings.is_known(token_of(delivery))
    assert [key for key in (keys.ADDRESSES, keys.AWAITED, keys.OVERDUE) if record.redis.exists(key)] == []


def test_the_next_of_an_order_goes_on_when_the_end_proves_the_start(record, endings):
    delivery = bring(record, State.UNCERTAIN, is_ordered=True)
    following = write_watched(record, is_ordered=True)
    assert record.due("main", NOON) == 0

    endings.finish(token_of(delivery), NOON)

    assert [one.id for one in record.claim("main", "a", NOON)] == [following.id]


STEPS = ("claim", "started", "uncertain", "retrying", "dead", "finish", "late", "leave")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(STEPS), max_size=12))
def test_in_any_order_the_indexes_agree_and_no_end_is_forgotten(valkey, steps):
    valkey.redis.flushall()
    record, endings = Record(valkey.redis), Endings(valkey.redis)
    delivery = write_watched(record)
    has_ended = False
    for number, step in enumerate(steps):
        now, found = NOON + number * MINUTE, record.delivery(delivery.id)
        if step == "claim" and found.state in {State.PENDING, State.RETRYING}:
            claim_one(record, found, now)
        elif step == "finish":
            assert endings.finish(token_of(delivery), now) == Ending(delivery.id, is_first=not has_ended)
            has_ended = True
        elif step == "late":
            endings.note_overdue(now + WITHIN)
        elif step == "leave":
            record.leave(delivery.id)
        elif step in {"started", "uncertain", "retrying", "dead"} and found.state is State.SENDING:
            record.settle(found, State(step), now, workflow_id="wf" if step == "started" else None)
        found = check_books(record, delivery.id)
        assert has_ended == (found.watched.finished_at is not None)
        assert not (has_ended and found.state not in {State.STARTED, State.SENDING})
