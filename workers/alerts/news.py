"""What of that which needs a person is worth a message, and to whom it is news. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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

    is_once: it is told when it is new, and not again while it lasts. is_silent: it is not told when it is new, either.
    """

    kind: str
    subject: str
    text: str
    is_once: bool = False
    is_silent: bool = False

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
    it: of very many groups, only the newest are told.
    """
    found = [
        Trouble(need.code, need.subject, sentence_of(need))
        for need in needs
        if need.grade is not Grade.CALM and need.code not in GROUPED
    ]
    if deaths.at:
        found.append(Trouble(NeedCode.DEAD, "", f"{_deliveries(deaths.counted - deaths.before)} dead in this run"))
    failed = sorted([one for one in groups if one.state.value in GROUPED], key=lambda one: one.last_seen)
    return found + [
        Trouble(one.state, name_of(one), sentence_of_group(one), is_once=True, is_silent=place >= MOST_GROUPS)
        for place, one in enumerate(reversed(failed))
    ]


def news_for(
    told: Mapping[str, AlertState],
    troubles: Sequence[Trouble],
    now: datetime,
    repeat: timedelta,
    cut: Collection[str] = (),
) -> News:
    """What is new, what is to be said again, and what is over, for a channel that knows this much.

    cut: kinds of which not all troubles are known: what is not seen of them may still be there.
    """
    seen = {trouble.key: trouble.text for trouble in troubles}
    missed = [key for key, one in told.items() if one.is_missed]
    new = {trouble.key: trouble.text for trouble in troubles if trouble.key not in told and not trouble.is_silent}
    new |= {key: seen.get(key, told[key].text) for key in missed}
    lasting = [trouble.key for trouble in troubles if trouble.key in told and not trouble.is_once]
    repeated = [key for key in lasting if key not in missed]
    due = any(now - told[key].told_at >= repeat for key in repeated)
    gone = {key: one for key, one in told.items() if key not in seen and key.partition(":")[0] not in cut}
    away = {key: one for key, one in gone.items() if one.gone_at and not one.is_missed}
    resolved = {key: one.text for key, one in away.items() if one.gone_at and now - one.gone_at >= AWAY}
    still = {key: seen[key] for key in repeated} if due else {}
    after = {key: AlertState(text, now, now) for key, text in new.items()}
    for key, one in told.items():
        if key in resolved:
            continue
        if key in missed:
            gone_at = (one.gone_at or now) if key in gone else None
            after[key] = replace(one, text=new[key], told_at=now, gone_at=gone_at, is_missed=False)
        elif key in gone:
            after[key] = replace(one, gone_at=one.gone_at or now)
        elif key not in seen:
            after[key] = one
        else:
            after[key] = replace(one, gone_at=None, text=seen[key], told_at=now if due else one.told_at)
    return News(new, still, resolved, after)


def missed_by(told: Mapping[str, AlertState], news: News) -> dict[str, AlertState]:
    """What a channel knows that took no message: no more than before. What was new it is told when it is back."""
    return {**told, **{key: replace(news.told[key], is_missed=True) for key in news.new}}


def _deliveries(count: int) -> str:
    return f"{count} delivery is" if count == 1 else f"{count} deliveries are"
