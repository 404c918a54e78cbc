"""Picks a rule's values out of an event and types them, through a marshmallow schema built from the rule.

Errors come by field, all at once, and never contain a value: they go back to the sender and into the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from marshmallow import Schema, ValidationError, fields, missing

from relay.configuration.expressions import Expression, first_given
from relay.configuration.interpreter import Steps
from relay.core.errors import InvalidEventError
from relay.core.faults import fault
from relay.rules.values import TYPES, Items, Phone, Value, bounds

TOO_MUCH = {"expressions": [fault("too_many_steps")]}
"""Of an event for which they have been given up."""


@dataclass(frozen=True, slots=True)
class Extractor:
    """The values of one rule: where each comes from, and the schema that all of them must pass.

    personal: the names of those that belong to a person: marked so, or e-mails and phones unless marked otherwise.
    regions: in which telephone numbers are dialled that come without their country.
    """

    picks: Mapping[str, tuple[Expression, ...]]
    personal: tuple[str, ...]
    schema: Schema = field(repr=False, compare=False)
    regions: frozenset[str] = frozenset()
    _reads: tuple[tuple[str, Value], ...] = field(init=False, repr=False, compare=False)
    """The fields of the schema, each by itself: of what is valid, `load` does no more than ask each of them."""

    def __post_init__(self) -> None:
        reads = tuple((str(one.data_key), cast("Value", one)) for one in self.schema.load_fields.values())
        object.__setattr__(self, "_reads", reads)

    @classmethod
    def build(cls, specs: Mapping[str, Mapping[str, Any]]) -> Extractor:
        """From the `extract` part of a rule, as schemas.py loads it."""
        # Attributes get a prefix because a value may be called like a method of Schema.
        attributes: dict[str, fields.Field[Any]] = {f"value_{name}": typed(spec, name) for name, spec in specs.items()}
        personal = tuple(name for name, spec in specs.items() if _is_personal(spec))
        regions = frozenset(spec["region"] for spec in specs.values() if spec["region"])
        picks = {name: spec["picks"] for name, spec in specs.items()}
        return cls(picks, personal, Schema.from_dict(attributes)(), regions)

    def find(self, context: Mapping[str, Any], steps: Steps | None = None) -> dict[str, Any]:
        """What stands in the event for each value, as it came; None where nothing does."""
        steps = steps or Steps()
        return {name: first_given(expressions, context, steps) for name, expressions in self.picks.items()}

    def extract(self, context: Mapping[str, Any], steps: Steps | None = None) -> dict[str, Any]:
        """Every value by its name; None where an optional one is missing. Raises InvalidEventError."""
        steps = steps or Steps()
        found = self.find(context, steps)
        if steps.is_spent:
            raise InvalidEventError(TOO_MUCH)
        said = {name: one.said(found[name]) for name, one in self._reads}
        try:
            return {name: one.deserialize(said[name]) for name, one in self._reads}
        except ValidationError:
            return self._load({name: value for name, value in said.items() if value is not missing})

    def _load(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """The same through the schema, which goes on after the first error and keeps what is valid."""
        try:
            values: dict[str, Any] = self.schema.load(dict(found))
        except ValidationError as error:
            # What is valid as it was typed, for so it is marked where a rule can use it; the rest as it came.
            valid = error.valid_data if isinstance(error.valid_data, dict) else {}
            raise InvalidEventError(_by_field(error.messages), self.personal_texts({**found, **valid})) from None
        return values

    def personal_texts(self, values: Mapping[str, Any]) -> list[str]:
        """The texts among these values that belong to a person."""
        personal = [values[name] for name in self.personal if values.get(name) is not None]
        return [str(text) for value in personal for text in (value if isinstance(value, list) else [value])]


def _is_personal(spec: Mapping[str, Any]) -> bool:
    if spec["personal"] is not None:
        return bool(spec["personal"])
    return bool({spec["type"], spec["items"]} & {"email", "phone"})


def typed(spec: Mapping[str, Any], name: str | None = None) -> Value:
    """The marshmallow field of one value of a rule."""
    kind = spec["type"]
    options: dict[str, Any] = {"data_key": name, "attribute": name, "validate": bounds(kind, spec)}
    options |= {"required": True} if spec["required"] else {"load_default": spec["default"]}
    if kind != "list":
        return _of_type(kind, spec, options)
    item = {"type": spec["items"], "min": None, "max": None, "max_length": None, "choices": spec["choices"]}
    return Items(_of_type(spec["items"], spec, {"validate": bounds(spec["items"], item)}), **options)


def _of_type(kind: str, spec: Mapping[str, Any], options: Mapping[str, Any]) -> Value:
    return Phone(spec["region"], **options) if kind == "phone" else TYPES[kind](**options)


def _by_field(messages: Any) -> dict[str, list[str]]:
    return {str(name): list(found) for name, found in messages.items()}
