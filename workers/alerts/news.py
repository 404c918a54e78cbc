"""What is wrong, by the signs of life, and what of it is worth a message. Pure: reads nothing and sends nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from relay.configuration.alerts import Alerting
from relay.health.snapshot import Vitals
from relay.store.operators.alert_state import Deaths, Told
from relay.store.portals.gate import GateState

AWAY = timedelta(minutes=5)
"""What is not seen for so long is resolved: what comes and goes is one trouble, not a message each time."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that a person should know. By kind and subject it is the same as before, whatever the text says."""

    kind: str
    subject: str
    text: str

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.subject}"


@dataclass(frozen=True, slots=True)
class News:
    """What a channel is to be told now, and what it knows when it was told. Each a text, by the trouble's key."""

    new: Mapping[str, str]
    still: Mapping[str, str]
    resolved: Mapping[str, str]
    told: Mapping[str, Told]

    def __bool__(self) -> bool:
        return bool(self.new or self.still or self.resolved)


def count_deaths(before: Deaths | None, counted: int, now: datetime, quiet: timedelta) -> Deaths:
    """The run of deaths after another look: it begins with one, and is over when none came for a while."""
    if before is None or counted < before.counted:
        return Deaths(counted, counted)
    if counted > before.counted:
        return Deaths(counted, before.before if before.at else before.counted, now)
    if before.at and now - before.at >= quiet:
        return Deaths(counted, counted)
    return before


def find_troubles(vitals: Vitals, deaths: Deaths, alerting: Alerting, now: datetime) -> list[Trouble]:
    """Everything that is wrong now."""
    found = [*_of_portals(vitals, alerting), *_of_sources(vitals, alerting, now)]
    if vitals.for_person:
        text = f"{_deliveries(vitals.for_person)} uncertain: somebody has to look whether the workflow has started"
        found.append(Trouble("uncertain", "", text))
    if deaths.at:
        found.append(Trouble("dead", "", f"{_deliveries(deaths.counted - deaths.before)} dead in this run"))
    if vitals.ledger.imbalances:
        found.append(Trouble("ledger", "", "the books do not balance: " + "; ".join(vitals.ledger.imbalances)))
    return found


def _of_portals(vitals: Vitals, alerting: Alerting) -> list[Trouble]:
    found = []
    for name, portal in vitals.portals.items():
        if portal.gate.state is GateState.HELD:
            text = f"portal {name} is held ({portal.gate.reason}), nothing is sent: {portal.gate.advice}"
            found.append(Trouble("portal_held", name, text))
        if portal.oldest_waiting_s > alerting.oldest_waiting.total_seconds():
            minutes = portal.oldest_waiting_s // 60
            text = f"portal {name}: {_deliveries(portal.waiting)} waiting, the first in line for {minutes:.0f} minutes"
            found.append(Trouble("waiting", name, text))
        if portal.drift:
            found.append(Trouble("drift", name, f"portal {name}: rules and templates do not fit: {portal.drift[:500]}"))
    return found


def _of_sources(vitals: Vitals, alerting: Alerting, now: datetime) -> list[Trouble]:
    found = []
    for name, longest in alerting.silent_after.items():
        last = vitals.last_events.get(name)
        # A source that never spoke may not be set up yet.
        if last and now - last > longest:
            hours = (now - last).total_seconds() / 3600
            found.append(Trouble("silent", name, f"source {name} has said nothing for {hours:.1f} hours"))
    return found


def news_for(told: Mapping[str, Told], troubles: Sequence[Trouble], now: datetime, repeat: timedelta) -> News:
    """What is new, what is to be said again, and what is over, for a channel that knows this much."""
    seen = {trouble.key: trouble.text for trouble in troubles}
    new = {key: text for key, text in seen.items() if key not in told}
    due = any(now - told[key].told_at >= repeat for key in seen if key in told)
    away = {key: one for key, one in told.items() if key not in seen and one.gone_at}
    resolved = {key: one.text for key, one in away.items() if one.gone_at and now - one.gone_at >= AWAY}
    still = {key: text for key, text in seen.items() if key in told} if due else {}
    after = {key: Told(text, now, now) for key, text in new.items()}
    for key, one in told.items():
        if key in resolved:
            continue
        if key not in seen:
            after[key] = replace(one, gone_at=one.gone_at or now)
        else:
            after[key] = replace(one, gone_at=None, text=seen[key], told_at=now if due else one.told_at)
    return News(new, still, resolved, after)


def _deliveries(count: int) -> str:
    return f"{count} delivery is" if count == 1 else f"{count} deliveries are"
