"""An order on many does what was counted when it was given, once, and leaves alone what has changed since."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from relay.configuration.portals import load_portals
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.operations.bulk_replay import BulkReplays, OrderedBeforeError
from relay.operations.operator_acts import OperatorActs
from relay.operations.replay import Replayer
from relay.rules import load_rules
from relay.sources import load_sources
from relay.store.operators.bulk_replays import BulkAct
from relay.store.record.persons import PersonIndex
from relay.store.record.search import Filter
from tests.support.folders import SECRETS
from tests.support.making import bring_to, claim_one

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

    assert (done.state, done.replayed, done.skipped) == ("finished", 0, {"it has changed since it was ordered": 1})
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
