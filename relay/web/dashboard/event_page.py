"""The page of one event: the request as it came, the rules, every call, every attempt, and what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Response, abort, flash, redirect, render_template, url_for

from relay.core.events import Delivery, Event
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState
from relay.operations import operator_acts as acts
from relay.operations.replay import original_of
from relay.sources.proof.verifier import words_of
from relay.sources.recognition import UNKNOWN, Likeness, likenesses
from relay.store.operators.audit_log import Act
from relay.store.record.search import row_of
from relay.web.auth.guard import is_revealed, reveal
from relay.web.dashboard.acts import acts_for
from relay.web.dashboard.frame import blueprint, for_operators, who
from relay.web.language import _
from relay.web.presenters.event_details import (
    Line,
    details_of,
    lines_of,
    next_of,
    readable,
    readable_envelope,
    rule_named,
)
from relay.web.presenters.steps import StepStory, link_of_document, stories_of
from relay.web.presenters.timeline import Span, timeline_of
from relay.web.services import services


@dataclass(frozen=True, slots=True)
class Story:
    """A delivery as the page tells it. link: to its document; behind: ids that wait until it is final."""

    delivery: Delivery
    steps: list[StepStory]
    lines: list[Line]
    following: str
    offers: list[acts.Act]
    timeline: list[Span]
    link: str | None
    behind: list[str]
    replayed_by: str | None


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
            )
        )  # fmt: skip
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
        is_unmended=found.state is EventState.REJECTED and record.is_unresolved_rejected(found.id),
        likenesses=_likenesses(found),
        unknown_sender=UNKNOWN,
        latest=max([one.updated_at for one in row.deliveries], default=found.received_at),
    )


@blueprint.get("/deliveries/<delivery_id>")
def delivery(delivery_id: str) -> Any:
    """A delivery is shown on the page of its event."""
    found = services().record.delivery(delivery_id)
    return redirect(url_for("dashboard.event", event_id=found.event_id, _anchor=found.id), 303)


@blueprint.post("/events/<event_id>/reveal")
def reveal_event(event_id: str) -> Any:
    """Show this session the persons' values of an event; that it was asked is in the audit log."""
    found = services().record.event(event_id)
    services().store.operators.log(Act(utc_now(), who(), "reveal", found.id, ""))
    reveal(found.id)
    flash(_("The personal data of this event is shown in this session; the audit log has it."))
    return redirect(url_for("dashboard.event", event_id=found.id), 303)


@blueprint.get("/events/<event_id>/body")
@for_operators
def body_of_event(event_id: str) -> Any:
    """The body as it came, as a file that no browser opens; only of an event that was revealed."""
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
    return _("Verified: %(proof)s.", proof=words_of(source.verifier))
