"""From a captured event to the text of a rule: a first draft, and the mapping of its values to fields of the rule.

A value becomes the document, a parameter, or a field of a find or make. Pure: text comes in, text goes out. This module
reads no record, asks no portal and writes no file; what a portal has was asked before. Every tree is bounded, because a
body may be a megabyte of anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from marshmallow import ValidationError

from relay.configuration.expressions import Expression, is_nothing
from relay.core.errors import NotFoundError
from relay.core.phrases import phrase, verbatim
from relay.core.plan import COMMUNICATIONS, DYNAMIC, FORMS, SOUGHT_BY, WITH_COMMUNICATIONS
from relay.core.templates import PortalTemplate, TemplateParameter, name_of_document
from relay.operations.editor_schemas import modeline
from relay.operations.rule_text import content_of, filled, has, line, put, scalar
from relay.rules.values import TYPES

MOST_NODES = 400
DEEPEST = 12
MOST_DRAFTED = 20
"""Values that a draft takes from an event by itself."""
ROOTS = ("body", "envelope", "tail", "query", "headers", "received_at")
"""In the order in which people search."""
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PHONE_NAME = re.compile(r"phone|tel|mobile|whatsapp|тел", re.IGNORECASE)
_PERSON_NAME = re.compile(r"(first|last|full|middle|second|sur|client|customer|user)?_?name|fio|фио|имя", re.IGNORECASE)
_KINDS = ("body.event", "body.type", "body.action", "body.form", "body.kind", "body.event_type", "body.object")
_EVENT_HEADER = re.compile(r"x-[a-z0-9-]*(event|topic)[a-z-]*")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,60}")
_DIGITS = re.compile(r"[1-9][0-9]{0,17}|0")
DOCUMENTS = ("lead", "deal", "contact", "company", "quote", "invoice")


@dataclass(frozen=True, slots=True)
class Node:
    """One value or map in an event. number: its position in the tree. children: empty for a value.

    expression: what finds it, where its keys do not say that.
    """

    number: int
    keys: tuple[str | int, ...]
    value: Any = field(repr=False)
    children: tuple[Node, ...] = ()
    expression: str = ""

    @property
    def path(self) -> str:
        """The JMESPath expression that finds it."""
        return self.expression or path_of(self.keys)

    @property
    def name(self) -> str:
        """Its last key."""
        return str(self.keys[-1])

    @property
    def is_leaf(self) -> bool:
        return not self.children

    def leaves(self) -> Iterator[Node]:
        """The values in it."""
        if self.is_leaf:
            yield self
        for child in self.children:
            yield from child.leaves()

    def find(self, number: int) -> Node | None:
        """The node of this number."""
        if self.number == number:
            return self
        return next((found for child in self.children if (found := child.find(number))), None)


@dataclass(frozen=True, slots=True)
class Tree:
    """The tree of values that a rule sees of an event. is_cut: the event has more than can be shown.

    placed: the values whose places the sender's profile knows, under the profile's names for them, such as `phone`.
    """

    roots: tuple[Node, ...]
    is_cut: bool = False
    placed: tuple[Node, ...] = ()

    def leaves(self) -> list[Node]:
        return [leaf for root in self.roots for leaf in root.leaves()]

    def find(self, number: int) -> Node | None:
        return next((found for root in (*self.roots, *self.placed) if (found := root.find(number))), None)


def tree_of(context: Mapping[str, Any], most: int = MOST_NODES, places: Mapping[str, Expression] | None = None) -> Tree:
    """The tree of what rules see (relay/sources/events.py). most: the nodes that it may have.

    places: where the sender's profile says that values are, by their names.
    """
    builder = _Builder(most)
    roots = [builder.build((name,), context[name]) for name in ROOTS if context.get(name) not in (None, "", {}, [])]
    found = [(name, place.text, place.find(context)) for name, place in (places or {}).items()]
    known = [one for one in found if not isinstance(one[2], dict | list) and not is_nothing(one[2])]
    placed = [
        Node(number, ("body", name), value, expression=text)
        for number, (name, text, value) in enumerate(known, builder.count + 1)
    ]
    return Tree(tuple(root for root in roots if root), builder.is_cut, tuple(placed))


class _Builder:
    """Numbers the nodes, and leaves out those above the limits."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0
        self.is_cut = False

    def build(self, keys: tuple[str | int, ...], value: Any) -> Node | None:
        if self.count >= self.most:
            self.is_cut = True
            return None
        self.count += 1
        number = self.count
        inner: Iterable[tuple[str | int, Any]] = ()
        if isinstance(value, Mapping):
            inner = ((str(key), one) for key, one in value.items())
        elif isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
            inner = enumerate(value)
        if len(keys) > DEEPEST:
            self.is_cut, inner = True, ()
        children = tuple(node for key, one in inner if (node := self.build((*keys, key), one)))
        return Node(number, keys, value, children)


def path_of(keys: Sequence[str | int]) -> str:
    """The JMESPath expression of these keys: `body.lead."first name"`, `body.items[0].id`."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
            continue
        word = key if _IDENTIFIER.fullmatch(key) else json.dumps(key, ensure_ascii=False)
        text += f".{word}" if text else word
    return text


def type_of(value: Any, name: str = "") -> str:
    """The type of a rule's value that fits a value with this name."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, list):
        return "list"
    if isinstance(value, int | float) or not isinstance(value, str):
        is_phone = isinstance(value, int) and _PHONE_NAME.search(name) and _fits("phone", value)
        kind = "phone" if is_phone else "integer" if isinstance(value, int) else "number"
        return kind if _fits(kind, value) else "string"
    text = value.strip()
    # The value itself has to fit: a type may not pass over every blank that is stripped here.
    if _PHONE_NAME.search(name) and _fits("phone", value):
        return "phone"
    if text.startswith("+") and _fits("phone", value):
        return "phone"
    if _DIGITS.fullmatch(text) and _fits("integer", value):
        return "integer"
    if text.lower() in {"true", "false"} and _fits("boolean", value):
        return "boolean"
    return next((kind for kind in ("email", "url", "datetime", "date") if _fits_whole(kind, value)), "string")


def _items_of(values: list[Any]) -> str:
    """The type of a list's entries: text unless all are true or false."""
    given = [value for value in values if value is not None]
    return "boolean" if any(isinstance(value, bool) for value in given) and _fit("boolean", given) else "string"


def _has_type(value: Any) -> bool:
    """Whether any type accepts it: none accepts a list that mixes texts with true or false."""
    return not isinstance(value, list) or _fit(_items_of(value), [one for one in value if one is not None])


def _fit(kind: str, values: list[Any]) -> bool:
    return all(_fits(kind, value) for value in values)


def _fits_whole(kind: str, text: str) -> bool:
    # The type date accepts a date with a time, but would lose the time.
    return _fits(kind, text) and (kind != "date" or len(text.strip()) == 10)


def _fits(kind: str, value: Any) -> bool:
    try:
        TYPES[kind]().deserialize(value)
    except ValidationError:
        return False
    return True


def name_of(keys: Sequence[str | int], taken: Collection[str]) -> str:
    """A free name for the value at these keys: `email`, `lead_id`, `lead_id_2`."""
    words = [str(key) for key in keys[1:] if isinstance(key, str)] or [str(keys[0])]
    count = 2 if len(words) > 1 and words[-1].lower() in {"id", "value", "name", "type", "number"} else 1
    while count <= len(words):
        if (name := _identifier("_".join(words[-count:]))) not in taken:
            return name
        count += 1
    return next(fresh for number in range(2, 10_000) if (fresh := f"{name[:58]}_{number}") not in taken)


def _identifier(text: str) -> str:
    word = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").lower()
    return (word if word[:1].isalpha() else f"value_{word}")[:60].rstrip("_")


def extract_spec(node: Node, *, required: bool = False, document: bool = False) -> str:
    """The entry of `extract` for a value, as YAML on one line. document: the value is the number of a document."""
    kind = "integer" if document else type_of(node.value, node.name)
    options = [f"from: {scalar(node.path)}"]
    if kind != "string":
        options.append(f"type: {kind}")
    if kind == "list" and (items := _items_of(node.value)) != "string":
        options.append(f"items: {items}")
    if required or document:
        options.append("required: true")
    if document:
        options.append("min: 1")
    if kind == "string" and _PERSON_NAME.fullmatch(node.name):
        options.append("personal: true")
    return f"{{{', '.join(options)}}}"


def take(text: str, node: Node, *, required: bool = False, document: bool = False) -> tuple[str, str]:
    """Add a value to the text's `extract`, unless it is there. Returns the text and the value's name.

    Raises UneditableError.
    """
    extract = content_of(text).get("extract")
    known: Mapping[str, Any] = extract if isinstance(extract, dict) else {}
    for name, spec in known.items():
        if isinstance(spec, dict) and spec.get("from") == node.path and not document:
            return text, name
    name = name_of(node.keys, known.keys() | _step_names(text))
    same = next((one for one, spec in known.items() if isinstance(spec, dict) and spec.get("from") == node.path), name)
    return put(text, ("extract", same), extract_spec(node, required=required, document=document)), same


def _step_names(text: str) -> set[str]:
    content = content_of(text)
    return {name for key in ("find", "make") if isinstance(steps := content.get(key), dict) for name in steps}


def condition_of(tree: Tree) -> str:
    """A `when` that tells this event from others of its source, if it names its kind; else empty."""
    leaves = tree.leaves()
    marks = [leaf for leaf in leaves if leaf.keys[0] == "headers" and _EVENT_HEADER.fullmatch(leaf.name)]
    marks += [leaf for path in _KINDS for leaf in leaves if leaf.path == path]
    found = [equals(leaf) for leaf in marks if isinstance(leaf.value, str) and _WORD.fullmatch(leaf.value)]
    return " && ".join(found[:2])


def equals(node: Node) -> str:
    """The condition for this value: `path == 'text'` for a text; otherwise that there is a value, or none."""
    if node.value is None or node.value is False or (not node.value and isinstance(node.value, str | list | dict)):
        return f"!({node.path})"
    if not isinstance(node.value, str) or len(node.value) > 200:
        return node.path
    return f"{node.path} == {_literal(node.value)}"


def _literal(text: str) -> str:
    """A text as a JMESPath literal. Raw strings cannot escape a backslash (jmespath.org, "Raw String Literals")."""
    if "\\" not in text:
        return "'" + text.replace("'", "\\'") + "'"
    return "`" + json.dumps(text, ensure_ascii=False).replace("`", "\\`") + "`"


def draft(name: str, source: str, portal: str, tree: Tree | None = None, origin: str = "") -> str:
    """The beginning of a rule: its name, source and condition, and the document that the event names, if any.

    origin: the id of the event, for the comment at the top. Unknown parts are left out, and `check` asks for them.
    """
    text = modeline("rules", "../schemas")
    text += f"# Drafted from {origin}.\n" if origin else ""
    text += f"name: {name}\nsource: {source}\n"
    if tree and (when := condition_of(tree)):
        text = put(text, ("when",), line(when))
    text = put(text, ("start", "portal"), scalar(portal))
    if tree and (found := document_in(tree)):
        kind, node = found
        text, value = take(text, node, document=True)
        text = put(text, ("start", "document_id"), f"{{{kind}: {filled(value)}}}")
    return text


def whole_draft(name: str, source: str, portal: str, tree: Tree, origin: str) -> str:
    """A draft for the terminal that extracts the values of the body. Template and parameters are left to a person."""
    text = put(draft(name, source, portal, tree, origin), ("start", "template_id"), "1")
    if "document_id" not in content_of(text)["start"]:
        text = put(text, ("start", "document_id"), '{lead: "1"}')
    body = [one for one in tree.leaves() if one.keys[0] == "body"]
    for leaf in [*tree.placed, *body][:MOST_DRAFTED]:
        if leaf.value not in (None, "") and not isinstance(leaf.value, dict) and _has_type(leaf.value):
            text, _ = take(text, leaf)
    return put(text, ("start", "parameters"), "{}")


def document_in(tree: Tree) -> tuple[str, Node] | None:
    """The kind of a document and the node of its number, if the event clearly has one, such as `lead.id`."""
    for leaf in tree.leaves():
        words = [str(key).lower() for key in leaf.keys]
        if leaf.keys[0] == "body" and _is_number(leaf.value):
            for kind in DOCUMENTS:
                if words[-2:] == [kind, "id"] or words[-1] in {f"{kind}_id", f"{kind}id"}:
                    return kind, leaf
    return None


def rule_name(source: str, tree: Tree | None, taken: Collection[str]) -> str:
    """A free name for a rule: the source, and the kind of the event."""
    word = re.search(r"'([^']+)'", condition_of(tree)) if tree else None
    name = re.sub(r"[^a-z0-9_-]+", "-", f"{source}-{word[1]}".lower() if word else source).strip("-")[:56]
    if name not in taken:
        return name
    return next(fresh for number in range(2, 10_000) if (fresh := f"{name}-{number}") not in taken)


def _is_number(value: Any) -> bool:
    is_whole = not isinstance(value, bool) and re.fullmatch(r"[1-9][0-9]{0,18}", str(value).strip())
    return bool(is_whole) and _fits("integer", value)


DOCUMENT, WHEN, VALUE = "document", "when", "value"
PARAMETER, FIND, MAKE, CONTACT, FROM = "parameter:", "find:", "make:", "contact:", "from:"
MADE = {
    "lead": ("title", "name", "lastName", "comments"),
    "deal": ("title", "opportunity", "comments"),
    "contact": ("name", "lastName", "comments"),
    "company": ("title", "comments"),
}
MADE_FOR_A_CONTACT = ("lead", "deal")
"""The kinds that have a field for their contact."""
"""The documents that a rule can make on this page, with the fields offered; others are written by hand."""
FIELDS = {
    "name": "name",
    "last_name": "lastName",
    "phone": "phone",
    "email": "email",
    "comment": "comments",
    "amount": "opportunity",
}
"""The field of a new document for each value that a profile may place (relay/sources/schemas.py, PLACED)."""
PERSON = ("name", "lastName", *SOUGHT_BY)
CLIENT, ABOUT = "client", "contact"
"""The name and the kind of the step that finds a person."""


@dataclass(frozen=True, slots=True)
class MappedField:
    """A field of the rule that can get a value. holds: its current text; empty: nothing. hints: what is known of it.

    is_odd: the rule fills it, but the template has no such parameter.
    """

    key: str
    label: str
    hints: tuple[str, ...] = ()
    holds: str = ""
    is_required: bool = False
    is_odd: bool = False


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """All fields: those of the start, those of the find and make before it, and the values that fill them."""

    start: tuple[MappedField, ...]
    first: tuple[MappedField, ...]
    values: tuple[MappedField, ...] = ()
    when: tuple[MappedField, ...] = ()

    def every(self) -> tuple[MappedField, ...]:
        """All of them, in the order of a page."""
        return (*self.first, *self.start, *self.values, *self.when)

    def next_empty(self, after: str) -> str:
        """The key of the next field without a value; if there is none, the same key."""
        keys = [slot.key for slot in self.start]
        at = keys.index(after) + 1 if after in keys else 0
        wanting = [slot.key for slot in (*self.start[at:], *self.start[:at]) if not slot.holds and _wants(slot)]
        return wanting[0] if wanting and after in keys else after


def field_mapping(text: str, template: PortalTemplate | None) -> FieldMapping:
    """Every field that can get a value now."""
    content, kind = content_of(text), kind_of(text, template)
    written = _map_in(content, "start", "parameters")
    declared = template.parameters if template else ()
    parameters = [
        MappedField(
            f"{PARAMETER}{one.id}",
            verbatim(one.title),
            tuple(_described(one)),
            _shown(written.get(one.id)),
            one.is_required,
        )
        for one in declared
    ]
    others = [name for name in written if name not in {one.id for one in declared}]
    unknown = (phrase("the template has no such parameter"),) if template else ()
    parameters += [
        MappedField(f"{PARAMETER}{name}", verbatim(name), unknown, _shown(written[name]), is_odd=bool(template))
        for name in others
    ]
    document, taken = _map_in(content, "start").get("document_id"), _map_in(content, "extract")
    return FieldMapping(
        (
            MappedField(
                DOCUMENT,
                phrase("Document: %(kind)s", kind=name_of_document(kind)),
                (phrase("the number of one that exists"),),
                _shown(document),
                is_required=True,
            ),
            *parameters,
        ),
        tuple(_first(content, kind)),
        (
            *(MappedField(f"{FROM}{name}", verbatim(name), holds=_shown(_from(spec))) for name, spec in taken.items()),
            MappedField(VALUE, phrase("A value by itself"), (phrase("to write into texts by its name"),)),
        ),
        (MappedField(WHEN, phrase("Only when"), (phrase("for events like this one"),), _shown(content.get("when"))),),
    )


def map_value(text: str, node: Node, slot: str, template: PortalTemplate | None) -> str:
    """Put a value of the event into a field of the text. Raises UneditableError, and NotFoundError for an unknown
    field.
    """
    if slot == WHEN:
        return add_condition(text, equals(node))
    if slot == DOCUMENT:
        text, name = take(text, node, document=True)
        return put(text, ("start", "document_id"), _document(kind_of(text, template), filled(name), template))
    if slot == VALUE:
        return take(text, node)[0]
    if slot.startswith(PARAMETER):
        return _on_parameter(text, node, slot.removeprefix(PARAMETER), template)
    if slot.startswith(FROM):
        return _taken_from(text, slot.removeprefix(FROM), node)
    kind, name_of_field = kind_of(text, template), slot.partition(":")[2]
    if slot.startswith(FIND) and name_of_field in SOUGHT_BY:
        text, name = take(text, node)
        text = put(text, ("find", CLIENT, ABOUT, name_of_field), filled(name))
        return _joined(text, kind)
    if slot.startswith(MAKE) and kind in MADE and name_of_field:
        text, name = take(text, node)
        text = put(text, ("make", kind, kind, name_of_field), filled(name))
        return _joined(put(text, ("start", "document_id"), f"{{{kind}: {filled(kind)}}}"), kind)
    if slot.startswith(CONTACT) and name_of_field:
        text, name = take(text, node)
        return put(text, ("make", ABOUT, ABOUT, name_of_field), filled(name))
    raise NotFoundError(phrase("no place %(slot)r in this rule", slot=slot))


def contact_first(text: str, tree: Tree | None, template: PortalTemplate | None) -> str:
    """Find the contact by the event's phone and e-mail, and make it if there is none.

    The workflow runs on this contact if its template is for contacts; a lead or a deal that is made gets it. Raises
    UneditableError, and NotFoundError if the event has neither a phone nor an e-mail.
    """
    found = _person_in(tree)
    if not found.keys() & set(SOUGHT_BY):
        raise NotFoundError(phrase("the event has neither a phone nor an e-mail by which to find a contact"))
    for name in SOUGHT_BY:
        if name in found and not has(text, ("find", CLIENT, ABOUT, name)):
            text = map_value(text, found[name], f"{FIND}{name}", template)
    for name, node in found.items():
        if not has(text, ("make", ABOUT, ABOUT, name)):
            text = map_value(text, node, f"{CONTACT}{name}", template)
    text, kind = put(text, ("make", ABOUT, "unless"), CLIENT), kind_of(text, template)
    if kind == ABOUT:
        return put(text, ("start", "document_id"), f"{{{ABOUT}: {filled(ABOUT)}}}")
    return _joined(text, kind)


def document_first(text: str, tree: Tree | None, template: PortalTemplate | None) -> str:
    """Make a new lead or deal for the event, and run the workflow on it. Raises UneditableError and NotFoundError."""
    kind, found, placed = kind_of(text, template), _person_in(tree), placed_in(tree)
    if kind not in MADE_FOR_A_CONTACT:
        raise NotFoundError(phrase("a new document can be made by a click if it is a lead or a deal"))
    title = str(content_of(text).get("source") or "relay")
    if "name" in found:
        text, name = take(text, found["name"])
        title = f"{title}: {{{name}}}"
    if not has(text, ("make", kind, kind, "title")):
        text = put(text, ("make", kind, kind, "title"), json.dumps(title, ensure_ascii=False))
    for name in MADE[kind]:
        if name in placed and name not in found and not has(text, ("make", kind, kind, name)):
            text = map_value(text, placed[name], f"{MAKE}{name}", template)
    text = put(text, ("start", "document_id"), f"{{{kind}: {filled(kind)}}}")
    return _joined(text, kind)


def placed_in(tree: Tree | None) -> dict[str, Node]:
    """The values whose places the profile knows, by the field of a new document that each is for."""
    return {FIELDS[node.name]: node for node in tree.placed if node.name in FIELDS} if tree else {}


def _person_in(tree: Tree | None) -> dict[str, Node]:
    """The name, phone and e-mail that the profile knows, else the first in the event's body, by the contact's field."""
    found = {name: node for name, node in placed_in(tree).items() if name in PERSON}
    for leaf in tree.leaves() if tree else ():
        if leaf.keys[0] != "body" or leaf.value in (None, ""):
            continue
        if isinstance(leaf.value, str) and _PERSON_NAME.fullmatch(leaf.name):
            found.setdefault("name", leaf)
        elif (kind := type_of(leaf.value, leaf.name)) in SOUGHT_BY:
            found.setdefault(kind, leaf)
    return {name: found[name] for name in PERSON if name in found}


def choose(text: str, template: PortalTemplate, tree: Tree | None) -> str:
    """Choose a template: put its number, its kind of document, and values with the names of its parameters into the
    text.

    Raises UneditableError.
    """
    text = put(text, ("start", "template_id"), str(template.id))
    held = _map_in(content_of(text), "start").get("document_id")
    if isinstance(held, dict) and len(held) == 1:
        value = next(iter(held.values()))
        inner = value[-1] if isinstance(value, list) and value else value
        if isinstance(inner, str):
            text = put(text, ("start", "document_id"), _document(kind_of("", template), json.dumps(inner), template))
    leaves = [*tree.placed, *(leaf for leaf in tree.leaves() if leaf.keys[0] == "body")] if tree else []
    for parameter in template.parameters:
        names = {_bare(parameter.id), _bare(parameter.title)}
        like = next((leaf for leaf in leaves if _bare(leaf.name) in names and leaf.value not in (None, "")), None)
        if like and not has(text, ("start", "parameters", parameter.id)):
            text = _on_parameter(text, like, parameter.id, template)
    return text


def add_condition(text: str, condition: str) -> str:
    """Add a condition to `when`."""
    held = content_of(text).get("when")
    if isinstance(held, str) and held.strip():
        if condition in held:
            return text
        condition = f"({held.strip()}) && {condition}" if "||" in held else f"{held.strip()} && {condition}"
    return put(text, (WHEN,), line(condition))


def kind_of(text: str, template: PortalTemplate | None) -> str:
    """The kind of document of the template; without a template, the kind in the text, else a lead."""
    if template and len(template.document_type) == 3:
        module, entity, _ = template.document_type
        return next((form for form, (one, other, _) in FORMS.items() if (one, other) == (module, entity)), entity)
    held = _map_in(content_of(text), "start").get("document_id")
    return next(iter(held)) if isinstance(held, dict) and held else "lead"


def _on_parameter(text: str, node: Node, parameter: str, template: PortalTemplate | None) -> str:
    declared = next((one for one in template.parameters if one.id == parameter), None) if template else None
    text, name = take(text, node, required=bool(declared and declared.is_required))
    # Every parameter of this kind names users like this (docs: bizproc-workflow-start.md).
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


def _taken_from(text: str, name: str, node: Node) -> str:
    """Take a value from this place, too, where the places that the rule has find nothing."""
    held = _from(_map_in(content_of(text), "extract").get(name))
    places = [one for one in (held if isinstance(held, list) else [held]) if isinstance(one, str) and one]
    if node.path in places:
        return text
    every = [scalar(place) for place in (*places, node.path)]
    return put(text, ("extract", name, "from"), every[0] if len(every) == 1 else f"[{', '.join(every)}]")


def _from(spec: Any) -> Any:
    return spec.get("from") if isinstance(spec, dict) else None


def _joined(text: str, kind: str) -> str:
    """Use the person who is found, or made, as the contact of the new document."""
    if kind not in MADE_FOR_A_CONTACT or not has(text, ("make", kind, kind)):
        return text
    held = _map_in(content_of(text), "make", kind, kind).get("contactId")
    if has(text, ("make", ABOUT, ABOUT)) and held in (None, "", f"{{{CLIENT}}}"):
        return put(text, ("make", kind, kind, "contactId"), filled(ABOUT))
    if has(text, ("find", CLIENT, ABOUT)) and not held:
        return put(text, ("make", kind, kind, "contactId"), filled(CLIENT))
    return text


def _first(content: Mapping[str, Any], kind: str) -> Iterable[MappedField]:
    found = _map_in(content, "find", CLIENT, ABOUT)
    for name in SOUGHT_BY:
        yield MappedField(
            f"{FIND}{name}",
            phrase("Find a contact by %(name)s", name=name),
            holds=_shown(found.get(name)),
        )
    contact = _map_in(content, "make", ABOUT, ABOUT)
    if contact and kind != ABOUT:
        for name in dict.fromkeys((*contact, *MADE[ABOUT], *COMMUNICATIONS[:2])):
            yield MappedField(
                f"{CONTACT}{name}", phrase("Make a contact: %(name)s", name=name), holds=_shown(contact.get(name))
            )
    if kind in MADE:
        made = _map_in(content, "make", kind, kind)
        offered = (*MADE[kind], *(COMMUNICATIONS[:2] if kind in WITH_COMMUNICATIONS else ()))
        for name in dict.fromkeys((*offered, *made)):
            yield MappedField(
                f"{MAKE}{name}",
                phrase("Make %(what)s: %(name)s", what=phrase(f"a {kind}"), name=name),
                holds=_shown(made.get(name)),
            )


def _map_in(content: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    found: Any = content
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _described(parameter: TemplateParameter) -> Iterator[str]:
    """The portal's description of a parameter: id, type, and whether it is required or has several values."""
    if parameter.id != parameter.title:
        yield parameter.id
    if parameter.kind:
        yield parameter.kind
    if parameter.is_required:
        yield phrase("required")
    if parameter.is_multiple:
        yield phrase("several")


def _shown(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return ", ".join(_shown(one) for one in (value.values() if isinstance(value, dict) else value))


def _wants(slot: MappedField) -> bool:
    return slot.key == DOCUMENT or slot.key.startswith(PARAMETER)


def _bare(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())
