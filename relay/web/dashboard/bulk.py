"""Replaying many: choose by a filter, see how many and a sample, run, watch, cancel.

Without a state the dead ones are meant, as in the API: whoever wants workflows started once more has to ask for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for

from relay.core.lifecycle import FINAL, State
from relay.store.record.search import Filter
from relay.web.dashboard.frame import blueprint, who
from relay.web.dashboard.live import AWAITED
from relay.web.presenters.filters import NAMES, choices, filter_asked, query_of
from relay.web.presenters.masking import masking_of
from relay.web.services import services


@blueprint.get("/bulk")
def bulk() -> Any:
    """The form; with a filter, what it finds."""
    replays, record = services().bulk, services().record
    is_chosen = any(request.args.get(name) for name in NAMES)
    wanted = _wanted(request.args)
    found = replays.dry_run(wanted) if is_chosen else None
    return render_template(
        "bulk.html",
        wanted=wanted,
        query=query_of(wanted),
        found=found,
        sample=record.deliveries(found.sample) if found else (),
        masking=masking_of(services().rules.all()),
        running=[replays.read(bulk_id) for bulk_id in replays.bulks.running()],
        finals=sorted(FINAL),
        **choices(),
    )


@blueprint.post("/bulk")
def begin_bulk() -> Any:
    """Begin what the page before has counted."""
    if not any(request.form.get(name) for name in NAMES):
        abort(400, "choose what to replay: an empty filter is everything")
    wanted, rules = _wanted(request.form), request.form.get("rules", "original")
    if rules not in {"original", "current"}:
        abort(400, "rules: expected original or current")
    begun = services().bulk.begin(wanted, rules, who())
    flash("The replay has begun. Live events go first.")
    return redirect(url_for("dashboard.one_bulk", bulk_id=begun.id), 303)


@blueprint.get("/bulk/<bulk_id>")
def one_bulk(bulk_id: str) -> Any:
    """How far a bulk replay is; looks again by itself while it runs."""
    found = services().bulk.read(bulk_id)
    fresh = AWAITED if found.state == "running" else None
    return render_template(
        "one_bulk.html", bulk=found, is_stopping=services().bulk.bulks.is_stopping(bulk_id), fresh=fresh
    )


@blueprint.post("/bulk/<bulk_id>/cancel")
def cancel_bulk(bulk_id: str) -> Any:
    """Stop it before its next step."""
    services().bulk.cancel(bulk_id, who())
    flash("It stops before its next step. What was replayed stays replayed.")
    return redirect(url_for("dashboard.one_bulk", bulk_id=bulk_id), 303)


def _wanted(given: Mapping[str, str]) -> Filter:
    wanted = filter_asked(given)
    if wanted.state is None:
        return replace(wanted, state=State.DEAD)
    if wanted.state not in FINAL:
        abort(400, "only what is dead or started is replayed")
    return wanted
