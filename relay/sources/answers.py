"""Answers to senders, from a profile or a source, and probes, which are answered without making an event.

An answer has a status, a type, headers and a body, with values of the request in {braces}:

    {PATH}                      a JMESPath over method, query, headers, body and tail; in the answer to an event also
                                over `event`
    {hmac:PATH}                 HMAC-SHA256 of the value, by the source's first secret, in hex
    {hmac-base64:PATH}          the same in base64
    {secret:confirmation}, {secret:verify_token}    a secret that the source names
    {now}, {now:ms}, {now:iso}  the time, in seconds, in milliseconds, and as 2026-06-01T12:00:00Z
    {computed:NAME}             a digest that the answer defines under `computed`

A value that is not found is an empty text. In a JSON body, a text that is one value alone keeps the value's type. What
came with a request goes back to its sender alone, as plain text, JSON, or escaped in XML, so that no browser takes it
for markup.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from relay.configuration.expressions import Expression, ExpressionError, split_braces
from relay.core.errors import NotVerifiedError
from relay.core.faults import fault
from relay.core.ids import to_ms
from relay.sources.proof.signatures import encode
from relay.sources.proof.signed import FURTHER_NAME, RESERVED
from relay.sources.webhook import ROOTS, Reading, text_of

PLAIN = "text/plain; charset=utf-8"
JSON = "application/json"
LONGEST = 4_000
"""Characters of one value: a challenge is short, and a longer one would only cost bandwidth."""
LONGEST_HEADER = 1_000
EVENT_ROOTS = (*ROOTS, "event")
SIGNING = "signing"
"""The name under which a text may use the first secret of the source."""
NAMED = ("confirmation", "verify_token")
_SAFE = re.compile(r"text/plain|application/(?:[a-z0-9.+-]+\+)?json", re.ASCII)
_XML = re.compile(r"(?:text|application)/xml|application/soap\+xml", re.ASCII)
"""Types whose values are escaped. Others that end in +xml may be pages or pictures with scripts in them."""
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 document may have (www.w3.org/TR/xml, section 2.2)."""
_CONTROL = re.compile(r"[^\x20-\x7e\xa0-\xff]")

Find = Callable[[Expression], Any]
Secrets = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Given:
    """The values of one answer. find: finds a path in the request. now: an aware time; it is the same in all texts.

    signs_codes_only: anybody may ask for this answer, see CODE.
    """

    find: Find
    secrets: Secrets = field(repr=False)
    now: datetime
    computed: Mapping[str, str] = field(default_factory=dict, repr=False)
    signs_codes_only: bool = False


CODE = re.compile(r"[A-Za-z0-9_-]{1,200}")
"""The texts that are signed for whoever asks: the codes of challenges.

A body, a form and a text of several parts are none, or the answer would be the signature of an event that nobody has
sent. Where codes are signed, a body that is one proves nothing.
"""
TIMES: Mapping[str, Callable[[datetime], int | str]] = {
    "now": lambda now: to_ms(now) // 1000,
    "now:ms": to_ms,
    "now:iso": lambda now: f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
}
"""The time as it may be written, by its name in a text."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a text. kind: "" is literal text; "path", "hmac", "hmac-base64", "secret", "now" and "computed" are
    replaced by a value.
    """

    kind: str
    text: str
    path: Expression | None = None

    def value(self, given: Given) -> Any:
        """The value of this piece, with its type. One that is longer than LONGEST is cut as a text."""
        if self.kind == "now":
            return TIMES[self.text](given.now)
        if self.kind == "computed":
            return given.computed.get(self.text, "")
        if self.kind == "secret":
            return given.secrets.get(self.text, b"").decode("utf-8")
        if self.path is None:
            return self.text
        value = given.find(self.path)
        found = _written(value)
        if self.kind == "path":
            return found[:LONGEST] if value is None or len(found) > LONGEST else value
        if given.signs_codes_only and not CODE.fullmatch(found):
            return ""
        text = found[:LONGEST].encode("utf-8", "replace")
        digest = hmac.digest(given.secrets.get(SIGNING, b""), text, "sha256")
        return digest.hex() if self.kind == "hmac" else base64.b64encode(digest).decode("ascii")


@dataclass(frozen=True, slots=True)
class Text:
    """A parsed text."""

    parts: tuple[Part, ...]

    @classmethod
    def parse(cls, text: str, known: Collection[str], *, is_digested: bool = False) -> Text:
        """Parse a text. known: names that a path may begin with. Raises ExpressionError with every mistake.

        is_digested: only a digest of the text is answered, so that it may contain {secret}.
        """
        parts, wrong = split_braces(text)
        found = []
        for is_name, part in parts:
            try:
                found.append(_part(part, known, is_digested=is_digested) if is_name else Part("", part))
            except ExpressionError as error:
                wrong += error.messages
        if wrong:
            raise ExpressionError(*wrong)
        return cls(tuple(found))

    def fill(self, given: Given, escape: Callable[[str], str] = str) -> str:
        """The text with its values. escape: what is done to each value."""
        return "".join(escape(_written(part.value(given))) if part.kind else part.text for part in self.parts)

    def value(self, given: Given) -> Any:
        """The text with its values; a value alone keeps its type."""
        return self.parts[0].value(given) if len(self.parts) == 1 else self.fill(given)

    @property
    def secrets(self) -> frozenset[str]:
        """The names of the secrets in it."""
        named = {part.text for part in self.parts if part.kind == "secret"}
        return frozenset(named | {SIGNING for part in self.parts if part.kind.startswith("hmac")})


DIGESTS = ("md5", "sha1", "sha256", "sha512")
"""Algorithms of computed digests. Senders ask for the weak ones, too; nothing of ours relies on them."""


@dataclass(frozen=True, slots=True)
class Computed:
    """A digest of a text with values and secrets. kind: "hash", or "hmac" by the source's first secret."""

    kind: str
    algorithm: str
    of: Text
    encoding: str

    def compute(self, given: Given) -> str:
        """The digest, written in its encoding."""
        text = self.of.fill(given).encode("utf-8", "replace")
        if self.kind == "hmac":
            return encode(hmac.digest(given.secrets.get(SIGNING, b""), text, self.algorithm), self.encoding)
        return encode(hashlib.new(self.algorithm, text, usedforsecurity=False).digest(), self.encoding)

    @property
    def secrets(self) -> frozenset[str]:
        """The names of the secrets that it uses."""
        return self.of.secrets | ({SIGNING} if self.kind == "hmac" else frozenset())


Body = Text | dict[str, Any] | list[Any] | str | int | float | bool | None
"""A text, or the structure of a JSON answer with texts in it."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """An answer, ready to send. It may contain values of the request, so nobody but its sender sees it."""

    status: int
    content_type: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """A configured answer. status: the HTTP status; None means the source's own. computed: digests by name."""

    status: int | None
    content_type: str
    headers: Mapping[str, Text]
    body: Body
    computed: Mapping[str, Computed] = field(default_factory=dict)

    def render(self, given: Given, status: int = 200) -> Rendered:
        """Fill in the answer for one request. status: the HTTP status if the answer has none."""
        given = replace(given, computed={name: one.compute(given) for name, one in self.computed.items()})
        headers = {name: _CONTROL.sub("", text.fill(given))[:LONGEST_HEADER] for name, text in self.headers.items()}
        if isinstance(self.body, Text):
            text = self.body.fill(given, _escaped if self.is_xml else str)
        else:
            text = json.dumps(_filled(self.body, given), ensure_ascii=False)
        return Rendered(self.status or status, self.content_type, headers, text.encode("utf-8", "replace"))

    @property
    def texts(self) -> list[Text]:
        """Every text in it."""
        return [*self.headers.values(), *_texts(self.body)]

    @property
    def secrets(self) -> frozenset[str]:
        """The names of the secrets that it uses."""
        used = [*(text.secrets for text in self.texts), *(one.secrets for one in self.computed.values())]
        return frozenset(name for names in used for name in names)

    @property
    def digests(self) -> frozenset[str]:
        """The names of the computed digests in its texts."""
        return frozenset(part.text for text in self.texts for part in text.parts if part.kind == "computed")

    @property
    def signs_texts(self) -> bool:
        """Whether it computes a digest with a secret, whose text may be anything."""
        return any(one.secrets for one in self.computed.values())

    @property
    def is_empty(self) -> bool:
        """Whether it has no body."""
        return self.body == Text(())

    @property
    def is_harmless(self) -> bool:
        """Whether no browser takes values of the request in it for markup."""
        has_values = any(part.path for text in _texts(self.body) for part in text.parts)
        return not has_values or self.is_xml or bool(_SAFE.fullmatch(self._type))

    @property
    def is_xml(self) -> bool:
        """Whether it is a text of XML, whose values are escaped."""
        return isinstance(self.body, Text) and bool(_XML.fullmatch(self._type))

    @property
    def _type(self) -> str:
        return self.content_type.partition(";")[0].strip().lower()


def build_body(written: Any, known: Collection[str]) -> Body:
    """Parse the texts of a configured body. Raises ExpressionError with every mistake."""
    if isinstance(written, str):
        return Text.parse(written, known)
    if isinstance(written, dict):
        return {str(name): build_body(value, known) for name, value in written.items()}
    if isinstance(written, list):
        return [build_body(value, known) for value in written]
    plain: Body = written
    return plain


def _part(name: str, known: Collection[str], *, is_digested: bool) -> Part:
    kind, colon, argument = name.partition(":")
    if name in TIMES:
        return Part("now", name)
    if name == "secret" and is_digested:
        return Part("secret", SIGNING)
    if colon and kind == "computed" and not is_digested:
        return Part("computed", argument)
    if colon and kind == "secret":
        is_further = is_digested and argument not in RESERVED and re.fullmatch(FURTHER_NAME, argument)
        if argument not in NAMED and not is_further:
            raise ExpressionError(fault("unknown_secret_name", found=name, one=NAMED[0], other=NAMED[1]))
        return Part(kind, argument)
    if colon and kind in {"hmac", "hmac-base64"}:
        return Part(kind, name, Expression.parse(argument, known))
    return Part("path", name, Expression.parse(name, known))


def _written(value: Any) -> str:
    if value is None:
        return ""
    text = text_of(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if text is None else text


def _escaped(text: str) -> str:
    return html.escape(_NOT_IN_XML.sub("", text))


def _filled(body: Body, given: Given) -> Any:
    if isinstance(body, Text):
        return body.value(given)
    if isinstance(body, dict):
        return {name: _filled(value, given) for name, value in body.items()}
    if isinstance(body, list):
        return [_filled(value, given) for value in body]
    return body


def _texts(body: Body) -> list[Text]:
    if isinstance(body, Text):
        return [body]
    inner = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
    return [text for value in inner for text in _texts(value)]


SHORTEST_KEPT, LONGEST_KEPT = 16, 300
"""Shortest and longest secret, in characters, that a sender may give at run time: Asana's has 32, Notion's about 50."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A request that is answered and is no event. when: its condition. is_open: it is answered before any proof.

    secret, given: it counts only if the value at `given` equals this secret of the source. keeps: the path of a secret
    that the sender gives and the relay keeps.
    """

    when: Expression
    answer: Answer
    is_open: bool = False
    secret: str | None = None
    given: Expression | None = None
    keeps: Expression | None = None

    @property
    def is_for_anybody(self) -> bool:
        """Whether it is answered to whoever asks."""
        return self.is_open and self.secret is None

    @property
    def signs_codes(self) -> bool:
        """Whether it signs codes for whoever asks."""
        return self.is_for_anybody and any(
            part.kind.startswith("hmac") for text in self.answer.texts for part in text.parts
        )

    @property
    def reads_body(self) -> bool:
        """Whether its condition needs the body."""
        return self.when.looks_at("body")

    def check(self, reading: Reading, secrets: Secrets) -> None:
        """Raise NotVerifiedError if the probe requires a secret and the request does not contain it."""
        if self.secret is None or self.given is None:
            return
        given = text_of(reading.find(self.given))
        if not given:
            raise NotVerifiedError("token_missing")
        expected = secrets.get(self.secret, b"")
        if not expected or not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected):
            raise NotVerifiedError("token_mismatch")

    def secret_given(self, reading: Reading) -> str | None:
        """The secret that the sender gives; None if this probe gives none. Raises NotVerifiedError."""
        if self.keeps is None:
            return None
        given = text_of(reading.find(self.keeps)) or ""
        if not SHORTEST_KEPT <= len(given) <= LONGEST_KEPT or not given.isascii() or not given.isprintable():
            raise NotVerifiedError("secret_unusable")
        return given
