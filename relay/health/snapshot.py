"""The signs of life of the whole relay, read at once: what /metrics tells and what alerts look at. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from relay.core.ids import to_ms
from relay.store.portals.gate import Gate, View
from relay.store.portals.learned import Learnt, read_learnt
from relay.store.record.ledger import Ledger
from relay.store.record.record import Record
from relay.store.record.statistics import read_presence
from relay.store.redis import keys
from relay.store.redis.guard import guarded


@dataclass(frozen=True, slots=True)
class PortalVitals:
    """One portal. waiting: deliveries in line, pending and retrying; due: those of them that may be sent now.

    oldest_waiting_s: for how long the first in line could have been sent by now; 0: none waits.
    drift: what of the rules does not fit its templates.
    """

    gate: View
    learnt: Learnt
    waiting: int
    due: int
    oldest_waiting_s: float
    drift: str

    def operating_s(self, now: datetime) -> float:
        """The operating time used, of what the portal still counts."""
        return self.learnt.operating_s if self.learnt.reset_at and self.learnt.reset_at > now else 0.0


@dataclass(frozen=True, slots=True)
class Vitals:
    """Everything at one glance. for_person: uncertain deliveries that only a person can decide.

    last_events: when each source was heard last; None: never.
    """

    ledger: Ledger
    for_person: int
    portals: Mapping[str, PortalVitals]
    last_events: Mapping[str, datetime | None]


def read_vitals(record: Record, portals: Iterable[str], sources: Iterable[str], now: datetime) -> Vitals:
    """How everything is now. Raises RecordUnavailableError."""
    names = list(sources)
    presence = read_presence(record.redis, [keys.EVENTS_BY_SOURCE + name for name in names])
    return Vitals(
        ledger=record.counts(),
        for_person=_for_person(record),
        portals={name: _portal(record, name, now) for name in portals},
        last_events={name: one.newest for name, one in zip(names, presence, strict=True)},
    )


def in_line(record: Record, portal: str) -> int:
    """Deliveries of a portal that wait, pending and retrying. Raises RecordUnavailableError."""
    return record.size(keys.WAITING + portal) + record.size(keys.BLOCKED + portal)


def _for_person(record: Record) -> int:
    return record.size(keys.UNDECIDED)


@guarded
def _portal(record: Record, name: str, now: datetime) -> PortalVitals:
    first: Any = record.redis.zrange(keys.WAITING + name, 0, 0, withscores=True)
    drift = record.text(keys.DRIFT + name) or "[]"
    return PortalVitals(
        gate=Gate(record.redis, name).look(),
        learnt=read_learnt(record.redis, name),
        waiting=in_line(record, name),
        due=record.due(name, now),
        oldest_waiting_s=max(0.0, (to_ms(now) - first[0][1]) / 1000) if first else 0.0,
        drift="" if drift == "[]" else drift,
    )
