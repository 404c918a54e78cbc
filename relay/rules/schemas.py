"""The shape of a rule's file. What needs the whole rule, such as the names in its templates, is checked in `assembly`.

Documents come first: the short forms that a rule may use, and the triple of Bitrix24 that each stands for, from the
page "Start Business Process bizproc.workflow.start" (b24restdocs, api-reference/bizproc). Ids are written as
`bizproc.workflow.instances` returns them (crm/classes/general/crm_document.php).

Then the steps: `find`, `make` and `trigger`, one kind a step with its fields, and its options beside it. Bitrix24
ignores a field that it does not know; an unknown field in a filter of users even cancels the whole filter. So what can
be known to be wrong is a mistake here; the rest is compared with the portal (workers/checks/drift.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, post_load, validates_schema

from relay.configuration import json_schema as js
from relay.configuration.expressions import Expression, ExpressionError
from relay.configuration.fields import (
    NAME,
    SECONDS,
    Choice,
    Flag,
    Number,
    Quantity,
    StrictSchema,
    Table,
    Text,
    Wanted,
    suggestion,
)
from relay.core.events import OnUncertain
from relay.core.faults import Fault, fault
from relay.core.phones import REGIONS
from relay.core.plan import (
    COMMUNICATIONS,
    DYNAMIC,
    ENTITIES,
    FIRST_DYNAMIC,
    FORMS,
    SOUGHT_BY,
    STOP,
    TYPE_IDS,
    USER,
    WITH_COMMUNICATIONS,
    Many,
    own_id_fields,
)
from relay.rules.values import TYPES, typed

NUMBER = re.compile(r"[1-9][0-9]{0,18}")
"""An id in a short form. It is digits only, so text from a sender can never name another kind of document."""

RESERVED_PARAMETERS = frozenset(
    name.lower()
    for name in (
        "PreGeneratedWorkflowId",
        "IgnoreSimultaneousProcessesLimit",
        "UseForcedTracking",
        "DocumentEventType",
        "__DocumentType",
        "ModifiedDocumentField",
        "UsedDocumentField",
        "TriggerEvent",
        "TriggerEventData",
        "StartWorkflowDelay",
        "TargetUser",
    )
)
"""Parameters that change how the engine works or that it overwrites (bizproc/classes/general/document.php)."""


def is_reserved(parameter: str) -> bool:
    """Whether Bitrix24 reserves this name. Digits are reserved, too: they would be read as a template's id."""
    return parameter.lower() in RESERVED_PARAMETERS or parameter.isdigit()


FIELD = re.compile(r"[a-z][A-Za-z0-9_]{0,99}")
OWN_FIELD = re.compile(r"ufCrm[A-Za-z0-9_]{1,90}")
USER_FIELDS = (
    "id", "email", "name", "last_name", "second_name", "personal_phone", "personal_mobile", "work_phone",
    "work_position", "uf_department", "uf_phone_inner",
)  # fmt: skip
"""Fields by which users are found, from `user.get` (b24restdocs, api-reference/user), in any case."""

Check = Callable[[str, Mapping[str, Any]], Fault | None]
"""Finds the mistake of a field with this name among these; None if there is none."""


class _Fields(Wanted):
    """The fields of a step by name: templates, numbers, true or false; for a make also lists of these.

    names: what `check` says of the names, for editors.
    """

    expected = fault("expected_fields")

    def __init__(self, check: Check, names: js.JsonSchema, *, lists: bool) -> None:
        super().__init__()
        self.check, self.names, self.lists = check, names, lists

    def read(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or not value:
            raise ValueError
        wrong: dict[str, list[str]] = {}
        for name, entry in value.items():
            if found := self.check(name, value):
                wrong[name] = [found]
            elif not _is_value(entry, depth=2 if self.lists else 0):
                wrong[name] = [fault("expected_field_or_list") if self.lists else fault("expected_field")]
        if wrong:
            raise ValidationError(wrong, valid_data={name: value[name] for name in value.keys() - wrong.keys()})
        return value

    def form(self) -> js.JsonSchema:
        entry = js.SCALAR
        if self.lists:
            entry = js.either(entry, js.list_of(js.either(entry, js.list_of(entry))))
        return {"type": "object", "minProperties": 1, "additionalProperties": entry, **self.names}


class _Dynamic(Wanted):
    """A smart process: its entityTypeId, and the fields."""

    expected = fault("expected_dynamic")

    def __init__(self, fields: _Fields) -> None:
        super().__init__()
        self.fields = fields

    def read(self, value: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) != 2:
            raise ValueError
        type_id, given = value
        if isinstance(type_id, bool) or not isinstance(type_id, int) or not FIRST_DYNAMIC <= type_id < 2**31:
            raise ValidationError({0: [fault("expected_entity_type", least=FIRST_DYNAMIC)]})
        try:
            return [type_id, self.fields.deserialize(given)]
        except ValidationError as error:
            valid = error.valid_data if isinstance(error.valid_data, dict) else {}
            raise ValidationError({1: error.messages}, valid_data=[type_id, valid]) from None

    def form(self) -> js.JsonSchema:
        type_id = {"type": "integer", "minimum": FIRST_DYNAMIC, "maximum": 2**31 - 1}
        return js.tuple_of(type_id, self.fields.form())


class _None(Wanted):
    """The result if nothing is found: nothing, STOP, or a number to use instead."""

    expected = fault("expected_none")

    def read(self, value: Any) -> int | str | None:
        if value in ("nothing", STOP):
            return None if value == "nothing" else STOP
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**63:
            raise ValueError
        return value

    def form(self) -> js.JsonSchema:
        return js.either({"enum": ["nothing", STOP]}, {"type": "integer", "minimum": 1, "maximum": 2**63 - 1})


class _NoUser(Wanted):
    """Users are found, never made."""

    def read(self, _: Any) -> Any:
        raise ValidationError(fault("makes_no_users", names=[*TYPE_IDS, DYNAMIC]))

    def form(self) -> js.JsonSchema:
        return js.NOTHING


class _StepSchema(StrictSchema):
    """A step has exactly one kind."""

    together: ClassVar[js.JsonSchema] = {"oneOf": [{"required": [kind]} for kind in ENTITIES]}

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _has_one_kind(self, spec: dict[str, Any], written: Any, **_: Any) -> None:
        if not self.has_read(spec, written):
            return
        kinds = [name for name in written if name in ENTITIES]
        if len(kinds) != 1:
            wanted = fault("expected_kind", names=list(ENTITIES))
            raise ValidationError(fault("found_kinds", kinds=_and(kinds), expected=wanted) if kinds else wanted)


class _FindOptions(_StepSchema):
    many = Choice(*Many, load_default=Many.NEWEST)
    none = _None(load_default=None, allow_none=False)
    keep = Quantity(SECONDS, "7d", load_default=0)


class _MakeOptions(_StepSchema):
    unless = Text(fault("expected_find_name"), load_default=None)
    quietly = Flag(load_default=False)
    own_field = Text(fault("expected_own_field"), OWN_FIELD.pattern, load_default="")

    together: ClassVar[js.JsonSchema] = {
        **_StepSchema.together,
        "dependencies": {"quote": ["own_field"], "own_field": ["quote"]},
    }

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _has_a_place_for_our_id(self, spec: dict[str, Any], written: Any, **_: Any) -> None:
        """A quote has no field for a foreign id; all other kinds have one."""
        if not self.has_read(spec, written):
            return
        given = written.get("own_field")
        if "quote" not in written:
            if given is not None:
                raise ValidationError({"own_field": [fault("own_field_of_quotes")]})
        elif given is None:
            raise ValidationError({"own_field": [fault("expected_own_field_of_quotes")]})
        elif isinstance(written["quote"], dict) and given in written["quote"]:
            raise ValidationError({"own_field": [fault("own_field_is_written")]})


def _fault_in_find(entity: str, name: str, fields: Mapping[str, Any]) -> Fault | None:
    if entity == USER:
        return None if name.lower() in USER_FIELDS else fault("no_user_field", hint=suggestion(name, USER_FIELDS))
    if name not in COMMUNICATIONS:
        sought = [other for other in SOUGHT_BY if other in fields and entity in WITH_COMMUNICATIONS]
        return fault("beside_sought", name=sought[0]) if sought else _fault_in_name(name)
    if entity not in WITH_COMMUNICATIONS:
        return fault("no_communications_to_find", entity=entity)
    return None if name in SOUGHT_BY else fault("not_looked_for", one=SOUGHT_BY[0], other=SOUGHT_BY[1])


def _fault_in_make(entity: str, name: str, _: Mapping[str, Any]) -> Fault | None:
    if name in COMMUNICATIONS:
        known = entity in WITH_COMMUNICATIONS
        return None if known else fault("no_communications", entity=entity)
    if name == "fm":
        return fault("made_of_communications", names=list(COMMUNICATIONS))
    if name == "id" or (entity != "quote" and name in own_id_fields(entity)):
        return fault("id_is_given") if name == "id" else fault("own_id_is_written")
    return _fault_in_name(name)


def _names_in_find(entity: str) -> js.JsonSchema:
    if entity == USER:
        any_of_them = {"pattern": js.whole(js.any_case(USER_FIELDS))}
        return {"propertyNames": any_of_them, "properties": dict.fromkeys(USER_FIELDS, js.SCALAR)}
    other = {"pattern": js.whole(FIELD.pattern), "not": {"enum": list(COMMUNICATIONS)}}
    if entity not in WITH_COMMUNICATIONS:
        return {"propertyNames": other}
    sought = list(SOUGHT_BY)
    by_sought = js.either(*({"required": [name]} for name in sought))
    return {
        "properties": dict.fromkeys(sought, js.SCALAR),
        **js.when(by_sought, {"propertyNames": {"enum": sought}}, {"propertyNames": other}),
    }


def _names_in_make(entity: str) -> js.JsonSchema:
    own = () if entity == "quote" else own_id_fields(entity)
    taken = ["fm", "id", *own, *(() if entity in WITH_COMMUNICATIONS else COMMUNICATIONS)]
    return {"propertyNames": {"pattern": js.whole(FIELD.pattern), "not": {"enum": taken}}}


def _fault_in_name(name: str) -> Fault | None:
    if FIELD.fullmatch(name):
        return None
    return fault("not_a_field")


def _and(names: Sequence[str]) -> str:
    """Names as one text: `a and b and c`."""
    first, *more = names
    return fault("one_and_other", one=first, other=_and(more)) if more else first


def _is_value(entry: Any, depth: int) -> bool:
    if isinstance(entry, list):
        return depth > 0 and bool(entry) and all(_is_value(inner, depth - 1) for inner in entry)
    return isinstance(entry, str | int | float)


def _schema(
    options: type[_StepSchema],
    check: Callable[..., Fault | None],
    names_in: Callable[[str], js.JsonSchema],
    *,
    lists: bool,
) -> Schema:
    fields: dict[str, Any] = {kind: _Fields(partial(check, kind), names_in(kind), lists=lists) for kind in ENTITIES}
    fields[DYNAMIC] = _Dynamic(fields[DYNAMIC])
    if options is _MakeOptions:
        fields[USER] = _NoUser()
    return options.from_dict(fields)()


FIND: Schema = _schema(_FindOptions, _fault_in_find, _names_in_find, lists=False)
MAKE: Schema = _schema(_MakeOptions, _fault_in_make, _names_in_make, lists=True)


ROOTS = ("body", "headers", "query", "tail", "envelope", "source", "received_at")
"""The names that an expression of a rule may use (relay/sources/events.py)."""
VALUE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
NOT_A_VALUE_NAME = fault("not_a_value_name")
_BOUNDED = ("integer", "number")
_SIZED = ("string", "list")


class _Expression(Wanted):
    """A JMESPath expression."""

    expected = fault("expected_expression")

    def read(self, value: Any) -> Expression:
        return _parsed(value)

    def form(self) -> js.JsonSchema:
        return js.text()


class _Picks(Wanted):
    """One expression, or a list; the first that finds something counts."""

    expected = fault("expected_picks")

    def read(self, value: Any) -> tuple[Expression, ...]:
        texts = value if isinstance(value, list) else [value]
        if not texts:
            raise ValueError
        if not isinstance(value, list):
            return (_parsed(value),)
        return _each(value, _parsed)

    def form(self) -> js.JsonSchema:
        return js.either(js.text(), js.list_of(js.text()))


def _each(entries: list[Any], read: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Each entry of a list, read. Raises ValidationError with the mistakes of all, by their index."""
    found: list[Any] = []
    wrong: dict[int, list[str]] = {}
    for index, entry in enumerate(entries):
        try:
            found.append(read(entry))
        except ValidationError as error:
            wrong[index] = list(error.messages)
    if wrong:
        raise ValidationError(wrong)
    return tuple(found)


def _parsed(text: Any) -> Expression:
    if not isinstance(text, str):
        raise ValueError  # noqa: TRY004 - Wanted says what it expected
    try:
        return Expression.parse(text, ROOTS)
    except ExpressionError as error:
        raise ValidationError(list(error.messages)) from None


class _Type(Wanted):
    """A type's name."""

    expected = fault("expected_choice", names=[*TYPES, "list"])

    def read(self, value: Any) -> str:
        if value in TYPES or value == "list":
            return str(value)
        raise ValidationError(fault("unknown_type", name=repr(value), hint=suggestion(str(value), (*TYPES, "list"))))

    def form(self) -> js.JsonSchema:
        return {"enum": [*TYPES, "list"]}


class _Choices(Wanted):
    """The values that are allowed."""

    expected = fault("expected_choices")

    def read(self, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError
        if not all(isinstance(choice, str | int | float) for choice in value):
            raise ValueError
        return tuple(value)

    def form(self) -> js.JsonSchema:
        return js.list_of(js.SCALAR)


class _Region(Wanted):
    """The region of telephone numbers without a +."""

    expected = fault("expected_region")

    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError  # noqa: TRY004 - Wanted says what it expected
        if value not in REGIONS:
            raise ValidationError(fault("unknown_region", name=repr(value)))
        return value

    def form(self) -> js.JsonSchema:
        return {"enum": sorted(REGIONS)}


class _ValueSchema(StrictSchema):
    picks = _Picks(data_key="from", required=True)
    type = _Type(load_default="string")
    required = Flag(load_default=False)
    default = fields.Raw(load_default=None)
    min = Number(-(2**63), 2**63 - 1, fraction=True, load_default=None)
    max = Number(-(2**63), 2**63 - 1, fraction=True, load_default=None)
    max_length = Number(1, 1_000_000, load_default=None)
    choices = _Choices(load_default=None)
    items = Choice(*TYPES, load_default="string")
    personal = Flag(load_default=None)
    region = _Region(load_default=None)

    together: ClassVar[js.JsonSchema] = {
        "allOf": [
            js.when(js.either(js.given("min"), js.given("max")), js.has("type", _BOUNDED)),
            js.when(js.given("region"), js.has("type", ("phone", "list"))),
            # Without a type, a value is text.
            js.when(js.given("max_length"), js.either(js.has("type", _SIZED), {"not": {"required": ["type"]}})),
            js.when({"required": ["items"]}, js.has("type", ["list"])),
            js.when(js.has("required", [True]), {"not": js.given("default")}),
        ]
    }

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _fits_together(self, spec: dict[str, Any], written: Any, **_: Any) -> None:
        """Compare the keys with the type. Keys with a mistake of their own are missing here."""
        wrong: dict[str, list[str]] = {}
        if spec.get("required") and spec.get("default") is not None:
            wrong["default"] = [fault("required_with_default")]
        if self.has_read(spec, written, "type"):
            kind = spec["type"]
            for names, kinds in ((("min", "max"), _BOUNDED), (("max_length",), _SIZED)):
                if kind not in kinds:
                    misplaced = [name for name in names if spec.get(name) is not None]
                    wrong |= {
                        name: [fault("is_for_two", one=kinds[0], other=kinds[1], kind=kind)] for name in misplaced
                    }
            if kind != "list" and "items" in written:
                wrong["items"] = [fault("is_for", one="list", kind=kind)]
            if spec.get("region") and "phone" not in {kind, spec.get("items") if kind == "list" else kind}:
                wrong["region"] = [fault("is_for", one="phone", kind=kind)]
            if not wrong and None not in (spec.get("min"), spec.get("max")) and spec["min"] > spec["max"]:
                wrong["min"] = [fault("min_above_max")]
        if self.has_read(spec, written, *self.load_fields.keys() - {"picks"}):
            wrong |= _typed_constants(spec | dict.fromkeys(wrong))[1]
        if wrong:
            raise ValidationError(wrong)

    @post_load
    def _with_typed_constants(self, spec: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**spec, **_typed_constants(spec)[0]}


def _typed_constants(spec: dict[str, Any]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Default and choices as the type reads them, so that they compare with values of events; and their mistakes."""
    one = {"type": spec["items"] if spec["type"] == "list" else spec["type"], "required": False, "default": None}
    bare = {**spec, **one, "choices": None, "min": None, "max": None, "max_length": None}
    constants: dict[str, Any] = {}
    wrong: dict[str, list[str]] = {}
    if spec["choices"] is not None:
        try:
            constants["choices"] = tuple(typed(bare).deserialize(choice) for choice in spec["choices"])
        except ValidationError as error:
            wrong["choices"] = list(error.messages)
    if spec["default"] is not None:
        # The default cannot be compared with invalid choices.
        optional = {**spec, "choices": constants.get("choices"), "default": None}
        try:
            constants["default"] = typed(optional).deserialize(spec["default"])
        except ValidationError as error:
            wrong["default"] = list(error.messages)
    return constants, wrong


MODULE = re.compile(r"(\w|[.]|\{\w+\})+", re.ASCII)
"""A module of Bitrix24, or a template of one. For any other text its engine throws (main/lib/loader.php)."""


_NUMBER_OR_NAMES = rf"{NUMBER.pattern}|([1-9][0-9]*)?(\{{[A-Za-z0-9_]+\}}[0-9]*)+"
_TWO_BACKSLASHES = r"\\\\"


class _Document(Wanted):
    """A short form, or the full triple: (form or None, its members)."""

    expected = fault("expected_document", forms=list(FORMS))

    def read(self, value: Any) -> tuple[str | None, Sequence[Any]]:
        if isinstance(value, list):
            triple = _members(value, 3)
            if not MODULE.fullmatch(triple[0]):
                raise ValidationError({0: [fault("expected_module")]})
            return None, triple
        if not isinstance(value, dict) or len(value) != 1:
            raise ValueError
        form, inner = next(iter(value.items()))
        if form not in FORMS:
            raise ValidationError({form: [fault("unknown_document", hint=suggestion(form, FORMS))]})
        if form != "dynamic":
            return form, _members([inner], 1)
        if not isinstance(inner, list) or len(inner) != 2:
            raise ValidationError({form: [fault("expected_dynamic_document")]})
        return form, _members(inner, 2)

    def form(self) -> js.JsonSchema:
        number = js.either({"type": "integer", "minimum": 1}, js.text(_NUMBER_OR_NAMES))
        member = js.either({"type": "integer"}, {**js.text(), "not": {"pattern": _TWO_BACKSLASHES}})
        forms = {form: js.tuple_of(number, number) if form == "dynamic" else number for form in FORMS}
        short = {"properties": forms, "additionalProperties": False, "minProperties": 1, "maxProperties": 1}
        triple = js.tuple_of(js.text(MODULE.pattern), member, member)
        # The keys of maps do not apply to lists, nor the other way round: an editor says what is wrong with this one.
        return {**short, **triple, "type": ["object", "array"]}


def _members(members: list[Any], count: int) -> list[str]:
    is_short = all(isinstance(member, str | int) and not isinstance(member, bool) for member in members)
    if len(members) != count or not is_short or "" in members:
        raise ValueError
    texts = [str(member) for member in members]
    if any("\\\\" in text for text in texts):
        raise ValidationError(fault("expected_single_backslashes"))
    return texts


class _Parameters(Wanted):
    """Parameters by name; each a template, a constant or a list of these."""

    expected = fault("expected_parameters")

    def read(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError  # noqa: TRY004 - Wanted says what it expected
        right = {name: entry for name, entry in value.items() if _is_simple(entry)}
        wrong = {name: [fault("expected_parameter")] for name in value.keys() - right.keys()}
        if wrong:
            raise ValidationError(wrong, valid_data=right)
        return value

    def form(self) -> js.JsonSchema:
        one = {"type": ["string", "number", "boolean", "null"]}
        reserved = {"pattern": js.whole(f"{js.any_case(sorted(RESERVED_PARAMETERS))}|[0-9]+")}
        return {
            "type": "object",
            # As relay/rules/assembly.py checks them.
            "propertyNames": {"pattern": js.whole(r"[^\[\]&=]{1,100}"), "not": reserved},
            "additionalProperties": js.either(one, {"type": "array", "items": one}),
        }


def _is_simple(entry: Any) -> bool:
    entries = entry if isinstance(entry, list) else [entry]
    return not any(isinstance(one, list | dict) for one in entries)


class _WatchSchema(StrictSchema):
    callback = Text(fault("expected_callback"), required=True)
    within = Quantity(SECONDS, "90d", required=True)


class _StartSchema(StrictSchema):
    portal = Text(fault("expected_portal_name"), required=True)
    template_id = Number(1, 2**31 - 1, required=True)
    document_id = _Document(required=True)
    parameters = _Parameters(load_default=dict)
    watch = fields.Nested(_WatchSchema(), error_messages={"null": fault("expected_watch")})
    comment = Text(fault("expected_comment"), r"[^\n]{1,1000}")
    loud = Flag(load_default=False)

    together: ClassVar[js.JsonSchema] = {"dependencies": {"loud": ["comment"]}}

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _is_loud_with_a_comment(self, start: dict[str, Any], written: Any, **_: Any) -> None:
        if self.has_read(start, written) and "loud" in written and "comment" not in written:
            raise ValidationError({"loud": [fault("loud_without_comment")]})


class _TriggerSchema(StrictSchema):
    portal = Text(fault("expected_portal_name"), required=True)
    document_id = _Document(required=True)
    code = Text(fault("expected_trigger_code"), r"[A-Za-z0-9_-]{1,100}", required=True)


class RuleSchema(StrictSchema):
    """The whole file."""

    name = Text(fault("expected_name"), NAME.pattern, required=True)
    source = Text(fault("expected_source_name"), required=True)
    title = Text(fault("expected_rule_title"), r"[^\n]{1,200}", load_default="")
    when = _Expression(load_default=None)
    extract = Table(_ValueSchema(), VALUE_NAME, NOT_A_VALUE_NAME, required=False)
    enabled = Flag(load_default=True)
    # Hold by default: whether to risk a second start or none is the operator's decision.
    on_uncertain = Choice(*OnUncertain, load_default=OnUncertain.HOLD)
    order_by = Choice("document", load_default=None)
    find = Table(FIND, VALUE_NAME, NOT_A_VALUE_NAME, required=False)
    make = Table(MAKE, VALUE_NAME, NOT_A_VALUE_NAME, required=False)
    trigger = fields.Nested(_TriggerSchema(), error_messages={"null": fault("expected_trigger")})
    start = fields.Nested(_StartSchema(), error_messages={"null": fault("expected_start")})

    together: ClassVar[js.JsonSchema] = {"anyOf": [{"required": ["start"]}, {"required": ["trigger"]}]}

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _does_something(self, content: dict[str, Any], written: Any, **_: Any) -> None:
        if self.has_read(content, written) and not written.keys() & {"start", "trigger"}:
            raise ValidationError({"start": [fault("expected_start_or_trigger")]})
