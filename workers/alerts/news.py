"""What of that which needs a person is worth a message, and to whom it is news. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from relay.health.assessment import Grade, Need, NeedCode
from relay.health.words import sentence_of
from relay.store.operators.alert_state import AlertState, Deaths

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
    told: Mapping[str, AlertState]

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


def find_troubles(needs: Sequence[Need], deaths: Deaths) -> list[Trouble]:
    """What of the needs is worth a message. A run of deaths is one trouble, until none comes any more."""
    found = [
        Trouble(need.code, need.subject, sentence_of(need))
        for need in needs
        if need.grade is not Grade.CALM and need.code is not NeedCode.DEAD
    ]
    if deaths.at:
        found.append(Trouble(NeedCode.DEAD, "", f"{_deliveries(deaths.counted - deaths.before)} dead in this run"))
    return found


def news_for(told: Mapping[str, AlertState], troubles: Sequence[Trouble], now: datetime, repeat: timedelta) -> News:
    """What is new, what is to be said again, and what is over, for a channel that knows this much."""
    seen = {trouble.key: trouble.text for trouble in troubles}
    new = {key: text for key, text in seen.items() if key not in told}
    due = any(now - told[key].told_at >= repeat for key in seen if key in told)
    away = {key: one for key, one in told.items() if key not in seen and one.gone_at}
    resolved = {key: one.text for key, one in away.items() if one.gone_at and now - one.gone_at >= AWAY}
    still = {key: text for key, text in seen.items() if key in told} if due else {}
    after = {key: AlertState(text, now, now) for key, text in new.items()}
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
