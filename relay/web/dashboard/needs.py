"""The page that is emptied: what failed and waits for a person, in groups, each with what can be done to all of it.

Nothing is done here: every button leads to the page that says how many there are, and asks (bulk.py).
"""

from __future__ import annotations

from typing import Any

from flask import render_template

from relay.core.events import Delivery, Event
from relay.core.lifecycle import EventState, State
from relay.operations.deciding import NOT_FILLED
from relay.store.record.open_issues import GROUPED, KINDS
from relay.web.dashboard.frame import blueprint
from relay.web.dashboard.live import OVERVIEW
from relay.web.language import _
from relay.web.presenters.groups import TITLES, view_of
from relay.web.presenters.masking import masking_of
from relay.web.services import services


@blueprint.get("/needs")
def needs() -> Any:
    """The groups of rejected, dead and uncertain ones, each kind's newest first."""
    groups, record = services().store.open_issues.groups(), services().record
    rejected = [group.newest for group in groups if group.state is EventState.REJECTED]
    unfilled = [group.newest for group in groups if group["reason"] == NOT_FILLED]
    samples: dict[str, Event | Delivery] = {event.id: event for event in record.events(rejected)}
    samples |= {delivery.id: delivery for delivery in record.deliveries(unfilled)}
    views = [view_of(group, samples.get(group.newest)) for group in groups]
    totals = {
        EventState.REJECTED: record.unresolved_rejected(),
        State.DEAD: record.unresolved_dead(),
        State.UNCERTAIN: record.unresolved_uncertain(),
    }
    sections = [
        (state, f"{totals[state]:,} {_(TITLES[state])}", [view for view in views if view.state == state])
        for state in KINDS
    ]
    return render_template(
        "needs.html",
        fresh=OVERVIEW,
        sections=[section for section in sections if section[2]],
        masking=masking_of(services().rules.all()),
        grouped=GROUPED,
    )
