"""The values of a rule: their types, as marshmallow fields, and the extractor that picks them out of an event.

Forms deliver text, so text that is plainly a number or a yes is read as one; nothing else is guessed. Errors come by
field, all at once. They say what was expected and never contain a value: they go back to the sender and on record.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, cast
from urllib.parse import urlsplit

from marshmallow import Schema, ValidationError, fields, missing, validate

from relay.configuration.expressions import Expression, Steps, first_given, is_nothing
from relay.core.errors import InvalidEventError
from relay.core.faults import Fault, fault
from relay.core.phones import digits_of, e164_of
from relay.core.spellings import written

LARGEST = 2**63 - 1
"""The largest integer of PHP, which the portal uses."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,19}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATETIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?"
    r" ?(?P<offset>Z|[+-][0-9]{2}:?[0-9]{2})?",
    re.IGNORECASE,
)
_SECONDS = re.compile(r"[1-9][0-9]{8,9}")
"""Seconds since 1970 as text, from 1973 to 2286. Shorter text of digits may be a day such as 20260131."""
_YES, _NO = frozenset({"true", "yes", "y", "on", "1"}), frozenset({"false", "no", "n", "off", "0"})
_EMAIL = validate.Email()


class Value(fields.Field[Any]):
    """A value of an event. A subclass gives `expected`, a fault, and `read`, which raises ValueError."""

    expected = fault("expected_value")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.error_messages |= {"required": fault("missing", expected=self.expected)}

    def said(self, found: Any) -> Any:
        """The found value, or `missing` if it is nothing."""
        return missing if is_nothing(found) else found

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:  # noqa: ARG002 - marshmallow's signature
        try:
            return self.read(value)
        except (ValueError, OverflowError):
            # `from None`: the cause would carry the value into a traceback.
            raise ValidationError(self.expected) from None

    def read(self, value: Any) -> Any:
        """The value, typed. Raises ValueError or OverflowError."""
        raise NotImplementedError


class Text(Value):
    """Text as it came; a number becomes its digits."""

    expected = fault("expected_text")

    def read(self, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError  # noqa: TRY004 - the base class raises what was expected
        return written(value)


class Integer(Value):
    """A whole number that fits 64 bits, or text of one."""

    expected = fault("expected_whole_number")

    def read(self, value: Any) -> int:
        if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST:
            raise ValueError
        return value


class Number(Value):
    """A finite number, or text of one. A whole number stays an integer."""

    expected = fault("expected_number")

    def read(self, value: Any) -> float:
        if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
            value = int(value) if _INTEGER.fullmatch(value.strip()) else float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError  # noqa: TRY004 - the base class raises what was expected
        if not math.isfinite(value) or (isinstance(value, int) and abs(value) > LARGEST):
            raise ValueError
        return value


class Boolean(Value):
    """true or false, 1 or 0, or a word for it: yes, no, on, off, y, n."""

    expected = fault("expected_boolean")

    def read(self, value: Any) -> bool:
        word = str(value).strip().lower() if isinstance(value, str | int) else ""
        if word not in _YES | _NO:
            raise ValueError
        return word in _YES


class Email(Value):
    """An e-mail address, by marshmallow's own rule; at most 254 characters (RFC 5321)."""

    expected = fault("expected_email")

    def read(self, value: Any) -> str:
        address = value.strip() if isinstance(value, str) else ""
        if len(address) > 254:
            raise ValueError
        try:
            return _EMAIL(address)
        except ValidationError:
            raise ValueError from None


class Url(Value):
    """An http or https address with a host; at most 2,048 characters."""

    expected = fault("expected_url")

    def read(self, value: Any) -> str:
        address = value.strip() if isinstance(value, str) else ""
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https"} or not parts.hostname or len(address) > 2048:
            raise ValueError
        if any(character <= " " for character in address):
            raise ValueError
        return address


class Phone(Value):
    """A telephone number; with a region, in its E.164 form, such as +79991234567.

    Without a region: the number without punctuation, an optional plus, then 7 to 15 digits (ITU-T E.164). With a region
    (ISO 3166), it is read as people there dial it, by libphonenumber's plans. It must have a possible length with its
    area code, but need not be valid: plans change faster than their copies, and a refused lead is lost.
    """

    expected = fault("expected_phone", least=7, most=15)

    def __init__(self, region: str | None = None, **options: Any) -> None:
        self.region = region
        if region:
            self.expected = fault("expected_phone_of_region", region=region)
        super().__init__(**options)

    def read(self, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError  # noqa: TRY004 - the base class makes "expected ..." of it
        typed = str(value)
        if number := e164_of(typed, self.region) if self.region else digits_of(typed):
            return number
        raise ValueError


class Date(Value):
    """A day, such as 2026-01-31; the day as written of a date and time, with or without an offset."""

    expected = fault("expected_date")

    def read(self, value: Any) -> date:
        text = value.strip() if isinstance(value, str) else ""
        if _DATETIME.fullmatch(text):
            return _moment(text).date()
        if not _DATE.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text)


class Moment(Value):
    """A date and time with an offset, or seconds since 1970 as a whole number or as text, because forms have no
    numbers.
    """

    expected = fault("expected_datetime")

    def read(self, value: Any) -> datetime:
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**40:
            return datetime.fromtimestamp(value, UTC)
        text = value.strip() if isinstance(value, str) else ""
        if _SECONDS.fullmatch(text):
            return datetime.fromtimestamp(int(text), UTC)
        written = _DATETIME.fullmatch(text)
        if not (written and written["offset"]):
            raise ValueError
        return _moment(text)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.upper().replace(" Z", "Z").replace(" +", "+").replace(" -", "-"))


class Items(Value):
    """A list of values of one type. A single value is a list of one: forms send one ticked box like this."""

    expected = fault("expected_list")

    def __init__(self, item: Value, **options: Any) -> None:
        super().__init__(**options)
        self.item = item

    def said(self, found: Any) -> Any:
        """An empty list stays empty, unless it is required or has a default."""
        is_wanted = self.required or self.load_default is not None
        return super().said(found) if is_wanted or not isinstance(found, list) else found

    def read(self, value: Any) -> list[Any]:
        if isinstance(value, dict):
            raise ValueError  # noqa: TRY004 - the base class raises what was expected
        values = value if isinstance(value, list) else [value]
        return [self.item.deserialize(entry) for entry in values if not is_nothing(entry)]


TYPES: Mapping[str, type[Value]] = {
    "string": Text,
    "integer": Integer,
    "number": Number,
    "boolean": Boolean,
    "email": Email,
    "url": Url,
    "phone": Phone,
    "date": Date,
    "datetime": Moment,
}
"""The types of single values; a `list` consists of these."""

NEVER_NUMBERS = frozenset({"boolean", "email", "url", "date", "datetime", "list"})
"""Types whose values are never digits when written into a text."""


def bounds(kind: str, spec: Mapping[str, Any]) -> Sequence[validate.Validator]:
    """The validators for min, max, max_length and choices. Their faults contain no value of an event."""
    checks: list[validate.Validator] = []
    if spec["min"] is not None or spec["max"] is not None:
        checks.append(validate.Range(spec["min"], spec["max"], error=_span(spec["min"], spec["max"])))
    if spec["max_length"] is not None:
        most = spec["max_length"]
        of_list = kind == "list"
        wrong = (
            fault("expected_at_most_entries", most=most) if of_list else fault("expected_at_most_characters", most=most)
        )
        checks.append(validate.Length(max=most, error=wrong))
    if spec["choices"] is not None and kind != "list":
        checks.append(validate.OneOf(spec["choices"], error=fault("expected_choice", names=names_of(spec["choices"]))))
    return checks


def names_of(choices: Sequence[Any]) -> list[str]:
    """Choices as text."""
    return [str(choice) for choice in choices]


def _span(least: float | None, most: float | None) -> Fault:
    if most is None:
        return fault("expected_at_least", least=least)
    return fault("expected_at_most", most=most) if least is None else fault("expected_between", least=least, most=most)


TOO_MUCH = {"expressions": [fault("too_many_steps")]}
"""The errors of an event whose expressions needed too many steps."""


@dataclass(frozen=True, slots=True)
class Extractor:
    """The values of one rule: their expressions, and the schema that they must pass.

    personal: names of values that belong to a person: marked as such, or e-mails and phones unless marked otherwise.
    regions: those of telephone numbers without a country.
    """

    picks: Mapping[str, tuple[Expression, ...]]
    personal: tuple[str, ...]
    schema: Schema = field(repr=False, compare=False)
    regions: frozenset[str] = frozenset()
    _reads: tuple[tuple[str, Value], ...] = field(init=False, repr=False, compare=False)
    """The fields of the schema one by one: for valid values, `load` does nothing else than call each."""

    def __post_init__(self) -> None:
        reads = tuple((str(one.data_key), cast("Value", one)) for one in self.schema.load_fields.values())
        object.__setattr__(self, "_reads", reads)

    @classmethod
    def build(cls, specs: Mapping[str, Mapping[str, Any]]) -> Extractor:
        """Make it from the `extract` part of a rule, as schemas.py loads it."""
        # Attributes get a prefix because a value may have the name of a Schema method.
        attributes: dict[str, fields.Field[Any]] = {f"value_{name}": typed(spec, name) for name, spec in specs.items()}
        personal = tuple(name for name, spec in specs.items() if _is_personal(spec))
        regions = frozenset(spec["region"] for spec in specs.values() if spec["region"])
        picks = {name: spec["picks"] for name, spec in specs.items()}
        return cls(picks, personal, Schema.from_dict(attributes)(), regions)

    def find(self, context: Mapping[str, Any], steps: Steps | None = None) -> dict[str, Any]:
        """The found value for each name, as it came; None if nothing was found."""
        steps = steps or Steps()
        return {name: first_given(expressions, context, steps) for name, expressions in self.picks.items()}

    def extract(self, context: Mapping[str, Any], steps: Steps | None = None) -> dict[str, Any]:
        """Every value by name; None if an optional one is missing. Raises InvalidEventError."""
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
        """Load through the schema, which continues after the first error and keeps valid values."""
        try:
            values: dict[str, Any] = self.schema.load(dict(found))
        except ValidationError as error:
            # Valid values in their typed form, which the person index uses; the rest as it came.
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
