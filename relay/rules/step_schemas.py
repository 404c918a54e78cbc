"""The shape of a rule's `find`, `make` and `trigger`: one kind a step with its fields, and its options beside it.

Bitrix24 ignores a field that it does not know, in a filter of users even at the cost of the whole filter; so what can
be known to be wrong is a mistake here, and the rest is compared with the portal (workers/checks/drift.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from marshmallow import Schema, ValidationError, validates_schema

from relay.configuration.fields import SECONDS, Choice, Flag, Quantity, StrictSchema, Text, Wanted, suggestion
from relay.core.entities import (
    COMMUNICATIONS,
    DYNAMIC,
    ENTITIES,
    FIRST_DYNAMIC,
    SOUGHT_BY,
    TYPE_IDS,
    USER,
    WITH_COMMUNICATIONS,
    own_id_fields,
)
from relay.core.faults import Fault, fault
from relay.core.plan import STOP, Many

FIELD = re.compile(r"[a-z][A-Za-z0-9_]{0,99}")
OWN_FIELD = re.compile(r"ufCrm[A-Za-z0-9_]{1,90}")
USER_FIELDS = (
    "id", "email", "name", "last_name", "second_name", "personal_phone", "personal_mobile", "work_phone",
    "work_position", "uf_department", "uf_phone_inner",
)  # fmt: skip
"""What users are looked for by: fields of `user.get` (b24restdocs, api-reference/user), here in any case."""

Check = Callable[[str, Mapping[str, Any]], Fault | None]
"""What is wrong with a field of this name among these; None: nothing."""


class _Fields(Wanted):
    """The fields of a step by name; each a template, a number, true or false; of a make also a list of these."""

    expected = fault("expected_fields")

    def __init__(self, check: Check, *, lists: bool) -> None:
        super().__init__()
        self.check, self.lists = check, lists

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


class _None(Wanted):
    """What follows where nothing is found: nothing, STOP, or a number that is taken instead."""

    expected = fault("expected_none")

    def read(self, value: Any) -> int | str | None:
        if value in ("nothing", STOP):
            return None if value == "nothing" else STOP
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**63:
            raise ValueError
        return value


class _NoUser(Wanted):
    """Users are found, never made."""

    def read(self, _: Any) -> Any:
        raise ValidationError(fault("makes_no_users", names=[*TYPE_IDS, DYNAMIC]))


class _StepSchema(StrictSchema):
    """Of the kinds, exactly one."""

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

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _has_a_place_for_our_id(self, spec: dict[str, Any], written: Any, **_: Any) -> None:
        """A quote has no field for an id from outside; whatever else is made has one."""
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


def _schema(options: type[_StepSchema], check: Callable[..., Fault | None], *, lists: bool) -> Schema:
    fields: dict[str, Any] = {kind: _Fields(partial(check, kind), lists=lists) for kind in ENTITIES}
    fields[DYNAMIC] = _Dynamic(fields[DYNAMIC])
    if options is _MakeOptions:
        fields[USER] = _NoUser()
    return options.from_dict(fields)()


FIND: Schema = _schema(_FindOptions, _fault_in_find, lists=False)
MAKE: Schema = _schema(_MakeOptions, _fault_in_make, lists=True)
