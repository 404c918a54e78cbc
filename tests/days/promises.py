"""What has to hold on any day, every hour and in the end. Faults are sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from relay.core.events import Delivery, OnUncertain
from relay.core.lifecycle import FINAL, State
from relay.health.assessment import DEFAULT, IssueCode, assess_portal, snapshot_of_portal
from relay.store.redis import keys
from tests.days.chances import PORTALS
from workers.delivery.retry import BUDGET, delay_after

if TYPE_CHECKING:
    from relay.store import Store
    from relay.store.record.record import Record
    from tests.days.day import Day
    from tests.delivering.contexts import Clock


class Told(Protocol):
    """A world, as far as it is asked whether a person is told of what has not ended in it."""

    @property
    def record(self) -> Record: ...
    @property
    def store(self) -> Store: ...
    @property
    def clock(self) -> Clock: ...


BOUND = timedelta(hours=1)
"""So long, beside its own pause, a delivery may wait at a portal that is well: while others are sent, for a method's
operating time, or for its turn to try what was refused."""
SOON = timedelta(minutes=10)
CLAIMED = timedelta(minutes=4)
"""So long a claim may stand: the hard deadline, and a bit."""


def meanwhile(day: Day) -> list[str]:
    """What is wrong already."""
    now, found = day.clock.now, list(day.record.counts().imbalances)
    well = [name for name in PORTALS if not day.troubles[name] and now - day.well_since[name] > BOUND]
    for name in well:
        gate = day.store.portal(name).gate.look()
        if not gate.is_open and gate.since and now - gate.since > BOUND:
            found.append(f"{name} is well, and its gate {gate.state} since {now - gate.since}: {gate.reason}")
    for one in _open(day):
        name = one.call.portal
        if one.state is State.SENDING:
            found += [f"{_of(one)} stays claimed"] if now - one.updated_at > CLAIMED else []
        elif name in well and _is_in_line(day, one):
            due = max(_own_time(one), day.well_since[name])
            if now - due > BOUND:
                found.append(f"{_of(one)} waits for {now - due} longer than its own pause")
    return found


def in_the_end(day: Day) -> list[str]:
    """Everything has ended or is told, nothing twice, nothing untrue."""
    found = list(day.record.counts().imbalances)
    found += [f"{_of(one)} has not ended, and nobody is told" for one in untold(day)]
    for name in PORTALS:
        gate = day.store.portal(name).gate.look()
        if not gate.is_open:
            found.append(f"{name} is well, and its gate {gate.state}: {gate.reason}")
    return [*found, *_twice(day), *_untrue(day), *_out_of_order(day)]


def unsaid(day: Day, portal: str) -> list[str]:
    """A portal refuses something: what has waited for that for a while, a person is told of."""
    now, told = day.clock.now, _told_of(day, portal)
    own = [one for one in _open(day) if one.call.portal == portal and one.state is State.PENDING]
    late = [one for one in own if now - one.created_at > SOON and _is_in_line(day, one)]
    if IssueCode.PAUSED in told:
        return []  # the portal does not answer at all
    return [f"{_of(one)} waits, and nobody is told" for one in late if not _is_told(day, one, told)]


def untold(day: Told) -> list[Delivery]:
    """What has not ended, and no person is told of it."""
    still = _open(day)
    told = {name: _told_of(day, name) for name in {one.call.portal for one in still}}
    return [one for one in still if not _is_told(day, one, told[one.call.portal])]


def fired_for(day: Day, delivery: Delivery) -> int:
    """How often its trigger was fired."""
    target = delivery.call.document_id[2]
    return sum(one.target == target for one in day.served[delivery.call.portal].portal.triggers)


def _open(day: Told) -> list[Delivery]:
    indexes = [keys.DELIVERIES_BY_STATE + state for state in State if state not in FINAL]
    redis: Any = day.record.redis
    return day.record.deliveries(one.decode() for index in indexes for one in redis.zrange(index, 0, -1))


def _told_of(day: Told, portal: str) -> dict[IssueCode, set[str]]:
    """The needs of a portal, each with the methods that it names."""
    needs: dict[IssueCode, set[str]] = {}
    for need in assess_portal(portal, snapshot_of_portal(day.store, portal, day.clock.now), DEFAULT, day.clock.now):
        needs.setdefault(need.code, set()).add(need.details[0] if need.details else "")
    return needs


def _is_told(day: Told, delivery: Delivery, told: dict[IssueCode, set[str]]) -> bool:
    redis = day.record.redis
    if delivery.policy.is_ordered:
        first = min((one for one in _open(day) if _order(one) == _order(delivery)), key=lambda one: one.id)
        if first.id != delivery.id:
            return _is_told(day, first, told)
    if delivery.state is State.UNCERTAIN:
        return redis.zscore(keys.UNDECIDED, delivery.id) is not None
    if delivery.state is State.SENDING:
        return False
    return IssueCode.HELD in told or _method(delivery) in told.get(IssueCode.METHOD, set())


def _method(delivery: Delivery) -> str:
    return delivery.next_method or "bizproc.workflow.start"


def _order(delivery: Delivery) -> tuple[object, ...]:
    return delivery.policy.is_ordered, delivery.call.portal, delivery.call.document_id


def _is_in_line(day: Day, delivery: Delivery) -> bool:
    return day.record.redis.zscore(keys.BLOCKED + delivery.call.portal, delivery.id) is None


def _own_time(delivery: Delivery) -> datetime:
    """From when on nothing of its own keeps it from being sent."""
    if delivery.state is State.UNCERTAIN:
        return delivery.next_attempt_at or datetime.max.replace(tzinfo=delivery.created_at.tzinfo)
    if not delivery.attempts:
        return delivery.created_at
    if delivery.reason == "settled_by_person":
        return delivery.updated_at
    step, last = delivery.next_step, delivery.attempts[-1]
    failures = delivery.failures_of(step.name if step else "")
    return last.at + (delay_after(min(failures, BUDGET), 1.0) if failures else timedelta(0))


def _twice(day: Day) -> Iterator[str]:
    deliveries = day.deliveries()
    for name in PORTALS:
        own = [one for one in deliveries if one.call.portal == name]
        most = {str(one.call.parameters.get("Note")): _most(one) for one in own if not one.errors}
        started = Counter(str(one["parameters"].get("Note")) for one in day.workflows(name))
        for note, count in started.items():
            if count > most.get(note, 0):
                yield f"{count} workflows on {name} for {note}, where {most.get(note, 0)} may be"
        made = Counter(str(one.values.get("title")) for one in day.served[name].portal.items.made)
        yield from (f"{count} documents on {name} for {note}" for note, count in made.items() if count > 1)
        fired = Counter(one.target for one in day.served[name].portal.triggers)
        asked = Counter(one.call.document_id[2] for one in own)  # a replay fires again
        yield from (f"{count} times fired on {name} at {what}" for what, count in fired.items() if count > asked[what])


def _most(delivery: Delivery) -> int:
    return BUDGET if delivery.policy.on_uncertain is OnUncertain.RESEND else 1


def _untrue(day: Day) -> Iterator[str]:
    """What the record says of a workflow is so on the portal."""
    deliveries = day.deliveries()
    known = {one.workflow_id for one in deliveries}
    for one in deliveries:
        ids = [each["id"] for each in day.started_for(one)]
        is_proven = one.workflow_id is None and one.watched and one.watched.finished_at and ids
        if one.state is State.STARTED and one.workflow_id not in ids and not is_proven:
            yield f"{_of(one)} has not started {one.workflow_id}: there are {ids}"
        unknown = set(ids) - known
        if one.state is State.DEAD and unknown and not (one.reason or "").startswith("given_up"):
            yield f"{_of(one)} has started {unknown}"


def _out_of_order(day: Day) -> Iterator[str]:
    replayed = {str(one.call.parameters.get("Note")) for one in day.deliveries() if one.replay_of}
    ordered = {str(one.call.parameters.get("Note")) for one in day.deliveries() if one.policy.is_ordered}
    for name in PORTALS:
        rows = [one for one in day.workflows(name) if one["parameters"].get("Note") in ordered - replayed]
        for document in {one["document"][2] for one in rows}:
            notes = [str(one["parameters"]["Note"]) for one in rows if one["document"][2] == document]
            numbers = [int(note.partition("<")[0][1:]) for note in notes]
            if numbers != sorted(numbers):
                yield f"out of order on {name}, {document}: {notes}"


def _of(delivery: Delivery) -> str:
    note, tries = delivery.call.parameters.get("Note"), len(delivery.attempts)
    return f"{note} of {delivery.rule} ({delivery.id}: {delivery.state}, {delivery.reason}, {tries} tries)"
