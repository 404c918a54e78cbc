"""What the studio shows: the event as a tree, the places for its values, the text and its mistakes, what a trial found.

Reads the record; changes nothing. Values are masked as on the page of the event.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from relay.configuration.files import FileSet
from relay.core.errors import Mistake, NotFoundError, RelayError, UnreadableError, UnsupportedTypeError
from relay.core.faults import fault
from relay.core.ids import utc_now
from relay.core.templates import PortalTemplate, templates_of
from relay.operations.deciding import contexts_of
from relay.operations.drafting import DOCUMENT, FieldMapping, Node, Tree, field_mapping, tree_of, type_of
from relay.operations.in_force import INTERVAL_S
from relay.operations.preview import DraftPreview, preview_on_record, read_draft
from relay.operations.rule_files import RuleFiles
from relay.operations.rule_text import content_of
from relay.rules import Rule
from relay.store.portals.questions import Asked, Question, QuestionState
from relay.web.language import _, said, say
from relay.web.presenters.event_details import details_of, rule_named
from relay.web.presenters.excerpts import FEW_CHARACTERS, FEW_VALUES, excerpt
from relay.web.presenters.masking import Masking, masking_of
from relay.web.services import services

LONGEST_FIELD = 200
EVERYWHERE_AFTER = timedelta(seconds=3 * INTERVAL_S)
"""So long after a change every web process has seen it twice and taken it up: whichever does a replay decides by it."""
FEW_LEAVES = 60
MOST_ROWS = 60
FEWEST_ROWS = 14


@dataclass(frozen=True, slots=True)
class StudioForm:
    """What the page sends back with each act.

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
    """The event as rules see it. unreadable: why there is no tree; more: further entries, where it is a batch."""

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
    """What the portal has said of its templates. question: the one that was asked, if it is of this portal."""

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
    """A value of the event: where it stands, what came, masked, and the type that is proposed."""

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
    """What was asked of the portal, and its answer."""
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
    """The rule that the text would be; None where it has mistakes."""
    settings = services().settings
    return read_draft(form.name, form.text, settings.config, settings.public_url or "") if form.name else None


def trial_of(form: StudioForm) -> tuple[DraftPreview | None, str]:
    """What the draft makes of what is on record; or why it cannot be tried."""
    rule = draft_rule(form)
    if rule is None:
        return None, _("Mend the marked lines first.")
    source = services().sources.get(rule.source)
    if source is None:
        return None, _("The source %(source)s is not in force yet.", source=rule.source)
    return preview_on_record(services().record, source, rule, rule_named(form.rule) if form.rule else None), ""


def masking_of_trial(form: StudioForm, captured: Captured) -> Masking:
    """For calls of other events: by today's rules, and by the draft."""
    rules = [*services().rules.all(), *([rule] if (rule := draft_rule(form)) else [])]
    return replace(masking_of(rules), known=captured.masking.known)


def view_of(form: StudioForm, captured: Captured, known: Known) -> dict[str, Any]:
    """What the template needs."""
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
    """What is wrong with the text, by line."""
    if not form.name:
        return [Mistake("", 1, fault("expected_rule_name"))]
    found = rule_files().mistakes_in(form.name, form.text)
    if form.name != form.rule and rule_named(form.name):
        found.append(Mistake("", _line_of_name(form.text), fault("rule_exists", name=form.name)))
    return sorted(found, key=lambda mistake: mistake.line)


def line_of(node: Node, masking: Masking) -> Line:
    """A place of the event, and what is in it."""
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
    """Whether the files are in force as they are now: in this process, and in others as soon as they have looked."""
    in_force = services().in_force
    is_ours = FileSet.read(services().settings.config).digest == in_force.loaded.files.digest
    return is_ours and utc_now() - changed_at > EVERYWHERE_AFTER


def difference(before: str | None, after: str | None) -> list[tuple[str, str]]:
    """Two texts line by line: what a line is (`+`, `-` or nothing), and the line."""
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
