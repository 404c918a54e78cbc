"""The page of one event: the request as it came, the rules, every call, every attempt, and what follows.

A delivery's life is drawn as bars on one scale, from the event's receipt to the delivery's end or to now. A bar that
would be too short to see is drawn wide enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Response, abort, flash, redirect, render_template, url_for

from relay.core.events import Delivery, Event
from relay.core.ids import utc_now
from relay.core.lifecycle import FINAL, EventState, State, Verdict
from relay.health.words import span_of
from relay.operations import operator_acts as acts
from relay.operations.replay import original_of
from relay.sources.proof.verifier import words_of
from relay.sources.recognition import UNKNOWN, Likeness, likenesses
from relay.store.operators.audit_log import Act
from relay.store.record.search import row_of
from relay.web.auth import is_revealed, reveal
from relay.web.dashboard.acts import acts_for
from relay.web.dashboard.frame import blueprint, for_operators, who
from relay.web.dashboard.needs import group_of
from relay.web.language import _, say
from relay.web.presenters.event_details import (
    EventDetails,
    Line,
    StepStory,
    details_of,
    lines_of,
    link_of_document,
    next_of,
    readable,
    readable_envelope,
    rule_named,
    stories_of,
)
from relay.web.presenters.needs import url_of
from relay.web.presenters.repairs import Repair, repair_of_delivery, repair_of_event
from relay.web.services import services

WIDTH = 1000
NARROWEST = 6
MOST_CALLS = 40
"""The most calls that are drawn, the newest; a delivery tries each step up to a dozen times."""
WELL = frozenset({Verdict.STARTED, Verdict.DONE})
Piece = tuple[str, str, datetime, timedelta]


@dataclass(frozen=True, slots=True)
class Story:
    """A delivery as the page shows it. link: to its document; behind: deliveries that wait until it is final.

    repair: how a dead one is mended; None: it is not dead, or was replayed.
    """

    delivery: Delivery
    steps: list[StepStory]
    lines: list[Line]
    following: str
    offers: list[acts.Act]
    timeline: list[Span]
    link: str | None
    behind: list[str]
    replayed_by: str | None
    repair: Repair | None


@blueprint.get("/events/<event_id>")
def event(event_id: str) -> Any:
    """One event: the request, the calls made from it, every attempt."""
    record, now = services().record, utc_now()
    found = record.event(event_id)
    row, looked = row_of(record, found), details_of(found)
    replays = services().store.record.replaced([one.id for one in row.deliveries])
    portals = {name: services().store.portal(name) for name in {one.call.portal for one in row.deliveries}}
    gates = {name: portal.gate.look() for name, portal in portals.items()}
    sites = {name: portal.learned().address for name, portal in portals.items()}
    stories = []
    for one in row.deliveries:
        tried = looked.tried_by(one.rule)
        lines = lines_of(
            one.call, rule_named(one.rule), tried.call_after(one.values) if tried else None, looked.masking
        )
        following = next_of(one, gates[one.call.portal], now)
        steps = stories_of(one, sites[one.call.portal], looked.masking)
        site = sites[one.call.portal]
        stories.append(
            Story(
                one, steps, lines, following, acts_for(one, is_replayed=one.id in replays),
                timeline=timeline_of(found, one, now),
                link=link_of_document(site, one.call.document_id),
                behind=services().store.record.behind(one),
                replayed_by=replays.get(one.id),
                repair=repair_of_delivery(one, looked) if one.state is State.DEAD and one.id not in replays else None,
            )
        )  # fmt: skip
    is_unresolved = found.state is EventState.REJECTED and record.is_unresolved_rejected(found.id)
    group = group_of(found, row.deliveries)
    alike = max(0, services().bulk.dry_run(group.filter).found - 1) if group else 0
    body, is_cut = readable(found, looked.masking)
    return render_template(
        "event.html",
        row=row,
        event=found,
        details=looked,
        proof=_proof(found),
        original=original_of(found),
        masking=looked.masking,
        stories=stories,
        rule_named=rule_named,
        body=body,
        envelope=readable_envelope(found, looked.masking),
        is_cut=is_cut,
        title=title_of(found, looked, row.deliveries),
        event_repair=repair_of_event(looked) if found.state is EventState.REJECTED else None,
        is_unresolved=is_unresolved,
        alike=alike,
        alike_url=url_of(group) if group else "",
        likenesses=_likenesses(found),
        unknown_sender=UNKNOWN,
        latest=max([one.updated_at for one in row.deliveries], default=found.received_at),
    )


def title_of(event: Event, details: EventDetails, deliveries: Sequence[Delivery]) -> str:
    """A short title, such as `callback: M•••`: the rule or the source, and the first personal value."""
    tried = next((one for one in details.tried if one.matches), None)
    what = deliveries[0].rule if deliveries else tried.rule if tried else event.source
    rule = rule_named(tried.rule) if tried else None
    found = {name: tried.found.get(name) for name in rule.extractor.personal} if tried and rule else {}
    whom = next(((name, value) for name, value in found.items() if value and isinstance(value, str | int)), None)
    return f"{what}: {details.masking.value(str(whom[1]), whom[0])}" if whom else what


@blueprint.get("/deliveries/<delivery_id>")
def delivery(delivery_id: str) -> Any:
    """A delivery is shown on the page of its event."""
    found = services().record.delivery(delivery_id)
    return redirect(url_for("dashboard.event", event_id=found.event_id, _anchor=found.id), 303)


@blueprint.post("/events/<event_id>/reveal")
def reveal_event(event_id: str) -> Any:
    """Show this session the personal values of an event; the audit log says so."""
    found = services().record.event(event_id)
    services().store.operators.log(Act(utc_now(), who(), "reveal", found.id, ""))
    reveal(found.id)
    flash(_("The personal data of this event is shown in this session; the audit log has it."))
    return redirect(url_for("dashboard.event", event_id=found.id), 303)


@blueprint.get("/events/<event_id>/body")
@for_operators
def body_of_event(event_id: str) -> Any:
    """The body as it came, as a download; only of an event that was revealed."""
    found = services().record.event(event_id)
    if not is_revealed(found.id):
        abort(403, _("reveal the event first, on its page"))
    answer = Response(found.body, content_type="application/octet-stream")
    answer.headers["Content-Disposition"] = f'attachment; filename="{found.id}.bin"'
    return answer


def _likenesses(event: Event) -> list[Likeness] | None:
    source = services().sources.get(event.source)
    return likenesses(source, event, services().settings.config) if source else None


def _proof(event: Event) -> str:
    source = services().sources.get(event.source)
    if source is None:
        return _("Its source is no longer configured.")
    if source.is_open:
        return _("Not verified: anybody may send to this source.")
    return _("Verified: %(proof)s.", proof=words_of(source.verifier, source.addresses))


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
    """The spans of a delivery's life in order, from the receipt of the event on."""
    # A replay is made after its event came: its own life begins then.
    begins = max(event.received_at, delivery.created_at) if delivery.replay_of else event.received_at
    ends = delivery.updated_at if delivery.state in FINAL else now
    pieces = list(_pieces(delivery, begins, ends))
    last = max([ends, *(at + lasts for _, _, at, lasts in pieces)])
    scale = WIDTH / ((last - begins).total_seconds() or 1)
    return [_span(piece, begins, scale) for piece in pieces]


def _pieces(delivery: Delivery, begins: datetime, ends: datetime) -> Iterator[Piece]:
    at = begins
    skipped = len(delivery.attempts) - MOST_CALLS
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
