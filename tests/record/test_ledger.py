"""The ledger: it adds up after every step, and says what does not."""

from __future__ import annotations

import pytest

from relay.lifecycle import EventState, State
from relay.store import keys
from tests.support.making import bring_to, make_entry, write


def test_an_empty_record_balances(record):
    ledger = record.counts()

    assert ledger.imbalances == []
    assert (ledger.total, ledger.total_events, ledger.on_clock) == (0, 0, 0)


def test_every_delivery_and_event_is_counted_in_exactly_one_state(record):
    for state in State:
        bring_to(record, state)
    for state in (EventState.IGNORED, EventState.REJECTED, EventState.REFUSED):
        write(record, make_entry([], state=state))

    ledger = record.counts()

    assert ledger.deliveries == dict.fromkeys(State, 1)
    assert ledger.events == {**dict.fromkeys(EventState, 1), EventState.ACCEPTED: 6}
    assert ledger.on_clock == 4
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


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (keys.DELIVERIES, "0 deliveries, but 1 in all states together"),
        (keys.DELIVERIES_BY_STATE + "pending", "1 deliveries, but 0 in all states together"),
        (keys.EVENTS, "0 events, but 1 in all states together"),
        (keys.EVENTS_BY_STATE + "accepted", "1 events, but 0 in all states together"),
        (keys.CLOCK, "1 deliveries are not final, but 0 are on the clock"),
    ],
)
def test_what_was_lost_is_noticed_and_named(redis, record, index, words):
    bring_to(record, State.PENDING)
    redis.delete(index)

    ledger = record.counts()

    assert words in ledger.imbalances
    assert ledger.to_wire()["balanced"] is False
