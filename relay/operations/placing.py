"""Puts a value of an event to use in the text of a rule: as the document, as a parameter, as a field of a find or make.

Pure, as relay/operations/drafting.py: a text comes in, a text goes out; what a portal has was asked before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from relay.core.entities import COMMUNICATIONS, DYNAMIC, SOUGHT_BY, WITH_COMMUNICATIONS
from relay.core.errors import NotFoundError
from relay.core.phrases import phrase, verbatim
from relay.core.templates import PortalTemplate, TemplateParameter
from relay.operations.drafting import Node, Tree, equals, take, type_of
from relay.operations.rule_text import content_of, filled, has, line, put
from relay.rules.documents import FORMS

DOCUMENT, WHEN, VALUE = "document", "when", "value"
PARAMETER, FIND, MAKE = "parameter:", "find:", "make:"
MADE = {
    "lead": ("title", "name", "lastName", "comments"),
    "deal": ("title", "opportunity", "comments"),
    "contact": ("name", "lastName", "comments"),
    "company": ("title", "comments"),
}
"""What a rule may make from here, and the fields that are offered; others are written by hand."""
CLIENT, ABOUT = "client", "contact"
"""The step that finds somebody, and whom."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a value. holds: what stands there in the text now; empty: nothing.

    is_odd: the rule fills it, and the template has no such parameter.
    """

    key: str
    label: str
    hint: str = ""
    holds: str = ""
    is_required: bool = False
    is_odd: bool = False


@dataclass(frozen=True, slots=True)
class Slots:
    """All places: of the start, and of what is found and made before it."""

    start: tuple[Slot, ...]
    first: tuple[Slot, ...]

    def next_empty(self, after: str) -> str:
        """The key of the next place that wants a value; of none, the same."""
        keys = [slot.key for slot in self.start]
        at = keys.index(after) + 1 if after in keys else 0
        wanting = [slot.key for slot in (*self.start[at:], *self.start[:at]) if not slot.holds and _wants(slot)]
        return wanting[0] if wanting and after in keys else after


def slots_of(text: str, template: PortalTemplate | None) -> Slots:
    """Every place that a value can be put on now."""
    content, kind = content_of(text), kind_of(text, template)
    written = _map_in(content, "start", "parameters")
    declared = template.parameters if template else ()
    parameters = [
        Slot(
            f"{PARAMETER}{one.id}",
            verbatim(one.title),
            verbatim(_described(one)),
            _shown(written.get(one.id)),
            one.is_required,
        )
        for one in declared
    ]
    others = [name for name in written if name not in {one.id for one in declared}]
    unknown = phrase("the template has no such parameter") if template else ""
    parameters += [
        Slot(f"{PARAMETER}{name}", verbatim(name), unknown, _shown(written[name]), is_odd=bool(template))
        for name in others
    ]
    document = _map_in(content, "start").get("document_id")
    return Slots(
        (
            Slot(
                DOCUMENT,
                phrase("Document: %(kind)s", kind=kind),
                phrase("the number of one that exists"),
                _shown(document),
                is_required=True,
            ),
            *parameters,
            Slot(WHEN, phrase("Only when"), phrase("for events like this one"), _shown(content.get("when"))),
            Slot(VALUE, phrase("A value by itself"), phrase("to write into texts by its name")),
        ),
        tuple(_first(content, kind)),
    )


def place(text: str, node: Node, slot: str, template: PortalTemplate | None) -> str:
    """The text with a value of the event on a place. Raises UneditableError, and NotFoundError for no such place."""
    if slot == WHEN:
        return add_condition(text, equals(node))
    if slot == DOCUMENT:
        text, name = take(text, node, document=True)
        return put(text, ("start", "document_id"), _document(kind_of(text, template), filled(name), template))
    if slot == VALUE:
        return take(text, node)[0]
    if slot.startswith(PARAMETER):
        return _on_parameter(text, node, slot.removeprefix(PARAMETER), template)
    kind, name_of_field = kind_of(text, template), slot.partition(":")[2]
    if slot.startswith(FIND) and name_of_field in SOUGHT_BY:
        text, name = take(text, node)
        text = put(text, ("find", CLIENT, ABOUT, name_of_field), filled(name))
        return _joined(text, kind)
    if slot.startswith(MAKE) and kind in MADE and name_of_field:
        text, name = take(text, node)
        text = put(text, ("make", kind, kind, name_of_field), filled(name))
        return _joined(put(text, ("start", "document_id"), f"{{{kind}: {filled(kind)}}}"), kind)
    raise NotFoundError(phrase("no place %(slot)r in this rule", slot=slot))


def choose(text: str, template: PortalTemplate, tree: Tree | None) -> str:
    """The text with this template: its number, its kind of document, and values of the same names as its parameters.

    Raises UneditableError.
    """
    text = put(text, ("start", "template_id"), str(template.id))
    held = _map_in(content_of(text), "start").get("document_id")
    if isinstance(held, dict) and len(held) == 1:
        value = next(iter(held.values()))
        inner = value[-1] if isinstance(value, list) and value else value
        if isinstance(inner, str):
            text = put(text, ("start", "document_id"), _document(kind_of("", template), json.dumps(inner), template))
    leaves = [leaf for leaf in tree.leaves() if leaf.keys[0] == "body"] if tree else []
    for parameter in template.parameters:
        names = {_bare(parameter.id), _bare(parameter.title)}
        like = next((leaf for leaf in leaves if _bare(leaf.name) in names and leaf.value not in (None, "")), None)
        if like and not has(text, ("start", "parameters", parameter.id)):
            text = _on_parameter(text, like, parameter.id, template)
    return text


def add_condition(text: str, condition: str) -> str:
    """The text that asks this too."""
    held = content_of(text).get("when")
    if isinstance(held, str) and held.strip():
        if condition in held:
            return text
        condition = f"({held.strip()}) && {condition}" if "||" in held else f"{held.strip()} && {condition}"
    return put(text, (WHEN,), line(condition))


def kind_of(text: str, template: PortalTemplate | None) -> str:
    """The kind of document that the template is for; without one, the kind that the text has, else a lead."""
    if template and len(template.document_type) == 3:
        module, entity, _ = template.document_type
        return next((form for form, (one, other, _) in FORMS.items() if (one, other) == (module, entity)), entity)
    held = _map_in(content_of(text), "start").get("document_id")
    return next(iter(held)) if isinstance(held, dict) and held else "lead"


def _on_parameter(text: str, node: Node, parameter: str, template: PortalTemplate | None) -> str:
    declared = next((one for one in template.parameters if one.id == parameter), None) if template else None
    text, name = take(text, node, required=bool(declared and declared.is_required))
    # A user is named so in every parameter of this kind (docs: bizproc-workflow-start.md).
    is_user = declared is not None and declared.kind == "user" and type_of(node.value, node.name) == "integer"
    return put(text, ("start", "parameters", parameter), f'"user_{{{name}}}"' if is_user else filled(name))


def _document(kind: str, value: str, template: PortalTemplate | None) -> str:
    kinds = template.document_type if template and len(template.document_type) == 3 else ()
    if kind == DYNAMIC:
        number = kinds[2].rpartition("_")[2] if kinds else "0"
        return f"{{{kind}: [{number}, {value}]}}"
    if kind in FORMS:
        return f"{{{kind}: {value}}}"
    return f"[{json.dumps(kinds[0])}, '{kinds[1]}', {value}]" if kinds else f"{{lead: {value}}}"


def _joined(text: str, kind: str) -> str:
    """Who was found is the contact of what is made."""
    has_both = has(text, ("find", CLIENT, ABOUT)) and has(text, ("make", kind, kind))
    if kind not in ("lead", "deal") or not has_both or has(text, ("make", kind, kind, "contactId")):
        return text
    return put(text, ("make", kind, kind, "contactId"), filled(CLIENT))


def _first(content: Mapping[str, Any], kind: str) -> Iterable[Slot]:
    found = _map_in(content, "find", CLIENT, ABOUT)
    for name in SOUGHT_BY:
        yield Slot(
            f"{FIND}{name}",
            phrase("Find a contact by %(name)s", name=name),
            phrase("before the start"),
            _shown(found.get(name)),
        )
    if kind in MADE:
        made = _map_in(content, "make", kind, kind)
        offered = (*MADE[kind], *(COMMUNICATIONS[:2] if kind in WITH_COMMUNICATIONS else ()))
        for name in dict.fromkeys((*offered, *made)):
            yield Slot(
                f"{MAKE}{name}",
                phrase("Make a %(kind)s: %(name)s", kind=kind, name=name),
                phrase("before the start"),
                _shown(made.get(name)),
            )


def _map_in(content: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    found: Any = content
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _described(parameter: TemplateParameter) -> str:
    words = [parameter.id if parameter.id != parameter.title else "", parameter.kind]
    words += ["required"] * parameter.is_required + ["several"] * parameter.is_multiple
    return " · ".join(word for word in words if word)


def _shown(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return ", ".join(_shown(one) for one in (value.values() if isinstance(value, dict) else value))


def _wants(slot: Slot) -> bool:
    return slot.key == DOCUMENT or slot.key.startswith(PARAMETER)


def _bare(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())
