"""An order on many does what was counted when it was given, once, and leaves alone what has changed since."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from relay.configuration.portals import load_portals
from relay.core.ids import utc_now
from relay.core.lifecycle import BulkAct, EventState, State
from relay.operations.bulk_replay import BulkReplays, OrderedBeforeError
from relay.operations.filters import read_filter
from relay.operations.operator_acts import OperatorActs, RefusedError
from relay.operations.replay import Replayer
from relay.rules import load_rules
from relay.sources import load_sources
from relay.store.record.persons import PersonIndex
from relay.store.record.search import Filter, ids_of_deliveries, ids_of_events, list_deliveries, list_events
from tests.support.folders import SECRETS
from tests.support.making import NOON, bring_to, claim_one, make_entry, write

UNCERTAIN = Filter(state=State.UNCERTAIN)


@pytest.fixture
def orders(store, config):
    """Orders with the shipped configuration."""
    sources, portals = load_sources(config / "sources.yaml", SECRETS), load_portals(config / "portals.yaml")
    rules = load_rules(config / "rules", sources=sources, portals=portals)
    return BulkReplays(store, OperatorActs(store, Replayer(store.record, sources, rules, PersonIndex("key"))))


def minutes_ago(count):
    return utc_now() - timedelta(minutes=count)


def test_what_became_uncertain_anew_is_not_sent_again_by_an_order_from_before(orders, record):
    delivery = bring_to(record, State.UNCERTAIN, minutes_ago(5))
    wanted = (UNCERTAIN, Filter(state=State.UNCERTAIN, rule=delivery.rule))
    first, second = (orders.begin(one, "original", "ann", act=BulkAct.AGAIN, note="looked") for one in wanted)
    assert orders.step(first.id).replayed == 1
    claimed = claim_one(record, delivery, utc_now())
    record.settle(claimed, State.UNCERTAIN, utc_now() + timedelta(seconds=1), reason="lost")

    done = orders.step(second.id)

    assert (done.state, done.replayed, done.skipped) == ("finished", 0, {"skipped_changed": 1})
    assert record.delivery(delivery.id).state is State.UNCERTAIN


def test_the_same_is_ordered_once_until_it_has_ended(orders, record, store):
    bring_to(record, State.UNCERTAIN, minutes_ago(5))
    first = orders.begin(UNCERTAIN, "original", "ann", act=BulkAct.AGAIN, note="looked")

    with pytest.raises(OrderedBeforeError, match=f"{first.id} does the same"):
        orders.begin(UNCERTAIN, "original", "bob", act=BulkAct.AGAIN, note="looked, too")
    assert orders.bulks.running() == [first.id]
    assert [act.what for act in store.operators.acts()] == ["bulk settle-again"]

    orders.step(first.id)
    bring_to(record, State.UNCERTAIN, minutes_ago(1))
    assert orders.begin(UNCERTAIN, "original", "bob", act=BulkAct.AGAIN, note="looked").id != first.id


@pytest.mark.parametrize("until", [None, timedelta(days=1), timedelta(minutes=-3)])
def test_what_comes_after_an_order_is_none_of_it_whatever_its_filter_says(orders, record, until):
    bring_to(record, State.DEAD, minutes_ago(5))
    wanted = Filter(state=State.DEAD, until=utc_now() + until if until else None)
    order = orders.begin(wanted, "original", "ann", act=BulkAct.LEAVE, note="known")
    later = bring_to(record, State.DEAD, utc_now() + timedelta(seconds=1))

    done = orders.step(order.id)

    assert (order.found, done.replayed) == (1, 1)
    assert record.is_unresolved_dead(later.id)


@pytest.mark.parametrize("act", [BulkAct.LEAVE, BulkAct.REPLAY])
def test_a_dry_run_counts_what_the_act_would_do(orders, record, act):
    left, _ = (bring_to(record, State.DEAD, minutes_ago(5)) for _ in range(2))
    record.leave(left.id)

    counted = orders.dry_run(Filter(state=State.DEAD), act)
    done = orders.step(orders.begin(Filter(state=State.DEAD), "original", "ann", act=act, note="known").id)

    assert counted.found == done.found == (1 if act is BulkAct.LEAVE else 2)
    with pytest.raises(RefusedError):
        orders.dry_run(UNCERTAIN, BulkAct.LEAVE)


def test_the_filter_of_a_group_finds_what_was_counted_and_nothing_else(record, store):
    for number, (reason, errors) in enumerate([("unreadable", {}), (None, {}), (None, {"id": ["missing"]})]):
        for second in range(number + 1):
            entry = make_entry([], state=EventState.REJECTED, at=NOON + timedelta(seconds=10 * number + second))
            write(record, replace(entry, event=replace(entry.event, reason=reason, errors=errors)))
    bring_to(record, State.DEAD)
    for _ in range(2):
        entry = make_entry(["a-rule"])
        trigger = replace(entry.deliveries[0], call=replace(entry.deliveries[0].call, template_id=0))
        write(record, replace(entry, deliveries=[trigger]))
        record.settle(claim_one(record, trigger), State.DEAD, NOON, reason="because")

    groups = store.open_issues.groups()

    assert sorted(group.count for group in groups) == [1, 1, 2, 2, 3]
    for group in groups:
        wanted = read_filter(group.filter.to_query())
        is_of_events = isinstance(group.state, EventState)
        ids_of, list_of = (ids_of_events, list_events) if is_of_events else (ids_of_deliveries, list_deliveries)
        assert len(ids_of(record, wanted, 100)) == len(list_of(record, wanted).rows) == group.count


def test_of_orders_that_are_given_at_the_same_time_one_is_kept(orders, record):
    bring_to(record, State.DEAD, minutes_ago(5))
    meet, kept, refused = threading.Barrier(4), [], []

    def order():
        meet.wait()
        try:
            kept.append(orders.begin(Filter(state=State.DEAD), "original", "ann").id)
        except OrderedBeforeError as error:
            refused.append(error.bulk_id)

    threads = [threading.Thread(target=order) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert refused == kept * 3
    assert orders.bulks.running() == kept
