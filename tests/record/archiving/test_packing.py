"""What is final is packed, and is read, found, replayed, erased and forgotten as before; what is not is left alone."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from relay.core.events import CallbackSettings, CallbackState, Policy, new_callback
from relay.core.lifecycle import EventState, State, Verdict
from relay.operations.erase import Eraser
from relay.operations.replay import NotReplayableError, Replayer
from relay.rules import RuleBook
from relay.store import Store
from relay.store.record import codec
from relay.store.record.compaction import Compaction
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Endings
from relay.store.record.search import Filter, list_deliveries, list_events
from relay.store.redis import keys
from tests.support.making import (
    NOON,
    bring_to,
    claim_one,
    make_attempt,
    make_call,
    make_delivery,
    make_entry,
    write,
    write_one,
)
from workers.maintenance.retention import PER_ROUND, UNCHANGED, PackCursors, pack

LATER = NOON + UNCHANGED + timedelta(seconds=1)
SECOND = timedelta(seconds=1)
PERSONS = PersonIndex("a-key-of-the-test-that-is-long-enough")
EVERY_BYTE = bytes(range(256)) * 4


@pytest.fixture
def compaction(record):
    return Compaction(record.redis)


def pack_all(compaction, now=LATER):
    return pack(compaction, PackCursors(), now, threading.Event())


def is_packed(record, key):
    return bool(record.redis.hexists(key, "z"))


def write_finished(record, state=State.STARTED, attempts=1, **about):
    """An event whose delivery is final, after so many attempts; the delivery."""
    entry = make_entry([], state=EventState.ACCEPTED)
    delivery = make_delivery(entry.event.id, call=make_call(parameters={"Note": "ünï", "Email": "ada@example.com"}))
    event = replace(entry.event, deliveries=(delivery.id,), **about)
    write(record, replace(entry, event=event, deliveries=[delivery]))
    for number in range(1, attempts):
        attempt = make_attempt(Verdict.THROTTLED, number)
        record.settle(claim_one(record, record.delivery(delivery.id)), State.RETRYING, NOON, attempt=attempt)
    claimed = claim_one(record, record.delivery(delivery.id))
    workflow_id = f"wf-{delivery.id}" if state is State.STARTED else None
    attempt = make_attempt(number=attempts)
    record.settle(claimed, state, NOON, attempt=attempt, workflow_id=workflow_id, reason="because")
    return record.delivery(delivery.id)


def write_watched(record):
    entry = make_entry()
    policy = Policy(watch=CallbackSettings("Back", 3600))
    watching = replace(entry.deliveries[0], policy=policy, watched=new_callback("https://relay.example.com"))
    write(record, replace(entry, deliveries=[watching]))
    record.settle(claim_one(record, watching), State.STARTED, NOON, workflow_id="wf-1")
    return record.delivery(watching.id)


@pytest.mark.parametrize(
    "about",
    [
        {"body": EVERY_BYTE},
        {"body": b""},
        {"envelope": '{"batch": 1}', "errors": {"email": ["is no e-mail"]}},
        {"body": b"x" * 100_000, "query": "a=1&b=2", "person_keys": ("abc",)},
    ],
)
def test_what_is_packed_reads_as_before(record, compaction, about):
    delivery = write_finished(record, attempts=3, **about)
    event = record.event(delivery.event_id)

    assert pack_all(compaction) == 2

    assert record.event(event.id) == event
    assert record.delivery(delivery.id) == delivery
    assert len(delivery.attempts) == 3
    assert not record.redis.exists(keys.ATTEMPTS + delivery.id)
    assert record.counts().imbalances == []


def test_a_packed_event_takes_less_than_half_of_its_memory(record, compaction):
    agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0"
    body = json.dumps({"form": "demo", "email": "ada@example.com", "comment": "please call me back " * 10}).encode()
    delivery = write_finished(record, body=body, headers={"user-agent": agent, "accept-encoding": "gzip, deflate, br"})
    names = [keys.EVENT + delivery.event_id, keys.DELIVERY + delivery.id, keys.ATTEMPTS + delivery.id]
    before = sum(record.redis.memory_usage(name) for name in names)

    pack_all(compaction)

    assert sum(record.redis.memory_usage(name) or 0 for name in names) < before / 2


def test_nothing_is_packed_before_it_has_been_final_for_minutes(record, compaction):
    delivery = write_finished(record)

    assert pack_all(compaction, LATER - SECOND) == 0
    assert not is_packed(record, keys.DELIVERY + delivery.id)


@pytest.mark.parametrize("state", [State.PENDING, State.SENDING, State.RETRYING, State.UNCERTAIN])
def test_an_event_with_a_delivery_that_lives_is_left_alone(record, compaction, state):
    delivery = bring_to(record, state)

    assert pack_all(compaction, LATER + timedelta(days=1)) == 0
    assert record.delivery(delivery.id) == delivery


@pytest.mark.parametrize("state", [EventState.IGNORED, EventState.REJECTED, EventState.REFUSED])
def test_an_event_without_deliveries_is_packed_too(record, compaction, state):
    entry = make_entry([], state=state)
    write(record, entry)

    assert pack_all(compaction) == 1
    assert record.event(entry.event.id) == entry.event


def test_packing_again_changes_nothing(record, compaction):
    write_finished(record)
    pack_all(compaction)

    assert pack_all(compaction) == 0


def test_what_has_changed_since_it_was_read_is_not_packed(record, compaction):
    delivery = write_watched(record)
    found = compaction.packable(LATER, None, 10)
    swap = compaction._swap

    def finish_first(calls):
        Endings(record.redis).finish(delivery.watched.address.rpartition("/")[2], LATER, "s=ok")
        return swap(calls)

    compaction._swap = finish_first

    assert compaction.pack(found.keys) == 1, "the event"
    assert record.delivery(delivery.id).watched.query == "s=ok"


def test_what_was_not_final_when_the_front_passed_is_packed_on_the_next_round(record, compaction):
    late = bring_to(record, State.SENDING)
    write_finished(record)
    places, stop = PackCursors(), threading.Event()
    assert pack(compaction, places, LATER, stop) == 2
    record.settle(late, State.DEAD, LATER, reason="x")

    assert pack(compaction, places, LATER + UNCHANGED, stop) == 2
    assert is_packed(record, keys.DELIVERY + late.id)


def test_the_front_goes_on_where_it_was(record, compaction):
    places, stop = PackCursors(), threading.Event()
    write_finished(record)
    pack(compaction, places, LATER, stop)
    was = places.front
    later = write_one(record, LATER)
    bring_on(record, later)

    pack(compaction, places, LATER + UNCHANGED + SECOND, stop)

    assert was < later.event_id == places.front


def bring_on(record, delivery):
    record.settle(claim_one(record, delivery, LATER), State.DEAD, LATER, reason="x")


def test_a_round_begins_again_at_the_end_of_the_record(record, compaction):
    entries = [make_entry([], state=EventState.IGNORED) for _ in range(PER_ROUND + 1)]
    for entry in entries:
        write(record, entry)
    places, stop = PackCursors(), threading.Event()

    pack(compaction, places, LATER, stop)
    assert places.round == sorted(entry.event.id for entry in entries)[PER_ROUND - 1]
    pack(compaction, places, LATER, stop)
    assert places.round is None


def test_packed_ones_are_listed_by_every_filter(record, compaction):
    started, dead = write_finished(record), write_finished(record, State.DEAD)
    pack_all(compaction)

    for wanted in (Filter(state=State.DEAD), Filter(code="because", state=State.DEAD), Filter(source="website")):
        assert dead.id in {one.id for one in list_deliveries(record, wanted).rows}
    rows = list_events(record, Filter(template_id=1, document_id="LEAD_1", portal="main", rule="a-rule")).rows
    assert {one.id for row in rows for one in row.deliveries} == {started.id, dead.id}


def test_a_packed_delivery_is_replayed_as_it_was_and_once(record, compaction):
    old = write_finished(record, State.DEAD)
    pack_all(compaction)
    replayer = Replayer(record, {}, RuleBook([], ""), None)

    (fresh,) = replayer.replay(old.id, current_rules=False)

    assert record.delivery(fresh.id).call == old.call
    assert record.delivery(fresh.id).replay_of == old.id
    assert record.event(old.event_id).deliveries == (old.id, fresh.id)
    assert not record.is_unresolved_dead(old.id)
    with pytest.raises(NotReplayableError, match="replayed before"):
        replayer.replay(old.id, current_rules=False)
    assert record.counts().imbalances == []


def test_a_packed_event_that_was_rejected_is_accepted_by_a_replay(record, compaction):
    entry = make_entry([], state=EventState.REJECTED)
    write(record, replace(entry, event=replace(entry.event, reason="invalid", errors={"a": ["b"]})))
    pack_all(compaction)

    fresh = make_delivery(entry.event.id)
    record.replay(record.event(entry.event.id), None, [fresh], ["a-person"])

    event = record.event(entry.event.id)
    assert (event.state, event.reason, dict(event.errors)) == (EventState.ACCEPTED, None, {})
    assert event.deliveries == (fresh.id,)
    assert event.person_keys == ("a-person",)


def test_the_end_of_a_workflow_is_noted_on_a_packed_delivery_and_packed_with_it_later(record, compaction):
    delivery = write_watched(record)
    pack_all(compaction)
    assert is_packed(record, keys.DELIVERY + delivery.id)

    ending = Endings(record.redis).finish(delivery.watched.address.rpartition("/")[2], LATER, "s=ok", ("crm", "D", "1"))
    ended = record.delivery(delivery.id)

    assert ending.is_first
    assert (ended.watched.state, ended.watched.query, ended.updated_at) == (CallbackState.FINISHED, "s=ok", LATER)
    assert pack_all(compaction, LATER + UNCHANGED) == 1
    assert record.delivery(delivery.id) == ended
    assert not Endings(record.redis).finish(delivery.watched.address.rpartition("/")[2], LATER + SECOND).is_first


def test_a_packed_delivery_becomes_overdue_and_is_left(record, compaction):
    delivery = write_watched(record)
    pack_all(compaction)

    assert Endings(record.redis).note_overdue(NOON + timedelta(hours=2)) == [delivery.id]
    assert record.delivery(delivery.id).watched.state is CallbackState.OVERDUE
    assert record.leave(delivery.id)
    assert record.delivery(delivery.id).watched.state is CallbackState.LEFT


def test_a_person_is_found_in_what_is_packed_and_erased(record, compaction):
    write_finished(record, body=b'{"email": "ada@example.com"}')
    other = write_finished(record, person_keys=PERSONS.keys_of(["bob@example.com"]))
    pack_all(compaction)
    eraser = Eraser(Store(record.redis), PERSONS)

    traces = eraser.find("bob@example.com", lambda _seen, _total: None)
    assert traces.events == [other.event_id]
    eraser.erase("bob@example.com", traces, "someone", cancel=False)
    traces = eraser.find("ada@example.com", lambda _seen, _total: None)
    eraser.erase("ada@example.com", traces, "someone", cancel=False)

    assert not eraser.find("ada@example.com", lambda _seen, _total: None)
    assert record.counts().total_events == 0
    assert record.counts().imbalances == []


def test_a_packed_event_is_forgotten_without_a_trace(record, compaction):
    delivery = write_finished(record, person_keys=("abc",))
    pack_all(compaction)

    assert record.prune(delivery.event_id)
    assert {key for key in record.redis.keys("relay:*") if record.redis.type(key) in {b"zset", b"list"}} == {
        b"relay:numbered"
    }
    assert not record.redis.exists(keys.EVENT + delivery.event_id, keys.DELIVERY + delivery.id, keys.WORKFLOWS)


def test_a_duplicate_of_a_packed_event_is_counted_on_it(record, compaction):
    first = make_entry([], digest="d")
    write(record, first)
    pack_all(compaction)

    assert write(record, make_entry([], digest="d")).duplicate
    assert record.event(first.event.id).duplicates == 1


def test_the_dictionary_of_a_released_version_is_never_changed():
    """Else nobody could read what was packed with it: a better one is the next number."""
    kept = {b"state": b"started", b"call": b'{"template_id":1}', b"body": EVERY_BYTE}

    assert codec.unpacked(codec.packed(kept, [], {b"state"})) == kept
    assert codec.unpacked({b"z": PACKED_BY_VERSION_1}) == {b"call": b'{"template_id":1}', b"x": b"\x00\xff"}


PACKED_BY_VERSION_1 = bytes.fromhex("018345a5b9157a64d60203a502987719feeb0000")
