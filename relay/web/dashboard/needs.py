"""The page of needs: what waits for a person, each group of like failures with a guided repair.

Nothing is done here. Each button leads to the studio, or to the page that says how many there are and asks (bulk.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import g, render_template, request

from relay.core.errors import NotFoundError
from relay.core.events import Delivery, Event
from relay.core.lifecycle import EventState, State
from relay.operations.deciding import NOT_FILLED
from relay.store.record.open_issues import GROUPED, OF_DELIVERIES, Group
from relay.web.dashboard.frame import blueprint, open_issues
from relay.web.dashboard.live import OVERVIEW
from relay.web.presenters.event_details import EventDetails, details_of, link_of_document
from relay.web.presenters.masking import Masking, masking_of
from relay.web.presenters.needs import IN_GROUPS, Need, row_of_looks, rows_of
from relay.web.presenters.repairs import Repair, repair_of_delivery, repair_of_event
from relay.web.services import services

SHOWN = 20
"""Rows of the page; the others follow when these are dealt with."""


@blueprint.get("/needs")
def needs() -> Any:
    """Everything that waits for a person; the first one, or the one that is asked for, is opened with its repair."""
    masking = masking_of(services().rules.all())
    rows = rows_now(masking)
    looked_into = services().store.open_issues.looked_into(services().portals)
    rows += [row_of_looks(portal, one) for portal, one in looked_into.items() if one.count]
    chosen = request.args.get("open", "")
    place = next((number for number, row in enumerate(rows) if row.key == chosen), 0)
    opened = rows[place] if rows else None
    shown = max(SHOWN, place + 1)
    return render_template(
        "needs.html",
        fresh=OVERVIEW,
        rows=rows[:shown],
        more=len(rows[shown:]),
        opened=opened.key if opened else "",
        # It costs some milliseconds: that of another group is made when it is opened.
        repairs={opened.key: repair_of(opened)} if opened and opened.group else {},
        ledger=g.snapshot.ledger,
        masking=masking,
        grouped=GROUPED,
    )


def rows_now(masking: Masking) -> list[Need]:
    """The rows of everything that waits for a person. Raises RecordUnavailableError."""
    issues, record = open_issues(), services().record
    groups = services().store.open_issues.groups() if any(issue.code in IN_GROUPS for issue in issues) else []
    rejected = [group.newest for group in groups if group.state is EventState.REJECTED]
    unfilled = [group.newest for group in groups if group["reason"] == NOT_FILLED]
    samples: dict[str, Event | Delivery] = {event.id: event for event in record.events(rejected)}
    samples |= {delivery.id: delivery for delivery in record.deliveries(unfilled)}
    return rows_of(issues, groups, samples, masking)


def repair_of(row: Need) -> tuple[Repair, str | None]:
    """How to mend a group, by its newest; and the page of its document on the portal, where a person has to look."""
    record = services().record
    try:
        if row.is_of_events:
            return repair_of_event(details_of(record.event(row.sample))), None
        delivery = record.delivery(row.sample)
    except NotFoundError:
        return Repair(""), None  # it was erased or forgotten a moment ago
    site = services().store.portal(delivery.call.portal).learned().address
    link = link_of_document(site, delivery.call.document_id)
    if row.is_uncertain:
        return Repair(delivery.event_id), link
    return repair_of_delivery(delivery, details_of_event(delivery.event_id)), link


def details_of_event(event_id: str) -> EventDetails | None:
    """An event in detail; None if it is no longer on record."""
    try:
        return details_of(services().record.event(event_id))
    except NotFoundError:
        return None


def group_of(event: Event, deliveries: Sequence[Delivery], rule: str = "") -> Group | None:
    """The group of failures to which an event belongs, by it alone; None if nothing of it waits for a person.

    rule: only of this rule's deliveries.
    """
    record = services().record
    if event.state is EventState.REJECTED:
        if not record.is_unresolved_rejected(event.id):
            return None
        common = (("source", event.source), ("fault", event.fault))
        return Group(EventState.REJECTED, 1, event.id, event.id, common)
    for one in deliveries:
        if one.state is State.DEAD and rule in {"", one.rule} and record.is_unresolved_dead(one.id):
            call = one.call
            values = (one.reason or "", one.rule, call.portal, str(call.template_id))
            return Group(State.DEAD, 1, one.id, one.id, tuple(zip(OF_DELIVERIES, values, strict=True)))
    return None
