"""The collector: concurrent events share a round trip, and nobody pays for another's fault."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from relay.core.errors import LimitedError, RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.store.record import collector as module
from relay.store.record.collector import GROUP, GROUP_BYTES, Collector
from relay.store.record.entries import Bounds
from relay.store.record.statistics import Statistics
from relay.store.redis import keys
from tests.support.making import make_entry, write
from tests.support.waiting import until


class Gathering:
    """Lets the first group wait until the others have gathered, and counts the groups."""

    def __init__(self, collector, monkeypatch, size):
        self.collector = collector
        self.size = size
        self.groups = []
        self._run = module.run
        monkeypatch.setattr(module, "run", self.run)

    def run(self, redis, call, replicas=0):
        if not self.groups:
            until(lambda: len(self.collector._waiting) == self.size - 1, "the others to gather")
        self.groups.append(call.argv[0])
        return self._run(redis, call, replicas)

    def send(self, entries):
        """Record each entry from a thread of its own; the receipts or errors in order."""
        outcomes = [None] * len(entries)

        def send_one(index, entry):
            try:
                outcomes[index] = self.collector.record(entry)
            except Exception as error:  # noqa: BLE001 - a test looks at it
                outcomes[index] = error

        threads = [threading.Thread(target=send_one, args=pair, daemon=True) for pair in enumerate(entries)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)
        return outcomes


def test_a_single_event_is_written_at_once(record):
    entry = make_entry(digest="d")

    assert Collector(record).record(entry).event_id == entry.event.id
    assert record.event(entry.event.id) == entry.event


def test_what_comes_while_a_group_is_written_forms_the_next(record, monkeypatch):
    collector = Collector(record)
    gathering = Gathering(collector, monkeypatch, 50)
    entries = [make_entry() for _ in range(50)]

    receipts = gathering.send(entries)

    assert gathering.groups == [1, 49]
    assert [receipt.event_id for receipt in receipts] == [entry.event.id for entry in entries]
    assert record.counts().total_events == 50


def test_a_group_is_bounded(record, monkeypatch):
    gathering = Gathering(Collector(record), monkeypatch, GROUP + 51)

    gathering.send([make_entry([]) for _ in range(GROUP + 51)])

    assert gathering.groups == [1, GROUP, 50]


def test_equal_events_in_one_group_are_one_event(record, monkeypatch):
    gathering = Gathering(Collector(record), monkeypatch, 20)

    receipts = gathering.send([make_entry(digest="d") for _ in range(20)])

    assert sum(not receipt.duplicate for receipt in receipts) == 1
    assert len({receipt.event_id for receipt in receipts}) == 1


@pytest.mark.parametrize("spoilt", [1, 4, 9])
def test_an_entry_that_the_server_refuses_harms_no_other(redis, record, monkeypatch, spoilt):
    gathering = Gathering(Collector(record), monkeypatch, 10)
    entries = [make_entry(digest=f"d{number}") for number in range(10)]
    redis.set(keys.dedup("website", f"d{spoilt}"), "an event that is", px=60_000)
    redis.set(keys.EVENT + "an event that is", "not a hash")

    outcomes = gathering.send(entries)

    assert gathering.groups == [1, 9]
    assert isinstance(outcomes.pop(spoilt), RecordUnavailableError)
    assert all(record.event(receipt.event_id) for receipt in outcomes)
    assert (record.counts().imbalances, record.counts().total_events) == ([], 9)


def test_a_source_that_is_over_its_limit_keeps_no_other_out(record, monkeypatch):
    gathering = Gathering(Collector(record), monkeypatch, 10)
    entries = [make_entry([]) for _ in range(10)]
    for number in (2, 5, 7):
        entries[number] = replace(entries[number], bounds=Bounds(events=1, bytes=1_000_000))

    outcomes = gathering.send(entries)

    refused = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, LimitedError)]
    assert len(refused) == 2
    assert set(refused) < {2, 5, 7}
    assert record.counts().total_events == 8


def test_all_of_a_group_is_counted(record, monkeypatch):
    gathering = Gathering(Collector(record), monkeypatch, 20)
    sources = ["website", "github"] * 10

    gathering.send([make_entry(["one", "two"], source=source, digest="d") for source in sources])

    counted = record.counts().since_start
    assert (counted["event:accepted"], counted["event:duplicate"], counted["delivery:created"]) == (2, 18, 4)
    series = Statistics(record.redis).series(utc_now())["hour"]
    assert (series.total("event:accepted"), series.total("source:github:accepted")) == (2, 1)


def test_what_is_large_goes_in_a_group_of_its_own(record, monkeypatch):
    gathering = Gathering(Collector(record), monkeypatch, 6)
    large = b"x" * (GROUP_BYTES // 2)

    receipts = gathering.send([make_entry([], body=large) for _ in range(6)])

    assert sorted(gathering.groups) == [1, 1, 2, 2]
    assert all(record.event(receipt.event_id) for receipt in receipts)


def test_what_makes_room_for_others_of_its_own_request_leaves_every_index(record):
    bounds = Bounds(kept=1, kept_bytes=1_000_000)
    entries = [replace(make_entry([], state=EventState.REJECTED), bounds=bounds) for _ in range(3)]

    Collector(record).record_all(entries)

    assert record.events([one.event.id for one in entries]) == [entries[-1].event]
    assert (record.counts().imbalances, record.counts().total_events) == ([], 1)
    assert record.redis.zcard(keys.EVENTS) == 1


def test_a_request_may_hold_more_than_lua_hands_over_at_once(record):
    Collector(record).record_all([make_entry(body=b"{}") for _ in range(5_000)])

    assert (record.counts().imbalances, record.counts().deliveries[State.PENDING]) == ([], 5_000)


def test_a_full_server_refuses_the_whole_group(valkey, record, monkeypatch):
    write(record, make_entry())
    gathering = Gathering(Collector(record), monkeypatch, 5)
    valkey.make_full()

    outcomes = gathering.send([make_entry(digest="d") for _ in range(5)])

    assert all(isinstance(outcome, RecordUnavailableError) for outcome in outcomes)
    assert (record.counts().imbalances, record.counts().total_events) == ([], 1)


@pytest.mark.parametrize("spoilt", [0, 4])
def test_an_entry_that_cannot_even_be_sent_harms_no_other(record, monkeypatch, spoilt):
    gathering = Gathering(Collector(record), monkeypatch, 10)
    entries = [make_entry() for _ in range(10)]
    entries[spoilt] = replace(entries[spoilt], event=replace(entries[spoilt].event, content_type="\ud800"))

    outcomes = gathering.send(entries)

    assert isinstance(outcomes.pop(spoilt), UnicodeEncodeError)
    assert all(record.event(receipt.event_id) for receipt in outcomes)
    assert not gathering.collector.record(make_entry()).duplicate
