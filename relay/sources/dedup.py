"""Finds what makes two webhooks the same one. The key is a digest, so that no key in Redis is personal data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relay.configuration.expressions import Expression
from relay.sources.forms import parameters
from relay.sources.parsers import MULTIPART, kind_of
from relay.sources.proof.verifier import Coverage

DEFAULT_WINDOW_S = 86_400.0
UNTIMED_S = 30 * 86_400.0
"""How long a signature without a time counts once. It is believed for ever, but what remembers it takes memory."""
SIGNATURE_DIGITS = 32
"""Hexadecimal digits that are kept of a digest of what is signed: nobody finds a second text for 128 bits."""


@dataclass(frozen=True, slots=True)
class DedupKey:
    """What an event claims: no other of the same digest becomes an event within the window, in seconds."""

    digest: str
    window_s: float


@dataclass(frozen=True, slots=True)
class Dedup:
    """One way to a key. Exactly one of `expression`, `header` and `whole_body` is set; the window is in seconds."""

    window_s: float = DEFAULT_WINDOW_S
    expression: Expression | None = None
    header: str | None = None
    whole_body: bool = False

    def key(self, source: str, context: Mapping[str, Any], body: bytes) -> DedupKey | None:
        """None where the webhook has no such value: then it is never a duplicate."""
        identity = self._identity(context, body)
        return DedupKey(_digest(source, b"", identity), self.window_s) if identity else None

    def _identity(self, context: Mapping[str, Any], body: bytes) -> bytes:
        if self.whole_body:
            return _whole(context, body)
        value = context["headers"].get(self.header) if self.header else self._found(context)
        if _is_nothing(value):
            return b""
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        return text.encode("utf-8", "surrogatepass")

    def _found(self, context: Mapping[str, Any]) -> Any:
        return self.expression.find(context) if self.expression else None


def signature_key(source: str, coverage: Coverage, beside: str, window_s: float) -> DedupKey:
    """What a signature claims: that its text is one event. beside: what tells the events of one such text apart."""
    lasts_s = UNTIMED_S if coverage.lasts_s is None else coverage.lasts_s
    identity = f"{coverage.digest}\0{beside}".encode("utf-8", "surrogatepass")
    return DedupKey(_digest(source, b"signature", identity)[:SIGNATURE_DIGITS], max(window_s, lasts_s))


def double_click_key(source: str, context: Mapping[str, Any], body: bytes, window_s: float) -> DedupKey:
    """The key of the short window: the same content once more, such as a form that was sent with two clicks."""
    query = json.dumps(context["query"], sort_keys=True).encode()
    return DedupKey(_digest(source, b"double click", query + b"\0" + _whole(context, body)), window_s)


def digest_with(digest: str, content: bytes) -> str:
    """The digest for an entry of a batch whose key says too little: with what the entry holds."""
    return hashlib.sha256(digest.encode() + b"\0" + content).hexdigest()


def _digest(source: str, kind: bytes, identity: bytes) -> str:
    return hashlib.sha256(source.encode() + b"\0" + (kind + b"\0" if kind else b"") + identity).hexdigest()


def _whole(context: Mapping[str, Any], body: bytes) -> bytes:
    """The body, and what stands around an entry of a batch. Where there is no body, the query is read in its place."""
    if not body:
        return json.dumps(query, sort_keys=True).encode() if (query := context["query"]) else b""
    around = context.get("envelope")
    whole = _without_boundary(context["headers"].get("content-type", ""), body)
    return whole if around is None else json.dumps(around, sort_keys=True).encode() + b"\0" + whole


def _is_nothing(value: Any) -> bool:
    """What very different events have in common: null, true, false, blanks, and lists and maps of nothing else."""
    if isinstance(value, dict | list):
        return all(_is_nothing(inner) for inner in (value.values() if isinstance(value, dict) else value))
    return value is None or isinstance(value, bool) or (isinstance(value, str) and not value.strip())


def _without_boundary(content_type: str, body: bytes) -> bytes:
    """A multipart boundary is new with every try of the same form. In any other type it means nothing, and anybody
    could write one there to make a body that he has captured look new.
    """
    if kind_of(content_type) != MULTIPART:
        return body
    boundary = parameters(content_type).get("boundary", "").encode("utf-8")
    return body.replace(b"--" + boundary, b"--") if boundary else body
