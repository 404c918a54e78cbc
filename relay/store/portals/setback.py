"""What follows when the record has gone back in time: nothing is sent that may have been sent already.

What goes on by itself is stopped: orders on many, which do not know how far they were, and the time at which a pause
of a person ends. Every portal's gate closes until a person resumes it. What waits in the record may have been sent
since, so it becomes uncertain, and the portal is asked about it after that. A document that may have been made is
looked for before it is made. Who is killed in the middle leaves it to the next: the mark is set last.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from relay.core.errors import RecordUnavailableError
from relay.core.events import SETTLE_S, Attempt, Delivery
from relay.core.ids import DELIVERY_PREFIX, earliest_id
from relay.core.lifecycle import State, Verdict
from relay.core.plan import StepKind
from relay.core.telemetry import get_logger
from relay.store.portals.gate import Gate
from relay.store.portals.learned import Echo, read_learned
from relay.store.record.high_water import HighWater, Mark
from relay.store.record.record import Record, Settlement
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.lease import lease

WENT_BACK = "went_back"
ORDERS_KEPT_S = 7 * 86_400
LEASE = timedelta(seconds=60)
AT_ONCE = 200
INTERVAL_S = 0.25
"""How often the mark is looked at and kept: what was acknowledged after that is not known to have been."""

log = get_logger()


def notice(redis: Redis, record: Record, high_water: HighWater, holder: str, now: datetime) -> Mark | None:
    """How far the record is; None where it has gone back: what may have been sent was held, or is being held.

    Raises RecordUnavailableError.
    """
    reached, highest = high_water.compare()
    if reached >= highest:
        return reached
    with lease(redis, "setback", holder, LEASE) as is_ours:
        reached, highest = high_water.compare()  # another process may have dealt with it
        if is_ours and reached < highest:
            hold(redis, record, high_water, highest, now)
    return None


def hold(redis: Redis, record: Record, high_water: HighWater, passed: Mark, now: datetime) -> None:
    """Hold what may have been sent since the record was as it is now. passed: how far it had come."""
    missing = passed.promises - high_water.read().promises
    orders, portals = _hold_orders(redis), _portals(redis)
    for portal in portals:
        Gate(redis, portal).hold_for_person(WENT_BACK, now)
    marks = {portal: _own_id_at(redis, portal) for portal in portals}
    held = sum(_hold_all(record, state, marks, now) for state in (State.PENDING, State.RETRYING, State.SENDING))
    high_water.begin_generation(passed)
    log.error("record.went_back", missing_promises=missing, deliveries_held=held, orders_held=orders, portals=portals)


def run_watch(look: Callable[[], object], high_water: HighWater, stop: threading.Event) -> None:
    """Look at the mark and keep it, until told to stop."""
    while not stop.wait(INTERVAL_S):
        try:
            look()
        except RecordUnavailableError:
            continue  # whoever needs it says so
        high_water.keep()


@guarded
def _hold_orders(redis: Redis) -> int:
    """Leave word to the orders on many that run (store/operators/bulk_replays.py); how many there are."""
    found: Any = redis.smembers(keys.BULKS)
    for order in found:
        redis.set(keys.bulk_word(order.decode()), "held", ex=ORDERS_KEPT_S)
    return len(found)


@guarded
def _portals(redis: Redis) -> list[str]:
    found: Any = redis.smembers(keys.PORTALS)
    return sorted(name.decode() for name in found)


def _own_id_at(redis: Redis, portal: str) -> str:
    """To which address starts that were forgotten went under ids of ours; empty where that is not known.

    On record is that the portal honours them only while none has been sent without one (workers/portal/pace.py).
    """
    learned = read_learned(redis, portal)
    return learned.own_id_at if learned.own_id is Echo.HONOURED else ""


def _hold_all(record: Record, state: State, marks: Mapping[str, str], now: datetime) -> int:
    """How many of this state there were. What has come since is not among them: nobody has sent it."""
    cursor: str | None = earliest_id(DELIVERY_PREFIX, now)
    count = 0
    while ids := record.page(keys.DELIVERIES_BY_STATE + state, before=cursor, limit=AT_ONCE):
        count += _hold_some(record, record.deliveries(ids), marks, now)
        cursor = ids[-1]
    return count


def _hold_some(record: Record, deliveries: Sequence[Delivery], marks: Mapping[str, str], now: datetime) -> int:
    # What is claimed for its start alone is uncertain by itself, when its claim has lapsed.
    own = [one for one in deliveries if one.state is not State.SENDING or one.next_step]
    results = record.settle_all([_held(one, marks.get(one.call.portal, ""), now) for one in own], now)
    return sum(result is None for result in results)


def _held(delivery: Delivery, own_id_at: str, now: datetime) -> Settlement:
    """Of a start alone the portal can be asked; of steps before it only a person can say how far they went."""
    done = {result.name for result in delivery.results}
    makes = [step.name for step in delivery.plan.steps if step.kind is StepKind.MAKE] if delivery.plan else []
    unsure = tuple(dict.fromkeys((*delivery.unsure, *(name for name in makes if name not in done))))
    after = replace(delivery, own_id_at=own_id_at, unsure=unsure if delivery.next_step else delivery.unsure)
    next_at = None if delivery.next_step else now + timedelta(seconds=SETTLE_S)
    # By this time a workflow that was started is recognised: not before it (workers/delivery/reconcile.py).
    tried = Attempt(delivery.next_number, delivery.updated_at, 0, Verdict.AMBIGUOUS, description="forgotten, if any")
    return Settlement(delivery, State.UNCERTAIN, WENT_BACK, tried, next_at=next_at, after=after)
