"""The studio: a captured event becomes a rule. Portal, template, values, the text and its mistakes, preview,
activation; then the change of the file: is it in force, undo it, replay what no rule could use before.

The page is one form, and the text in it is the truth: each button sends all of it and gets the page anew.
static/studio.js does so in the background; without it, the same buttons do. Values are masked as on the page of the
event.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from flask import Response, abort, flash, redirect, render_template, request, url_for

from relay.configuration.files import FileSet
from relay.core.errors import (
    ChangedError,
    ConfigError,
    Mistake,
    NotFoundError,
    NotWritableError,
    RelayError,
    UnreadableError,
    UnsupportedTypeError,
)
from relay.core.faults import fault
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState
from relay.core.phrases import phrase
from relay.core.templates import PortalTemplate, templates_of
from relay.operations.deciding import contexts_of
from relay.operations.drafting import (
    DOCUMENT,
    WHEN,
    FieldMapping,
    Node,
    Tree,
    add_condition,
    choose,
    draft,
    equals,
    field_mapping,
    map_value,
    rule_name,
    tree_of,
    type_of,
)
from relay.operations.in_force import INTERVAL_S
from relay.operations.preview import LEFT, DraftPreview, left_over, preview_on_record, read_draft
from relay.operations.rule_files import RuleFiles
from relay.operations.rule_text import UneditableError, content_of, line, put
from relay.rules import Rule
from relay.store.operators.kept_files import RuleChange
from relay.store.portals.questions import Asked, Question, QuestionState
from relay.store.record.search import Filter, row_of
from relay.web.dashboard.bulk import order
from relay.web.dashboard.frame import blueprint, for_operators, who
from relay.web.dashboard.live import AWAITED
from relay.web.dashboard.needs import group_of
from relay.web.language import _, said, say
from relay.web.presenters.event_details import details_of, rule_named
from relay.web.presenters.masking import FEW_CHARACTERS, FEW_VALUES, Masking, excerpt, masking_of
from relay.web.services import services

LONGEST_FORM = 300_000
LONGEST_NUMBER = 9
"""Digits of the number of a value in an event."""
MOST_CHANGES = 100
LONGEST_FIELD = 200
EVERYWHERE_AFTER = timedelta(seconds=3 * INTERVAL_S)
"""After this time every web process has taken up a change, so that a replay in any of them uses it."""
FEW_LEAVES = 60
MOST_ROWS = 60
FEWEST_ROWS = 14


@blueprint.get("/studio")
@for_operators
def studio() -> Any:
    """A draft: of an event, of a source, or the file of a rule."""
    form = StudioForm.read(request.args)
    captured = captured_of(form)
    return _page(_edited(form) if form.rule else _drafted(form, captured), captured)


@blueprint.post("/studio")
def shape_rule() -> Any:
    """The page after a button that changes only the text in it."""
    form = _sent()
    captured, known = captured_of(form), known_of(form)
    said = ""
    if request.form.get("act") == "try":
        return _page(form, captured, tries=True)
    try:
        form = _edit(form, captured, known)
    except (UneditableError, NotFoundError) as error:
        said = said_of(error)
    return _page(form, captured, said=said)


@blueprint.post("/studio/templates")
def ask_templates() -> Any:
    """Have a worker ask the portal for its templates."""
    form = _sent()
    if form.portal not in services().portals:
        abort(400, _("choose a portal"))
    asked = services().operator_acts.ask_templates(form.portal, who())
    form = replace(form, question_id=asked.id)
    try:
        form = replace(form, text=put(form.text, ("start", "portal"), form.portal))
    except UneditableError as error:
        return _page(form, captured_of(form), said=said_of(error))
    return _page(form, captured_of(form))


@blueprint.post("/studio/activate")
def activate_rule() -> Any:
    """Write the file; web processes load it by themselves."""
    form = _sent()
    if mistakes_in(form):
        return _page(form, captured_of(form), said=_("Mend the marked lines first: nothing was written.")), 422
    try:
        digest = form.digest if form.name == form.rule else None
        change = rule_files().write(form.name, form.text, who(), digest or None)
    except ConfigError as error:
        return _page(form, captured_of(form), said=said_of(error)), 422
    except (ChangedError, NotWritableError) as error:
        return _page(form, captured_of(form), said=said_of(error)), 409
    if change.id is None:
        return _page(form, captured_of(form), said=_("The file says this already."))
    return redirect(url_for("dashboard.rule_change", change_id=change.id, event=form.event_id or None), 303)


@blueprint.post("/studio/file")
def rule_file() -> Any:
    """The text as a file to download, for config/rules that cannot be written here."""
    form = _sent()
    answer = Response(form.text, content_type="application/octet-stream")
    name = form.name if form.name.replace("-", "").replace("_", "").isalnum() and form.name.isascii() else "rule"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}.yaml"'
    return answer


def _sent() -> StudioForm:
    request.max_content_length = request.max_form_memory_size = LONGEST_FORM
    return StudioForm.read(request.form)


def _edited(form: StudioForm) -> StudioForm:
    """The file of a rule as it is. Raises NotFoundError."""
    file = rule_files().read(form.rule)
    named = services().rules.all()
    rule = next((one for one in named if one.name == form.rule), None)
    portal = rule.requirement.portal if rule else min(services().portals, default="")
    return replace(form, text=file.text, digest=file.digest, portal=portal, source=rule.source if rule else "")


def _drafted(form: StudioForm, captured: Captured) -> StudioForm:
    source = services().record.event(form.event_id).source if form.event_id else form.source
    if source not in services().sources:
        raise NotFoundError(phrase("no source %(source)r: choose one that is in force", source=source))
    portal = form.portal if form.portal in services().portals else min(services().portals, default="")
    name = rule_name(source, captured.tree, {rule.name for rule in services().rules.all()})
    text = draft(name, source, portal, captured.tree, form.event_id)
    return replace(form, source=source, portal=portal, text=text)


def _edit(form: StudioForm, captured: Captured, known: Known) -> StudioForm:
    """The form after the button that was pressed. Raises UneditableError and NotFoundError."""
    if number := request.form.get("put", ""):
        return _put(form, captured, known, number)
    if request.form.get("act") == "template":
        wanted = next((one for one in known.templates if str(one.id) == form.template), None)
        if wanted is None:
            raise NotFoundError(phrase("choose a template first"))
        text = choose(form.text, wanted, captured.tree)
        slots = field_mapping(text, wanted)
        holding = {slot.key for slot in slots.start if slot.holds}
        onto = slots.next_empty(form.onto) if form.onto in holding else form.onto
        return replace(form, text=text, onto=onto)
    if request.form.get("act") == "source" and form.source in services().sources:
        return replace(form, text=put(form.text, ("source",), line(form.source)))
    return form


def _put(form: StudioForm, captured: Captured, known: Known, number: str) -> StudioForm:
    is_number = number.isdecimal() and len(number) <= LONGEST_NUMBER
    node = captured.tree.find(int(number)) if captured.tree and is_number else None
    if node is None:
        raise NotFoundError(phrase("the event has no such value"))
    template = known.chosen(form.text)
    if form.onto == WHEN and captured.masking.value(node.value, node.name) != node.value:
        # A click puts no masked value into a file: the condition asks only that there is a value.
        text = add_condition(form.text, node.path)
    elif form.onto == WHEN:
        text = add_condition(form.text, equals(node))
    else:
        text = map_value(form.text, node, form.onto, template)
    return replace(form, text=text, onto=field_mapping(text, template).next_empty(form.onto))


def _page(form: StudioForm, captured: Captured, *, said: str = "", tries: bool = False) -> str:
    preview, why_not = preview_of(form) if tries else (None, "")
    return render_template(
        "studio.html",
        **view_of(form, captured, known_of(form)),
        said=said or why_not,
        preview=preview,
        masking=masking_of_preview(form, captured) if preview else captured.masking,
    )


@blueprint.get("/rules/changes")
@for_operators
def rule_changes() -> Any:
    """The newest changes of the files that were made here."""
    return render_template(
        "rule_changes.html", changes=rule_files().history(request.args.get("rule") or None, MOST_CHANGES)
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


def _read(change_id: str) -> RuleChange:
    """Raises NotFoundError."""
    return services().store.operators.rule_changes.read(change_id)


def _source_of(change: RuleChange) -> str:
    """The source of the rule after the change; empty if that source is not in force."""
    settings = services().settings
    rule = read_draft(change.name, change.after, settings.config, settings.public_url or "") if change.after else None
    return rule.source if rule and rule.source in services().sources else ""


@dataclass(frozen=True, slots=True)
class StudioForm:
    """The form that the page sends with each button.

    rule: the name of the one that is edited, empty: a new one; digest: of its file when it was opened; onto: the place
    for the next value.
    """

    event_id: str = ""
    source: str = ""
    rule: str = ""
    digest: str = ""
    question_id: str = ""
    portal: str = ""
    template: str = ""
    onto: str = DOCUMENT
    text: str = field(default="", repr=False)

    @classmethod
    def read(cls, given: Mapping[str, str]) -> StudioForm:
        """From a form or a query."""
        names = ("event_id", "source", "rule", "digest", "question_id", "portal", "template", "onto")
        read = {name: given.get(name, "").strip()[:LONGEST_FIELD] for name in names if given.get(name)}
        text = given.get("text", "").replace("\r\n", "\n").replace("\r", "\n")
        return cls(**{**read, "text": text})

    @property
    def name(self) -> str:
        """The name that the rule has in the text."""
        name = content_of(self.text).get("name")
        return name if isinstance(name, str) else ""


@dataclass(frozen=True, slots=True)
class Captured:
    """The event as rules see it. unreadable: why there is no tree; more: the further entries of a batch."""

    tree: Tree | None = None
    masking: Masking = field(default_factory=Masking)
    unreadable: str = ""
    more: int = 0

    @property
    def is_small(self) -> bool:
        """Whether all of the tree can be shown at once."""
        return self.tree is not None and len(self.tree.leaves()) <= FEW_LEAVES


@dataclass(frozen=True, slots=True)
class Known:
    """The portal's answer about its templates. question: the one that was asked, if it is of this portal."""

    question: Question | None = None
    templates: tuple[PortalTemplate, ...] = ()

    @property
    def is_awaited(self) -> bool:
        return self.question is not None and self.question.state is QuestionState.ASKED

    def chosen(self, text: str) -> PortalTemplate | None:
        """The template that the text names."""
        start = content_of(text).get("start")
        number = start.get("template_id") if isinstance(start, dict) else None
        return next((one for one in self.templates if str(one.id) == number), None)


@dataclass(frozen=True, slots=True)
class Line:
    """A value of the event: its path, the masked value, and the proposed type."""

    node: Node
    path: str
    label: str
    shown: str
    kind: str
    lines: tuple[Line, ...] = ()


def captured_of(form: StudioForm) -> Captured:
    """The event that the form is about. Raises NotFoundError."""
    if not form.event_id:
        return Captured()
    event = services().record.event(form.event_id)
    looked, source = details_of(event), services().sources.get(event.source)
    if source is None or event.body_removed_at:
        return Captured(masking=looked.masking, unreadable=looked.unreadable or _("its body was removed"))
    try:
        contexts = contexts_of(source, event)
    except (UnreadableError, UnsupportedTypeError) as error:
        return Captured(masking=looked.masking, unreadable=say(error.message))
    if not contexts:
        return Captured(masking=looked.masking, unreadable=_("it is an empty batch"))
    return Captured(tree_of(contexts[0]), looked.masking, more=len(contexts) - 1)


def known_of(form: StudioForm) -> Known:
    """The question about templates to the portal, and its answer."""
    if not form.question_id:
        return Known()
    try:
        question = services().questions.read(form.question_id)
    except NotFoundError:
        return Known()
    if question.act is not Asked.TEMPLATES or question.portal != form.portal:
        return Known()
    if question.state is not QuestionState.DONE:
        return Known(question)
    return Known(question, tuple(templates_of(question.answer)))


def rule_files() -> RuleFiles:
    """The files of the rules."""
    settings = services().settings
    return RuleFiles(services().store, settings.config, settings.public_url or "")


def draft_rule(form: StudioForm) -> Rule | None:
    """The rule of the text; None if it has mistakes."""
    settings = services().settings
    return read_draft(form.name, form.text, settings.config, settings.public_url or "") if form.name else None


def preview_of(form: StudioForm) -> tuple[DraftPreview | None, str]:
    """The preview of the draft on recorded events, or the reason why there is none."""
    rule = draft_rule(form)
    if rule is None:
        return None, _("Mend the marked lines first.")
    source = services().sources.get(rule.source)
    if source is None:
        return None, _("The source %(source)s is not in force yet.", source=rule.source)
    return preview_on_record(services().record, source, rule, rule_named(form.rule) if form.rule else None), ""


def masking_of_preview(form: StudioForm, captured: Captured) -> Masking:
    """The masking for calls of other events: by today's rules and by the draft."""
    rules = [*services().rules.all(), *([rule] if (rule := draft_rule(form)) else [])]
    return replace(masking_of(rules), known=captured.masking.known)


def view_of(form: StudioForm, captured: Captured, known: Known) -> dict[str, Any]:
    """The values of the template."""
    template = known.chosen(form.text)
    slots = field_mapping(form.text, template)
    mistakes = mistakes_in(form)
    count = form.text.count("\n") + 1
    return {
        "form": form,
        "captured": captured,
        "lines": [line_of(root, captured.masking) for root in captured.tree.roots] if captured.tree else [],
        "known": known,
        "template": template,
        "slots": slots,
        "onto": _known_slot(slots, form.onto),
        "mistakes": mistakes,
        "marked": {mistake.line for mistake in mistakes},
        "rows": min(max(count + 1, FEWEST_ROWS), MOST_ROWS),
        "numbers": range(1, count + 1),
        "is_writable": rule_files().is_writable,
        "portals": sorted(services().portals),
        "sources": sorted(services().sources),
        "is_new": not form.rule,
    }


def mistakes_in(form: StudioForm) -> list[Mistake]:
    """The mistakes in the text, by line."""
    if not form.name:
        return [Mistake("", 1, fault("expected_rule_name"))]
    found = rule_files().mistakes_in(form.name, form.text)
    if form.name != form.rule and rule_named(form.name):
        found.append(Mistake("", _line_of_name(form.text), fault("rule_exists", name=form.name)))
    return sorted(found, key=lambda mistake: mistake.line)


def line_of(node: Node, masking: Masking) -> Line:
    """A node of the event and the nodes in it, as lines."""
    shown = kind = ""
    if node.is_leaf:
        beginning, _ = excerpt(node.value, FEW_VALUES, FEW_CHARACTERS)
        value = masking.value(beginning, node.name)
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        kind = type_of(node.value, node.name)
    return Line(
        node,
        masking.text(node.path),
        masking.text(node.name),
        shown,
        kind,
        tuple(line_of(child, masking) for child in node.children),
    )


def is_in_force(changed_at: datetime) -> bool:
    """Whether the present files are in force here, and long enough for the other processes to have loaded them."""
    in_force = services().in_force
    is_ours = FileSet.read(services().settings.config).digest == in_force.loaded.files.digest
    return is_ours and utc_now() - changed_at > EVERYWHERE_AFTER


def difference(before: str | None, after: str | None) -> list[tuple[str, str]]:
    """The difference of two texts: the mark of each line (`+`, `-` or nothing), and the line."""
    lines = difflib.unified_diff((before or "").splitlines(), (after or "").splitlines(), lineterm="")
    return [(line[:1].strip(), line[1:]) for line in lines if not line.startswith(("---", "+++", "@@"))]


def said_of(error: RelayError) -> str:
    """An error as a sentence of the page."""
    text = said(error)
    return f"{text[:1].upper()}{text[1:]}."


def _known_slot(slots: FieldMapping, onto: str) -> str:
    return onto if onto in {slot.key for slot in (*slots.start, *slots.first)} else DOCUMENT


def _line_of_name(text: str) -> int:
    return next((number for number, line in enumerate(text.split("\n"), 1) if line.startswith("name:")), 1)
