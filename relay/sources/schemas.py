"""The shape of sources.yaml and of a profile. It says what may be written there; `loading` makes sources of it.

What a source and a profile both may say is said once, in ContractSchema.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from relay.configuration.fields import (
    BYTES,
    EXPECTED_TEXT,
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
)
from relay.core.faults import Fault, fault
from relay.sources.answer_schemas import EventAnswerSchema, ProbeSchema
from relay.sources.body_reader import FIELD_NAME
from relay.sources.charsets import codec_of
from relay.sources.fan_out import FanOut, parse_path
from relay.sources.page_fields import Address, FormSchema, Origins
from relay.sources.proof_schemas import Verify
from relay.sources.schema_fields import A_VARIABLE, HEADER_NAME, VARIABLE, Path, Words, Yes, header, secrets

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
DEDUP_ROOTS = ("body", "headers", "query", "envelope")


_EACH_UNLESS = Path(("headers",))


class _FanOut(Wanted):
    """The path to the list whose members are events, or several."""

    expected = fault("expected_fan_out")

    def read(self, value: Any) -> FanOut:
        if isinstance(value, dict) and value.keys() == {"path", "unless"}:
            return replace(self.read(value["path"]), unless=_EACH_UNLESS.deserialize(value["unless"]))
        paths = value if isinstance(value, list) else [value]
        if not paths or not all(isinstance(path, str) for path in paths):
            raise ValueError
        return FanOut(tuple(parse_path(path) for path in paths))


class _Charset(Wanted):
    """The charset of forms that name none and are no UTF-8, by one of its names."""

    expected = fault("expected_charset")

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or codec_of(value) is None:
            raise ValueError
        return value


class _DedupSchema(StrictSchema):
    expression = Path(DEDUP_ROOTS, data_key="from", load_default=None)
    header = header(load_default=None)
    whole_body = Yes(data_key="body", load_default=False)
    window_s = Quantity(SECONDS, "30d", data_key="window", load_default=86_400.0)

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _one_way(self, content: dict[str, Any], written: Any, **_: Any) -> None:
        if not self.has_read(content, written, "expression", "header", "whole_body"):
            return
        if sum(bool(content[way]) for way in ("expression", "header", "whole_body")) != 1:
            raise ValidationError(fault("expected_dedup"))


class _LimitSchema(StrictSchema):
    events = Number(1, 1_000_000, required=True)
    bytes = Quantity(BYTES, "1000MB", required=True)
    at_once = Number(1, 1_000, load_default=None)


class _Probes(fields.List[Any]):
    """A list of probes; nothing else, and not an empty one."""

    def __init__(self) -> None:
        wanted: dict[str, Any] = dict.fromkeys(("invalid", "null"), fault("expected_probes"))
        super().__init__(fields.Nested(ProbeSchema()), load_default=list, error_messages=wanted)


class ContractSchema(StrictSchema):
    """How a sender is received: what a source and a profile both may say."""

    dedup = fields.Nested(_DedupSchema(), load_default=None)
    double_click = Quantity(SECONDS, "1h", load_default=0.0)
    once = Flag(load_default=None)
    topic = header(load_default=None)
    max_body = Quantity(BYTES, "32MiB", load_default=None)
    limit = fields.Nested(_LimitSchema(), load_default=None)
    success_status = Choice(200, 201, 202, 204, load_default=200)
    methods = Words(fault("expected_methods", names=list(METHODS)), "|".join(METHODS), load_default=("POST",))
    on_invalid = Choice("reject", "accept", load_default="reject")
    json_field = Text(fault("expected_json_field"), load_default=None)
    json_values = Words(fault("expected_json_values"), FIELD_NAME, load_default=())
    fallback_charset = _Charset(load_default=None)
    probes = _Probes()
    each = _FanOut(load_default=None)
    answer = fields.Nested(EventAnswerSchema(), load_default=None)
    form = fields.Nested(FormSchema(), load_default=None)
    thanks = Address(load_default=None)
    origins = Origins(load_default=())
    spool = Flag(load_default=False)


class SourceSchema(ContractSchema):
    """A source: with a profile, each key that stands here replaces the profile's."""

    profile = Text(fault("expected_profile_name"), NAME.pattern, load_default=None)
    verify = Verify(with_secrets=True, load_default=None)
    secrets = secrets(load_default=None)
    verify_token = Text(A_VARIABLE, VARIABLE, load_default=None)
    confirmation = Text(A_VARIABLE, VARIABLE, load_default=None)


class SourcesSchema(StrictSchema):
    """The whole file."""

    sources = Table(SourceSchema())


class _Sample(StrictSchema):
    method = Choice(*METHODS, load_default="POST")
    query = Text(fault("expected_query"), load_default="")
    headers = fields.Dict(
        keys=Text(fault("expected_header_name"), HEADER_NAME),
        values=Text(EXPECTED_TEXT, r"[^\r\n]*"),
        load_default=dict,
    )
    type = Text(fault("expected_type_json"), load_default="application/json")
    body = fields.Raw(load_default="")


def _is_link(text: str) -> None:
    if not text.startswith("https://"):
        raise ValidationError(fault("expected_links"))


def _texts(expected: Fault, check: Callable[[str], None] | None = None) -> fields.List[Any]:
    wanted: dict[str, Any] = dict.fromkeys(("invalid", "null", "required"), expected)
    return fields.List(Text(validate=check), required=True, error_messages=wanted)


class ProfileSchema(ContractSchema):
    """What a kind of sender needs. Where a fact comes from is in `docs`."""

    title = Text(fault("expected_title"), required=True)
    docs = _texts(fault("expected_links"), _is_link)
    steps = _texts(fault("expected_steps"))
    budget = Quantity(SECONDS, "24h", load_default=None)
    repeats = Text(fault("expected_repeats"), required=True)
    thin = Text(fault("expected_thin"), load_default=None)
    verify = Verify(with_secrets=False, required=True)
    sample = fields.Nested(_Sample(), required=True)
