"""The gate of a portal: whether it may be called now. Open, paused until a clock or a person, or held.

Kept in Redis, so that all workers on all hosts stand before the same gate and the dashboard shows it. Workers close and
open it; a person may do both. While it is closed, deliveries stay `pending` and no attempt is spent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from redis import Redis

from relay.ids import from_ms, to_ms
from relay.store import keys
from relay.store.guard import guarded
from relay.store.scripts import Script, ScriptCall, run

GATE = Script.load("gate")
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=5)
ALERTS_KEPT = 1_000


class GateState(StrEnum):
    """Whether a portal may be called."""

    OPEN = "open"
    PAUSED = "paused"
    """Until a clock, or until a person resumes it. When the clock has passed, one delivery tries."""
    HELD = "held"
    """No call can succeed until a person has mended something on the portal; a probe looks every minute."""


@dataclass(frozen=True, slots=True)
class View:
    """The gate as it is now. until: None while open, held, or paused by a person. streak: failures in a row."""

    state: GateState = GateState.OPEN
    reason: str | None = None
    advice: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    streak: int = 0
    by_person: bool = False


class Gate:
    """The gate of one portal. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis, portal: str) -> None:
        self._redis = redis
        self._portal = portal
        self._key = keys.GATE + portal

    @guarded
    def look(self) -> View:
        """How it stands."""
        kept: Any = self._redis.hgetall(self._key)
        if not kept:
            return View()
        text = {name.decode(): value.decode() for name, value in kept.items()}
        return View(
            state=GateState(text["state"]),
            reason=text["reason"],
            advice=text["advice"],
            since=from_ms(int(float(text["since"]))),
            until=from_ms(int(float(text["until"]))) if text["until"] else None,
            streak=int(text["streak"]),
            by_person=text["by_person"] == "1",
        )

    def hold(self, reason: str, advice: str, now: datetime) -> bool:
        """Hold the portal; whether it was not held for this reason before."""
        return self._move(GateState.HELD, reason, advice, now)

    def pause(
        self, reason: str, advice: str, now: datetime, until: datetime | None, *, by_person: bool = False
    ) -> bool:
        """Pause it until a clock, or, without one, until a person resumes it."""
        return self._move(GateState.PAUSED, reason, advice, now, until=until, by_person=by_person)

    def back_off(self, reason: str, advice: str, now: datetime) -> bool:
        """The portal could not be reached: pause, longer with each failure in a row."""
        return self._move(GateState.PAUSED, reason, advice, now, grows=True)

    def open(self, now: datetime, *, by_person: bool = False) -> bool:
        """Open it; whether it was closed."""
        return self._move(GateState.OPEN, "", "", now, by_person=by_person)

    @guarded
    def take_trial(self, holder: str, duration: timedelta) -> bool:
        """Whether this worker is the one that may try while the others wait."""
        lease = keys.LEASE + f"trial:{self._portal}"
        return bool(self._redis.set(lease, holder, nx=True, px=int(duration.total_seconds() * 1000)))

    @guarded
    def end_trial(self) -> None:
        """The trial is over; the next may begin."""
        self._redis.delete(keys.LEASE + f"trial:{self._portal}")

    @guarded
    def alert(self, kind: str, text: str, now: datetime) -> None:
        """Keep something that a person should know."""
        entry = {"kind": kind, "portal": self._portal, "text": text, "at": str(to_ms(now))}
        self._redis.xadd(keys.ALERTS, entry, maxlen=ALERTS_KEPT, approximate=True)  # type: ignore[arg-type] # redis-py

    @guarded
    def _move(
        self,
        to: GateState,
        reason: str,
        advice: str,
        now: datetime,
        *,
        until: datetime | None = None,
        by_person: bool = False,
        grows: bool = False,
    ) -> bool:
        pauses = [FIRST_PAUSE, LONGEST_PAUSE] if grows else [timedelta(0), timedelta(0)]
        argv = [to.value, reason, advice, to_ms(now), to_ms(until) if until else "", int(by_person)]
        argv += [int(pause.total_seconds() * 1000) for pause in pauses]
        return bool(run(self._redis, ScriptCall(GATE, [self._key], argv)))
