"""Puts the parts of one rule together: its templates, and the names that have a value at each of them.

Each part alone was checked before (schemas.py); here are the checks that need several parts. Every mistake is noted
with its line, and checking continues with the rest.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay.configuration.files import ConfigFile, KeyPath
from relay.core.faults import fault
from relay.core.plan import DYNAMIC, ENTITIES, FORMS, TYPE_IDS, USER, Many, Step, StepKind
from relay.rules.compose import (
    TRIGGER_NAME,
    Composer,
    DocumentTemplate,
    Parameter,
    StepTemplate,
    Template,
    TemplateError,
    TriggerTemplate,
)
from relay.rules.schemas import NUMBER, RuleSchema, is_reserved
from relay.rules.values import NEVER_NUMBERS

SECTIONS = ("find", "make")


@dataclass(frozen=True, slots=True)
class Known:
    """A step as seen where its name is used: its kind, and whether it may find nothing."""

    section: str
    entity: str
    type_id: int | None
    may_be_nothing: bool

    def short_form(self, name: str) -> str:
        """How a document_id names the result of this step."""
        number = f'[{self.type_id}, "{{{name}}}"]' if self.entity == DYNAMIC else f'"{{{name}}}"'
        return f"{{{self.entity}: {number}}}"


class Assembly:
    """The parts of one rule. `steps` comes first: the others may use their names."""

    def __init__(self, config: ConfigFile, content: Mapping[str, Any]) -> None:
        self.config, self.content = config, content
        self.specs = content.get("extract", {})
        self.values = _names_in(config.content, "extract")
        sections = [_names_in(config.content, section) for section in SECTIONS]
        self.step_names = [name for names in sections for name in names or ()]
        """Every step, even with mistakes."""
        self.has_all_names = self.values is not None and None not in sections
        self.steps_so_far: dict[str, Known | None] = {}
        """The steps whose results may be used at this point; None for one with a mistake."""

    # Steps

    def steps(self) -> list[StepTemplate]:
        """The finds and makes, in order."""
        found = []
        for section in SECTIONS:
            for name, spec in self.content.get(section, {}).items():
                self._check_name(section, name)
                step = self._step(section, name, spec)
                known = self._known(section, spec)
                if step:
                    found.append(step)
                self.steps_so_far.setdefault(name, known)
        return found

    def _check_name(self, section: str, name: str) -> None:
        if name in (self.values or ()):
            self.config.add_mistake((section, name), fault("name_of_value"))
        elif name in self.steps_so_far:
            self.config.add_mistake((section, name), fault("name_of_find"))
        if name == TRIGGER_NAME:
            self.config.add_mistake((section, name), fault("name_of_trigger"))

    def _known(self, section: str, spec: Mapping[str, Any]) -> Known | None:
        entity, type_id, _ = _kind_of(spec)
        if not entity or ("none" not in spec and section == "find"):
            return None
        return Known(section, entity, type_id, section == "find" and spec["none"] is None)

    def _step(self, section: str, name: str, spec: Mapping[str, Any]) -> StepTemplate | None:
        """The step; None if it has no kind, which was noted."""
        entity, type_id, given = _kind_of(spec)
        if not entity:
            return None
        place: KeyPath = (section, name, entity, 1) if entity == DYNAMIC else (section, name, entity)
        fields = {field: self._field((*place, field), section, value) for field, value in given.items()}
        if section == "find":
            fields = {field.upper(): value for field, value in fields.items()} if entity == USER else fields
            many, keep_s = Many(spec.get("many", Many.NEWEST)), int(spec.get("keep", 0))
            found = Step(name, StepKind.FIND, entity, type_id, {}, many=many, none=spec.get("none"), keep_s=keep_s)
            return StepTemplate(found, fields)
        unless, quiet, own_field = spec.get("unless"), spec.get("quietly", False), spec.get("own_field", "")
        self._check_unless((section, name, "unless"), unless, entity, type_id)
        made = Step(name, StepKind.MAKE, entity, type_id, {}, unless=unless, is_quiet=quiet, own_field=own_field)
        return StepTemplate(made, fields)

    def _field(self, place: KeyPath, section: str, given: Any) -> Parameter:
        if isinstance(given, bool):
            return given  # the worker writes it as the field wants it
        template = self._parameter(place, given)
        if section == "find" and isinstance(template, Template):
            lists = [name for name in template.names if self.specs.get(name, {}).get("type") == "list"]
            if lists:
                self.config.add_mistake(place, fault("list_to_look_for", name=lists[0]))
        return template

    def _check_unless(self, place: KeyPath, unless: str | None, entity: str, type_id: int | None) -> None:
        if unless is None or not self.has_all_names:
            return
        known = self.steps_so_far.get(unless)
        if unless not in self.step_names or (known and known.section != "find"):
            finds = [name for name, one in self.steps_so_far.items() if one is None or one.section == "find"]
            wrong = (
                fault("no_such_find", name=repr(unless), names=finds) if finds else fault("no_find", name=repr(unless))
            )
            self.config.add_mistake(place, wrong)
        elif known and (known.entity, known.type_id) != (entity, type_id):
            self.config.add_mistake(place, fault("find_of_other_kind", name=unless, found=known.entity, entity=entity))
        elif known and not known.may_be_nothing:
            self.config.add_mistake(place, fault("find_never_nothing", name=unless))

    def title(self) -> Template | None:
        """The title that lists show of an event, made of extracted values alone; None if the rule has none."""
        text = self.content.get("title")
        if not text:
            return None
        known = self.values if self.has_all_names else None
        try:
            return Template.parse(text, known, self.step_names, hints=not self.config.mistakes.are_many)
        except TemplateError as error:
            for message in error.messages:
                self.config.add_mistake(("title",), message)
            return None

    # Trigger and start

    def trigger(self) -> TriggerTemplate | None:
        """The trigger, if there is one."""
        trigger = self.content.get("trigger", {})
        if "document_id" not in trigger:
            return None
        form, members = trigger["document_id"]
        place: KeyPath = ("trigger", "document_id")
        if (FORMS[form][0] if form else members[0]) != "crm":
            self.config.add_mistake(place, fault("no_document_of_crm"))
        document = self._document(place, form, members)
        portal = self.content.get("start", {}).get("portal", trigger.get("portal"))
        if trigger.get("portal", portal) != portal:
            self.config.add_mistake(("trigger", "portal"), fault("expected_portal_of_start", portal=portal))
        return TriggerTemplate(document, trigger.get("code", ""))

    def composer(self, trigger: TriggerTemplate | None) -> Composer | None:
        """The start, or the document of the trigger alone; None if something is missing, which was noted."""
        start = self.content.get("start", {})
        parameters = {name: self._start_parameter(name, one) for name, one in start.get("parameters", {}).items()}
        self._check_watch(start.get("watch", {}).get("callback"), parameters)
        if "start" not in self.content and trigger:
            self._check_order("trigger", trigger.document_id)
            return Composer(self.content["trigger"].get("portal", ""), 0, trigger.document_id, {})
        if "document_id" not in start:
            return None
        document = self._document(("start", "document_id"), *start["document_id"])
        self._check_order("start", document)
        if not start.keys() >= {"portal", "template_id"}:
            return None
        return Composer(start["portal"], start["template_id"], document, parameters)

    def _document(self, place: KeyPath, form: str | None, members: Sequence[str]) -> DocumentTemplate:
        templates = tuple(self._template(place, member) for member in members)
        for template in templates:
            if form:
                self._check_number(place, form, template, members)
            else:
                self._check_text(place, template)
            for name in template.names:
                self._check_result(place, form, name, members)
        return DocumentTemplate(form, templates)

    def _check_text(self, place: KeyPath, member: Template) -> None:
        """The full triple needs texts: note a list."""
        if member.lone and self.specs.get(member.lone, {}).get("type") == "list":
            self.config.add_mistake(place, fault("list_as_document", name=member.lone))

    def _check_number(self, place: KeyPath, form: str, member: Template, members: Sequence[str]) -> None:
        """A short form needs numbers: note what can never be one."""
        if not member.names:
            if not NUMBER.fullmatch(member.text):
                wanted = fault("expected_number_or_name")
                self.config.add_mistake(place, fault("found", what=repr(member.text), expected=wanted))
            return
        around = "".join(part for is_name, part in member.parts if not is_name)
        has_step = bool(around or len(member.names) > 1) and not self.steps_so_far.keys().isdisjoint(member.names)
        if member.text.startswith("0") or has_step or (around and not (around.isascii() and around.isdecimal())):
            alone = [f"{{{member.names[0]}}}" if text == member.text else text for text in members]
            wrong = fault("never_a_number", found=repr(member.text), form=form, members=_shown(alone))
            self.config.add_mistake(place, wrong)
        for name in member.names:
            kind = self.specs.get(name, {}).get("type")
            if kind in NEVER_NUMBERS:
                self.config.add_mistake(place, fault("type_never_a_number", name=name, kind=kind))

    def _check_result(self, place: KeyPath, form: str | None, name: str, members: Sequence[str]) -> None:
        """A step whose result names the document must have its kind and always find something."""
        known = self.steps_so_far.get(name)
        if known is None:
            return
        type_id = int(members[0]) if form == DYNAMIC and members[0].isdecimal() else TYPE_IDS.get(form or "")
        if form and (form, type_id) != (known.entity, known.type_id):
            wrong = (
                fault("user_as_document", name=name)
                if known.entity == USER
                else fault("other_document", name=name, entity=known.entity, form=known.short_form(name))
            )
            self.config.add_mistake(place, wrong)
        if known.may_be_nothing:
            self.config.add_mistake(place, fault("may_be_nothing", name=name))

    def _check_order(self, section: str, document: DocumentTemplate) -> None:
        steps = [name for member in document.members for name in member.names if name in self.steps_so_far]
        if self.content.get("order_by") == "document" and steps:
            self.config.add_mistake(("order_by",), fault("too_late_for_order", name=steps[0], section=section))

    def _check_watch(self, callback: str | None, parameters: Mapping[str, Any]) -> None:
        if callback is None:
            return
        place: KeyPath = ("start", "watch", "callback")
        self._check_parameter_name(place, callback)
        if callback in parameters:
            self.config.add_mistake(place, fault("callback_is_parameter", name=callback))

    def _start_parameter(self, name: str, given: Any) -> Parameter:
        place: KeyPath = ("start", "parameters", name)
        self._check_parameter_name(place, name)
        return self._parameter(place, given)

    def _check_parameter_name(self, place: KeyPath, name: str) -> None:
        if is_reserved(name):
            self.config.add_mistake(place, fault("reserved_name"))
        if not name or len(name) > 100 or not name.isprintable() or set(name) & set("[]&="):
            self.config.add_mistake(place, fault("not_a_parameter"))

    # Values

    def _parameter(self, place: KeyPath, given: Any) -> Parameter:
        if isinstance(given, list):
            return [self._parameter(place, entry) for entry in given]
        if isinstance(given, bool):
            return "Y" if given else "N"
        constant: Parameter = self._template(place, given) if isinstance(given, str) else given
        return constant

    def _template(self, place: KeyPath, text: str) -> Template:
        known = [*(self.values or ()), *self.steps_so_far] if self.has_all_names else None
        try:
            return Template.parse(text, known, self.step_names, hints=not self.config.mistakes.are_many)
        except TemplateError as error:
            for message in error.messages:
                self.config.add_mistake(place, message)
            return Template(text, ())


def _kind_of(spec: Mapping[str, Any]) -> tuple[str, int | None, Mapping[str, Any]]:
    """The kind of a step, the number of its type, and its fields; an empty kind if none can be read."""
    entity = next((kind for kind in ENTITIES if kind in spec), "")
    if entity == DYNAMIC:
        type_id, fields = spec[DYNAMIC]
        return entity, type_id, fields
    return entity, TYPE_IDS.get(entity), spec.get(entity, {})


def _shown(members: Iterable[str]) -> str:
    """The members of a short form as a rule has them."""
    texts = [text if text.isdecimal() else json.dumps(text) for text in members]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _names_in(content: Any, section: str) -> Collection[str] | None:
    """The names under a key, even with mistakes; None if the key may be misspelled."""
    written = content if isinstance(content, dict) else {}
    if section not in written and not RuleSchema().may_be_misspelled(written, section):
        return ()
    values = written.get(section)
    return values.keys() if isinstance(values, dict) else None
