"""What else a record has beside many that have come to their end: the other states, and what is packed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from relay.core.ids import EVENT_PREFIX, earliest_id, utc_now
from relay.core.lifecycle import EventState, State
from relay.store.record.compaction import Compaction
from relay.store.record.entries import Entry, Load, Settlement
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Record, record_call
from relay.store.redis.scripts import run
from tests.bench.filling import FIRST, SPREAD, Sample, entry_of

AT_ONCE = 50
WITH_DELIVERY = 3
LOAD = Load(limit=AT_ONCE, budget_ms=AT_ONCE, unknown_ms=1)
WITHOUT_DELIVERY: dict[EventState, dict[str, Any]] = {
    EventState.REJECTED: {"reason": "rule_not_filled", "errors": {"lead_id": ["expected a whole number"]}},
    EventState.IGNORED: {"reason": "no_rule"},
    EventState.REFUSED: {"reason": "wrong_token"},
}


def fill_other_states(record: Record, persons: PersonIndex, each: int) -> int:
    """After those, through the record's own scripts: so many in every state that is no end of a delivery; how many."""
    for number in range(0, each, AT_ONCE):
        samples = (Sample(number + place, each, 0) for place in range(AT_ONCE))
        run(record.redis, record_call([_one_of_each(sample, persons) for sample in samples]))
    for state, reason, next_at in ((State.UNCERTAIN, "read_timeout", None), (State.RETRYING, "throttled", utc_now())):
        left = each
        while left:
            claimed = record.claim("main", f"{state}-{left}", utc_now(), LOAD)
            record.settle_all([Settlement(one, state, reason, next_at=next_at) for one in claimed], utc_now())
            left -= len(claimed)
    return each * (len(WITHOUT_DELIVERY) + WITH_DELIVERY)


def _one_of_each(sample: Sample, persons: PersonIndex) -> list[Entry]:
    """An event of each state without deliveries, and three with one: in the end uncertain, retrying and pending."""
    at = FIRST + SPREAD + timedelta(seconds=sample.number)
    entries = [entry_of(sample, persons, at) for _ in range(len(WITHOUT_DELIVERY) + WITH_DELIVERY)]
    for place, (state, more) in enumerate(WITHOUT_DELIVERY.items()):
        event = replace(entries[place].event, state=state, deliveries=(), **more)
        entries[place] = replace(entries[place], event=event, deliveries=())
    return entries


def pack_some(redis: Redis, after: datetime, most: int) -> int:
    """Pack so many of the events after a time, with their deliveries; how many hashes."""
    compaction, place, packed = Compaction(redis), earliest_id(EVENT_PREFIX, after), 0
    for _ in range(most // AT_ONCE):
        found = compaction.packable(utc_now(), place, AT_ONCE)
        packed += compaction.pack(found.keys)
        place = found.last or place
    return packed
