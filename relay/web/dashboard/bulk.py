"""Many at once: choose by a filter, see how many and a sample, say what to do, watch, cancel.

What a person has left on purpose is counted, and taken in only if that is asked for. Without a state the dead ones are
meant, as in the API: workflows that have started are started once more only if that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for

from relay.core.ids import utc_now
from relay.core.lifecycle import BulkAct, EventState, State
from relay.operations.bulk_replay import ROOM, OrderedBeforeError
from relay.operations.operator_acts import Act
from relay.store.operators.bulk_replays import Bulk, BulkState
from relay.store.portals.gate import GateState
from relay.store.record.search import WAITING_FOR_A_PERSON, Filter
from relay.web.dashboard.acts import LONGEST_NOTE
from relay.web.dashboard.frame import blueprint, who
from relay.web.dashboard.live import AWAITED, OVERVIEW
from relay.web.language import _, say
from relay.web.presenters import bulk_acts
from relay.web.presenters.chips import chips_of
from relay.web.presenters.event_details import closed_in_words
from relay.web.presenters.filters import NAMES, filter_asked, query_of
from relay.web.presenters.masking import masking_of
from relay.web.services import services

ALL = "0"
"""The value of `needs` that takes in what was left on purpose."""
UNDERWAY = (State.PENDING, State.SENDING)
"""While deliveries of an order stand so, its page looks again; what is retried may take a day."""


@blueprint.get("/bulk")
def bulk() -> Any:
    """The form; with a filter, what it finds and what can be done to it. act: what is asked, where that is known."""
    replays, record = services().bulk, services().record
    is_chosen = any(request.args.get(name) for name in NAMES)
    wanted = _wanted(request.args)
    offered = bulk_acts.choices_for(wanted.state or State.DEAD)
    offered = [one for one in offered if one.name == request.args.get("act")] or offered
    found = replays.dry_run(wanted, offered[0].of_many.act) if is_chosen else None
    counted = {one.name: replays.dry_run(wanted, one.of_many.act) for one in offered} if found else {}
    is_of_events = isinstance(wanted.state, EventState)
    read = record.events if is_of_events else record.deliveries
    return render_template(
        "bulk.html",
        wanted=wanted,
        query=_query(wanted),
        left=replays.left_out(wanted) if found else 0,
        with_left=_query(replace(wanted, needs=False)),
        found=found,
        count=bulk_acts.count_of(found) if found else "",
        counts={name: bulk_acts.count_of(one) for name, one in counted.items()},
        matching=bulk_acts.found_in_words(wanted.state, found) if found else "",
        counted=bulk_acts.counted(wanted.state, found) if found else "",
        sample=read(found.sample) if found else (),
        is_of_events=is_of_events,
        offered=offered,
        masking=masking_of(services().rules.all()),
        running=[replays.read(bulk_id) for bulk_id in replays.bulks.running()],
        held=[replays.read(bulk_id) for bulk_id in replays.bulks.held()],
        progress_of_bulk=bulk_acts.progress_of_bulk,
        # What waits for a person is meant anyhow: the form must not carry that on to a state where nothing does.
        chips=chips_of(replace(wanted, needs=False), states=bulk_acts.STATES, needed={"state"}),
    )


@blueprint.post("/bulk")
def begin_bulk() -> Any:
    """Begin what the page before has counted."""
    if not any(request.form.get(name) for name in NAMES):
        abort(400, _("choose what to deal with: an empty filter is everything"))
    wanted = _wanted(request.form)
    offered = {one.name: one for one in bulk_acts.choices_for(wanted.state or State.DEAD)}
    if "replay-current" in offered:  # of an event there is no earlier call: `replay` is with today's rules
        offered.setdefault("replay", offered["replay-current"])
    chosen = offered.get(request.form.get("act", "replay"))
    if chosen is None:
        abort(400, _("this cannot be done to what is in this state"))
    note = request.form.get("note", "").strip()[:LONGEST_NOTE]
    if chosen.asks_note and not note:
        abort(400, _("a note is needed: how do you know?"))
    return order(wanted, _rules(chosen), act=chosen.of_many.act, note=note)


def order(wanted: Filter, rules: str, *, act: BulkAct = BulkAct.REPLAY, note: str = "") -> Any:
    """Begin an order, and go to its page; or to that of the same one, which has not ended."""
    try:
        bulk_id = services().bulk.begin(wanted, rules, who(), act=act, note=note).id
        flash(_("It has begun. Live events go first."))
    except OrderedBeforeError as error:
        bulk_id = error.bulk_id
        flash(_("The same was ordered before, and has not ended: this is it."))
    return redirect(url_for("dashboard.one_bulk", bulk_id=bulk_id), 303)


@blueprint.get("/bulk/<bulk_id>")
def one_bulk(bulk_id: str) -> Any:
    """How far it is, and what has become of it; looks again by itself while something can change."""
    replays = services().bulk
    found = replays.read(bulk_id)
    outcomes = replays.bulks.outcomes(bulk_id)
    is_underway = any(outcomes.get(state) for state in UNDERWAY)
    return render_template(
        "one_bulk.html",
        bulk=found,
        title=bulk_acts.title_of(found),
        progress=bulk_acts.progress_of_bulk(found),
        outcomes=outcomes,
        wanted=bulk_acts.filter_in_words(found),
        story=bulk_acts.story_of_outcomes(found, outcomes),
        is_replay=found.act is BulkAct.REPLAY,
        is_stopping=replays.bulks.is_stopping(bulk_id),
        waits=_waits_of(found) if found.state is BulkState.RUNNING or is_underway else [],
        masking=masking_of(services().rules.all()),
        fresh=AWAITED if found.state is BulkState.RUNNING else OVERVIEW if is_underway else None,
    )


@blueprint.post("/bulk/<bulk_id>/cancel")
def cancel_bulk(bulk_id: str) -> Any:
    """Stop it before its next step."""
    services().bulk.cancel(bulk_id, who())
    flash(_("It stops before its next step. What was done stays done."))
    return redirect(url_for("dashboard.one_bulk", bulk_id=bulk_id), 303)


@blueprint.post("/bulk/<bulk_id>/resume")
def resume_bulk(bulk_id: str) -> Any:
    """Let an order that was held go on."""
    services().bulk.go_on(bulk_id, who())
    flash(_("It goes on. What has changed meanwhile is left alone."))
    return redirect(url_for("dashboard.one_bulk", bulk_id=bulk_id), 303)


def _rules(chosen: Act) -> str:
    rules = request.form.get("rules", chosen.rules)
    if rules not in {"original", "current"}:
        abort(400, _("rules: expected original or current"))
    return rules


def _wanted(given: Mapping[str, str]) -> Filter:
    """The filter; what was left on purpose is only in it if that is asked for."""
    takes_all = given.get("needs") == ALL
    wanted = filter_asked({name: text for name, text in given.items() if not (name == "needs" and takes_all)})
    if wanted.state is None:
        wanted = replace(wanted, state=State.DEAD)
    if wanted.state not in bulk_acts.STATES:
        abort(400, _("expected one of %(names)s", names=", ".join(bulk_acts.STATES)))
    # Nobody settles what the relay still looks into by itself, and nobody leaves what was dealt with.
    is_for_people = wanted.state is State.UNCERTAIN or given.get("act") == "leave"
    is_narrowed = wanted.state in WAITING_FOR_A_PERSON and not takes_all
    return replace(wanted, needs=wanted.needs or is_for_people or is_narrowed)


def _query(wanted: Filter) -> dict[str, str]:
    """The filter as the arguments of this page, which would narrow it down if they did not say so."""
    is_whole = wanted.state in WAITING_FOR_A_PERSON and not wanted.needs
    return query_of(wanted) | ({"needs": ALL} if is_whole else {})


def _waits_of(bulk: Bulk) -> list[str]:
    """The obstacles of an order that sends something, or of what it has made; empty if nothing is."""
    if bulk.act not in {BulkAct.REPLAY, BulkAct.AGAIN}:
        return []
    store, now, waits = services().store, utc_now(), []
    for name in _portals_of(bulk.wanted):
        gate = store.portal(name).gate.look()
        if gate.state is not GateState.OPEN:
            waits.append(f"{closed_in_words(name, gate)} {say(gate.advice)}".strip())
        elif bulk.state is BulkState.RUNNING and store.record.due(name, now) >= ROOM:
            full = _("%(count)s deliveries wait for %(portal)s already: it goes on when there is room.")
            waits.append(full % {"count": ROOM, "portal": name})
    return waits


def _portals_of(wanted: Mapping[str, str]) -> Iterable[str]:
    """The portals to which what a filter finds may be sent."""
    if "portal" in wanted:
        return [wanted["portal"]]
    if "source" in wanted:
        return sorted(services().operator_acts.replayer.portals_of(wanted["source"]))
    return services().portals
