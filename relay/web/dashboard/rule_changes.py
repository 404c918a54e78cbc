"""Changes of rules: enable, disable and delete one; then the change of its file: is it in force, undo it, replay what
no rule could use before.
"""

from __future__ import annotations

import difflib
from datetime import datetime, timedelta
from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for

from relay.configuration.files import FileSet
from relay.core.errors import ChangedError, NotFoundError, NotWritableError
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState
from relay.operations.in_force import INTERVAL_S
from relay.operations.preview import LEFT, left_over, read_draft
from relay.operations.rule_files import RuleFiles
from relay.operations.rule_text import UneditableError, content_of
from relay.store.operators.kept_files import RuleChange
from relay.store.record.search import Filter, row_of
from relay.web.dashboard.bulk import order
from relay.web.dashboard.frame import blueprint, for_operators, who
from relay.web.dashboard.live import AWAITED
from relay.web.dashboard.needs import group_of
from relay.web.language import _, said
from relay.web.presenters.yaml_colours import coloured
from relay.web.services import services

MOST_CHANGES = 100
EVERYWHERE_AFTER = timedelta(seconds=3 * INTERVAL_S)
"""After this time every web process has taken up a change, so that a replay in any of them uses it."""


@blueprint.post("/rules/<name>/<switch>")
def change_rule(name: str, switch: str) -> Any:
    """Enable, disable or delete a rule; its page offers to undo it. Raises NotFoundError."""
    if switch not in {"enable", "disable", "delete"}:
        abort(404)
    files = rule_files()
    try:
        change = files.remove(name, who()) if switch == "delete" else files.enable(name, who(), on=switch == "enable")
    except (ChangedError, NotWritableError, UneditableError) as error:
        abort(409, said(error))
    if change.id is None:
        flash(_("The file says this already."))
        return redirect(url_for("dashboard.rules"), 303)
    return redirect(url_for("dashboard.rule_change", change_id=change.id), 303)


@blueprint.get("/rules/changes")
@for_operators
def rule_changes() -> Any:
    """The newest changes of the files that were made here."""
    return render_template(
        "rule_changes.html",
        changes=rule_files().history(request.args.get("rule") or None, MOST_CHANGES),
        what_of=what_of,
    )


@blueprint.get("/rules/changes/<change_id>")
@for_operators
def rule_change(change_id: str) -> Any:
    """One change; the page refreshes until the change is in force."""
    change = _read(change_id)
    newest = rule_files().history(change.name, 1)
    is_newest = bool(newest) and newest[0].id == change.id
    in_force = is_newest and is_in_force(change.at)
    source = _source_of(change) if in_force else ""
    group, alike = _group_of(request.args.get("event", ""), change.name) if in_force else (None, 0)
    rule = next((one for one in services().rules.enabled() if one.name == change.name), None)
    return render_template(
        "rule_change.html",
        change=change,
        what=what_of(change),
        lines=difference(change.before, change.after),
        is_newest=is_newest,
        waiting=services().in_force.waiting,
        in_force=in_force,
        is_enabled=rule is not None,
        source=source,
        left=left_over(services().record, services().sources[source], rule) if source and rule else {},
        event_id=request.args.get("event", ""),
        group=group,
        alike=alike,
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
    """Replay what no rule could use before: all events of one state from the rule's source, with the rules in force."""
    state = request.form.get("state", "")
    source = _source_of(_read(change_id))
    if state not in set(LEFT) or not source:
        abort(400, _("state: expected rejected or ignored, of a source that is in force"))
    return order(Filter(state=EventState(state), source=source), "current")


def _group_of(event_id: str, rule: str) -> tuple[Filter | None, int]:
    """The filter of the failures like this event's, which the change may have mended, and how many they are."""
    if not event_id:
        return None, 0
    try:
        row = row_of(services().record, services().record.event(event_id))
    except NotFoundError:
        return None, 0
    group = group_of(row.event, row.deliveries, rule)
    return (group.filter, services().bulk.dry_run(group.filter).found) if group else (None, 0)


def rule_files() -> RuleFiles:
    """The files of the rules."""
    settings = services().settings
    return RuleFiles(services().store, settings.config, settings.public_url or "")


def difference(before: str | None, after: str | None) -> list[tuple[str, Any]]:
    """The difference of two texts: the mark of each line (`+`, `-` or nothing), and its coloured pieces."""
    lines = difflib.unified_diff((before or "").splitlines(), (after or "").splitlines(), lineterm="")
    bare = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    pieces = coloured("\n".join(line[1:] for line in bare))
    return [(line[:1].strip(), of_line) for line, of_line in zip(bare, pieces, strict=False)]


def what_of(change: RuleChange) -> str:
    """The kind of a change, as a word of the page."""
    if change.before is None:
        return _("a new rule")
    if change.after is None:
        return _("deleted")
    before, after = (str(content_of(text).get("enabled", "true")) for text in (change.before, change.after))
    if before == after:
        return _("changed")
    return _("disabled") if after == "false" else _("enabled")


def is_in_force(changed_at: datetime) -> bool:
    """Whether the present files are in force here, and long enough for the other processes to have loaded them."""
    in_force = services().in_force
    is_ours = FileSet.read(services().settings.config).digest == in_force.loaded.files.digest
    return is_ours and utc_now() - changed_at > EVERYWHERE_AFTER


def _read(change_id: str) -> RuleChange:
    """Raises NotFoundError."""
    return services().store.operators.rule_changes.read(change_id)


def _source_of(change: RuleChange) -> str:
    """The source of the rule after the change; empty if that source is not in force."""
    settings = services().settings
    rule = read_draft(change.name, change.after, settings.config, settings.public_url or "") if change.after else None
    return rule.source if rule and rule.source in services().sources else ""
