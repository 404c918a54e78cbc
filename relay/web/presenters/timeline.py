"""A delivery's life as bars: waited, called, waited again, and what it waits for now. Pure: geometry and words.

Bars share one scale from the event's receipt to its end, or to now; what is too short to be seen is drawn wide enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.core.events import Delivery, Event
from relay.core.lifecycle import FINAL, State, Verdict
from relay.health.words import span_of
from relay.web.language import _, say

WIDTH = 1000
NARROWEST = 6
MOST = 40
"""Calls that are drawn, the newest; a delivery has a dozen tries a step."""
WELL = frozenset({Verdict.STARTED, Verdict.DONE})


@dataclass(frozen=True, slots=True)
class Span:
    """One line. kind: waited, good, bad or doubt; at: when it began; lasts: how long, in words; x, width: its bar."""

    what: str
    kind: str
    at: datetime
    lasts: str
    x: int
    width: int


def timeline_of(event: Event, delivery: Delivery, now: datetime) -> list[Span]:
    """What happened one after the other, from the receipt of the event on."""
    # A replay is made later than its event came: its own life begins there.
    begins = max(event.received_at, delivery.created_at) if delivery.replay_of else event.received_at
    ends = delivery.updated_at if delivery.state in FINAL else now
    pieces = list(_pieces(delivery, begins, ends))
    last = max([ends, *(at + lasts for _, _, at, lasts in pieces)])
    scale = WIDTH / ((last - begins).total_seconds() or 1)
    return [_span(piece, begins, scale) for piece in pieces]


Piece = tuple[str, str, datetime, timedelta]


def _pieces(delivery: Delivery, begins: datetime, ends: datetime) -> Iterator[Piece]:
    at = begins
    skipped = len(delivery.attempts) - MOST
    for number, attempt in enumerate(delivery.attempts):
        took = timedelta(milliseconds=attempt.duration_ms)
        began = max(at, attempt.at)  # another host's clock may be behind
        if number >= skipped:
            waited = began - at
            if waited > timedelta(0):
                yield (_("waited for its turn") if at == begins else _("waited")), "waited", at, waited
            yield f"{_called(delivery, attempt.step)}: {say(attempt.verdict)}", _kind(attempt.verdict), began, took
        at = began + took
    if delivery.state not in FINAL and ends > at:
        yield _waiting(delivery.state), "waited", at, ends - at
    elif not delivery.attempts:
        yield _("waited, then %(state)s", state=delivery.state), "waited", begins, max(ends - begins, timedelta(0))


def _called(delivery: Delivery, step: str) -> str:
    if step:
        return _("step %(name)s", name=step)
    return _("start") if delivery.call.starts_workflow else _("call")


def _waiting(state: State) -> str:
    return {
        State.SENDING: _("is being sent"),
        State.UNCERTAIN: _("uncertain since"),
        State.RETRYING: _("waits for its next try"),
    }.get(state, _("waits for its turn"))


def _kind(verdict: Verdict) -> str:
    if verdict in WELL:
        return "good"
    return "bad" if verdict is Verdict.REJECTED else "doubt"


def _span(piece: Piece, begins: datetime, scale: float) -> Span:
    what, kind, at, lasts = piece
    width = min(WIDTH, max(NARROWEST, round(lasts.total_seconds() * scale)))
    x = min(round((at - begins).total_seconds() * scale), WIDTH - width)
    return Span(what, kind, at, _lasts(lasts), max(0, x), width)


def _lasts(span: timedelta) -> str:
    seconds = span.total_seconds()
    if seconds < 1:
        return _("%(count)s ms", count=f"{seconds * 1000:.0f}")
    return _("%(count)s s", count=f"{seconds:.1f}") if seconds < 60 else say(span_of(span))
