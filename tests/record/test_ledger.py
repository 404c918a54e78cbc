"""The ledger: it adds up after every step, and says what does not."""

from __future__ import annotations

import pytest

from relay.core.lifecycle import EventState, State
from relay.store.record.record import Record
from relay.store.redis import keys
from tests.support.making import bring_to, make_entry, write


def test_an_empty_record_balances(record):
    ledger = record.counts()

    assert ledger.imbalances == []
    assert (ledger.total, ledger.total_events, ledger.in_line, ledger.claimed, ledger.in_doubt) == (0, 0, 0, 0, 0)


def test_every_delivery_and_event_is_counted_in_exactly_one_state(record):
    for state in State:
        bring_to(record, state)
    for state in (EventState.IGNORED, EventState.REJECTED, EventState.REFUSED):
        write(record, make_entry([], state=state))

    ledger = record.counts()

    assert ledger.deliveries == dict.fromkeys(State, 1)
    assert ledger.events == {**dict.fromkeys(EventState, 1), EventState.ACCEPTED: 6}
    assert (ledger.in_line, ledger.claimed, ledger.in_doubt) == (2, 1, 1)
    assert ledger.imbalances == []
    assert ledger.to_wire() == {
        "balanced": True,
        "imbalances": [],
        "deliveries": {"total": 6, **{state.value: 1 for state in State}},
        "events": {"total": 9, "accepted": 6, "ignored": 1, "rejected": 1, "refused": 1},
        "since_start": {
            "event:accepted": 6,
            "event:ignored": 1,
            "event:rejected": 1,
            "event:refused": 1,
            "delivery:created": 6,
            "delivery:started": 1,
            "delivery:dead": 1,
        },
    }


def test_a_portal_that_comes_while_the_books_are_read_is_counted_too(record):
    class Late:
        """A server on which another portal's delivery is written between two readings."""

        def __getattr__(self, name):
            if name == "pipeline" and not self.__dict__.get("done"):
                self.done = True
                bring_to(record, State.PENDING, portal="second")
            return getattr(record.redis, name)

    bring_to(record, State.PENDING)

    assert Record(Late()).counts().imbalances == []


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (keys.DELIVERIES, "0 deliveries, but 1 in all states together"),
        (keys.DELIVERIES_BY_STATE + "pending", "1 deliveries, but 0 in all states together"),
        (keys.EVENTS, "0 events, but 1 in all states together"),
        (keys.COUNTERS, "1 events, but 0 in all states together"),
        (keys.WAITING + "main", "1 deliveries are pending or retrying, but 0 wait in line"),
        (keys.SENDING, "1 deliveries are sending, but 0 are claimed"),
        (keys.UNDECIDED, "1 deliveries are uncertain, but 0 are looked into or left to a person"),
    ],
)
def test_what_was_lost_is_noticed_and_named(redis, record, index, words):
    of = {keys.SENDING: State.SENDING, keys.UNDECIDED: State.UNCERTAIN}
    bring_to(record, of.get(index, State.PENDING))
    redis.delete(index)

    ledger = record.counts()

    assert words in ledger.imbalances
    assert ledger.to_wire()["balanced"] is False
