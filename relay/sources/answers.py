"""Answers to senders, from a profile or a source, and probes, which are answered without making an event.

An answer has a status, a type, headers and a body, with values of the request in {braces}:

    {PATH}                      a JMESPath over method, query, headers, body; in the answer to an event also `event`
    {hmac:PATH}                 HMAC-SHA256 of the value, by the source's first secret, in hex
    {hmac-base64:PATH}          the same in base64
    {secret:confirmation}, {secret:verify_token}    a secret that the source names

A value that is not found is an empty text. What came with a request goes back to its sender alone, as plain text or
JSON, so that no browser takes it for markup.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.configuration.expressions import Expression, ExpressionError, split_braces
from relay.core.errors import NotVerifiedError
from relay.core.faults import fault
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
_CONTROL = re.compile(r"[^\x20-\x7e\xa0-\xff]")

Find = Callable[[Expression], Any]
Secrets = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a text. kind: "" is literal text; "path", "hmac", "hmac-base64" and "secret" are replaced by a
    value.
    """

    kind: str
    text: str
    path: Expression | None = None

    def fill(self, find: Find, secrets: Secrets) -> str:
        """The text that this piece becomes."""
        if self.kind == "secret":
            return secrets.get(self.text, b"").decode("utf-8")
        if self.path is None:
            return self.text
        found = _written(find(self.path))[:LONGEST]
        if self.kind == "path":
            return found
        digest = hmac.digest(secrets.get(SIGNING, b""), found.encode("utf-8", "replace"), "sha256")
        return digest.hex() if self.kind == "hmac" else base64.b64encode(digest).decode("ascii")


@dataclass(frozen=True, slots=True)
class Text:
    """A parsed text."""

    parts: tuple[Part, ...]

    @classmethod
    def parse(cls, text: str, known: Collection[str]) -> Text:
        """Parse a text. known: names that a path may begin with. Raises ExpressionError with every mistake."""
        parts, wrong = split_braces(text)
        found = []
        for is_name, part in parts:
            try:
                found.append(_part(part, known) if is_name else Part("", part))
            except ExpressionError as error:
                wrong += error.messages
        if wrong:
            raise ExpressionError(*wrong)
        return cls(tuple(found))

    def fill(self, find: Find, secrets: Secrets) -> str:
        """The text with its values."""
        return "".join(part.fill(find, secrets) for part in self.parts)


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
    """A configured answer. status: the HTTP status; None means the source's own."""

    status: int | None
    content_type: str
    headers: Mapping[str, Text]
    body: Body

    def render(self, find: Find, secrets: Secrets, status: int = 200) -> Rendered:
        """Fill in the answer for one request. status: the HTTP status if the answer has none."""
        headers = {
            name: _CONTROL.sub("", text.fill(find, secrets))[:LONGEST_HEADER] for name, text in self.headers.items()
        }
        body = _filled(self.body, find, secrets)
        text = body if isinstance(self.body, Text) else json.dumps(body, ensure_ascii=False)
        return Rendered(self.status or status, self.content_type, headers, text.encode("utf-8", "replace"))

    @property
    def texts(self) -> list[Text]:
        """Every text in it."""
        return [*self.headers.values(), *_texts(self.body)]

    @property
    def secrets(self) -> frozenset[str]:
        """The names of the secrets that it uses."""
        parts = [part for text in self.texts for part in text.parts]
        named = {part.text for part in parts if part.kind == "secret"}
        return frozenset(named | {SIGNING for part in parts if part.kind.startswith("hmac")})

    @property
    def is_empty(self) -> bool:
        """Whether it has no body."""
        return self.body == Text(())

    @property
    def is_harmless(self) -> bool:
        """Whether no browser takes values of the request in it for markup."""
        has_values = any(part.path for text in _texts(self.body) for part in text.parts)
        return not has_values or bool(_SAFE.fullmatch(self.content_type.partition(";")[0].strip().lower()))


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


def _part(name: str, known: Collection[str]) -> Part:
    kind, colon, argument = name.partition(":")
    if colon and kind == "secret":
        if argument not in NAMED:
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


def _filled(body: Body, find: Find, secrets: Secrets) -> Any:
    if isinstance(body, Text):
        return body.fill(find, secrets)
    if isinstance(body, dict):
        return {name: _filled(value, find, secrets) for name, value in body.items()}
    if isinstance(body, list):
        return [_filled(value, find, secrets) for value in body]
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
