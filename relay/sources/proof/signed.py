"""The text that a signature covers: literal text, and values of the request in {braces}.

{body}          the bytes of the body               {body_sha256}   their SHA-256 in hex
{timestamp}     the time, as it was sent            {id}            what stands in id_header
{method}        such as POST                        {secret}        the secret itself
{secret:NAME}   another secret, which the source names under `named`
{url}           the address byte by byte as the sender called it, with its query
{url:decoded}   the same with %3A %2F %3F %40 %21 %24 %27 %28 %29 %2A %2C %3B decoded, as HubSpot signs it
                (developers.hubspot.com/docs/api/webhooks/validating-requests)
{fields}        of a urlencoded form each name with its value, sorted, as Twilio signs it
                (www.twilio.com/docs/usage/webhooks/webhooks-security); a name that comes twice is refused
{php_json}      the form as PHP's json_encode writes it, as WPForms signs it
{php_json:sorted}   the same with all values as texts, names sorted at each level, and other alphabets not escaped, as
                Prodamus signs it (help.prodamus.ru)
{values}        the sorted values that `values` describes (relay/sources/proof/values.py)
{field:PATH}    a value of the body          {header:NAME}, {query:NAME}   one of the request
{raw:NAME}      the text of a form field as it was sent, before JSON in it is read
{sorted:PREFIX} `:name=value` of each field whose name begins so, sorted, as Robokassa signs it
                (docs.robokassa.ru/pay-interface)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from relay.configuration.expressions import Expression, ExpressionError, split_braces, value_at
from relay.core.errors import NotVerifiedError, UnreadableError, UnsupportedTypeError
from relay.core.faults import fault
from relay.sources.bodies import FIELD_NAME, read_urlencoded, steps_of_field
from relay.sources.proof.values import Values
from relay.sources.proof.verifier import Location, as_sent
from relay.sources.webhook import Reading, text_of

PLAIN = ("body", "timestamp", "id", "method", "url", "fields", "php_json", "secret", "body_sha256", "values")
WHOLE_NAMES = ("url:decoded", "php_json:sorted")
WITH_ARGUMENT = ("field", "query", "header", "sorted", "raw", "secret")
OF_WHOLE_BODY = frozenset({"body", "body_sha256", "fields", "php_json", "php_json:sorted"})
OF_BODY = OF_WHOLE_BODY | {"field", "raw", "values"}
"""One of these must be signed, or the proof of one body would prove any other."""
READS_BODY = frozenset({"fields", "php_json", "php_json:sorted", "sorted", "field", "raw", "values"})
FURTHER_NAME = r"[a-z][a-z0-9_]{0,30}"
RESERVED = ("secret", "signing", "url")
"""Words that are no names of secrets under `named`."""
_DECODED = re.compile(r"%(3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)
_INDEX = re.compile(r"0|[1-9][0-9]{0,17}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")


@dataclass(frozen=True, slots=True)
class Given:
    """Values beside the request that a signed text may contain. named: further secrets, by name."""

    stamp: str = ""
    identity: str = ""
    secret: bytes = field(default=b"", repr=False)
    named: Mapping[str, bytes] = field(default_factory=dict, repr=False)


NOTHING = Given()


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the text: kind "" is literal; any other is a name of the table above with its argument.

    values: what {values} stands for.
    """

    kind: str
    argument: str = ""
    path: Expression | None = None
    values: Values | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """The parsed text."""

    text: str
    parts: tuple[Part, ...]

    @classmethod
    def parse(cls, text: str) -> Signed:
        """Parse a text. Raises ValueError with what was found and what was expected."""
        parts, wrong = split_braces(text)
        if wrong:
            raise ValueError(wrong[0])
        return cls(text, tuple(_part(part) if is_name else Part("", part) for is_name, part in parts))

    @property
    def kinds(self) -> frozenset[str]:
        """The names in it."""
        return frozenset(part.kind for part in self.parts if part.kind)

    @property
    def covers_body(self) -> bool:
        """Whether it covers any part of the body."""
        return bool(self.kinds & OF_BODY)

    @property
    def reads_body(self) -> bool:
        """Whether it needs the body's content."""
        return bool(self.kinds & READS_BODY)

    @property
    def has_secret(self) -> bool:
        """Whether the secret of the way is in it."""
        own = any(part.kind == "secret" and not part.argument for part in self.parts)
        return own or any(part.values is not None and part.values.secret is not None for part in self.parts)

    @property
    def named_secrets(self) -> frozenset[str]:
        """The names of further secrets in it."""
        return frozenset(part.argument for part in self.parts if part.kind == "secret" and part.argument)

    def with_values(self, values: Values) -> Signed:
        """The same text in which {values} stands for these."""
        covers_body = bool(self.kinds & (OF_BODY - {"values"}))
        is_of_query = values.of is not None and not values.of.looks_at("body")
        whole = replace(values, needs_no_body=is_of_query and not covers_body)
        parts = (replace(part, values=whole) if part.kind == "values" else part for part in self.parts)
        return replace(self, parts=tuple(parts))

    def with_other_empty(self) -> Signed | None:
        """The same text with the empty values that it leaves out, or without those that it has; None: no {values}."""
        values = next((part.values for part in self.parts if part.values), None)
        return self.with_values(replace(values, empty=not values.empty)) if values else None

    def write(self, reading: Reading, given: Given) -> bytes:
        """The signed bytes. Raises NotVerifiedError: body_unreadable."""
        if self.text == "{body}":
            return reading.webhook.body
        try:
            return b"".join(_WRITERS[part.kind](part, reading, given) for part in self.parts)
        except (UnreadableError, UnsupportedTypeError):
            raise NotVerifiedError("body_unreadable") from None


def _part(name: str) -> Part:
    kind, colon, argument = name.partition(":")
    if name in WHOLE_NAMES:
        return Part(name)
    if not colon and kind in PLAIN:
        return Part(kind)
    if kind not in WITH_ARGUMENT or not argument:
        known = [*PLAIN, *WHOLE_NAMES, *(f"{one}:.." for one in WITH_ARGUMENT)]
        raise ValueError(fault("unknown_part", found=name, names=known))
    if kind == "header" and not _HEADER.fullmatch(argument):
        raise ValueError(fault("part_no_header", found=name))
    if kind == "secret" and (argument in RESERVED or not re.fullmatch(FURTHER_NAME, argument)):
        raise ValueError(fault("part_no_secret", found=name))
    if kind == "raw" and not re.fullmatch(FIELD_NAME, argument):
        raise ValueError(fault("part_no_field", found=name))
    return Part(kind, argument, _path(argument) if kind == "field" else None)


def _path(text: str) -> Expression:
    try:
        return Expression.parse(text, None)
    except ExpressionError as error:
        raise ValueError(error.messages[0]) from None


def _fields(_part: Part, reading: Reading, _given: Given) -> bytes:
    fields = reading.fields
    if len({name for name, _ in fields}) < len(fields):
        # Twilio's libraries sign a repeated value once: anybody could add it again, and rules would see a list. No
        # sender that signs like this repeats a name.
        raise UnreadableError(fault("form_name_twice"))
    return b"".join(name + value for name, value in sorted(fields))


def _sorted(part: Part, reading: Reading, _given: Given) -> bytes:
    begin = part.argument.lower().encode("utf-8")
    # Robokassa accepts both SHP_ and shp_, and signs each name as the shop has written it.
    own = sorted((name, value) for name, value in reading.sent_fields if name.lower().startswith(begin))
    return b"".join(b":" + name + b"=" + value for name, value in own)


def _php_json(_part: Part, reading: Reading, _given: Given) -> bytes:
    """As PHP's json_encode without flags: slashes and non-ASCII characters escaped, an empty array as []."""
    if not reading.fields:
        return b"[]"
    nested = read_urlencoded(reading.webhook.body, "utf-8")
    return json.dumps(nested, separators=(",", ":")).replace("/", "\\/").encode("ascii")


def _sorted_php_json(_part: Part, reading: Reading, _given: Given) -> bytes:
    """As PHP's json_encode with JSON_UNESCAPED_UNICODE, after ksort at each level and strval of each value.

    That flag does not cover the two line ends of Unicode (www.php.net/manual/en/json.constants.php).
    """
    content = _sorted_as_php(reading.body_as_sent)
    written = json.dumps(content or [], ensure_ascii=False, separators=(",", ":")).replace("/", "\\/")
    return written.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").encode("utf-8", "surrogatepass")


def _sorted_as_php(value: Any) -> Any:
    if isinstance(value, dict):
        names = sorted(value, key=_key_of_php)
        inner = {name: _sorted_as_php(value[name]) for name in names}
        # An array of PHP whose keys are 0, 1, 2... is a list, also if it is empty.
        return list(inner.values()) if names == [str(index) for index in range(len(names))] else inner
    if isinstance(value, list):
        return [_sorted_as_php(one) for one in value]
    if isinstance(value, str):
        return value
    return "1" if value is True else ""


def _key_of_php(name: str) -> tuple[bool, int, bytes]:
    """Sort whole numbers as numbers, before names: PHP keeps them so."""
    is_number = bool(_INDEX.fullmatch(name))
    return not is_number, int(name) if is_number else 0, name.encode("utf-8", "surrogatepass")


def _field(part: Part, reading: Reading, _given: Given) -> bytes:
    found = part.path.find(reading.body) if part.path else None
    if isinstance(found, float) and part.path:
        found = _as_written(part.path, reading) or found
    return (text_of(found) or "").encode("utf-8", "surrogatepass")


def _as_written(path: Expression, reading: Reading) -> Any:
    """A decimal number as its sender wrote it, because 100.00 is signed like that. None if it cannot be known."""
    try:
        return path.find(reading.body_as_sent)
    except UnreadableError:
        return None


def _raw(part: Part, reading: Reading, _given: Given) -> bytes:
    found = value_at(reading.body_as_sent, steps_of_field(part.argument))
    return found.encode("utf-8", "surrogatepass") if isinstance(found, str) else b""


def _values(part: Part, reading: Reading, given: Given) -> bytes:
    return part.values.write(reading, given.secret) if part.values else b""


def _query(part: Part, reading: Reading, _given: Given) -> bytes:
    return (Location(query=part.argument).given(reading) or "").encode("utf-8", "surrogatepass")


def _decoded_url(reading: Reading) -> bytes:
    return as_sent(_DECODED.sub(lambda found: chr(int(found[1], 16)), reading.webhook.public_url))


_WRITERS: Mapping[str, Callable[[Part, Reading, Given], bytes]] = {
    "": lambda part, _reading, _given: part.argument.encode("utf-8"),
    "body": lambda _part, reading, _given: reading.webhook.body,
    "body_sha256": lambda _part, reading, _given: reading.body_sha256.encode("ascii"),
    "timestamp": lambda _part, _reading, given: given.stamp.encode("ascii"),
    "id": lambda _part, _reading, given: as_sent(given.identity),
    "secret": lambda part, _reading, given: given.named.get(part.argument, b"") if part.argument else given.secret,
    "method": lambda _part, reading, _given: as_sent(reading.webhook.method),
    "url": lambda _part, reading, _given: as_sent(reading.webhook.public_url),
    "url:decoded": lambda _part, reading, _given: _decoded_url(reading),
    "fields": _fields,
    "php_json": _php_json,
    "php_json:sorted": _sorted_php_json,
    "values": _values,
    "field": _field,
    "raw": _raw,
    "query": _query,
    "header": lambda part, reading, _given: as_sent(reading.webhook.header(part.argument) or ""),
    "sorted": _sorted,
}
BODY = Signed.parse("{body}")


def read_signed(value: Any) -> Signed:
    """Parse what an operator wrote. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - the field says what it expected
    return Signed.parse(value)
