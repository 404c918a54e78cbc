"""A change of a rule's file: what it was, whether it is in force, undo, and the replay of what no rule could use."""

from __future__ import annotations

from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for

from relay.core.lifecycle import EventState
from relay.operations.preview import LEFT, left_over, read_draft
from relay.store.operators.kept_files import RuleChange
from relay.store.record.search import Filter
from relay.web.dashboard.bulk import order
from relay.web.dashboard.frame import blueprint, for_operators, who
from relay.web.dashboard.live import AWAITED
from relay.web.language import _
from relay.web.presenters.studio import difference, is_in_force, rule_files
from relay.web.services import services

SHOWN = 100


@blueprint.get("/rules/changes")
@for_operators
def rule_changes() -> Any:
    """The newest changes of the files, whoever has made them here."""
    return render_template("rule_changes.html", changes=rule_files().history(request.args.get("rule") or None, SHOWN))


@blueprint.get("/rules/changes/<change_id>")
@for_operators
def rule_change(change_id: str) -> Any:
    """One change; looks again by itself until it is in force."""
    change = _read(change_id)
    newest = rule_files().history(change.name, 1)
    is_newest = bool(newest) and newest[0].id == change.id
    in_force = is_newest and is_in_force(change.at)
    source = _source_of(change) if in_force else ""
    rule = next((one for one in services().rules.all() if one.name == change.name), None)
    return render_template(
        "rule_change.html",
        change=change,
        lines=difference(change.before, change.after),
        is_newest=is_newest,
        waiting=services().in_force.waiting,
        in_force=in_force,
        source=source,
        left=left_over(services().record, services().sources[source], rule) if source and rule else {},
        event_id=request.args.get("event", ""),
        fresh=None if in_force or not is_newest else AWAITED,
    )


@blueprint.post("/rules/changes/<change_id>/undo")
def undo_change(change_id: str) -> Any:
    """Make the file what it was before."""
    undone = rule_files().undo(change_id, who())
    is_new = undone.id is not None
    flash(
        _("Undone: %(file)s is again what it was before.", file=undone.file)
        if is_new
        else _("The file is that already.")
    )
    return redirect(url_for("dashboard.rule_change", change_id=undone.id or change_id), 303)


@blueprint.post("/rules/changes/<change_id>/replay")
def replay_left_over(change_id: str) -> Any:
    """Replay what no rule could use before: all of one state of the rule's source, with the rules in force."""
    state = request.form.get("state", "")
    source = _source_of(_read(change_id))
    if state not in set(LEFT) or not source:
        abort(400, _("state: expected rejected or ignored, of a source that is in force"))
    return order(Filter(state=EventState(state), source=source), "current")


def _read(change_id: str) -> RuleChange:
    """Raises NotFoundError."""
    return services().store.operators.rule_changes.read(change_id)


def _source_of(change: RuleChange) -> str:
    """The source of the rule as the change has left it; empty where there is none in force."""
    settings = services().settings
    rule = read_draft(change.name, change.after, settings.config, settings.public_url or "") if change.after else None
    return rule.source if rule and rule.source in services().sources else ""
