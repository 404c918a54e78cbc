"""Open issues: one snapshot of the relay, one assessment of it, and one threshold for each issue.

The first page, the alerts, /metrics and `workers ping` all use it. An issue is a fact with its numbers; `words` puts it
in words. What repairs itself is no issue: an uncertain delivery that the relay still looks into, a portal that was away
for a moment, a dead delivery that was replayed. Thresholds come from config/alerts.yaml. This module only reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from relay.configuration.alerts import load_alerting_thresholds
from relay.core.events import PROOF, SPAM
from relay.core.ids import clock_ahead_ms
from relay.core.lifecycle import EventState
from relay.core.phrases import Phrase, phrase
from relay.core.reasons import explain
from relay.core.templates import Drift, read_drift
from relay.store import Store
from relay.store.archive.archive import KnownArchive
from relay.store.operators.alerts import KnownChannel
from relay.store.operators.kept_files import WaitingFiles
from relay.store.portals.gate import GateState, View
from relay.store.portals.learned import Learned
from relay.store.record.ledger import Ledger
from relay.store.record.servers import Memory, TopologyCode, TopologyWarning
from relay.store.record.spool import EMPTY, Spooled

TOPOLOGY_WORDS: Mapping[TopologyCode, str] = {
    TopologyCode.UNWAITED: "RELAY_REPLICAS is not set: a failover may lose what was acknowledged in the moments before "
    "it, and start twice what was sent in them; set it to the number of replicas",
    TopologyCode.TOO_FEW: "%(found)s of %(wanted)s replicas follow the primary: nothing is taken in or sent; start the "
    "missing ones, or lower RELAY_REPLICAS and know what that gives up",
    TopologyCode.TOO_MANY: "%(found)s replicas follow the primary and %(wanted)s are waited for: one that has not "
    "answered may be promoted; set RELAY_REPLICAS=%(found)s, or take the others away",
    TopologyCode.NEVER_PROMOTED: "%(server)s has replica-priority 0: it is waited for and cannot take over; set 100",
    TopologyCode.NOT_DURABLE: "%(server)s has %(found)s: it answers before it is on disk; set %(wanted)s",
    TopologyCode.WRITES_ALONE: "%(server)s has min-replicas-to-write %(found)s: cut off, it goes on writing what a "
    "failover forgets; set %(wanted)s",
    TopologyCode.LONG_LAG: "%(server)s has min-replicas-max-lag %(found)s: cut off, it goes on writing for so many "
    "seconds; set %(wanted)s or less",
    TopologyCode.UNREACHABLE: "%(server)s cannot be asked how it is set: it must be reachable as it announces itself",
    TopologyCode.FORBIDDEN: "%(server)s forbids CONFIG: make sure of appendfsync always and min-replicas-to-write",
    TopologyCode.FEW_SENTINELS: "REDIS_URL names %(found)s sentinels: with %(wanted)s, one may be away",
}


def say_topology_warning(warning: TopologyWarning) -> Phrase:
    """A warning in words: the fact, its consequence, the remedy."""
    return phrase(TOPOLOGY_WORDS[warning.code], server=warning.server, found=warning.found, wanted=warning.wanted)


@dataclass(frozen=True, slots=True)
class PortalSnapshot:
    """One portal. waiting: pending and retrying deliveries. due: those that may be sent now.

    oldest_waiting_s: how long the oldest one could have been sent; 0: none waits.
    drift: mismatches of rules and its templates.
    """

    gate: View
    learned: Learned
    waiting: int
    due: int
    oldest_waiting_s: float
    drift: tuple[Drift, ...]


@dataclass(frozen=True, slots=True)
class Refusals:
    """The requests of a source that were refused in the last hour. count: how many, of the total.

    reason, near_miss: the most frequent ones of the newest; empty where none was kept.
    """

    count: int
    total: int
    reason: str = ""
    near_miss: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the whole relay, read at once.

    for_person: uncertain deliveries that only a person can decide. dead: unresolved dead deliveries.
    rejected: unresolved rejected events. overdue: no completion callback arrived. held_orders: ids of held bulk
    replays. topology_warnings: what a failover may forget, and why.
    last_events: time of each source's last event; None: never. probes: answered probes of each source.
    archives: the archive folders. spooled: requests that wait on this machine's disk. clock_ahead: how far this
    machine's clock is ahead of the record's. waiting_files: changed files that cannot be put in force.
    removed_portals, removed_rules: open deliveries of portals and rules that are no longer in the configuration.
    refusals: by source. channels: those of the alerts.
    """

    ledger: Ledger
    for_person: int
    dead: int
    overdue: int
    memory: Memory
    topology_warnings: Sequence[TopologyWarning]
    portals: Mapping[str, PortalSnapshot]
    last_events: Mapping[str, datetime | None]
    probes: Mapping[str, int]
    archives: tuple[KnownArchive, ...] = ()
    rejected: int = 0
    held_orders: tuple[str, ...] = ()
    spooled: Spooled = EMPTY
    clock_ahead: timedelta = timedelta(0)
    waiting_files: tuple[WaitingFiles, ...] = ()
    removed_portals: Mapping[str, int] = field(default_factory=dict)
    removed_rules: Mapping[str, int] = field(default_factory=dict)
    refusals: Mapping[str, Refusals] = field(default_factory=dict)
    channels: Sequence[KnownChannel] = ()


def take_snapshot(
    store: Store, portals: Iterable[str], sources: Iterable[str], now: datetime, spooled: Spooled = EMPTY
) -> Snapshot:
    """Read the state now. spooled: the requests on this machine's disk.

    Raises RecordUnavailableError.
    """
    names, portals = list(sources), list(portals)
    removed_portals, removed_rules = store.left_behind(portals)
    presence, probes = store.statistics.of_sources(names), store.senders.probes(names)
    return Snapshot(
        ledger=store.record.counts(),
        for_person=store.record.unresolved_uncertain(),
        dead=store.record.unresolved_dead(),
        overdue=store.endings.overdue(),
        memory=store.servers.memory(),
        topology_warnings=store.servers.warnings(),
        portals={name: snapshot_of_portal(store, name, now) for name in portals},
        last_events={name: one.newest for name, one in presence.items()},
        probes={name: one.count for name, one in probes.items()},
        archives=tuple(store.archives.all()),
        rejected=store.record.unresolved_rejected(),
        held_orders=tuple(store.operators.bulk_replays.held()),
        spooled=spooled,
        clock_ahead=timedelta(milliseconds=clock_ahead_ms()),
        waiting_files=tuple(store.files.waiting(now)),
        removed_portals=removed_portals,
        removed_rules=removed_rules,
        refusals=dict(_refusals_in(store, now)),
        channels=store.operators.alerts.channels(now),
    )


def _refusals_in(store: Store, now: datetime) -> Iterator[tuple[str, Refusals]]:
    for source, counts in store.statistics.answered(now).items():
        if count := counts[EventState.REFUSED]:
            newest = store.record.events(store.record.newest_unproven(source, NEWEST_REFUSED))
            refused = [event for event in newest if event.state is EventState.REFUSED]
            reason = _most_frequent(event.reason or "" for event in refused)
            near_miss = _most_frequent(one for event in refused for one in event.errors.get(PROOF, ()))
            yield source, Refusals(count, counts.total(), reason, near_miss)


def _most_frequent(texts: Iterable[str]) -> str:
    return next((text for text, _ in Counter(texts).most_common(1)), "")


def snapshot_of_portal(store: Store, name: str, now: datetime) -> PortalSnapshot:
    """Read the state of one portal. Raises RecordUnavailableError."""
    kept = store.portal(name)
    return PortalSnapshot(
        gate=kept.gate.look(),
        learned=kept.learned(),
        waiting=kept.in_line(),
        due=store.record.due(name, now),
        oldest_waiting_s=kept.oldest_waiting_s(now),
        drift=tuple(read_drift(kept.drift())),
    )


OLDEST_WAITING = timedelta(minutes=15)
SILENT = timedelta(days=1)
PAUSED = timedelta(minutes=5)
"""A portal in trouble is asked again within a minute; shorter pauses end without help."""
WRONG_CLOCK = timedelta(seconds=5)
UNSENT = timedelta(minutes=2)
"""A channel that takes no message for this long needs a person."""
NEWEST_REFUSED = 20
"""Refused requests of a source that are read for their reasons."""
MANY_REFUSED, SHARE_REFUSED = 5, 0.1
"""So many refused requests, and at least this part of all, are the sender's; fewer may be a stranger's."""
AHEAD, BEHIND = "ahead", "behind"
"""Directions in which a clock is wrong: reasons of a clock issue."""


class IssueCode(StrEnum):
    """Kinds of issues. The words are also labels of the metric `relay_needs`."""

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
    REFUSED = "refused"
    CHANNEL = "channel"
    FILES = "files_waiting"
    PORTAL_REMOVED = "portal_removed"
    RULE_REMOVED = "rule_removed"


class Grade(StrEnum):
    """How urgently an issue needs a person."""

    BAD = "bad"
    DOUBT = "doubt"
    CALM = "calm"
    """Worth a look, but no alert."""


@dataclass(frozen=True, slots=True)
class OpenIssue:
    """One issue. subject: a portal, a source, a rule or a process. count: how many. lasts: for how long.

    total: of how many, of refused requests. reason: of a gate, a method or a refusal. until: when it ends without help,
    if that is known. details: further facts, such as imbalances of the ledger.
    """

    code: IssueCode
    grade: Grade
    subject: str = ""
    count: int = 0
    lasts: timedelta | None = None
    reason: str = ""
    details: tuple[str, ...] = ()
    until: datetime | None = None
    total: int = 0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Limits above which something is an issue. silent_after: for sources that the operator named; others: a day,
    calm.
    """

    oldest_waiting: timedelta = OLDEST_WAITING
    silent_after: Mapping[str, timedelta] = field(default_factory=dict)


DEFAULT = Thresholds()


def assess(snapshot: Snapshot, thresholds: Thresholds, now: datetime) -> list[OpenIssue]:
    """All open issues, the worst first."""
    needs = [
        *_of_record(snapshot, now),
        *_of_spool(snapshot.spooled, now),
        *assess_clock(snapshot.clock_ahead),
        *_of_configuration(snapshot, now),
        *(need for name, portal in snapshot.portals.items() for need in assess_portal(name, portal, thresholds, now)),
        *_of_refusals(snapshot.refusals),
        *_of_sources(snapshot, thresholds, now),
        *_of_channels(snapshot.channels, now),
    ]
    order = list(Grade)
    return sorted(needs, key=lambda need: order.index(need.grade))


def _of_record(snapshot: Snapshot, now: datetime) -> Iterator[OpenIssue]:
    if snapshot.ledger.imbalances:
        yield OpenIssue(IssueCode.LEDGER, Grade.BAD, details=tuple(snapshot.ledger.imbalances))
    if snapshot.dead:
        yield OpenIssue(IssueCode.DEAD, Grade.BAD, count=snapshot.dead)
    if snapshot.rejected:
        yield OpenIssue(IssueCode.REJECTED, Grade.DOUBT, count=snapshot.rejected)
    if snapshot.for_person:
        yield OpenIssue(IssueCode.UNCERTAIN, Grade.DOUBT, count=snapshot.for_person)
    if snapshot.overdue:
        yield OpenIssue(IssueCode.OVERDUE, Grade.DOUBT, count=snapshot.overdue)
    if snapshot.held_orders:
        yield OpenIssue(IssueCode.ORDER, Grade.DOUBT, count=len(snapshot.held_orders), details=snapshot.held_orders)
    if snapshot.memory.is_filling:
        grade = Grade.BAD if snapshot.memory.is_nearly_full else Grade.DOUBT
        yield OpenIssue(IssueCode.MEMORY, grade, count=round(snapshot.memory.share * 100))
    if faults := tuple(one.fault for one in snapshot.archives if one.is_faulty(now)):
        yield OpenIssue(IssueCode.ARCHIVE, Grade.BAD, count=len(faults), details=faults)
    if snapshot.topology_warnings:
        details = tuple(say_topology_warning(warning) for warning in snapshot.topology_warnings)
        yield OpenIssue(IssueCode.FAILOVER, _grade_of(snapshot.topology_warnings), count=len(details), details=details)


def _grade_of(topology_warnings: Sequence[TopologyWarning]) -> Grade:
    """Bad if senders are refused; in doubt if a failover may lose events; calm if no safety against that is
    configured.
    """
    codes = {warning.code for warning in topology_warnings}
    if TopologyCode.TOO_FEW in codes:
        return Grade.BAD
    return Grade.CALM if codes <= {TopologyCode.UNWAITED, TopologyCode.FORBIDDEN} else Grade.DOUBT


def _of_spool(spooled: Spooled, now: datetime) -> Iterator[OpenIssue]:
    if waiting := spooled.requests + spooled.aside:
        grade = Grade.BAD if spooled.aside else Grade.DOUBT
        lasts = now - spooled.oldest if spooled.oldest else None
        yield OpenIssue(IssueCode.SPOOLED, grade, count=waiting, lasts=lasts, details=(str(spooled.aside),))


def assess_clock(ahead: timedelta) -> Iterator[OpenIssue]:
    """Check this machine's clock against the record's, which all processes follow. Senders sign by the correct time."""
    if abs(ahead) >= WRONG_CLOCK:
        yield OpenIssue(
            IssueCode.CLOCK, Grade.DOUBT, lasts=abs(ahead), reason=AHEAD if ahead > timedelta(0) else BEHIND
        )


def _of_configuration(snapshot: Snapshot, now: datetime) -> Iterator[OpenIssue]:
    for one in snapshot.waiting_files:
        yield OpenIssue(
            IssueCode.FILES,
            Grade.BAD,
            one.who,
            count=len(one.mistakes),
            lasts=now - one.since,
            details=tuple(map(str, one.mistakes)),
        )
    for name, count in snapshot.removed_portals.items():
        yield OpenIssue(IssueCode.PORTAL_REMOVED, Grade.BAD, name, count=count)
    for name, count in snapshot.removed_rules.items():
        # Their calls were made before and are still sent.
        yield OpenIssue(IssueCode.RULE_REMOVED, Grade.CALM, name, count=count)


def assess_portal(name: str, portal: PortalSnapshot, thresholds: Thresholds, now: datetime) -> Iterator[OpenIssue]:
    """The open issues of one portal."""
    gate = portal.gate
    lasts = now - gate.since if gate.since else timedelta(0)
    if gate.state is GateState.HELD:
        yield OpenIssue(
            IssueCode.HELD, Grade.BAD, name, lasts=lasts, reason=gate.reason or "", details=(gate.advice or "",)
        )
    elif gate.state is GateState.PAUSED and (gate.by_person or lasts > PAUSED):
        until = gate.until if gate.by_person else None
        # A pause with an end needs nobody to end it.
        grade = Grade.CALM if until else Grade.DOUBT
        details = (gate.advice or "",)
        yield OpenIssue(
            IssueCode.PAUSED, grade, name, lasts=lasts, reason=gate.reason or "", details=details, until=until
        )
    yield from _of_methods(name, portal, now)
    waits = timedelta(seconds=portal.oldest_waiting_s)
    if waits > thresholds.oldest_waiting:
        yield OpenIssue(IssueCode.WAITING, Grade.DOUBT, name, count=portal.waiting, lasts=waits)
    if serious := [str(one) for one in portal.drift if one.is_serious]:
        yield OpenIssue(IssueCode.DRIFT, Grade.DOUBT, name, count=len(serious), details=tuple(serious))


def _of_methods(name: str, portal: PortalSnapshot, now: datetime) -> Iterator[OpenIssue]:
    for method in portal.learned.methods.values():
        block = method.block
        # A used-up budget recovers without help; a method that the portal forbids does not.
        if block and not block.is_of_budget:
            details = (method.name, explain(block.reason) or "")
            lasts = now - block.since
            yield OpenIssue(IssueCode.METHOD, Grade.BAD, name, lasts=lasts, reason=block.reason, details=details)


def _of_refusals(refusals: Mapping[str, Refusals]) -> Iterator[OpenIssue]:
    for name, one in refusals.items():
        if one.reason in SPAM:
            continue
        is_many = one.count >= MANY_REFUSED and one.count >= SHARE_REFUSED * one.total
        # A near miss knows the secret, so it is the sender's and not a stranger's.
        grade = Grade.DOUBT if one.near_miss or is_many else Grade.CALM
        details = (one.near_miss,) if one.near_miss else ()
        yield OpenIssue(
            IssueCode.REFUSED, grade, name, count=one.count, reason=one.reason, details=details, total=one.total
        )


def _of_channels(channels: Sequence[KnownChannel], now: datetime) -> Iterator[OpenIssue]:
    for one in channels:
        if one.fault:
            lasts = now - (one.fault_since or one.fault_at or now)
            # The next try, half a minute later, may get through.
            grade = Grade.DOUBT if lasts >= UNSENT else Grade.CALM
            yield OpenIssue(IssueCode.CHANNEL, grade, one.name, lasts=lasts, reason=one.fault)


def _of_sources(snapshot: Snapshot, thresholds: Thresholds, now: datetime) -> Iterator[OpenIssue]:
    for name, last in snapshot.last_events.items():
        longest = thresholds.silent_after.get(name, SILENT)
        # A source without any event may not be set up yet.
        if last and now - last > longest:
            grade = Grade.DOUBT if name in thresholds.silent_after else Grade.CALM
            yield OpenIssue(IssueCode.SILENT, grade, name, lasts=now - last)


def load_thresholds(folder: Path) -> Thresholds:
    """The thresholds of the configuration in this folder. Raises ConfigError."""
    said = load_alerting_thresholds(folder)
    return Thresholds(*said) if said else DEFAULT
