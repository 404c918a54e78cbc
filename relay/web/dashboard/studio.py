"""The studio: a captured event becomes a rule, or a rule is mended. Portal, template, values, the text and its
mistakes, a trial, activation.

The page is one form, and the text in it is the truth: each button sends all of it and gets the page anew.
static/studio.js does so in the background; without it, the same buttons do. The text is kept on the server for its
person (store/operators/drafts.py), so a reload, a second window or an ended session loses none of it. Values are masked
as on the page of the event.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flask import Response, abort, redirect, render_template, request, url_for

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
from relay.core.events import Event
from relay.core.faults import code_of, fault
from relay.core.ids import utc_now
from relay.core.phrases import phrase
from relay.core.templates import PortalTemplate, templates_of
from relay.operations.deciding import contexts_of
from relay.operations.drafting import (
    ABOUT,
    DOCUMENT,
    FROM,
    MADE_FOR_A_CONTACT,
    WHEN,
    FieldMapping,
    Node,
    Tree,
    add_condition,
    choose,
    contact_first,
    document_first,
    draft,
    equals,
    field_mapping,
    kind_of,
    map_value,
    rule_name,
    tree_of,
    type_of,
)
from relay.operations.preview import DraftPreview, RulePreview, preview_on_record, read_draft, try_event
from relay.operations.rule_text import UneditableError, content_of, has, line, put
from relay.rules import Rule
from relay.store.operators.audit_log import Act
from relay.store.operators.drafts import Draft
from relay.store.portals.questions import Asked, Question, QuestionState
from relay.web.auth import is_revealed, reveal
from relay.web.dashboard.frame import blueprint, for_operators, keeps_form, who
from relay.web.dashboard.new_source import profile_of
from relay.web.dashboard.rule_changes import difference, rule_files
from relay.web.language import _, said, say
from relay.web.presenters.differences import differences_of
from relay.web.presenters.event_details import details_of, rule_named
from relay.web.presenters.masking import FEW_VALUES, Masking, excerpt, masking_of
from relay.web.presenters.yaml_colours import LONGEST_COLOURED, coloured
from relay.web.services import services

LONGEST_FORM = 300_000
LONGEST_NUMBER = 9
"""Digits of the number of a value in an event."""
LONGEST_FIELD = 200
MOST_SHOWN_NODES = 140
LONGEST_SHOWN = 120
"""Values of an event on the page, and characters of each: a page has at most 60 KB."""
FEW_LEAVES = 60
MOST_ROWS = 60
FEWEST_ROWS = 14
HIDDEN = ("event_id", "rule", "begun")
SHOWN = ("source", "digest", "version", "theirs", "question_id", "portal", "template", "onto")
"""The fields of the form beside its text."""
TO_COME = (("start", "template_id"), ("start", "document_id"))
"""The keys that a new rule does not have yet: a thing to do, not a mistake."""
_NAME = re.compile(r"\{(\w{1,64})\}")


@blueprint.get("/studio")
@for_operators
def studio() -> Any:
    """A draft: the one that was kept; else one of an event, of a source, or the file of a rule."""
    form = StudioForm.read(request.args)
    captured = captured_of(form)
    form = _opened(form, captured)
    held = services().store.operators.drafts.read(who(), form.subject)
    if held:
        form = form.of_draft(held) if held.text != form.text else replace(form, version=held.version)
    if failed := failed_values(form, tried_of(form, captured)):
        form = replace(form, onto=f"{FROM}{next(iter(failed))}")
    return _page(form, captured)


@blueprint.post("/studio")
@keeps_form(LONGEST_FORM)
def shape_rule() -> Any:
    """The page after a button that changes only the text in it."""
    form, act = _sent(), request.form.get("act", "")
    captured = captured_of(form)
    if act in DECISIONS:
        return _page(DECISIONS[act](form, captured), captured)
    before, said = form, ""
    try:
        form = _edit(form, captured, known_of(form), act)
    except (UneditableError, NotFoundError) as error:
        said = said_of(error)
    form, conflict = _keep(before, form, captured)
    return _page(form, captured, conflict, said=said, tries=act == "try" or "reveal" in request.form)


@blueprint.post("/studio/templates")
@keeps_form(LONGEST_FORM)
def ask_templates() -> Any:
    """Have a worker ask the portal for its templates, at most once a minute."""
    form = _sent()
    if form.portal not in services().portals:
        abort(400, _("choose a portal"))
    captured, before, said = captured_of(form), form, ""
    form = replace(form, question_id=services().operator_acts.ask_templates(form.portal).id)
    try:
        form = replace(form, text=put(form.text, ("start", "portal"), form.portal))
    except UneditableError as error:
        said = said_of(error)
    form, conflict = _keep(before, form, captured)
    return _page(form, captured, conflict, said=said)


@blueprint.post("/studio/activate")
@keeps_form(LONGEST_FORM)
def activate_rule() -> Any:
    """Write the file; web processes load it by themselves."""
    form = _sent()
    captured = captured_of(form)
    form, conflict = _keep(form, form, captured)
    if conflict:
        return _page(form, captured, conflict), 409
    if mistakes_in(form):
        return _page(form, captured, said=_("Mend the marked lines first: nothing was written.")), 422
    if missing_template(form, known_of(form)) and "anyway" not in request.form:
        return _page(form, captured, said=_("The portal does not have this template: nothing was written.")), 422
    try:
        digest = form.digest if form.name == form.rule else None
        change = rule_files().write(form.name, form.text, who(), digest or None)
    except ConfigError as error:
        return _page(form, captured, said=said_of(error)), 422
    except (ChangedError, NotWritableError) as error:
        return _page(form, captured, said=said_of(error)), 409
    if change.id is None:
        return _page(form, captured, said=_("The file says this already."))
    services().store.operators.drafts.forget(who(), form.as_draft())
    return redirect(url_for("dashboard.rule_change", change_id=change.id, event=form.event_id or None), 303)


@blueprint.post("/studio/file")
@keeps_form(LONGEST_FORM)
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


def _opened(form: StudioForm, captured: Captured) -> StudioForm:
    """The form with the text from which a draft begins. Raises NotFoundError."""
    return _edited(form) if form.rule else _drafted(form, captured)


def _edited(form: StudioForm) -> StudioForm:
    """The file of a rule as it is. Raises NotFoundError."""
    file, rule = rule_files().read(form.rule), rule_named(form.rule)
    portal = rule.requirement.portal if rule else min(services().portals, default="")
    return replace(form, text=file.text, digest=file.digest, portal=portal, source=rule.source if rule else "")


def _drafted(form: StudioForm, captured: Captured) -> StudioForm:
    """The beginning of a new rule. Raises NotFoundError."""
    source = services().record.event(form.event_id).source if form.event_id else form.source
    if source not in services().sources:
        raise NotFoundError(phrase("no source %(source)r: choose one that is in force", source=source))
    portal = form.portal if form.portal in services().portals else min(services().portals, default="")
    name = rule_name(source, captured.tree, {rule.name for rule in services().rules.all()})
    text = draft(name, source, portal, captured.tree, form.event_id)
    form = replace(form, source=source, portal=portal, text=text)
    return replace(form, begun=form.subject)


def _begun(form: StudioForm, captured: Captured) -> str:
    """The text from which a draft begins; empty if its rule has been deleted."""
    try:
        return _opened(form, captured).text
    except NotFoundError:
        return ""


# A draft is kept.


def _keep(before: StudioForm, form: StudioForm, captured: Captured) -> tuple[StudioForm, Conflict | None]:
    """Keep the text after a button. before: as it was typed.

    With a conflict, nothing is kept: the draft was changed in another window meanwhile.
    """
    drafts, now = services().store.operators.drafts, utc_now()
    seen, begun = drafts.read(who(), form.subject), _begun(form, captured)
    if seen is None:
        if form.text == begun:
            return replace(form, version=""), None
        seen = Draft(form.subject, begun, form.digest, now)
    elif seen.version != form.version and seen.text not in (before.text, form.text):
        if before.text == form.text and form.text in seen.earlier:
            return form.of_draft(seen), None  # this window has changed nothing, and the other one has
        return form, Conflict(seen.text, seen.version, is_file=False)
    fresh = seen.changed(before.text, now, typed=True).changed(form.text, now)
    fresh = replace(fresh, digest=form.digest, differs=form.text != begun)
    held = seen if fresh == seen else drafts.keep(who(), fresh)
    if held.text != form.text:
        return form, Conflict(held.text, held.version, is_file=False)
    return form.of_draft(held), None


def _take_theirs(form: StudioForm, captured: Captured) -> StudioForm:
    """The text of the other window; what was written here is one step back."""
    held = services().store.operators.drafts.read(who(), form.subject)
    return _decided(form, held.text, held, captured) if held else form


def _keep_mine(form: StudioForm, captured: Captured) -> StudioForm:
    """The text of this window; the other one is one step back."""
    held = services().store.operators.drafts.read(who(), form.subject)
    return _decided(form, form.text, held, captured) if held else form


def _take_file(form: StudioForm, captured: Captured) -> StudioForm:
    """The file as somebody else has changed it."""
    file = rule_files().read(form.rule)
    return _keep(form, replace(form, text=file.text, digest=file.digest), captured)[0]


def _keep_over_file(form: StudioForm, captured: Captured) -> StudioForm:
    """The text of this window, to be written over the file as it is now."""
    return _keep(form, replace(form, digest=form.theirs), captured)[0]


def _undo(form: StudioForm, captured: Captured) -> StudioForm:
    """One step back. What was typed since the last step is the first one to go."""
    form, conflict = _keep(form, form, captured)
    held = services().store.operators.drafts.read(who(), form.subject)
    if conflict or held is None:
        return form
    undone = held.undone(utc_now())
    undone = replace(undone, differs=undone.text != _begun(form, captured))
    return form.of_draft(services().store.operators.drafts.keep(who(), undone))


def _discard(form: StudioForm, captured: Captured) -> StudioForm:
    """The text from which the draft began; the draft is one step back."""
    begun = _opened(form, captured)
    return _keep(form, replace(form, text=begun.text, digest=begun.digest), captured)[0]


DECISIONS = {
    "theirs": _take_theirs,
    "mine": _keep_mine,
    "take-file": _take_file,
    "keep-mine": _keep_over_file,
    "undo": _undo,
    "discard": _discard,
}
"""The buttons that choose between texts; the page says what comes of them."""


def _decided(form: StudioForm, text: str, held: Draft, captured: Captured) -> StudioForm:
    """One of two texts, if the other one is still what the person saw; else the page tells of the newer one."""
    if held.version != form.theirs:
        return form
    both = held.changed(form.text, utc_now()).changed(text, utc_now())
    both = replace(both, digest=form.digest, differs=text != _begun(form, captured))
    kept = services().store.operators.drafts.keep(who(), both)
    return form.of_draft(kept) if kept.text == text else form


# A button changes the text.


def _edit(form: StudioForm, captured: Captured, known: Known, act: str) -> StudioForm:
    """The form after the button that was pressed. Raises UneditableError and NotFoundError."""
    if number := request.form.get("put", ""):
        return _put(form, captured, known, number)
    if event_id := request.form.get("reveal", ""):
        _reveal(event_id)
    template = known.chosen(form.text)
    if act in FIRST:
        text = FIRST[act](form.text, captured.tree, template)
        return replace(form, text=text, onto=field_mapping(text, template).next_empty(DOCUMENT))
    if act == "template":
        return _choose(form, captured, known)
    if act == "source" and form.source in services().sources:
        return replace(form, text=put(form.text, ("source",), line(form.source)))
    return form


FIRST = {"contact": contact_first, "document": document_first}


def _choose(form: StudioForm, captured: Captured, known: Known) -> StudioForm:
    wanted = next((one for one in known.templates if str(one.id) == form.template), None)
    if wanted is None:
        raise NotFoundError(phrase("choose a template first"))
    text = choose(form.text, wanted, captured.tree)
    slots = field_mapping(text, wanted)
    holding = {slot.key for slot in slots.start if slot.holds}
    return replace(form, text=text, onto=slots.next_empty(form.onto) if form.onto in holding else form.onto)


def _reveal(event_id: str) -> None:
    """Show this session the personal values of an event; the audit log says so. Raises NotFoundError."""
    found = services().record.event(event_id)
    services().store.operators.log(Act(utc_now(), who(), "reveal", found.id, ""))
    reveal(found.id)


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


def _page(
    form: StudioForm, captured: Captured, conflict: Conflict | None = None, *, said: str = "", tries: bool = False
) -> str:
    preview, why_not = preview_of(form, captured) if tries else (None, "")
    return render_template(
        "studio.html",
        **view_of(form, captured, known_of(form)),
        conflict=conflict or conflict_of(form),
        said=said or why_not,
        preview=preview,
        rule=draft_rule(form) if preview else None,
        masking_for=masking_of_preview(form, captured) if preview else None,
        differences_of=differences_of,
    )


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another text in place of the one from which this one was made. version: of that text, or the file's digest.

    is_file: the file was changed; else the draft, in another window.
    """

    text: str = field(repr=False)
    version: str
    is_file: bool


@dataclass(frozen=True, slots=True)
class StudioForm:
    """The form that the page sends with each button.

    rule: the name of the one that is edited, empty: a new one; digest: of its file when it was opened; onto: the place
    for the next value. begun: what a new rule without an event is about. version: of the draft that the page shows;
    theirs: of the text with which it conflicts.
    """

    event_id: str = ""
    source: str = ""
    rule: str = ""
    digest: str = ""
    question_id: str = ""
    portal: str = ""
    template: str = ""
    onto: str = DOCUMENT
    begun: str = ""
    version: str = ""
    theirs: str = ""
    text: str = field(default="", repr=False)

    @classmethod
    def read(cls, given: Mapping[str, str]) -> StudioForm:
        """From a form or a query."""
        read = {name: given.get(name, "").strip()[:LONGEST_FIELD] for name in (*HIDDEN, *SHOWN) if given.get(name)}
        text = given.get("text", "").replace("\r\n", "\n").replace("\r", "\n")
        return cls(**{**read, "text": text})

    @property
    def subject(self) -> str:
        """The subject of its draft."""
        if self.rule:
            return f"rule:{self.rule}"
        return f"event:{self.event_id}" if self.event_id else self.begun or f"source:{self.source}"

    def of_draft(self, held: Draft) -> StudioForm:
        """With the text that is kept, for the portal that it names."""
        start = content_of(held.text).get("start")
        portal = start.get("portal") if isinstance(start, dict) else None
        known = portal if portal in services().portals else self.portal
        return replace(self, text=held.text, digest=held.digest, version=held.version, portal=str(known))

    def as_draft(self) -> Draft:
        """The draft that the page shows."""
        return Draft(self.subject, self.text, self.digest, utc_now(), version=self.version)

    @property
    def name(self) -> str:
        """The name that the rule has in the text."""
        name = content_of(self.text).get("name")
        return name if isinstance(name, str) else ""


@dataclass(frozen=True, slots=True)
class Captured:
    """The event as rules see it. unreadable: why there is no tree; more: the further entries of a batch.

    doubts: what nobody has confirmed of its sender.
    """

    event: Event | None = field(default=None, repr=False)
    tree: Tree | None = None
    masking: Masking = field(default_factory=Masking)
    unreadable: str = ""
    more: int = 0
    doubts: Sequence[str] = ()

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
    def is_answered(self) -> bool:
        return self.question is not None and self.question.state is QuestionState.DONE

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
        return Captured(event, masking=looked.masking, unreadable=looked.unreadable or _("its body was removed"))
    try:
        contexts = contexts_of(source, event)
    except (UnreadableError, UnsupportedTypeError) as error:
        return Captured(event, masking=looked.masking, unreadable=say(error.message))
    if not contexts:
        return Captured(event, masking=looked.masking, unreadable=_("it is an empty batch"))
    profile = profile_of(source.profile)
    tree = tree_of(contexts[0], MOST_SHOWN_NODES, profile.places if profile else None)
    return Captured(event, tree, looked.masking, more=len(contexts) - 1, doubts=profile.doubts if profile else ())


def known_of(form: StudioForm) -> Known:
    """The question about templates to the portal, and its answer: this page's, or another one's of the last minute."""
    try:
        question = (
            services().questions.read(form.question_id)
            if form.question_id
            else services().questions.latest(form.portal, Asked.TEMPLATES)
        )
    except NotFoundError:
        return Known()
    if question is None or question.act is not Asked.TEMPLATES or question.portal != form.portal:
        return Known()
    if question.state is not QuestionState.DONE:
        return Known(question)
    return Known(question, tuple(templates_of(question.answer)))


def draft_rule(form: StudioForm) -> Rule | None:
    """The rule of the text; None if it has mistakes."""
    settings = services().settings
    return read_draft(form.name, form.text, settings.config, settings.public_url or "") if form.name else None


def tried_of(form: StudioForm, captured: Captured) -> RulePreview | None:
    """The preview of the draft with the event; None if there is no event or the draft has mistakes."""
    event, rule = captured.event, draft_rule(form)
    if event is None or captured.tree is None or rule is None or event.source not in services().sources:
        return None
    return next(iter(try_event(services().sources[event.source], [rule], event)), None)


def failed_values(form: StudioForm, tried: RulePreview | None) -> dict[str, list[str]]:
    """The values of the draft that cannot be taken from the event, with their faults."""
    taken = content_of(form.text).get("extract")
    names = taken if isinstance(taken, dict) else {}
    return {name: list(faults) for name, faults in tried.errors.items() if name in names} if tried else {}


def preview_of(form: StudioForm, captured: Captured) -> tuple[DraftPreview | None, str]:
    """The preview of the draft on recorded events, this one first; or the reason why there is none."""
    rule = draft_rule(form)
    if rule is None:
        return None, _("Mend the marked lines first.")
    source = services().sources.get(rule.source)
    if source is None:
        return None, _("The source %(source)s is not in force yet.", source=rule.source)
    before = rule_named(form.rule) if form.rule else None
    first = captured.event if captured.tree and captured.event and captured.event.source == rule.source else None
    return preview_on_record(services().record, source, rule, before, first=first), ""


def masking_of_preview(form: StudioForm, captured: Captured) -> Callable[[str], Masking]:
    """The masking for the calls of each event: by today's rules and by the draft; none for a revealed event."""
    rules = [*services().rules.all(), *([rule] if (rule := draft_rule(form)) else [])]
    masked = replace(masking_of(rules), known=captured.masking.known)
    return lambda event_id: Masking(revealed=True) if is_revealed(event_id) else masked


def view_of(form: StudioForm, captured: Captured, known: Known) -> dict[str, Any]:
    """The values of the template."""
    template = known.chosen(form.text)
    slots = field_mapping(form.text, template)
    mistakes, count = mistakes_in(form), form.text.count("\n") + 1
    tried, missing = tried_of(form, captured), missing_template(form, known)
    failed, wrong = failed_values(form, tried), [one for one in mistakes if not is_to_come(form, one)]
    held = services().store.operators.drafts.read(who(), form.subject) if form.version else None
    begun, kind = _begun(form, captured), kind_of(form.text, template)
    return {
        "form": form,
        "hidden": HIDDEN,
        "captured": captured,
        "lines": [line_of(root, captured.masking) for root in captured.tree.roots] if captured.tree else [],
        "placed": [line_of(one, captured.masking) for one in captured.tree.placed] if captured.tree else [],
        "known": known,
        "template": template,
        "slots": slots,
        "examples": examples_of(form, captured, slots, tried),
        "failed": failed,
        "failed_keys": [f"{FROM}{name}" for name in failed],
        "onto": _known_slot(slots, form.onto),
        "offers_contact": captured.tree and not has(form.text, ("make", ABOUT, ABOUT)),
        "offers_document": kind if kind in MADE_FOR_A_CONTACT and not has(form.text, ("make", kind, kind)) else "",
        "mistakes": wrong,
        "wanting": [one for one in mistakes if one not in wrong],
        "missing_template": missing,
        "marked": {one.line for one in (*wrong, *([missing] if missing else []))},
        "draft": held if held and held.differs else None,
        "can_undo": held is not None and bool(held.earlier),
        "changed": changed_lines(begun, form.text) if form.rule else set(),
        "colour": coloured,
        "coloured": coloured(form.text) if len(form.text) <= LONGEST_COLOURED else (),
        "rows": min(max(count + 1, FEWEST_ROWS), MOST_ROWS),
        "numbers": range(1, count + 1),
        "is_writable": rule_files().is_writable,
        "portals": sorted(services().portals),
        "sources": sorted(services().sources),
        "difference": difference,
    }


def examples_of(form: StudioForm, captured: Captured, slots: FieldMapping, tried: RulePreview | None) -> dict[str, str]:
    """The values that this event would put into places, masked; only known ones, and not what the rule says."""
    if captured.tree is None:
        return {}
    found: dict[str, str] = {}
    leaves = {leaf.path: leaf for leaf in (*captured.tree.placed, *captured.tree.leaves())}
    for slot in slots.values:
        name = slot.key.removeprefix(FROM)
        if tried and tried.found.get(name) is not None:
            found[name] = _shown(tried.found[name], name, captured.masking)
        elif leaf := next((leaves[path] for path in slot.holds.split(", ") if path in leaves), None):
            found[name] = _shown(leaf.value, leaf.name, captured.masking)
    examples = {f"{FROM}{name}": shown for name, shown in found.items()}
    content = content_of(form.text)
    for slot in (*slots.first, *slots.start):
        names = _NAME.findall(slot.holds)
        if names and found.keys() >= set(names):
            examples[slot.key] = _NAME.sub(lambda match: found[match[1]], slot.holds)
        elif names and slot.holds == f"{{{names[0]}}}":
            steps = {"find": _("what is found"), "make": _("the new one")}
            of_step = (words for section, words in steps.items() if has_step(content, section, names[0]))
            examples[slot.key] = next(of_step, "")
    return examples


def has_step(content: Mapping[str, Any], section: str, name: str) -> bool:
    """Whether the rule finds or makes something under this name."""
    steps = content.get(section)
    return isinstance(steps, dict) and name in steps


def conflict_of(form: StudioForm) -> Conflict | None:
    """The file of the rule, if it is no longer the one from which this text was made."""
    if not form.rule:
        return None
    try:
        file = rule_files().read(form.rule)
    except NotFoundError:
        return Conflict("", "", is_file=True) if form.digest else None
    is_same = form.digest == file.digest or form.text == file.text
    return None if is_same else Conflict(file.text, file.digest, is_file=True)


def mistakes_in(form: StudioForm) -> list[Mistake]:
    """The mistakes in the text, by line."""
    if not form.name:
        return [Mistake("", 1, fault("expected_rule_name"))]
    found = rule_files().mistakes_in(form.name, form.text)
    if form.name != form.rule and rule_named(form.name):
        found.append(Mistake("", _line_of("name", form.text), fault("rule_exists", name=form.name)))
    return sorted(found, key=lambda mistake: mistake.line)


def is_to_come(form: StudioForm, mistake: Mistake) -> bool:
    """Whether a new rule only does not have this yet."""
    return not form.rule and mistake.keys in TO_COME and code_of(mistake.fault) == "missing"


def missing_template(form: StudioForm, known: Known) -> Mistake | None:
    """The template of the rule, if the portal has answered and does not have it."""
    start = content_of(form.text).get("start")
    if not known.is_answered or not isinstance(start, dict) or start.get("portal") != form.portal:
        return None
    number = start.get("template_id")
    if not isinstance(number, str) or not number.isdecimal() or known.chosen(form.text):
        return None
    wrong = fault("template_unknown", number=number, portal=form.portal)
    return Mistake("", _line_of("template_id", form.text), wrong, ("start", "template_id"))


def changed_lines(before: str, after: str) -> set[int]:
    """The numbers of the lines that are not in the text before."""
    parts = difflib.SequenceMatcher(None, before.split("\n"), after.split("\n")).get_opcodes()
    return {line for kind, *_, begin, end in parts if kind != "equal" for line in range(begin + 1, end + 1)}


def line_of(node: Node, masking: Masking) -> Line:
    """A node of the event and the nodes in it, as lines."""
    shown = kind = ""
    if node.is_leaf:
        shown, kind = _shown(node.value, node.name, masking), type_of(node.value, node.name)
    return Line(
        node,
        masking.text(node.path),
        masking.text(node.name),
        shown,
        kind,
        tuple(line_of(child, masking) for child in node.children),
    )


def said_of(error: RelayError) -> str:
    """An error as a sentence of the page."""
    text = said(error)
    return f"{text[:1].upper()}{text[1:]}."


def _known_slot(slots: FieldMapping, onto: str) -> str:
    return onto if onto in {slot.key for slot in slots.every()} else DOCUMENT


def _shown(value: Any, name: str, masking: Masking) -> str:
    """The beginning of a value, masked."""
    masked = masking.value(excerpt(value, FEW_VALUES, LONGEST_SHOWN)[0], name)
    return masked if isinstance(masked, str) else json.dumps(masked, ensure_ascii=False, default=str)


def _line_of(key: str, text: str) -> int:
    """The line of the first key of this name; the first line if it is written in an unusual way."""
    key = f"{key}:"
    return next((number for number, line in enumerate(text.split("\n"), 1) if key in line.split("#")[0]), 1)
