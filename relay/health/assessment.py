"""What needs a person now, with one threshold each: for the first page, the alerts, /metrics and `workers ping`. Pure.

A need is a fact with its numbers; how it is said is in words.py. What repairs itself is no need: an uncertain delivery
that the relay still looks into, a portal that has been away for a moment, a dead delivery that was replayed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from relay.core.reasons import explain
from relay.health.misfits import say_misfit
from relay.health.snapshot import PortalSnapshot, Snapshot
from relay.store.portals.gate import GateState
from relay.store.record.servers import TopologyCode, TopologyWarning
from relay.store.record.spool import Spooled

OLDEST_WAITING = timedelta(minutes=15)
SILENT = timedelta(days=1)
PAUSED = timedelta(minutes=5)
"""A portal in trouble is asked again within a minute; what is shorter than this mends itself."""
WRONG_CLOCK = timedelta(seconds=5)
AHEAD, BEHIND = "ahead", "behind"
"""Which way a clock is wrong: the reason of such a need."""


class NeedCode(StrEnum):
    """What kind of need. The words are also labels of the metric."""

    LEDGER = "ledger"
    DEAD = "dead"
    REJECTED = "rejected"
    UNCERTAIN = "uncertain"
    OVERDUE = "overdue"
    ORDER = "order_held"
    HELD = "portal_held"
    PAUSED = "portal_paused"
    METHOD = "method_held"
    WAITING = "waiting"
    DRIFT = "drift"
    MEMORY = "memory"
    ARCHIVE = "archive"
    FAILOVER = "failover"
    SPOOLED = "spooled"
    CLOCK = "clock"
    SILENT = "silent"
    FILES = "files_waiting"
    PORTAL_REMOVED = "portal_removed"
    RULE_REMOVED = "rule_removed"


class Grade(StrEnum):
    """How much it needs a person."""

    BAD = "bad"
    DOUBT = "doubt"
    CALM = "calm"
    """Worth a look; nobody is woken for it."""


@dataclass(frozen=True, slots=True)
class Need:
    """One thing. subject: a portal, a source, a rule or a process. count: how many. lasts: for how long.

    reason: of a gate or a method. until: when it ends by itself, where that is known. details: what else has to be
    said, such as what does not add up.
    """

    code: NeedCode
    grade: Grade
    subject: str = ""
    count: int = 0
    lasts: timedelta | None = None
    reason: str = ""
    details: tuple[str, ...] = ()
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From when on something is a need. silent_after: of sources that the operator has named; others: a day, calmly."""

    oldest_waiting: timedelta = OLDEST_WAITING
    silent_after: Mapping[str, timedelta] = field(default_factory=dict)


DEFAULT = Thresholds()


def assess(snapshot: Snapshot, thresholds: Thresholds, now: datetime) -> list[Need]:
    """Everything that needs a person now, the worst first."""
    needs = [
        *_of_record(snapshot, now),
        *_of_spool(snapshot.spooled, now),
        *assess_clock(snapshot.clock_ahead),
        *_of_configuration(snapshot, now),
        *(need for name, portal in snapshot.portals.items() for need in assess_portal(name, portal, thresholds, now)),
        *_of_sources(snapshot, thresholds, now),
    ]
    order = list(Grade)
    return sorted(needs, key=lambda need: order.index(need.grade))


def _of_record(snapshot: Snapshot, now: datetime) -> Iterator[Need]:
    if snapshot.ledger.imbalances:
        yield Need(NeedCode.LEDGER, Grade.BAD, details=tuple(snapshot.ledger.imbalances))
    if snapshot.dead:
        yield Need(NeedCode.DEAD, Grade.BAD, count=snapshot.dead)
    if snapshot.rejected:
        yield Need(NeedCode.REJECTED, Grade.DOUBT, count=snapshot.rejected)
    if snapshot.for_person:
        yield Need(NeedCode.UNCERTAIN, Grade.DOUBT, count=snapshot.for_person)
    if snapshot.overdue:
        yield Need(NeedCode.OVERDUE, Grade.DOUBT, count=snapshot.overdue)
    if snapshot.held_orders:
        yield Need(NeedCode.ORDER, Grade.DOUBT, count=len(snapshot.held_orders), details=snapshot.held_orders)
    if snapshot.memory.is_filling:
        grade = Grade.BAD if snapshot.memory.is_nearly_full else Grade.DOUBT
        yield Need(NeedCode.MEMORY, grade, count=round(snapshot.memory.share * 100))
    if faults := tuple(one.fault for one in snapshot.archives if one.is_faulty(now)):
        yield Need(NeedCode.ARCHIVE, Grade.BAD, count=len(faults), details=faults)
    if snapshot.misfits:
        details = tuple(say_misfit(misfit) for misfit in snapshot.misfits)
        yield Need(NeedCode.FAILOVER, _grade_of(snapshot.misfits), count=len(details), details=details)


def _grade_of(misfits: Sequence[TopologyWarning]) -> Grade:
    """Senders are sent away, bad; a failover may forget, in doubt; nobody has asked that it may not, calm."""
    codes = {misfit.code for misfit in misfits}
    if TopologyCode.TOO_FEW in codes:
        return Grade.BAD
    return Grade.CALM if codes <= {TopologyCode.UNWAITED, TopologyCode.FORBIDDEN} else Grade.DOUBT


def _of_spool(spooled: Spooled, now: datetime) -> Iterator[Need]:
    if waiting := spooled.requests + spooled.aside:
        grade = Grade.BAD if spooled.aside else Grade.DOUBT
        lasts = now - spooled.oldest if spooled.oldest else None
        yield Need(NeedCode.SPOOLED, grade, count=waiting, lasts=lasts, details=(str(spooled.aside),))


def assess_clock(ahead: timedelta) -> Iterator[Need]:
    """Whether the clock of this machine needs a person. All goes by the record's; but senders sign by the right one."""
    if abs(ahead) >= WRONG_CLOCK:
        yield Need(NeedCode.CLOCK, Grade.DOUBT, lasts=abs(ahead), reason=AHEAD if ahead > timedelta(0) else BEHIND)


def _of_configuration(snapshot: Snapshot, now: datetime) -> Iterator[Need]:
    for one in snapshot.waiting_files:
        yield Need(
            NeedCode.FILES,
            Grade.BAD,
            one.who,
            count=len(one.mistakes),
            lasts=now - one.since,
            details=tuple(map(str, one.mistakes)),
        )
    for name, count in snapshot.removed_portals.items():
        yield Need(NeedCode.PORTAL_REMOVED, Grade.BAD, name, count=count)
    for name, count in snapshot.removed_rules.items():
        # What they call was made before, and is sent all the same.
        yield Need(NeedCode.RULE_REMOVED, Grade.CALM, name, count=count)


def assess_portal(name: str, portal: PortalSnapshot, thresholds: Thresholds, now: datetime) -> Iterator[Need]:
    """What of one portal needs a person now."""
    gate = portal.gate
    lasts = now - gate.since if gate.since else timedelta(0)
    if gate.state is GateState.HELD:
        yield Need(NeedCode.HELD, Grade.BAD, name, lasts=lasts, reason=gate.reason or "", details=(gate.advice or "",))
    elif gate.state is GateState.PAUSED and (gate.by_person or lasts > PAUSED):
        until = gate.until if gate.by_person else None
        # Who has named an end needs nobody to end it.
        grade = Grade.CALM if until else Grade.DOUBT
        details = (gate.advice or "",)
        yield Need(NeedCode.PAUSED, grade, name, lasts=lasts, reason=gate.reason or "", details=details, until=until)
    yield from _of_methods(name, portal, now)
    waits = timedelta(seconds=portal.oldest_waiting_s)
    if waits > thresholds.oldest_waiting:
        yield Need(NeedCode.WAITING, Grade.DOUBT, name, count=portal.waiting, lasts=waits)
    if serious := [str(one) for one in portal.drift if one.is_serious]:
        yield Need(NeedCode.DRIFT, Grade.DOUBT, name, count=len(serious), details=tuple(serious))


def _of_methods(name: str, portal: PortalSnapshot, now: datetime) -> Iterator[Need]:
    for method in portal.learned.methods.values():
        block = method.block
        # What is used up mends itself; what the portal forbids does not.
        if block and not block.is_of_budget:
            details = (method.name, explain(block.reason) or "")
            lasts = now - block.since
            yield Need(NeedCode.METHOD, Grade.BAD, name, lasts=lasts, reason=block.reason, details=details)


def _of_sources(snapshot: Snapshot, thresholds: Thresholds, now: datetime) -> Iterator[Need]:
    for name, last in snapshot.last_events.items():
        longest = thresholds.silent_after.get(name, SILENT)
        # A source that never spoke may not be set up yet.
        if last and now - last > longest:
            grade = Grade.DOUBT if name in thresholds.silent_after else Grade.CALM
            yield Need(NeedCode.SILENT, grade, name, lasts=now - last)
