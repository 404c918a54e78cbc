"""Whatever is asked for, in any combination: a search finds what a reader of everything finds, in pages of any size."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from relay.core.lifecycle import EventState, State
from relay.store import Store
from relay.store.record import search
from relay.store.record.search import PERIOD_MS, Filter, ids_of_deliveries, list_deliveries, list_events
from relay.store.redis import keys
from tests.support.making import NOON, claim_one, make_call, make_delivery, make_entry, write

SOURCES, RULES, PORTALS, REASONS = ("website", "github"), ("one", "two"), ("main", "second"), ("busy", "cut", "")
PERIOD = timedelta(milliseconds=PERIOD_MS)
SETTLED = (State.STARTED, State.DEAD, State.UNCERTAIN, State.RETRYING)


def write_many(record, chance, count):
    """Events of all kinds over some periods, with long breaks between them."""
    at = NOON
    for _ in range(count):
        at += chance.choice((PERIOD / 9, PERIOD / 3, 4 * PERIOD))
        rules = chance.sample(RULES, chance.randrange(3))
        entry = make_entry(rules, at=at, source=chance.choice(SOURCES), state=None if rules else EventState.REJECTED)
        calls = [make_call(chance.choice(PORTALS), lead=chance.randrange(3)) for _ in rules]
        deliveries = [replace(one, call=call) for one, call in zip(entry.deliveries, calls, strict=True)]
        marks = ("a-person",) if chance.random() < 0.2 else ()
        write(record, replace(entry, event=replace(entry.event, person_keys=marks), deliveries=deliveries))
        for delivery in deliveries:
            if chance.random() < 0.8:
                carry_on(record, chance, delivery, at)


def carry_on(record, chance, delivery, at):
    claimed = claim_one(record, delivery, at)
    state = chance.choice(SETTLED)
    record.settle(claimed, state, at, reason=chance.choice(REASONS), next_at=at)
    if state is State.DEAD and chance.random() < 0.5:  # replayed in a later period than its event's
        fresh = make_delivery(delivery.event_id, delivery.rule, at + chance.choice((2, 40)) * PERIOD, delivery.call)
        record.replay(record.event(delivery.event_id), record.delivery(delivery.id), [fresh])


def everything(record):
    """Every event with its deliveries, newest first."""
    events = record.events(record.page(keys.EVENTS, limit=10_000))
    return [search.row_of(record, event) for event in events]


def filters():
    """Every combination of a few values of everything that can be asked for."""
    states = (None, State.STARTED, State.DEAD, EventState.ACCEPTED, EventState.REJECTED)
    for state, source, rule, portal in product(states, (None, "github"), (None, "two"), (None, "second")):
        yield Filter(state, source, rule=rule, portal=portal)
        yield Filter(state, source, rule=rule, code="busy", document_id="LEAD_1")
    yield Filter(template_id=1, code="cut", source="website")
    yield Filter(person_key="a-person", rule="one")
    within = {"since": NOON + 7 * PERIOD, "until": NOON + 20 * PERIOD}
    for asked in ({}, {"rule": "one"}, {"state": State.DEAD}, {"state": State.PENDING}):
        for of_event in ({}, {"source": "github"}, {"person_key": "a-person"}):
            yield Filter(**asked, **of_event, **within)
            yield Filter(**asked, **of_event, since=NOON + 50 * PERIOD)
    yield Filter(rule="nobody's")


def pages(record, read, wanted, limit):
    """All rows of all pages."""
    rows, cursor = [], None
    for _ in range(1_000):
        page = read(record, wanted, cursor, limit)
        rows += page.rows
        cursor = page.cursor
        if cursor is None:
            return rows
    raise AssertionError("there is no end")


def is_in_time(wanted, moment):
    return (wanted.since is None or moment >= wanted.since) and (wanted.until is None or moment < wanted.until)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_search_finds_what_a_reader_of_everything_finds(record, monkeypatch, seed):
    chance = random.Random(seed)  # noqa: S311 - the same each time
    monkeypatch.setattr(search, "AT_ONCE", chance.choice((3, 7, 2_500)))
    monkeypatch.setattr(search, "LOOKED_AT", chance.choice((5, 10_000)))
    write_many(record, chance, 60)
    rows = everything(record)

    for wanted in filters():
        limit = chance.choice((1, 4, 50))
        expected = {
            one.id
            for row in rows
            for one in row.deliveries
            if wanted.wants_delivery(one) and wanted.wants_event(row.event) and is_in_time(wanted, one.created_at)
        }
        found = [one.id for one in pages(record, list_deliveries, wanted, limit)]
        assert set(found) == expected, wanted
        assert len(found) == len(set(found)), wanted
        assert set(ids_of_deliveries(record, wanted, 10_000)) == expected, wanted

        expected = {
            row.event.id
            for row in rows
            if wanted.wants_event(row.event)
            and (
                any(wanted.wants_delivery(one) and is_in_time(wanted, one.created_at) for one in row.deliveries)
                if wanted.is_of_deliveries
                else is_in_time(wanted, row.event.received_at)
            )
        }
        found = [row.event.id for row in pages(record, list_events, wanted, limit)]
        assert set(found) == expected, wanted
    assert record.counts().imbalances == []


def test_a_value_that_only_few_periods_have_is_found_without_a_look_at_the_others(record, monkeypatch):
    monkeypatch.setattr(search, "LOOKED_AT", 20)
    rare = make_entry(["rare"])
    write(record, rare)
    for number in range(1, 100):
        write(record, make_entry(["common"], at=NOON + number * PERIOD))

    page = list_events(record, Filter(rule="rare"))

    assert [row.event.id for row in page.rows] == [rare.event.id]


def test_how_many_there_are_and_when_the_newest_came_is_known_of_sources_and_rules(record, redis):
    store = Store(redis)
    for number, source in enumerate(("website", "website", "github", "website")):
        write(
            record, make_entry(["one", "two"] if source == "github" else [], at=NOON + number * PERIOD, source=source)
        )

    sources, rules = store.statistics.of_sources(["website", "github", "quiet"]), store.statistics.of_rules(["one"])

    assert [(sources[name].size, sources[name].newest) for name in ("website", "github", "quiet")] == [
        (3, NOON + 3 * PERIOD), (1, NOON + 2 * PERIOD), (0, None),
    ]  # fmt: skip
    assert (rules["one"].size, rules["one"].newest) == (1, NOON + 2 * PERIOD)


def test_what_is_forgotten_takes_its_periods_and_counts_along(record, redis):
    entries = [make_entry(["one"], at=NOON + number * PERIOD) for number in range(4)]
    for entry in entries:
        write(record, entry)
        record.settle(claim_one(record, entry.deliveries[0]), State.DEAD, NOON, reason="busy")

    assert all(record.prune(entry.event.id) for entry in entries[:3])
    assert {redis.zcard(index) for index in redis.smembers(keys.FACETS)} == {1}
    assert Store(redis).statistics.of_rules(["one"])["one"].size == 1

    assert record.prune(entries[3].event.id)
    assert not redis.exists(keys.FACETS, keys.COUNTERS)
    assert not [key for key in redis.scan_iter("relay:*") if b":by:" in key or b":source:" in key]
