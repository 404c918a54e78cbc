"""The signs of life of the whole relay, read at once: what /metrics tells and what alerts look at. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from relay.core.drift import Drift, read_drift
from relay.core.ids import clock_ahead_ms
from relay.store import Store
from relay.store.archive.archive import KnownArchive
from relay.store.operators.kept_files import WaitingFiles
from relay.store.portals.gate import View
from relay.store.portals.learned import Learned
from relay.store.record.ledger import Ledger
from relay.store.record.servers import Memory, TopologyWarning
from relay.store.record.spool import EMPTY, Spooled


@dataclass(frozen=True, slots=True)
class PortalSnapshot:
    """One portal. waiting: deliveries in line, pending and retrying; due: those of them that may be sent now.

    oldest_waiting_s: for how long the first in line could have been sent by now; 0: none waits.
    drift: what of the rules does not fit its templates.
    """

    gate: View
    learned: Learned
    waiting: int
    due: int
    oldest_waiting_s: float
    drift: tuple[Drift, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one glance.

    for_person: uncertain deliveries that only a person can decide. dead: those that nobody has dealt with.
    rejected: events that nobody has replayed or left.
    overdue: started ones whose end was not heard of in time. held_orders: ids of orders on many that were held.
    misfits: what a failover may forget, and why.
    last_events: when each source was heard last; None: never. probes: how many of each source were answered.
    archives: the folders that events are archived in.
    spooled: what came while the record was away, and waits on the disk of the machine that took this. clock_ahead: of
    that machine, of the record's. waiting_files: changed files that cannot be put in force.
    removed_portals, removed_rules: how many deliveries are on their way for what is in the configuration no more.
    """

    ledger: Ledger
    for_person: int
    dead: int
    overdue: int
    memory: Memory
    misfits: Sequence[TopologyWarning]
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


def take_snapshot(
    store: Store, portals: Iterable[str], sources: Iterable[str], now: datetime, spooled: Spooled = EMPTY
) -> Snapshot:
    """How everything is now. spooled: what this machine keeps beside the record.

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
        misfits=store.servers.warnings(),
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
    )


def snapshot_of_portal(store: Store, name: str, now: datetime) -> PortalSnapshot:
    """How one portal is now. Raises RecordUnavailableError."""
    kept = store.portal(name)
    return PortalSnapshot(
        gate=kept.gate.look(),
        learned=kept.learned(),
        waiting=kept.in_line(),
        due=store.record.due(name, now),
        oldest_waiting_s=kept.oldest_waiting_s(now),
        drift=tuple(read_drift(kept.drift())),
    )
