"""What of that which needs a person is worth a message, and to whom it is news. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from relay.health.assessment import Grade, Need, NeedCode
from relay.health.words import name_of, sentence_of, sentence_of_group
from relay.store.operators.alert_state import AlertState, Deaths
from relay.store.record.needs import Group

AWAY = timedelta(minutes=5)
"""What is not seen for so long is resolved: what comes and goes is one trouble, not a message each time."""


GROUPED = frozenset({NeedCode.DEAD, NeedCode.REJECTED})
"""These are told by what they have in common, and not as a number that only grows."""
MOST_GROUPS = 50


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that a person should know. By kind and subject it is the same as before, whatever the text says.

    is_once: it is told when it is new, and not again while it lasts.
    """

    kind: str
    subject: str
    text: str
    is_once: bool = False

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


def find_troubles(needs: Sequence[Need], deaths: Deaths, groups: Sequence[Group] = ()) -> list[Trouble]:
    """What of the needs is worth a message.

    A run of deaths is one trouble, until none comes any more. What failed alike is another, until nobody is needed for
    it: the newest groups, so many at most.
    """
    found = [
        Trouble(need.code, need.subject, sentence_of(need))
        for need in needs
        if need.grade is not Grade.CALM and need.code not in GROUPED
    ]
    if deaths.at:
        found.append(Trouble(NeedCode.DEAD, "", f"{_deliveries(deaths.counted - deaths.before)} dead in this run"))
    failed = sorted([one for one in groups if one.state.value in GROUPED], key=lambda one: one.last_seen)[-MOST_GROUPS:]
    return found + [Trouble(one.state, name_of(one), sentence_of_group(one), is_once=True) for one in failed]


def news_for(told: Mapping[str, AlertState], troubles: Sequence[Trouble], now: datetime, repeat: timedelta) -> News:
    """What is new, what is to be said again, and what is over, for a channel that knows this much."""
    seen = {trouble.key: trouble.text for trouble in troubles}
    new = {key: text for key, text in seen.items() if key not in told}
    repeated = [trouble.key for trouble in troubles if trouble.key in told and not trouble.is_once]
    due = any(now - told[key].told_at >= repeat for key in repeated)
    away = {key: one for key, one in told.items() if key not in seen and one.gone_at}
    resolved = {key: one.text for key, one in away.items() if one.gone_at and now - one.gone_at >= AWAY}
    still = {key: seen[key] for key in repeated} if due else {}
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
