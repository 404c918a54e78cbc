"""JSON Schema (draft 7) of configuration files, made from their marshmallow schemas, for editors.

A field says with `shape` what it accepts; here are the shapes of marshmallow's own fields, and of a whole map. A JSON
Schema cannot see everything that the checks see, but it never refuses what they accept. This module reads no file.

marshmallow-jsonschema would walk the fields in the same way, but nearly all of ours are of our own kinds, which it
leaves to their `shape`, too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from marshmallow import Schema, fields

from relay.core.faults import Fault

JsonSchema = dict[str, Any]
DRAFT = "http://json-schema.org/draft-07/schema#"
SAYS_NOTHING = {"expected_text", "expected_value"}
"""Expectations that a shape says without words."""
PROPERTIES = "properties"
SHORT = 250
"""Characters of a part that may be written twice."""
NOTHING: JsonSchema = {"not": {}}
"""Accepts no value: a key that must not be there."""
SCALAR: JsonSchema = {"type": ["string", "number", "boolean"]}


@runtime_checkable
class Shaped(Protocol):
    """A field that describes itself."""

    def shape(self) -> JsonSchema:
        """The schema of what it accepts, without null."""


def schema_of_file(schema: Schema, title: str) -> JsonSchema:
    """The JSON Schema of a file. What comes more than once in it is written once."""
    shape = shape_of_map(schema)
    counted = Counter(_as_text(part) for part in _parts(shape))
    often = [text for text, count in counted.items() if count > 1 and len(text) > SHORT]
    shared = {text: str(number) for number, text in enumerate(often, 1)}
    definitions = {name: _with_references(json.loads(text), shared, inside=True) for text, name in shared.items()}
    return {"$schema": DRAFT, "title": title, **_with_references(shape, shared), "definitions": definitions}


def _parts(shape: Any) -> Iterator[JsonSchema]:
    """Every shape in a shape, itself included."""
    if isinstance(shape, dict):
        yield shape
        for key, inner in shape.items():
            # Names lead to shapes there, and are none together.
            yield from _parts(list(inner.values()) if key == PROPERTIES else inner)
    elif isinstance(shape, list):
        for one in shape:
            yield from _parts(one)


def _as_text(shape: Any) -> str:
    return json.dumps(shape, ensure_ascii=False)


def _with_references(shape: Any, shared: Mapping[str, str], *, inside: bool = False) -> Any:
    """The shape with references to its shared parts. inside: the map itself stays."""
    if isinstance(shape, list):
        return [_with_references(one, shared) for one in shape]
    if not isinstance(shape, dict):
        return shape
    if not inside and (name := shared.get(_as_text(shape))):
        return {"$ref": f"#/definitions/{name}"}
    return {key: _with_references(one, shared, inside=key == PROPERTIES) for key, one in shape.items()}


def shape_of_map(schema: Schema) -> JsonSchema:
    """A map with the keys of a schema. A schema may say in `together` what its keys have to do with each other."""
    keys = {field.data_key or name: field for name, field in schema.load_fields.items()}
    required = [key for key, field in keys.items() if field.required]
    return {
        "type": "object",
        "properties": {key: shape_of(field) for key, field in keys.items()},
        "additionalProperties": False,
        **({"required": required} if required else {}),
        **getattr(schema, "together", {}),
    }


def shape_of(field: fields.Field[Any]) -> JsonSchema:
    """The schema of what a field accepts. Raises TypeError for a field that says nothing of itself."""
    shape = _shape_of(field)
    return or_null(shape) if field.allow_none else shape


def _shape_of(field: fields.Field[Any]) -> JsonSchema:
    if isinstance(field, Shaped):
        return field.shape()
    if isinstance(field, fields.Nested):
        return shape_of_map(field.schema)
    if isinstance(field, fields.List):
        return {"type": "array", "items": shape_of(field.inner)}
    if isinstance(field, fields.Dict) and field.key_field and field.value_field:
        return {
            "type": "object",
            "propertyNames": shape_of(field.key_field),
            "additionalProperties": shape_of(field.value_field),
        }
    if isinstance(field, fields.Raw):
        return {}
    raise TypeError(f"{type(field).__name__} has no shape")


def or_null(shape: JsonSchema) -> JsonSchema:
    """The shape, or null, as a key without a value has it."""
    if not shape:
        return shape
    if "enum" in shape:
        return {**shape, "enum": [*shape["enum"], None]}
    described = {key: value for key, value in shape.items() if key == "description"}
    return {**described, "anyOf": [shape, {"type": "null"}]}


def text(pattern: str = "") -> JsonSchema:
    """A text that is not empty. pattern: of all of it, in the regular expressions that Python and ECMA share."""
    return {"type": "string", "pattern": whole(pattern)} if pattern else {"type": "string", "minLength": 1}


def whole(pattern: str) -> str:
    """The pattern of a whole text: JSON Schema searches for a pattern anywhere."""
    return f"^(?:{pattern})$"


def any_case(words: Iterable[str]) -> str:
    """A pattern of these words, of letters, digits and _, in any case: JSON Schema has no flag for that."""
    return "|".join("".join(_both(letter) for letter in word) for word in words)


def _both(letter: str) -> str:
    return f"[{letter.lower()}{letter.upper()}]" if letter.isalpha() else letter


def given(*names: str) -> JsonSchema:
    """A map in which these keys are there and not null."""
    return {
        "type": "object",
        "required": list(names),
        "properties": {name: {"not": {"type": "null"}} for name in names},
    }


def one_of_keys(names: Iterable[str]) -> JsonSchema:
    """A map in which exactly one of these keys is given."""
    return {"oneOf": [given(name) for name in names]}


def when(condition: JsonSchema, then: JsonSchema, otherwise: JsonSchema | None = None) -> JsonSchema:
    """A shape that depends on another."""
    return {"if": condition, "then": then, **({"else": otherwise} if otherwise else {})}


def has(name: str, values: Iterable[Any]) -> JsonSchema:
    """A map in which a key has one of these values."""
    return {"type": "object", "required": [name], "properties": {name: {"enum": list(values)}}}


def list_of(shape: JsonSchema) -> JsonSchema:
    """A list that is not empty."""
    return {"type": "array", "minItems": 1, "items": shape}


def tuple_of(*shapes: JsonSchema) -> JsonSchema:
    """A list of these, one after the other."""
    return {"type": "array", "items": list(shapes), "minItems": len(shapes), "maxItems": len(shapes)}


def either(*shapes: JsonSchema) -> JsonSchema:
    """Any of these."""
    return {"anyOf": list(shapes)}


def described(shape: JsonSchema, expected: Fault) -> JsonSchema:
    """The shape with what was expected, for the editor to show."""
    return shape if expected.code in SAYS_NOTHING else {"description": str(expected), **shape}


def names(pattern: str, entry: JsonSchema) -> JsonSchema:
    """A map from names of a person's own to entries."""
    return {"type": "object", "propertyNames": {"pattern": whole(pattern)}, "additionalProperties": entry}
