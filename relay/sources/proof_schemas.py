"""The shape of `verify`: one way of proof, or a list of them, each by its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from relay.configuration.fields import SECONDS, Choice, Quantity, StrictSchema, Text, suggestion
from relay.core.faults import Fault, fault
from relay.sources.proof.digests import ALGORITHMS, KEYS
from relay.sources.proof.signed import BODY
from relay.sources.schema_fields import Path, SignedText, Whole, header, secrets

PLACES = ("header", "query", "field")
ONE_PLACE = fault("expected_one_place")
NEEDS_SECRETS = ("token", "basic", "hmac", "hash", "ed25519", "ecdsa")
DEFAULT_TOLERANCE_S = 300.0
"""Five minutes is what Standard Webhooks, Stripe and Slack use."""


class _NoneSchema(StrictSchema):
    kind = Choice("none", required=True)


class _WaySchema(StrictSchema):
    """What every way has that proves something."""

    kind = Choice(*NEEDS_SECRETS, required=True)
    unless = Path(load_default=None)
    secrets = secrets(load_default=None)


class _PlacedSchema(_WaySchema):
    header = header(load_default=None)
    query = Text(fault("expected_query_parameter"), load_default=None)
    field = Path(None, load_default=None)
    prefix = Text(fault("expected_prefix"), load_default=None)

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _one_place(self, content: dict[str, Any], written: Any, **_: Any) -> None:
        if not self.has_read(content, written, *PLACES):
            return
        if sum(content[place] is not None for place in PLACES) != 1:
            raise ValidationError(ONE_PLACE)


class _TimestampSchema(StrictSchema):
    header = header(load_default=None)
    query = Text(fault("expected_query_parameter"), load_default=None)
    field = Path(None, load_default=None)
    unit = Choice("s", "ms", "iso", load_default="s")
    tolerance = Quantity(SECONDS, "24h", load_default=DEFAULT_TOLERANCE_S)


class _PartsSchema(StrictSchema):
    signature = Text(fault("expected_signature_key"), required=True)
    timestamp = Text(fault("expected_timestamp_key"), load_default=None)


class _SignatureSchema(_PlacedSchema):
    encoding = Choice("hex", "base64", "base64url", load_default="hex")
    signed = SignedText(load_default=BODY)
    timestamp = Whole(_TimestampSchema(), load_default=None)
    separator = Text(fault("expected_separator"), load_default=None)
    parts = Whole(_PartsSchema(), load_default=None)
    id_header = header(load_default=None)
    body_digest = Text(fault("expected_body_digest"), load_default=None)

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _is_whole(self, content: dict[str, Any], written: Any, **_: Any) -> None:
        if not self.has_read(content, written, "signed", "timestamp", "parts", "id_header", "body_digest"):
            return
        wrong: dict[str, list[str]] = {}
        for name, one in (*self._faults(content), *_faults_of_time(content)):
            wrong.setdefault(name, []).append(one)
        if wrong:
            raise ValidationError(wrong)

    def _faults(self, content: dict[str, Any]) -> list[tuple[str, Fault]]:
        kinds, found = content["signed"].kinds, []
        if not content["signed"].covers_body and not content["body_digest"]:
            found.append(("signed", fault("expected_body_signed")))
        if content["body_digest"] and not kinds & {"url", "url:decoded"}:
            found.append(("signed", fault("expected_url_signed")))
        if ("id" in kinds) != (content["id_header"] is not None):
            found.append(("signed", fault("expected_id_signed")))
        if ("secret" in kinds) != (content.get("kind") == "hash"):
            found.append(("signed", fault("expected_secret_signed")))
        return found


def _faults_of_time(content: dict[str, Any]) -> list[tuple[str, Fault]]:
    """A time that is not signed proves nothing, and a signed one that is not checked lets a copy in for ever."""
    clock, parts, kinds = content["timestamp"], content["parts"], content["signed"].kinds
    if clock is None:
        return [("signed", fault("expected_timestamp_signed"))] if "timestamp" in kinds else []
    places = [place for place in PLACES if clock[place] is not None]
    if len(places) + bool(parts and parts["timestamp"]) != 1:
        return [("timestamp", fault("expected_one_time"))]
    covered = {"field": {"body", "body_sha256", "php_json", "fields"}, "query": {"url", "url:decoded"}}
    if not kinds & (covered.get(places[0] if places else "", set()) | {"timestamp"}):
        return [("signed", fault("expected_timestamp_signed"))]
    return []


class _TokenSchema(_PlacedSchema):
    """A token."""


class _HmacSchema(_SignatureSchema):
    algorithm = Choice(*ALGORITHMS, load_default="sha256")
    key = Choice(*KEYS, load_default="text")


class _HashSchema(_SignatureSchema):
    algorithm = Choice(*ALGORITHMS, load_default="sha256")


_SCHEMAS: dict[str, type[StrictSchema]] = {
    "none": _NoneSchema,
    "token": _TokenSchema,
    "basic": _WaySchema,
    "hmac": _HmacSchema,
    "hash": _HashSchema,
    "ed25519": _SignatureSchema,
    "ecdsa": _SignatureSchema,
}


_NAMES = {kind: frozenset(schema().fields) for kind, schema in _SCHEMAS.items()}


def is_whole(way: Mapping[str, Any]) -> bool:
    """Whether a way was read without a mistake in one of its keys."""
    kind = way.get("kind")
    return kind in _NAMES and way.keys() >= _NAMES[kind] - {"secrets"}


class Verify(fields.Field[list[dict[str, Any]]]):
    """`verify`: one way or a list, as a list. with_secrets: whether a way may name its own."""

    expected = fault("expected_verify", names=list(_SCHEMAS))

    def __init__(self, *, with_secrets: bool, **options: Any) -> None:
        super().__init__(**options, error_messages=dict.fromkeys(("required", "null"), self.expected))
        exclude = () if with_secrets else ("secrets",)
        self._schemas = {
            kind: schema(exclude=exclude if "secrets" in _NAMES[kind] else ()) for kind, schema in _SCHEMAS.items()
        }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[dict[str, Any]]:  # noqa: ARG002 - marshmallow's signature
        ways: list[dict[str, Any]] = []
        wrong: dict[int, Any] = {}
        for index, one in enumerate(value if isinstance(value, list) else [value]):
            try:
                ways.append(self._way(one))
            except ValidationError as error:
                ways.append(error.valid_data if isinstance(error.valid_data, dict) else {})
                wrong[index] = error.messages
        if wrong:
            raise ValidationError(wrong if isinstance(value, list) else wrong[0], valid_data=ways)
        if not ways:
            raise ValidationError(self.expected)
        if len(ways) > 1 and any(way["kind"] == "none" for way in ways):
            raise ValidationError(fault("none_beside_others"))
        return ways

    def _way(self, value: Any) -> dict[str, Any]:
        kind = value.get("kind") if isinstance(value, dict) else None
        if not isinstance(kind, str):
            raise ValidationError(self.expected)
        if kind not in self._schemas:
            raise ValidationError({"kind": [fault("unknown_kind", hint=suggestion(kind, _SCHEMAS))]})
        loaded: dict[str, Any] = self._schemas[kind].load(value)
        return loaded
