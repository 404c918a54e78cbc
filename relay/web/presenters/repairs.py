"""How a failure is mended: the part of the rule that failed beside the event's value, and the call as it would be now.

Reads the record and the files of rules; changes nothing. Values come out masked (masking.py).
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from relay.configuration.expressions import is_nothing
from relay.configuration.files import nodes_of
from relay.core.errors import NotFoundError, UnreadableError, UnsupportedTypeError
from relay.core.events import Delivery, Event
from relay.core.reasons import word_of
from relay.operations.deciding import contexts_of
from relay.operations.drafting import Node, tree_of, type_of
from relay.operations.preview import RulePreview, read_draft, try_event
from relay.operations.rule_files import RuleFiles
from relay.operations.rule_text import UneditableError, put, scalar
from relay.rules import Rule
from relay.web.language import _, say_fault
from relay.web.presenters.event_details import (
    EventDetails,
    Line,
    lines_of,
    rule_named,
    text_of_field,
    title_of,
)
from relay.web.presenters.masking import FEW_CHARACTERS, FEW_VALUES, Masking, excerpt
from relay.web.services import services

BEFORE, LONGEST_PART = 2, 6
"""Lines of a rule that are shown above a part of it that failed, and at most of the part itself."""
MOST_FOUND = 8
"""Values of an event that are shown beside a rule."""
TOLD_APART = frozenset({"email", "phone"})
"""Types by which a value is recognised wherever it stands in an event."""
DOCUMENT, TEMPLATE, PARAMETERS = ("start", "document_id"), ("start", "template_id"), ("start", "parameters")
PARTS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "error_wrong_workflow_id": (TEMPLATE,),
    "template_type_and_document_id_mismatch": (TEMPLATE, DOCUMENT),
    "wrong_document_id": (DOCUMENT,),
    "incorrect_document_type": (DOCUMENT,),
    "error_core": (DOCUMENT,),
    "error_not_found": (DOCUMENT,),
    "not_found": (DOCUMENT,),
    "target_is_not_set": (DOCUMENT,),
    "incorrect_target_format": (DOCUMENT,),
    "target_is_not_found": (DOCUMENT,),
    "document_missing": (DOCUMENT,),
    "error_argument": (PARAMETERS,),
    "invalid_arg_value": (PARAMETERS,),
    "bitrix_rest_v3_exception": (PARAMETERS,),
    "crm_field_error_required": (("make",),),
    "crm_field_error_value_not_valid": (("make",),),
    "100": (("make",),),
    "entity_type_not_supported": (("make",),),
    "nothing_found": (("find",),),
    "several_found": (("find",),),
}
"""The parts of a rule that a portal's refusal is about, by its reason. Other reasons are no rule's fault."""


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of a rule's file. number: in the file, from 1."""

    number: int
    text: str
    is_wrong: bool


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the event, masked. mark: "bad" where the rule looks, "found" where what it looks for stands."""

    path: str
    shown: str
    mark: str


@dataclass(frozen=True, slots=True)
class Repair:
    """The way from one failure to its workflow.

    rule: which to mend; empty: no rule is at fault. cause: why it failed, for this event. file, lines: the part of the
    rule's file. values: of the event, or of the call that was sent. change: lines to take out and to put in.
    call: as today's rules would make it, or else the rule with that change; empty: they make none. is_mended: whether
    today's rules make a call, and another than the one that failed.
    """

    event_id: str
    rule: str = ""
    cause: str = ""
    file: str = ""
    lines: tuple[TextLine, ...] = ()
    values: tuple[Value, ...] = ()
    change: tuple[tuple[str, str], ...] = ()
    call: tuple[Line, ...] = field(default=(), repr=False)
    is_mended: bool = False

    @property
    def wrong_line(self) -> int:
        """The number of the first line that failed; 0: none is known."""
        return next((line.number for line in self.lines if line.is_wrong), 0)


def repair_of_event(details: EventDetails) -> Repair:
    """The repair of a rejected event, by today's rules."""
    event, tried = details.event, details.tried
    able = next((one for one in tried if one.call), None)
    failed = next((one for one in tried if one.errors), None)
    call = _call_of(able, details.masking) if able else ()
    if failed is None:
        rule = able.rule if able else ""
        return Repair(event.id, rule, _cause_without_rule(details), call=call, is_mended=bool(call))
    return _repair_of_unfilled(details, failed, call)


def repair_of_delivery(delivery: Delivery, details: EventDetails | None) -> Repair:
    """The repair of a dead delivery. details: of its event; None: it is no longer on record."""
    if details is None:
        return Repair(delivery.event_id)
    tried, rule = details.tried_by(delivery.rule), rule_named(delivery.rule)
    today = tried.call_after(delivery.values) if tried and tried.call else None
    if delivery.errors:
        call = _call_of(tried, details.masking) if tried and tried.call else ()
        if tried is None or not tried.errors:
            return Repair(delivery.event_id, delivery.rule if rule else "", call=call, is_mended=bool(call))
        return _repair_of_unfilled(details, tried, call)
    parts = PARTS.get(word_of(delivery.reason), ()) if rule else ()
    file, lines = _part_of(delivery.rule, parts) if parts else ("", ())
    sent = lines_of(delivery.call, rule, today, details.masking)
    return Repair(
        delivery.event_id,
        delivery.rule if parts else "",
        file=file,
        lines=lines,
        values=tuple(_values_sent(delivery, sent, parts)),
        call=tuple(sent) if today else (),
        is_mended=bool(parts) and any(line.differs for line in sent),
    )


def _cause_without_rule(details: EventDetails) -> str:
    if details.unreadable:
        return _("Today's rules cannot be tried: %(why)s.", why=details.unreadable)
    if any(one.call for one in details.tried):
        return ""
    return _("No rule of today wants it any more.")


def _call_of(tried: RulePreview, masking: Masking) -> tuple[Line, ...]:
    return tuple(_whole_call(tried, rule_named(tried.rule), masking))


def _repair_of_unfilled(details: EventDetails, failed: RulePreview, call: tuple[Line, ...]) -> Repair:
    rule, event = rule_named(failed.rule), details.event
    if rule is None:
        return Repair(event.id, call=call)
    names = [name for name in failed.errors if name in rule.extractor.picks]
    file, lines = _part_of(failed.rule, [("extract", name) for name in names] or [DOCUMENT])
    other = {name: _elsewhere(event, rule, name) for name in names}
    changed = next((text for name, nodes in other.items() if nodes and (text := _with(rule, name, nodes[0]))), "")
    return Repair(
        event.id,
        failed.rule,
        _cause_of(failed, rule, other, details.masking),
        file,
        lines,
        tuple(_values_of(failed, rule, other, details.masking))[:MOST_FOUND],
        _difference(_text_of(rule.name), changed) if changed else (),
        call or _call_by(changed, rule, details),
        is_mended=bool(call),
    )


def _cause_of(failed: RulePreview, rule: Rule, other: Mapping[str, Sequence[Node]], masking: Masking) -> str:
    """The place where the rule looks for the first value that it misses, what is there, and where it stands instead."""
    name, messages = next(iter(failed.errors.items()))
    picks = rule.extractor.picks.get(name)
    if not picks:
        return f"{name}: {' '.join(map(say_fault, messages))}"
    paths = ", ".join(pick.text for pick in picks)
    if is_nothing(failed.found.get(name)):
        said = _(
            "The rule %(rule)s needs %(name)s and looks for it at %(paths)s: there is nothing in this event.",
            rule=rule.name,
            name=name,
            paths=paths,
        )
    else:
        said = _(
            "The rule %(rule)s cannot use what stands at %(paths)s for %(name)s: %(why)s",
            rule=rule.name,
            name=name,
            paths=paths,
            why=" ".join(map(say_fault, messages)),
        )
    places = ", ".join(masking.text(node.path) for node in other.get(name, ()))
    elsewhere = _("Such a value stands at %(places)s.", places=places) if places else ""
    return f"{said} {elsewhere}".strip()


def _values_of(
    failed: RulePreview, rule: Rule, other: Mapping[str, Sequence[Node]], masking: Masking
) -> Iterator[Value]:
    for name, nodes in other.items():
        found = failed.found.get(name)
        shown = _("nothing") if is_nothing(found) else _shown(found, name, masking)
        yield Value(" , ".join(pick.text for pick in rule.extractor.picks[name]), shown, "bad")
        for node in nodes:
            yield Value(masking.text(node.path), _shown(node.value, node.name, masking), "found")


def _values_sent(delivery: Delivery, lines: Sequence[Line], parts: Sequence[tuple[str, ...]]) -> Iterator[Value]:
    names = [_("portal"), _("template"), _("document")]
    for line in lines:
        is_meant = (
            (TEMPLATE in parts and line.name == names[1])
            or (DOCUMENT in parts and line.name == names[2])
            or (PARAMETERS in parts and line.name in delivery.call.parameters)
        )
        if is_meant:
            yield Value(line.name, line.sent, "bad" if PARAMETERS not in parts else "")


def _shown(value: Any, name: str, masking: Masking) -> str:
    beginning = excerpt(value, FEW_VALUES, FEW_CHARACTERS)[0]
    return str(masking.value(beginning, name))


def _elsewhere(event: Event, rule: Rule, name: str) -> list[Node]:
    """Other places in the event with a value that may be this one: by its name, or by its kind."""
    source = services().sources.get(event.source)
    try:
        contexts = contexts_of(source, event) if source else []
    except (UnreadableError, UnsupportedTypeError):
        return []
    picks = {pick.text for pick in rule.extractor.picks[name]}
    names = {name.casefold(), *(text.rpartition(".")[2].strip('"').casefold() for text in picks)}
    # A rule's value is named by its kind often enough.
    kinds = TOLD_APART & names
    leaves = [leaf for context in contexts[:1] for leaf in tree_of(context).leaves() if leaf.keys[0] == "body"]
    return [
        leaf
        for leaf in leaves
        if leaf.path not in picks
        and not is_nothing(leaf.value)
        and (leaf.name.casefold() in names or type_of(leaf.value, leaf.name) in kinds)
    ][:2]


def _with(rule: Rule, value: str, node: Node) -> str:
    """The text of a rule that looks at this place, too, for a value; empty: that can only be written by hand."""
    picks = [*(pick.text for pick in rule.extractor.picks[value]), node.path]
    try:
        return put(_text_of(rule.name), ("extract", value, "from"), f"[{', '.join(map(scalar, picks))}]")
    except UneditableError:
        return ""


def _difference(before: str, after: str) -> tuple[tuple[str, str], ...]:
    """The lines that a change takes out and puts in."""
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return tuple((line[0], line[2:]) for line in lines if line[0] in "+-")


def _call_by(text: str, rule: Rule, details: EventDetails) -> tuple[Line, ...]:
    """The call that a rule with this text would make of the event; empty: none."""
    settings, source = services().settings, services().sources.get(details.event.source)
    draft = read_draft(rule.name, text, settings.config, settings.public_url or "") if text else None
    if draft is None or source is None:
        return ()
    tried = next((one for one in try_event(source, [draft], details.event) if one.call), None)
    return tuple(_whole_call(tried, draft, details.masking)) if tried else ()


def _whole_call(tried: RulePreview, rule: Rule | None, masking: Masking) -> Iterator[Line]:
    """The steps before a call, then the parts of the call."""
    if tried.call is None:
        return
    for one in tried.steps:
        fields = {name: text_of_field(value, name, masking) for name, value in one.fields.items()}
        sent = "; ".join(f"{name}: {text}" for name, text in fields.items())
        yield Line(title_of(one.step), sent, one.step.name, None, differs=False)
    yield from lines_of(tried.call, rule, None, masking)


def _part_of(name: str, parts: Iterable[tuple[str, ...]]) -> tuple[str, tuple[TextLine, ...]]:
    """The file of a rule, and the lines around the first of these parts that stands in it."""
    text = _text_of(name)
    root = nodes_of(text).root if text else None
    places = [place for part in parts if (place := _lines_at(root, part))]
    if not places:
        return "", ()
    wrong = {number for place in places for number in place}
    first, last = max(1, min(places[0]) - BEFORE), max(places[0])
    shown = list(enumerate(text.splitlines(), 1))[first - 1 : last + 1]
    rule = rule_named(name)
    return (rule.file if rule else ""), tuple(TextLine(number, one, number in wrong) for number, one in shown)


def _lines_at(node: yaml.Node | None, keys: Sequence[str]) -> range | None:
    """The numbers of the lines of a key and its value; None where the file has no such key."""
    name: yaml.Node | None = None
    for key in keys:
        pairs: Collection[tuple[yaml.Node, yaml.Node]] = node.value if isinstance(node, yaml.MappingNode) else ()
        found = next(((one, value) for one, value in pairs if one.value == key), None)
        if found is None:
            return None
        name, node = found
    if name is None or node is None:
        return None
    first, end = name.start_mark.line + 1, node.end_mark
    last = end.line if end.column == 0 else end.line + 1
    return range(first, max(first, min(last, first + LONGEST_PART - 1)) + 1)


def _text_of(name: str) -> str:
    settings = services().settings
    try:
        return RuleFiles(services().store, settings.config, settings.public_url or "").read(name).text
    except NotFoundError:
        return ""
