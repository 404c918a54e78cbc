"""The shape of sources.yaml and of a profile: what may be written there. `loading` makes sources of it.

The order is from the inside out: kinds of values, pages, proofs, probes and answers, then a source and a profile.
`ContractSchema` holds the keys that both share.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import SplitResult, urlsplit

from marshmallow import ValidationError, fields, post_load, validates_schema

from relay.configuration import json_schema as js
from relay.configuration.expressions import Expression, ExpressionError
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
    suggestion,
)
from relay.core.faults import Fault, fault
from relay.sources.addresses import NETWORK, Network, read_network
from relay.sources.answers import DIGESTS, EVENT_ROOTS, JSON, NAMED, PLAIN, Answer, Computed, Probe, build_body
from relay.sources.answers import Text as Template
from relay.sources.bodies import FIELD_NAME
from relay.sources.charsets import codec_of
from relay.sources.events import PATH, FanOut, parse_path
from relay.sources.proof.signatures import ALGORITHMS, ENCODINGS, HS256, KEYS
from relay.sources.proof.signed import (
    BODY,
    FURTHER_NAME,
    OF_BODY,
    OF_WHOLE_BODY,
    READS_BODY,
    RESERVED,
    Signed,
    read_signed,
)
from relay.sources.proof.values import FIELDS, Values, read_shape
from relay.sources.webhook import ROOTS

HEADER_NAME = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}"
VARIABLE = r"[A-Z][A-Z0-9_]{0,99}"
A_VARIABLE = fault("expected_variable")
SOME_VARIABLES = fault("expected_variables")


class Words(Wanted):
    """A list of words, each matching a pattern."""

    def __init__(self, expected: Fault, pattern: str, **options: Any) -> None:
        self.expected, self.pattern = expected, re.compile(pattern, re.DOTALL)
        super().__init__(**options)

    def read(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError
        if not all(isinstance(word, str) and self.pattern.fullmatch(word) for word in value):
            raise ValueError
        return tuple(dict.fromkeys(value))

    def form(self) -> js.JsonSchema:
        words = self.pattern.pattern.split("|")
        are_plain = all(map(str.isidentifier, words))
        return js.list_of({"enum": words} if are_plain else js.text(self.pattern.pattern))


class Yes(Wanted):
    """`true`, to switch something on."""

    expected = fault("expected_true")

    def read(self, value: Any) -> bool:
        if value is not True:
            raise ValueError
        return True

    def form(self) -> js.JsonSchema:
        return {"enum": [True]}


class Path(Wanted):
    """A JMESPath expression. known: names that it may begin with; None means a path into the body."""

    def __init__(self, known: Collection[str] | None = ROOTS, **options: Any) -> None:
        self.known = known
        self.expected = fault("expected_path", names=list(known)) if known else fault("expected_path_into_body")
        super().__init__(**options)

    def read(self, value: Any) -> Expression:
        if not isinstance(value, str):
            raise ValueError  # noqa: TRY004 - Wanted says what it expected
        return parsed(value, self.known)

    def form(self) -> js.JsonSchema:
        return js.text()


class SignedText(Wanted):
    """The signed text (relay/sources/proof/signed.py)."""

    expected = fault("expected_signed")

    def read(self, value: Any) -> Signed:
        try:
            return read_signed(value)
        except ValueError as error:
            if error.args:
                raise ValidationError(list(error.args)) from None
            raise

    def form(self) -> js.JsonSchema:
        return js.text()


class _ValuesOf(Wanted):
    """The map whose members are signed, or `fields`. Loaded: an Expression, or None for `fields`."""

    expected = fault("expected_values_of")

    def read(self, value: Any) -> Expression | None:
        if not isinstance(value, str):
            raise ValueError  # noqa: TRY004 - Wanted says what it expected
        return None if value == FIELDS else parsed(value, ("body", "query"))

    def form(self) -> js.JsonSchema:
        return js.text()


class _Shape(Wanted):
    """The text of one value."""

    expected = fault("expected_shape")

    def read(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError  # noqa: TRY004 - Wanted says what it expected
        return read_shape(value)

    def form(self) -> js.JsonSchema:
        return {"type": "string", "pattern": r"\{value\}"}


class _Joint(Wanted):
    """A text, which may be empty."""

    expected = fault("expected_joint")

    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError  # noqa: TRY004 - Wanted says what it expected
        return value

    def form(self) -> js.JsonSchema:
        return {"type": "string"}


class Whole(fields.Nested):
    """A map that is compared with its neighbours only if it has no mistake."""

    def _deserialize(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super()._deserialize(*arguments, **options)
        except ValidationError as error:
            raise ValidationError(error.messages) from None


def header(**options: Any) -> Text:
    """The name of a header."""
    return Text(fault("expected_header_name"), HEADER_NAME, **options)


def secrets(**options: Any) -> Words:
    """The names of the variables that hold secrets."""
    return Words(SOME_VARIABLES, VARIABLE, **options)


def parsed(text: str, known: Collection[str] | None) -> Expression:
    """An expression. Raises ValidationError."""
    try:
        return Expression.parse(text, known)
    except ExpressionError as error:
        raise ValidationError(list(error.messages)) from None


LOOPBACK = {"localhost", "127.0.0.1", "::1"}
PORTS = {"https": 443, "http": 80}
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?|::1")


class Address(Wanted):
    """An https address, or http to this machine: where a browser is sent."""

    expected = fault("expected_address")

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"[!-\[\]-~]{1,2000}", value):
            raise ValueError
        parts = _checked(value)
        if parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise ValueError
        return value

    def form(self) -> js.JsonSchema:
        here = "|".join(map(_escaped, sorted(LOOPBACK)))
        rest = r"(:0*[1-9][0-9]*)?([/?#][!-\[\]-~]*)?"
        return js.text(rf"(https://([a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[::1\])|http://({here})){rest}")


class Origins(Wanted):
    """Origins as browsers write them (RFC 6454, section 6.2): without a path and without a default port."""

    expected = fault("expected_origins")

    def read(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
            raise ValueError
        for origin in value:
            parts = _checked(origin)
            if f"{parts.scheme}://{parts.netloc}" != origin or parts.port == PORTS[parts.scheme]:
                raise ValueError
        return tuple(dict.fromkeys(value))

    def form(self) -> js.JsonSchema:
        return js.list_of(js.text(r"https?://[a-z0-9._:\[\]-]+"))


class Addresses(Wanted):
    """Addresses and networks that a sender sends from."""

    expected = fault("expected_addresses")

    def read(self, value: Any) -> tuple[Network, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError
        if not all(isinstance(one, str) and re.fullmatch(NETWORK, one) for one in value):
            raise ValueError
        return tuple(dict.fromkeys(map(read_network, value)))

    def form(self) -> js.JsonSchema:
        return js.list_of(js.text(NETWORK))


class FormSchema(StrictSchema):
    """`form`: its presence says that people's browsers send."""

    honeypot = Text(fault("expected_form_field"), load_default=None)
    min_fill_s = Quantity(SECONDS, "1h", data_key="min_fill", load_default=0.0)


def _escaped(host: str) -> str:
    return re.escape(f"[{host}]" if ":" in host else host)


def _checked(address: str) -> SplitResult:
    parts = urlsplit(address)  # raises ValueError, and so does parts.port
    is_plain = "@" not in parts.netloc and not parts.netloc.endswith(":") and parts.netloc == parts.netloc.lower()
    if parts.scheme not in PORTS or not is_plain or not _HOST.fullmatch(parts.hostname or "") or parts.port == 0:
        raise ValueError
    return parts


PLACES = ("header", "query", "field")
ONE_PLACE = fault("expected_one_place")
PUBLIC_KEY = ("ed25519", "ecdsa", "rsa")
NEEDS_SECRETS = ("token", "basic", "hmac", "hash", *PUBLIC_KEY, "jwt")
DEFAULT_TOLERANCE_S = 300.0
"""Five minutes is what Standard Webhooks, Stripe and Slack use."""
NOT_OF_ENTRY = (OF_BODY | READS_BODY) - {"field"}
"""Names in a signed text that stand for the whole body."""


class _NoneSchema(StrictSchema):
    kind = Choice("none", required=True)


class _WaySchema(StrictSchema):
    """The keys of every way that proves something."""

    kind = Choice(*NEEDS_SECRETS, required=True)
    unless = Path(load_default=None)
    secrets = secrets(load_default=None)


class _PlacedSchema(_WaySchema):
    header = header(load_default=None)
    query = Text(fault("expected_query_parameter"), load_default=None)
    field = Path(None, load_default=None)
    prefix = Text(fault("expected_prefix"), load_default=None)

    places: ClassVar[tuple[str, ...]] = PLACES
    one_place: ClassVar[Fault] = ONE_PLACE
    together: ClassVar[js.JsonSchema] = js.one_of_keys(PLACES)

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _one_place(self, content: dict[str, Any], written: Any, **_: Any) -> None:
        if not self.has_read(content, written, *self.places):
            return
        if sum(content[place] is not None and content[place] is not False for place in self.places) != 1:
            raise ValidationError(self.one_place)


class _TimestampSchema(StrictSchema):
    header = header(load_default=None)
    query = Text(fault("expected_query_parameter"), load_default=None)
    field = Path(None, load_default=None)
    unit = Choice("s", "ms", "iso", "any", load_default="s")
    tolerance = Quantity(SECONDS, "24h", load_default=DEFAULT_TOLERANCE_S)


class _PartsSchema(StrictSchema):
    signature = Text(fault("expected_signature_key"), required=True)
    timestamp = Text(fault("expected_timestamp_key"), load_default=None)


def _claim() -> Text:
    return Text(fault("expected_claim"), r"[!-~]{1,200}", load_default=None)


def _signs(pattern: str) -> js.JsonSchema:
    """A map whose signed text has this in it."""
    return {"required": ["signed"], "properties": {"signed": {"type": "string", "pattern": pattern}}}


class _SecretMemberSchema(StrictSchema):
    name = Text(fault("expected_secret_member"), required=True)


class _ValuesSchema(StrictSchema):
    """`values`: what {values} stands for. Loaded, it is a Values."""

    of = _ValuesOf(required=True)
    shape = _Shape(data_key="as", load_default=lambda: read_shape("{value}"))
    join = _Joint(load_default="")
    without = Words(fault("expected_members"), r".{1,200}", load_default=())
    empty = Flag(load_default=True)
    secret = fields.Nested(_SecretMemberSchema(), load_default=None)

    @post_load
    def _make(self, content: dict[str, Any], **_: Any) -> Values:
        name = content["secret"]["name"] if content["secret"] else None
        return Values(
            content["of"], content["shape"], content["join"], content["without"], content["empty"], secret=name
        )


class _SignatureSchema(_PlacedSchema):
    encoding = Choice("hex", "base64", "base64url", load_default="hex")
    signed = SignedText(load_default=BODY)
    timestamp = Whole(_TimestampSchema(), load_default=None)
    separator = Text(fault("expected_separator"), load_default=None)
    parts = Whole(_PartsSchema(), load_default=None)
    id_header = header(load_default=None)
    body_digest = Text(fault("expected_body_digest"), load_default=None)
    entries = Yes(load_default=False)

    together: ClassVar[js.JsonSchema] = {
        **_PlacedSchema.together,
        "allOf": [
            js.when(js.given("id_header"), _signs(r"\{id\}"), {"not": _signs(r"\{id\}")}),
            js.when(js.has("kind", ["hash", "hmac"]), {}, {"not": _signs(r"\{secret[:}]")}),
            js.when(js.has("kind", ["hash"]), js.either(_signs(r"\{secret\}"), js.given("values"))),
            js.when(js.given("values"), _signs(r"\{values\}"), {"not": _signs(r"\{values\}")}),
            js.when(js.given("body_digest"), _signs(r"\{url")),
            js.when({"not": js.given("timestamp")}, {"not": _signs(r"\{timestamp\}")}),
            js.when(js.given("entries"), {"required": ["field", "signed"]}),
        ],
    }

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _is_whole(self, content: dict[str, Any], written: Any, **_: Any) -> None:
        if not self.has_read(content, written, "signed", "timestamp", "parts", "id_header", "body_digest", "entries"):
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
        values = content.get("values")
        if ("values" in kinds) != (values is not None):
            found.append(("signed", fault("expected_values_signed")))
        has_secret = content["signed"].has_secret or bool(values and values.secret is not None)
        if content.get("kind") == "hash" and not has_secret:
            found.append(("signed", fault("expected_secret_signed")))
        if content.get("kind") in PUBLIC_KEY and ("secret" in kinds or has_secret):
            found.append(("signed", fault("expected_no_secret_signed")))
        if content["entries"] and (content.get("field") is None or kinds & NOT_OF_ENTRY):
            found.append(("entries", fault("expected_fields_of_entry")))
        return found


def _faults_of_time(content: dict[str, Any]) -> list[tuple[str, Fault]]:
    """An unsigned time proves nothing, and a signed time that is not checked would accept a copy for ever."""
    clock, parts, kinds = content["timestamp"], content["parts"], content["signed"].kinds
    if clock is None:
        return [("signed", fault("expected_timestamp_signed"))] if "timestamp" in kinds else []
    places = [place for place in PLACES if clock[place] is not None]
    if len(places) + bool(parts and parts["timestamp"]) != 1:
        return [("timestamp", fault("expected_one_time"))]
    covered = {"field": OF_WHOLE_BODY, "query": {"url", "url:decoded"}}
    if not kinds & (covered.get(places[0] if places else "", set()) | {"timestamp"}):
        return [("signed", fault("expected_timestamp_signed"))]
    return []


class _TokenSchema(_PlacedSchema):
    """A token."""


class _HashSchema(_SignatureSchema):
    algorithm = Choice(*ALGORITHMS, load_default="sha256")
    encoding = Choice(*ENCODINGS, load_default="hex")
    values = Whole(_ValuesSchema(), load_default=None)


class _HmacSchema(_HashSchema):
    key = Choice(*KEYS, load_default="text")


class _RsaSchema(_SignatureSchema):
    algorithm = Choice("sha1", "sha256", "sha512", load_default="sha256")
    values = Whole(_ValuesSchema(), load_default=None)


BINDING = ("body_hash", "url_hash", "claim")


class _JwtSchema(_PlacedSchema):
    whole_body = Yes(load_default=False)
    algorithm = Choice(HS256, "RS256", "ES256", load_default=HS256)
    tolerance_s = Quantity(SECONDS, "24h", data_key="tolerance", load_default=DEFAULT_TOLERANCE_S)
    body_hash = _claim()
    url_hash = _claim()
    claim = _claim()

    places: ClassVar[tuple[str, ...]] = (*PLACES, "whole_body")
    one_place: ClassVar[Fault] = fault("expected_place_of_token")
    together: ClassVar[js.JsonSchema] = {
        **js.one_of_keys((*PLACES, "whole_body")),
        "allOf": [
            js.either(*map(js.given, BINDING)),
            js.when(js.given("whole_body"), js.given("claim")),
            js.when(js.given("claim"), {"not": js.given("body_hash")}),
        ],
    }

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _binds_the_request(self, content: dict[str, Any], written: Any, **_: Any) -> None:
        if not self.has_read(content, written, "whole_body", *BINDING):
            return
        has_body = bool(content["claim"])
        is_outside = bool(content["body_hash"] or content["url_hash"])
        if not (has_body or is_outside) or (has_body and content["body_hash"]):
            raise ValidationError(fault("expected_binding_claim"))
        if content["whole_body"] and not has_body:
            raise ValidationError({"claim": [fault("expected_claim_of_body")]})


_SCHEMAS: dict[str, type[StrictSchema]] = {
    "none": _NoneSchema,
    "token": _TokenSchema,
    "basic": _WaySchema,
    "hmac": _HmacSchema,
    "hash": _HashSchema,
    "ed25519": _SignatureSchema,
    "ecdsa": _SignatureSchema,
    "rsa": _RsaSchema,
    "jwt": _JwtSchema,
}


_NAMES = {kind: frozenset(schema().fields) for kind, schema in _SCHEMAS.items()}


def is_whole(way: Mapping[str, Any]) -> bool:
    """Whether a way was read without a mistake."""
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

    def shape(self) -> js.JsonSchema:
        """A way, or a list of ways."""
        kinds = [js.when(js.has("kind", [kind]), js.shape_of_map(schema)) for kind, schema in self._schemas.items()]
        named = {"required": ["kind"], "properties": {"kind": {"enum": list(self._schemas)}}}
        way = {"type": "object", **named, "allOf": kinds}
        return js.described(js.when({"type": "array"}, js.list_of(way), way), self.expected)


OURS = frozenset(
    {"connection", "content-length", "content-type", "set-cookie", "transfer-encoding"}
    | {"content-security-policy", "x-content-type-options"}
)
"""Headers that the relay writes itself, or that an answer must not have."""


class _HeaderTexts(Wanted):
    """Headers with texts."""

    expected = fault("expected_headers")

    def __init__(self, known: Collection[str], **options: Any) -> None:
        self.known = known
        super().__init__(**options)

    def read(self, value: Any) -> dict[str, Template]:
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise ValueError
        wrong: dict[str, list[str]] = {name: [fault("own_header")] for name in value if name.lower() in OURS}
        wrong |= {name: [fault("expected_header_name")] for name in value if not re.fullmatch(HEADER_NAME, name)}
        found = {}
        for name, text in value.items():
            try:
                found[name] = Template.parse(text, self.known)
            except ExpressionError as error:
                wrong.setdefault(name, []).extend(error.messages)
        if wrong:
            raise ValidationError(wrong)
        return found

    def form(self) -> js.JsonSchema:
        return js.names(HEADER_NAME, {"type": "string"})


class _Body(fields.Field[Any]):
    """A text, or what is answered as JSON."""

    def __init__(self, known: Collection[str], **options: Any) -> None:
        self.known = known
        super().__init__(**options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:  # noqa: ARG002 - marshmallow's signature
        try:
            return build_body(value, self.known)
        except ExpressionError as error:
            raise ValidationError(list(error.messages)) from None

    def shape(self) -> js.JsonSchema:
        """Anything."""
        return {}


class _DigestedText(Wanted):
    """The text of a computed digest."""

    expected = fault("expected_digested_text")

    def __init__(self, known: Collection[str], **options: Any) -> None:
        self.known = known
        super().__init__(**options)

    def read(self, value: Any) -> Template:
        if not isinstance(value, str) or not value:
            raise ValueError
        try:
            return Template.parse(value, self.known, is_digested=True)
        except ExpressionError as error:
            raise ValidationError(list(error.messages)) from None

    def form(self) -> js.JsonSchema:
        return js.text()


class _ComputedSchema(StrictSchema):
    """A digest that an answer contains. Loaded, it is a Computed."""

    kind = Choice("hash", "hmac", required=True)
    algorithm = Choice(*DIGESTS, load_default="sha256")
    encoding = Choice("hex", "base64", load_default="hex")

    def __init__(self, known: Collection[str], **options: Any) -> None:
        super().__init__(**options)
        self.declared_fields["of"] = _DigestedText(known, required=True)
        self._init_fields()

    @post_load
    def _make(self, content: dict[str, Any], **_: Any) -> Computed:
        return Computed(content["kind"], content["algorithm"], content["of"], content["encoding"])


class AnswerSchema(StrictSchema):
    """An answer. Loaded, it is an Answer."""

    status = Number(200, 299, load_default=None)
    type = Text(fault("expected_type_plain"), load_default=None)

    def __init__(self, known: Collection[str], **options: Any) -> None:
        super().__init__(**options)
        more: dict[str, fields.Field[Any]] = {
            "headers": _HeaderTexts(known, load_default=dict),
            "body": _Body(known, load_default=lambda: Template(())),
            "computed": Table(_ComputedSchema(known), required=False),
        }
        for name, field in more.items():
            self.declared_fields[name] = field
        self._init_fields()

    @post_load
    def _make(self, content: dict[str, Any], **_: Any) -> Answer:
        body = content["body"]
        kind = content["type"] or (PLAIN if isinstance(body, Template) else JSON)
        answer = Answer(content["status"], kind, content["headers"], body, content["computed"])
        if not answer.is_harmless:
            raise ValidationError({"type": [fault("expected_harmless_type")]})
        if unknown := sorted(answer.digests - answer.computed.keys()):
            hint = suggestion(unknown[0], answer.computed)
            raise ValidationError({"computed": [fault("unknown_digest", name=repr(unknown[0]), hint=hint)]})
        return answer


class ProbeSchema(StrictSchema):
    """A probe. Loaded, it is a Probe."""

    when = Path(required=True)
    open = Flag(load_default=False)
    answer = fields.Nested(AnswerSchema(ROOTS), required=True)
    secret = Choice("verify_token", load_default=None)
    given = Path(load_default=None)
    keeps = Path(load_default=None)

    together: ClassVar[js.JsonSchema] = {
        "allOf": [
            js.when(js.given("secret"), js.given("given"), {"not": js.given("given")}),
            js.when(js.given("keeps"), js.has("open", [True])),
        ]
    }

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _is_whole(self, content: dict[str, Any], written: Any, **_: Any) -> None:
        if not self.has_read(content, written, "open", "secret", "given", "keeps"):
            return
        answer = content.get("answer")
        if content["open"] and content["secret"] is None and isinstance(answer, Answer) and answer.signs_texts:
            # Anybody could have any text signed, and so forge a signature of the sender.
            raise ValidationError({"answer": [fault("expected_no_computed_secret")]})
        if (content["secret"] is None) != (content["given"] is None):
            raise ValidationError(fault("expected_secret_and_given"))
        if content["keeps"] is not None and not content["open"]:
            raise ValidationError({"keeps": [fault("expected_open")]})

    @post_load
    def _make(self, content: dict[str, Any], **_: Any) -> Probe:
        return Probe(
            content["when"], content["answer"], content["open"], content["secret"], content["given"], content["keeps"]
        )


class EventAnswerSchema(AnswerSchema):
    """The answer to a recorded event."""

    def __init__(self, **options: Any) -> None:
        super().__init__(EVENT_ROOTS, **options)


SECRETS = ("secret", *NAMED)
"""The secrets that steps may name, beside those under `named`."""
WORDS = frozenset({*RESERVED, *NAMED})
"""Names that no secret under `named` may have."""
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
DEDUP_ROOTS = ("body", "headers", "query", "tail", "envelope")
TAIL = r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}(/[A-Za-z0-9][A-Za-z0-9._~-]{0,63}){0,7}"
"""A text that a sender may append to a source's address, without the slash before it."""


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

    def form(self) -> js.JsonSchema:
        path = js.text(PATH)
        paths = js.either(path, js.list_of(path))
        unless = {
            "type": "object",
            "properties": {"path": paths, "unless": js.text()},
            "required": ["path", "unless"],
            "additionalProperties": False,
        }
        return js.either(path, js.list_of(path), unless)


class _Charset(Wanted):
    """The charset of forms that name none and are not UTF-8."""

    expected = fault("expected_charset")

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or codec_of(value) is None:
            raise ValueError
        return value

    def form(self) -> js.JsonSchema:
        return js.text()


class _DedupSchema(StrictSchema):
    expression = Path(DEDUP_ROOTS, data_key="from", load_default=None)
    header = header(load_default=None)
    whole_body = Yes(data_key="body", load_default=False)
    window_s = Quantity(SECONDS, "30d", data_key="window", load_default=86_400.0)

    together: ClassVar[js.JsonSchema] = js.one_of_keys(("from", "header", "body"))

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
    """A list of probes, not empty."""

    def __init__(self) -> None:
        wanted: dict[str, Any] = dict.fromkeys(("invalid", "null"), fault("expected_probes"))
        super().__init__(fields.Nested(ProbeSchema()), load_default=list, error_messages=wanted)


class ContractSchema(StrictSchema):
    """The keys that a source and a profile share: how requests of a sender are received."""

    dedup = fields.Nested(_DedupSchema(), load_default=None)
    double_click = Quantity(SECONDS, "1h", load_default=0.0)
    once = Flag(load_default=None)
    topic = header(load_default=None)
    max_body = Quantity(BYTES, "32MiB", load_default=None)
    limit = fields.Nested(_LimitSchema(), load_default=None)
    success_status = Choice(200, 201, 202, 204, load_default=200)
    methods = Words(fault("expected_methods", names=list(METHODS)), "|".join(METHODS), load_default=("POST",))
    tails = Words(fault("expected_tails"), TAIL, load_default=())
    on_invalid = Choice("reject", "accept", load_default="reject")
    json_field = Text(fault("expected_json_field"), load_default=None)
    json_values = Words(fault("expected_json_values"), FIELD_NAME, load_default=())
    base64_json = Words(fault("expected_base64_json"), FIELD_NAME, load_default=())
    fallback_charset = _Charset(load_default=None)
    xml = Flag(load_default=False)
    probes = _Probes()
    each = _FanOut(load_default=None)
    answer = fields.Nested(EventAnswerSchema(), load_default=None)
    form = fields.Nested(FormSchema(), load_default=None)
    thanks = Address(load_default=None)
    origins = Origins(load_default=())
    spool = Flag(load_default=False)
    addresses = Addresses(load_default=())


class _NamedSecrets(Wanted):
    """The environment variables of further secrets, by the name that a text gives them: `{secret:salt}`."""

    expected = fault("expected_named_secrets", others=sorted(WORDS))

    def read(self, value: Any) -> dict[str, str]:
        if not isinstance(value, dict) or not value:
            raise ValueError
        for name, variable in value.items():
            if not isinstance(name, str) or not re.fullmatch(FURTHER_NAME, name) or name in WORDS:
                raise ValueError
            if not isinstance(variable, str) or not re.fullmatch(VARIABLE, variable):
                raise ValueError
        return dict(value)

    def form(self) -> js.JsonSchema:
        return js.names(FURTHER_NAME, js.text(VARIABLE))


def named_secrets(contract: Mapping[str, Any]) -> frozenset[str]:
    """The names of further secrets, see _NamedSecrets, that ways of proof and answers use. Parts may be missing."""
    signed = [way["signed"] for way in contract.get("verify") or () if way.get("signed")]
    probes = [one for one in contract.get("probes", ()) if isinstance(one, Probe)]
    answers = [one for one in (*(probe.answer for probe in probes), contract.get("answer")) if isinstance(one, Answer)]
    used = [*(one.named_secrets for one in signed), *(one.secrets for one in answers)]
    return frozenset().union(*used) - WORDS


class SourceSchema(ContractSchema):
    """A source. With a profile, its own keys replace those of the profile."""

    profile = Text(fault("expected_profile_name"), NAME.pattern, load_default=None)
    verify = Verify(with_secrets=True, load_default=None)
    secrets = secrets(load_default=None)
    verify_token = Text(A_VARIABLE, VARIABLE, load_default=None)
    confirmation = Text(A_VARIABLE, VARIABLE, load_default=None)
    named = _NamedSecrets(load_default=dict)

    together: ClassVar[js.JsonSchema] = {
        "allOf": [
            js.either(js.given("profile"), {"required": ["verify"]}),
            # A profile may have brought the form.
            js.when(js.given("thanks"), js.either(js.given("form"), js.given("profile"))),
        ]
    }


class SourcesSchema(StrictSchema):
    """The whole file."""

    sources = Table(SourceSchema())


class _Sample(StrictSchema):
    method = Choice(*METHODS, load_default="POST")
    tail = Text(fault("expected_tails"), TAIL, load_default="")
    query = Text(fault("expected_query"), load_default="")
    headers = fields.Dict(
        keys=Text(fault("expected_header_name"), HEADER_NAME),
        values=Text(EXPECTED_TEXT, r"[^\r\n]*"),
        load_default=dict,
    )
    type = Text(fault("expected_type_json"), load_default="application/json")
    body = fields.Raw(load_default="")


def _texts(expected: Fault, one: Text) -> fields.List[Any]:
    wanted: dict[str, Any] = dict.fromkeys(("invalid", "null", "required"), expected)
    return fields.List(one, required=True, error_messages=wanted)


KINDS: Mapping[str, str] = {
    "telephony": "Telephony",
    "forms": "Forms and sites",
    "payments": "Payments",
    "messengers": "Messengers and chats",
    "crm": "CRM and help desks",
    "shops": "Online shops",
    "mail": "E-mail and newsletters",
    "education": "Schools and courses",
    "booking": "Booking",
    "logistics": "Delivery",
    "adverts": "Advertising",
    "development": "Development",
    "other": "Other senders",
}
"""The kinds of senders, with their titles."""
COUNTRY = re.compile(r"[A-Z]{2}")
"""The code of a country (ISO 3166-1)."""
PLACED = (
    "name", "last_name", "phone", "email", "company", "comment", "amount", "minor_amount", "currency", "order",
)  # fmt: skip
"""The values of an event whose places a profile may name, in the order in which they are proposed.

minor_amount: in the smallest unit of the currency, such as cents. It never becomes the amount of a deal.
"""


_PlacesSchema = StrictSchema.from_dict({name: Path(DEDUP_ROOTS) for name in PLACED}, name="PlacesSchema")


class ProfileSchema(ContractSchema):
    """A profile: the needs of a kind of sender. `docs` names the sources of its facts.

    `sender_makes` names the secrets that the sender makes: nobody may make them up. `names` are other spellings of the
    title, for the search. `countries` is empty for a sender that is used everywhere. `doubtful` names the facts that
    nobody has confirmed. `fields` says where an event has the values that most rules need (loaded, it is `places`).
    """

    title = Text(fault("expected_title"), required=True)
    kind = Choice(*KINDS, load_default="other")
    countries = Words(fault("expected_countries"), COUNTRY.pattern, load_default=())
    names = Words(fault("expected_other_names"), r".{1,100}", load_default=())
    doubtful = Words(fault("expected_doubts"), r".+", load_default=())
    places = fields.Nested(_PlacesSchema(), data_key="fields", load_default=dict)
    docs = _texts(fault("expected_links"), Text(fault("expected_links"), r"https://.*"))
    steps = _texts(fault("expected_steps"), Text())
    sender_makes = Words(fault("expected_sender_makes", names=list(SECRETS)), FURTHER_NAME, load_default=())
    budget = Quantity(SECONDS, "24h", load_default=None)
    repeats = Text(fault("expected_repeats"), required=True)
    thin = Text(fault("expected_thin"), load_default=None)
    verify = Verify(with_secrets=False, required=True)
    sample = fields.Nested(_Sample(), required=True)

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _makes_known(self, content: dict[str, Any], written: Any, **_: Any) -> None:
        if not self.has_read(content, written, "sender_makes", "verify", "probes", "answer"):
            return
        known = (*SECRETS, *sorted(named_secrets(content)))
        if not set(content["sender_makes"]) <= set(known):
            raise ValidationError({"sender_makes": [fault("expected_sender_makes", names=list(known))]})
