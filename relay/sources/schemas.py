"""The shape of sources.yaml. It says what may be written there; `loading` makes sources of it."""

from __future__ import annotations

import re
from typing import Any

import jmespath
import jmespath.exceptions
from marshmallow import ValidationError, fields, validates_schema

from relay.configuration.fields import (
    BYTES,
    SECONDS,
    Choice,
    Number,
    Quantity,
    StrictSchema,
    Table,
    Text,
    Wanted,
    suggestion,
)
from relay.sources.page_fields import Address, FormSchema, Origins

HEADER_NAME = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}"
SIGNED_NAMES = ("body", "timestamp", "id", "method", "url")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class _Words(Wanted):
    """A list of words, each matching a pattern."""

    def __init__(self, expected: str, pattern: str, **options: Any) -> None:
        self.expected, self.pattern = expected, re.compile(pattern)
        super().__init__(**options)

    def read(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError
        if not all(isinstance(word, str) and self.pattern.fullmatch(word) for word in value):
            raise ValueError
        return tuple(dict.fromkeys(value))


class _Yes(Wanted):
    """`true`, to switch something on."""

    expected = "true"

    def read(self, value: Any) -> bool:
        if value is not True:
            raise ValueError
        return True


class _Template(Wanted):
    """What is signed: text with {body}, {timestamp}, {id}, {method}, {url}; literals at even places of the result."""

    expected = "text with {body} in it, and maybe {timestamp}, {id}, {method}, {url}"

    def read(self, value: Any) -> tuple[str, ...]:
        parts = tuple(_PLACEHOLDER.split(value)) if isinstance(value, str) else ()
        if "body" not in parts[1::2] or not set(parts[1::2]) <= set(SIGNED_NAMES):
            raise ValueError
        return parts


class _Search(Wanted):
    """A JMESPath expression over {body, headers, query}, compiled."""

    expected = "a JMESPath expression that begins with body, headers or query"

    def read(self, value: Any) -> Any:
        if not isinstance(value, str) or not re.match(r"(body|headers|query)\b", value):
            raise ValueError
        try:
            return jmespath.compile(value).search
        except jmespath.exceptions.JMESPathError as error:
            column = getattr(error, "lex_position", 0) + 1
            raise ValidationError(f"expected a JMESPath expression: it breaks at column {column}") from None


class _Whole(fields.Nested):
    """A map that is compared with what stands beside it, and only if there is no mistake in it."""

    def _deserialize(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super()._deserialize(*arguments, **options)
        except ValidationError as error:
            raise ValidationError(error.messages) from None


def _header(**options: Any) -> Text:
    return Text("the name of a header", HEADER_NAME, **options)


def _secrets() -> _Words:
    wanted = "a list of environment variables such as [SOURCE_WEBSITE_TOKEN], never the secrets themselves"
    return _Words(wanted, r"[A-Z][A-Z0-9_]{0,99}", required=True)


class _NoneSchema(StrictSchema):
    kind = Choice("none", required=True)


class _TokenSchema(StrictSchema):
    kind = Choice("token", required=True)
    header = _header(load_default=None)
    query = Text("the name of a query parameter", load_default=None)
    prefix = Text("what stands before the token, such as 'Bearer '", load_default=None)
    secrets = _secrets()

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _one_place(self, content: dict[str, Any], written: Any, **_: Any) -> None:
        if not self.has_read(content, written, "header", "query"):
            return
        if (content["header"] is None) == (content["query"] is None):
            raise ValidationError("expected either header: NAME or query: NAME")


class _TimestampSchema(StrictSchema):
    header = _header(load_default=None)
    unit = Choice("s", "ms", load_default="s")
    # Five minutes is what Standard Webhooks, Stripe and Slack use.
    tolerance = Quantity(SECONDS, "24h", load_default=300.0)


class _PartsSchema(StrictSchema):
    signature = Text("the key of the signature, such as v1", required=True)
    timestamp = Text("the key of the timestamp, such as t", load_default=None)


class _HmacSchema(StrictSchema):
    kind = Choice("hmac", required=True)
    header = _header(required=True)
    algorithm = Choice("sha1", "sha256", "sha512", load_default="sha256")
    encoding = Choice("hex", "base64", "base64url", load_default="hex")
    prefix = Text("what stands before the signature, such as 'sha256='", load_default="")
    signed = _Template(load_default=("", "body", ""))
    timestamp = _Whole(_TimestampSchema(), load_default=None)
    separator = Text("what stands between several signatures", load_default=None)
    parts = _Whole(_PartsSchema(), load_default=None)
    id_header = _header(load_default=None)
    key = Choice("text", "base64", load_default="text")
    secrets = _secrets()

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _is_whole(self, content: dict[str, Any], written: Any, **_: Any) -> None:
        if not self.has_read(content, written, "signed", "timestamp", "parts", "id_header"):
            return
        names, clock, parts = content["signed"][1::2], content["timestamp"], content["parts"]
        wrong: dict[str, list[str]] = {}
        if ("timestamp" in names) != (clock is not None):
            # A time that is not signed proves nothing, and a signed one that is not checked lets a copy in for ever.
            wrong["signed"] = ["expected {timestamp} and timestamp together, or neither"]
        if ("id" in names) != (content["id_header"] is not None):
            wrong.setdefault("signed", []).append("expected {id} and id_header together, or neither")
        if clock is not None and (clock["header"] is None) == (parts is None or parts["timestamp"] is None):
            wrong["timestamp"] = ["expected the time in one place: timestamp.header or parts.timestamp"]
        if wrong:
            raise ValidationError(wrong)


_KINDS: dict[str, StrictSchema] = {"none": _NoneSchema(), "token": _TokenSchema(), "hmac": _HmacSchema()}


class _Verify(fields.Field[dict[str, Any]]):
    """`verify`, by its kind."""

    expected = f"expected a map with kind: one of {', '.join(_KINDS)}"

    def __init__(self) -> None:
        super().__init__(required=True, error_messages=dict.fromkeys(("required", "null"), self.expected))

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ARG002 - marshmallow's signature
        kind = value.get("kind") if isinstance(value, dict) else None
        if not isinstance(kind, str):
            raise ValidationError(self.expected)
        if kind not in _KINDS:
            raise ValidationError({"kind": [f"unknown kind{suggestion(kind, _KINDS)}"]})
        loaded: dict[str, Any] = _KINDS[kind].load(value)
        return loaded


class _DedupSchema(StrictSchema):
    search = _Search(data_key="from", load_default=None)
    header = _header(load_default=None)
    whole_body = _Yes(data_key="body", load_default=False)
    window_s = Quantity(SECONDS, "30d", data_key="window", load_default=86_400.0)

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _one_way(self, content: dict[str, Any], written: Any, **_: Any) -> None:
        if not self.has_read(content, written, "search", "header", "whole_body"):
            return
        if sum(bool(content[way]) for way in ("search", "header", "whole_body")) != 1:
            raise ValidationError("expected one of from: body.x, header: NAME or body: true")


class _LimitSchema(StrictSchema):
    events = Number(1, 1_000_000, required=True)
    size = Quantity(BYTES, "1000MB", data_key="bytes", required=True)
    at_once = Number(1, 1_000, load_default=None)


class _SourceSchema(StrictSchema):
    verify = _Verify()
    dedup = fields.Nested(_DedupSchema(), load_default=None)
    max_body = Quantity(BYTES, "32MiB", load_default=None)
    limit = fields.Nested(_LimitSchema(), load_default=None)
    success_status = Choice(200, 201, 202, 204, load_default=200)
    methods = _Words("a list of GET, POST, PUT, PATCH", "GET|POST|PUT|PATCH", load_default=("POST",))
    on_invalid = Choice("reject", "accept", load_default="reject")
    json_field = Text("the name of a form field that holds JSON", load_default=None)
    form = fields.Nested(FormSchema(), load_default=None)
    thanks = Address(load_default=None)
    origins = Origins(load_default=())


class SourcesSchema(StrictSchema):
    """The whole file."""

    sources = Table(_SourceSchema())
