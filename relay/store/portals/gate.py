"""The gate of a portal: whether it may be called now. Open, paused until a clock or a person, or held.

Kept in Redis, so that all workers on all hosts share one gate and the dashboard shows it. Workers close and
open it; a person may do both. While it is closed, deliveries stay `pending` and no attempt is spent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from redis import Redis

from relay.core.ids import from_ms, to_ms
from relay.core.lifecycle import Verdict
from relay.core.reasons import explain, explain_trouble
from relay.store.redis import keys
from relay.store.redis.scripts import Argument, Script, ScriptCall, guarded, run

GATE, ALERT = Script.load("gate", tells_again=True), Script.load("alert")
FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=60)
"""The first question to a portal in trouble comes after a second, and later ones at least once a minute. So deliveries
go on within a minute of its return, and a portal that is away costs one request a minute."""
ALERTS_KEPT = 1_000
BY_PERSON = "by_person"
"""The reason of a pause by a person."""


class GateState(StrEnum):
    """Whether a portal may be called."""

    OPEN = "open"
    PAUSED = "paused"
    """Until a time, or until a person resumes it. When the time has come, one worker asks whether all is well."""
    HELD = "held"
    """No call can succeed until a person repairs something on the portal; one worker asks every minute."""


@dataclass(frozen=True, slots=True)
class View:
    """The state of the gate.

    until: time of the next question at a closed gate; None while it is open, or paused by a person without an end.
    streak: failures since the last success; above 0 an open gate is unproven. version: number of moves.
    paused_before: whether a person had paused it before it was closed for a reason that only a person can judge;
    paused_until: the end of that pause; None: without an end.
    """

    state: GateState = GateState.OPEN
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    streak: int = 0
    by_person: bool = False
    version: int = 0
    paused_before: bool = False
    paused_until: datetime | None = None

    @property
    def advice(self) -> str | None:
        """The meaning of its reason for a person, and the remedy."""
        return explain(self.reason, Verdict.HELD) if self.state is GateState.HELD else explain_trouble(self.reason)

    @property
    def name(self) -> str:
        """Its state for people, who need to tell a person's pause from a portal in trouble."""
        if self.state is not GateState.PAUSED:
            return self.state
        if not self.by_person:
            return "backing off"
        return "paused by a person" if self.reason == BY_PERSON else "paused"

    @property
    def is_open(self) -> bool:
        """Whether the portal may be called."""
        return self.state is GateState.OPEN

    @property
    def is_proven(self) -> bool:
        """Whether something has succeeded since the last failure."""
        return self.is_open and self.streak == 0

    def may_be_asked(self, now: datetime) -> bool:
        """Whether it is closed, and it is time to ask the portal."""
        return not self.is_open and self.until is not None and self.until <= now


class Gate:
    """The gate of one portal. Every method raises RecordUnavailableError.

    A worker moves it from the state that it saw (`seen`). If the gate has moved since, the worker's move is outdated
    and nothing happens. A person's move always counts.
    """

    def __init__(self, redis: Redis, portal: str) -> None:
        self._redis = redis
        self._portal = portal
        self._key = keys.GATE + portal

    @guarded
    def look(self) -> View:
        """The present state."""
        kept: Any = self._redis.hgetall(self._key)
        return view_from_hash(kept)

    def hold(self, seen: View, reason: str, now: datetime) -> bool:
        """Hold the portal. Returns False if it was held for this reason before."""
        return self._move(GateState.HELD, seen, now, reason, until=now + LONGEST_PAUSE)

    def back_off(self, seen: View, reason: str, now: datetime) -> bool:
        """Pause a portal in trouble, longer with each failure in a row."""
        return self._move(GateState.PAUSED, seen, now, reason, is_failure=True)

    def open(self, seen: View, now: datetime) -> bool:
        """Open the gate, because the portal answers again; unproven after failures. Returns whether it was closed."""
        return self._move(GateState.OPEN, seen, now)

    def prove(self, seen: View, now: datetime) -> None:
        """End the streak of failures after a success."""
        self._move(GateState.OPEN, seen, now, is_over=True)

    def pause_by_person(self, now: datetime, until: datetime | None = None) -> bool:
        """Pause by a person, until a person resumes it, or until this time: then a worker asks, and opens it."""
        return self._move(GateState.PAUSED, None, now, BY_PERSON, until=until)

    def hold_for_person(self, reason: str, now: datetime) -> bool:
        """Close it until a person resumes it, for a reason that only a person can judge."""
        return self._move(GateState.PAUSED, None, now, reason)

    def resume(self, now: datetime) -> bool:
        """Open by a person, whatever closed it. Returns whether it was closed."""
        return self._move(GateState.OPEN, None, now, is_over=True)

    @guarded
    def alert(self, kind: str, now: datetime, **values: Any) -> None:
        """Keep an alert for people: a kind, and values for its words (core/reasons.py:alert_words)."""
        entry: list[Argument] = ["kind", kind, "portal", self._portal, "values", json.dumps(values), "at", to_ms(now)]
        run(self._redis, ScriptCall(ALERT, [keys.ALERTS], [ALERTS_KEPT, *entry]))

    @guarded
    def _move(
        self,
        state: GateState,
        seen: View | None,
        now: datetime,
        reason: str = "",
        *,
        until: datetime | None = None,
        is_failure: bool = False,
        is_over: bool = False,
    ) -> bool:
        argv: list[Argument] = [self._portal, state, reason, to_ms(now), to_ms(until) if until else ""]
        argv += [seen.version if seen else "", int(is_failure), _ms(FIRST_PAUSE), _ms(LONGEST_PAUSE), int(is_over)]
        return bool(run(self._redis, ScriptCall(GATE, [self._key], argv)))


def view_from_hash(kept: Mapping[bytes, bytes]) -> View:
    """The gate in a hash; an empty one is a gate that has never moved."""
    if not kept:
        return View()
    text = {name.decode(): value.decode() for name, value in kept.items()}
    state, version, streak = GateState(text["state"]), int(text.get("version", 0)), int(text["streak"])
    if state is GateState.OPEN:
        return View(streak=streak, version=version)
    return View(
        state=state,
        reason=text["reason"],
        since=from_ms(int(float(text["since"]))),
        until=from_ms(int(float(text["until"]))) if text["until"] else None,
        streak=streak,
        by_person=text["by_person"] == "1",
        version=version,
        paused_before=bool(text.get("before")),
        paused_until=from_ms(int(text["before"])) if text.get("before", "ever") != "ever" else None,
    )


def _ms(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)
