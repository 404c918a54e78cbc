"""Kinds of values in configuration files, as marshmallow fields. Each knows what it expects; none reads a file.

A schema continues after a mistake: the correct part is in `valid_data`, so that later checks can continue, too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from marshmallow import RAISE, Schema, ValidationError, fields

from relay.configuration.json_schema import JsonSchema, described, names, shape_of_map, text
from relay.core.faults import Fault, fault

NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")

MOST_COMPARED = 500
"""Words. Comparing two takes up to a tenth of a millisecond."""
SECONDS: Mapping[str, float] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
BYTES: Mapping[str, float] = {"B": 1, "KB": 1000, "MB": 1_000_000, "KiB": 1024, "MiB": 1_048_576}
_QUANTITY = re.compile(r"([0-9]{1,9})\s*([A-Za-z]{1,3})")


def suggestion(word: str, known: Collection[str]) -> str:
    """A hint at the closest known word, else at all known words; empty if there are too many."""
    if len(known) > MOST_COMPARED:
        return ""
    if close := difflib.get_close_matches(word, known, n=1):
        return fault("hint_close", known=repr(close[0]))
    return fault("hint_known", names=sorted(known)) if known else ""


class StrictSchema(Schema):
    """A schema that reports unknown keys and suggests what was meant."""

    class Meta:
        unknown = RAISE

    together: ClassVar[JsonSchema] = {}
    """Rules between its keys as JSON Schema, for editors. The validators hold the same for the checks."""

    error_messages = {"type": fault("expected_map")}  # noqa: RUF012 - the type is marshmallow's

    def handle_error(self, error: ValidationError, data: Any, *, many: bool, **kwargs: Any) -> None:  # noqa: ARG002 - marshmallow's signature
        known = [item.data_key or name for name, item in self.load_fields.items()]
        messages = error.messages_dict
        messages |= {
            key: [fault("unknown_key", hint=suggestion(key, known))]
            for key in messages
            if key not in (*known, "_schema")
        }

    def has_read(self, content: Mapping[str, Any], written: Any, *names: str) -> bool:
        """Whether these fields have no mistake and the map has no unknown key.

        For checks of several fields together, which also run after a mistake: a missing key may be misspelled.
        """
        known = {item.data_key or name for name, item in self.load_fields.items()}
        return isinstance(written, dict) and written.keys() <= known and content.keys() >= set(names)

    def may_be_misspelled(self, written: Mapping[str, Any], name: str) -> bool:
        """Whether an unknown key of the map may mean this one: it is the closest match, or there is no close match."""
        known = [item.data_key or key for key, item in self.load_fields.items()]
        unknown = [key for key in written if key not in known]
        return any(difflib.get_close_matches(key, known, n=1) in ([name], []) for key in unknown)


class Wanted(fields.Field[Any]):
    """A field that knows what it expects.

    A subclass gives `expected`, `read`, which raises ValueError, and `form`, which says the same to an editor.
    """

    expected = fault("expected_value")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, error_messages=dict.fromkeys(("required", "null"), self.expected))

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:  # noqa: ARG002 - marshmallow's signature
        try:
            return self.read(value)
        except ValueError:
            raise ValidationError(self.expected) from None

    def read(self, value: Any) -> Any:
        """Convert the value. Raises ValueError if it is not as expected."""
        raise NotImplementedError

    def form(self) -> JsonSchema:
        """The values that it reads, as JSON Schema."""
        raise NotImplementedError

    def shape(self) -> JsonSchema:
        """The form, described."""
        return described(self.form(), self.expected)


EXPECTED_TEXT = fault("expected_text")


class Text(Wanted):
    """Text, not empty; `pattern` must match all of it."""

    def __init__(self, expected: Fault = EXPECTED_TEXT, pattern: str = r".+", **options: Any) -> None:
        self.expected, self.pattern = expected, re.compile(pattern, re.DOTALL)
        super().__init__(**options)

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not self.pattern.fullmatch(value):
            raise ValueError
        return value

    def form(self) -> JsonSchema:
        return text("" if self.pattern.pattern == ".+" else self.pattern.pattern)


class Number(Wanted):
    """A number within bounds; whole unless `fraction`."""

    def __init__(self, least: float, most: float, *, fraction: bool = False, **options: Any) -> None:
        self.least, self.most, self.kinds = least, most, (int, float) if fraction else (int,)
        code = "expected_number_between" if fraction else "expected_whole_number_between"
        self.expected = fault(code, least=least, most=most)
        super().__init__(**options)

    def read(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, self.kinds) or not self.least <= value <= self.most:
            raise ValueError
        return value

    def form(self) -> JsonSchema:
        kind = "number" if float in self.kinds else "integer"
        return {"type": kind, "minimum": self.least, "maximum": self.most}


class Choice(Wanted):
    """One of some words or numbers."""

    def __init__(self, *choices: str | int, **options: Any) -> None:
        self.choices = choices
        self.expected = fault("expected_choice", names=[str(choice) for choice in choices])
        super().__init__(**options)

    def read(self, value: Any) -> str | int:
        if isinstance(value, bool) or not isinstance(value, str | int) or value not in self.choices:
            raise ValueError
        return value

    def form(self) -> JsonSchema:
        return {"enum": [choice if isinstance(choice, int) else str(choice) for choice in self.choices]}


class Flag(Wanted):
    """true or false."""

    expected = fault("expected_boolean")

    def read(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError  # noqa: TRY004 - Wanted says what it expected
        return value

    def form(self) -> JsonSchema:
        return {"type": "boolean"}


class Quantity(Wanted):
    """A whole number with a unit: `60s`, `24h` in seconds (SECONDS), `500KB`, `1MB` in bytes (BYTES)."""

    def __init__(self, units: Mapping[str, float], most: str, **options: Any) -> None:
        self.units, self.most = units, quantity(most, units)
        self.expected = fault("expected_quantity", units=list(units), most=most)
        super().__init__(**options)

    def read(self, value: Any) -> float:
        amount = quantity(value, self.units)
        if amount > self.most:
            raise ValueError
        return amount

    def form(self) -> JsonSchema:
        return text(rf"[0-9]{{1,9}}\s*({'|'.join(self.units)})")


def quantity(value: Any, units: Mapping[str, float]) -> float:
    """Convert a number with a unit to the base unit. Raises ValueError."""
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in units:
        raise ValueError
    return int(match[1]) * units[match[2]]


NOT_A_NAME = fault("not_a_name")


class Table(fields.Field[dict[str, Any]]):
    """A map from names chosen by the operator to entries of one schema.

    named: the pattern of names. wrong_name: the fault of other names.
    """

    expected = fault("expected_table")

    def __init__(
        self,
        schema: Schema,
        named: re.Pattern[str] = NAME,
        wrong_name: Fault = NOT_A_NAME,
        *,
        required: bool = True,
    ) -> None:
        options: dict[str, Any] = {"required": True} if required else {"load_default": dict}
        super().__init__(error_messages=dict.fromkeys(("required", "null"), self.expected), **options)
        self.schema, self.named, self.wrong_name = schema, named, wrong_name

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ARG002 - marshmallow's signature
        if not isinstance(value, dict):
            raise ValidationError(self.expected)
        content: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for name, entry in value.items():
            try:
                content[name] = self.schema.load(entry)
            except ValidationError as error:
                content[name], errors[name] = error.valid_data or {}, error.messages_dict
            if not self.named.fullmatch(name):
                wrong = errors.setdefault(name, {})
                wrong["_schema"] = [self.wrong_name, *wrong.get("_schema", [])]
        if errors:
            raise ValidationError(errors, valid_data=content)
        return content

    def shape(self) -> JsonSchema:
        """A map whose names are checked, and whose entries are those of the schema."""
        return described(names(self.named.pattern, shape_of_map(self.schema)), self.expected)
