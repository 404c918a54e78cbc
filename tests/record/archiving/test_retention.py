"""What is old and final is forgotten without a trace; before that, what senders have written goes, if it is to."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.queue.jobs import QUEUE_KEY_PREFIX, queue_name
from relay.store import Store
from relay.store.record.codec import unpacked
from relay.store.record.compaction import Compaction
from relay.store.record.record import Record
from relay.store.redis import keys
from tests.support.leftovers import keys_of
from tests.support.making import DAY, NOON, bring_to, make_delivery, make_entry, write
from tests.support.waiting import until
from workers.maintenance import retention
from workers.maintenance.retention import Cursors, Terms, keep, pack, prune, run_retention
from workers.maintenance.retention import PackCursors as PackerPlaces

SECOND = timedelta(seconds=1)
QUEUE = QUEUE_KEY_PREFIX + queue_name("main")
BODIES = Terms(90 * DAY, 30 * DAY)


@pytest.mark.parametrize("state", [State.STARTED, State.DEAD])
def test_what_is_final_and_old_is_forgotten_without_a_trace(record, state):
    before = keys_of(record)
    old = bring_to(record, state)
    record.redis.delete(QUEUE, *record.redis.keys("rq:job:*"))

    prune(record, NOON + SECOND)

    assert record.deliveries([old.id]) == []
    # Which code came lately is of the portal.
    assert keys_of(record) - {"relay:codes:main"} == before
    assert record.counts().imbalances == []
    assert record.counts().since_start["delivery:created"] == 1


@pytest.mark.parametrize("state", sorted(set(State) - {State.STARTED, State.DEAD}))
def test_what_is_not_final_is_kept_however_old(record, state):
    old = bring_to(record, state)

    prune(record, NOON + 1000 * DAY)

    assert record.delivery(old.id) == old


def test_what_is_younger_is_kept(record):
    old, young = bring_to(record, State.DEAD, NOON), bring_to(record, State.DEAD, NOON + DAY)

    prune(record, NOON + DAY)

    assert record.deliveries([old.id, young.id]) == [young]


def test_an_event_without_deliveries_is_forgotten_too(record):
    before = keys_of(record)
    write(record, make_entry([]))

    prune(record, NOON + DAY)

    assert keys_of(record) == before


def test_old_ones_that_wait_for_a_person_do_not_stop_those_behind_them(record, monkeypatch):
    monkeypatch.setattr(retention, "PER_PASS", 3)
    waiting = [bring_to(record, State.UNCERTAIN, NOON + n * SECOND) for n in range(5)]
    finals = [bring_to(record, State.DEAD, NOON + (10 + n) * SECOND) for n in range(5)]

    cursor, passes = prune(record, NOON + DAY), 1
    while cursor:
        cursor, passes = prune(record, NOON + DAY, cursor), passes + 1

    assert passes <= 4
    assert record.deliveries([one.id for one in waiting]) == waiting
    assert record.deliveries([one.id for one in finals]) == []


def test_a_workflow_of_a_forgotten_delivery_may_be_anybodys(record):
    old = bring_to(record, State.STARTED)
    assert record.delivery_of_workflow(old.workflow_id) == old.id

    prune(record, NOON + DAY)

    assert record.delivery_of_workflow(old.workflow_id) is None


def test_an_old_event_that_was_replayed_lately_is_kept_as_long_as_its_youngest_delivery(record):
    old = bring_to(record, State.DEAD)
    fresh = make_delivery(old.event_id, at=NOON + 80 * DAY)
    record.replay(record.event(old.event_id), old, [fresh])
    (claimed,) = record.claim("main", "claim", NOON + 80 * DAY)
    record.settle(claimed, State.DEAD, NOON + 80 * DAY, reason="x")

    prune(record, NOON + 80 * DAY)
    assert record.delivery(fresh.id).state is State.DEAD

    prune(record, NOON + 80 * DAY + SECOND)
    assert record.counts().total == record.counts().total_events == 0


def test_what_a_person_erases_goes_however_young(record):
    assert record.prune(bring_to(record, State.DEAD).event_id)


def write_posted(record, state=State.STARTED):
    """An event with everything that a sender can write; its delivery."""
    entry = make_entry(body=b'{"email": "ada@example.com"}')
    written = {"query": "name=ada", "headers": {"from": "ada"}, "envelope": '{"by": "ada"}', "person_keys": ("k",)}
    write(record, replace(entry, event=replace(entry.event, **written)))
    (delivery,) = entry.deliveries
    if state is State.PENDING:
        return record.delivery(delivery.id)
    (claimed,) = record.claim("main", entry.event.id, NOON)
    record.settle(claimed, state, NOON, reason="because")
    return record.delivery(delivery.id)


def strip(store, now=NOON + 31 * DAY):
    keep(store, BODIES, Cursors(), now)


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("state", [State.PENDING, State.STARTED, State.UNCERTAIN, State.DEAD])
def test_what_a_sender_has_written_goes_when_its_time_has_come_and_the_rest_stays(store, record, state, is_packed):
    delivery = write_posted(record, state)
    before = record.event(delivery.event_id)
    if is_packed:
        pack(store.compaction, PackerPlaces(), NOON + DAY, threading.Event())

    strip(store)

    event = record.event(delivery.event_id)
    assert event == before.without_body(NOON + 31 * DAY)
    assert (event.body, event.query, event.headers, event.envelope) == (b"", "", {}, "")
    assert (event.to_wire()["body"], event.to_wire()["body_removed_at"]) == (None, "2026-07-02T12:00:00.000+00:00")
    assert event.person_keys == ("k",)
    assert record.delivery(delivery.id) == delivery
    assert b"ada" not in b"".join(unpacked(record.redis.hgetall(keys.EVENT + event.id)).values())
    assert record.counts().imbalances == []


def test_it_goes_once_and_not_before_its_time(store, record):
    delivery = write_posted(record)

    strip(store, NOON + 30 * DAY)
    assert record.event(delivery.event_id).body_removed_at is None

    strip(store)
    strip(store, NOON + 60 * DAY)
    assert record.event(delivery.event_id).body_removed_at == NOON + 31 * DAY


def test_without_a_time_of_its_own_it_stays_as_long_as_the_event(store, record):
    delivery = write_posted(record)

    keep(store, Terms(90 * DAY), Cursors(), NOON + 89 * DAY)

    assert record.event(delivery.event_id).body


def test_a_body_that_has_changed_while_it_was_read_goes_all_the_same(store, record, monkeypatch):
    first = make_entry([], digest="d", window=365 * DAY)
    write(record, first)
    swap, duplicates = Compaction._swap, iter([make_entry([], digest="d")])

    def repeat_first(self, calls):
        for duplicate in duplicates:
            write(record, duplicate)
        return swap(self, calls)

    monkeypatch.setattr(Compaction, "_swap", repeat_first)
    places = Cursors()
    keep(store, BODIES, places, NOON + 31 * DAY)

    event = record.event(first.event.id)
    assert (event.body, event.duplicates) == (b"", 1)


def test_a_round_comes_by_what_was_put_back_behind_the_front(store, record):
    young = write_posted(record)
    places = Cursors()
    keep(store, BODIES, places, NOON + 31 * DAY)
    older = make_entry(at=NOON - DAY)
    write(record, older)

    keep(store, BODIES, places, NOON + 31 * DAY)

    assert places.stripped == young.event_id
    assert record.event(older.event.id).body_removed_at


def test_the_counts_of_an_hour_go_with_the_events_of_their_time(store, record):
    bring_to(record, State.DEAD, utc_now())

    keep(store, BODIES, Cursors(), utc_now() + 89 * DAY)
    assert record.redis.exists(keys.HOURS_COUNTED, *record.redis.keys(f"{keys.HOURLY}*")) >= 2

    keep(store, BODIES, Cursors(), utc_now() + 91 * DAY)
    assert not record.redis.keys("relay:number*")


def test_who_keeps_shares_one_lease_and_outlives_a_record_that_is_away(own_valkey, monkeypatch):
    monkeypatch.setattr(retention, "INTERVAL_S", 0.05)
    record, stop = Record(own_valkey.redis), threading.Event()
    own_valkey.make_read_only()
    threads = [threading.Thread(target=run_retention, args=(Store(record.redis), BODIES, stop)) for _ in range(2)]
    for thread in threads:
        thread.start()
    own_valkey.make_fresh()
    delivery = bring_to(record, State.DEAD)

    until(lambda: not record.deliveries([delivery.id]), "a pass")
    stop.set()
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
