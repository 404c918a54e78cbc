"""Finds what makes two webhooks the same one. The key is a digest, so that no key in Redis is personal data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jmespath.exceptions

from relay.sources.forms import parameters
from relay.sources.parsers import MULTIPART, kind_of

DEFAULT_WINDOW_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Dedup:
    """One way to a key. Exactly one of `search`, `header` and `whole_body` is set; the window is in seconds."""

    window_s: float = DEFAULT_WINDOW_S
    search: Callable[[Any], Any] | None = field(default=None, repr=False)
    header: str | None = None
    whole_body: bool = False

    def key(self, source: str, context: Mapping[str, Any], body: bytes) -> str | None:
        """A SHA-256 digest in hex, or None where the webhook has no such value (then it is never a duplicate)."""
        identity = self._identity(context, body)
        if not identity:
            return None
        return hashlib.sha256(source.encode() + b"\0" + identity).hexdigest()

    def _identity(self, context: Mapping[str, Any], body: bytes) -> bytes:
        headers = context["headers"]
        if self.whole_body:
            return _without_boundary(headers.get("content-type", ""), body)
        value = headers.get(self.header) if self.header else self._found(context)
        if _is_nothing(value):
            return b""
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        return text.encode("utf-8", "surrogatepass")

    def _found(self, context: Mapping[str, Any]) -> Any:
        try:
            return self.search(context) if self.search else None
        except (jmespath.exceptions.JMESPathError, ArithmeticError, TypeError, ValueError):
            return None


def _is_nothing(value: Any) -> bool:
    """Null, blanks, empty lists and maps, and lists and maps of these: what very different events have in common."""
    if isinstance(value, dict | list):
        return all(_is_nothing(inner) for inner in (value.values() if isinstance(value, dict) else value))
    return value is None or (isinstance(value, str) and not value.strip())


def _without_boundary(content_type: str, body: bytes) -> bytes:
    """A multipart boundary is new with every try of the same form. In any other type it means nothing, and anybody
    could write one there to make a body that he has captured look new.
    """
    if kind_of(content_type) != MULTIPART:
        return body
    boundary = parameters(content_type).get("boundary", "").encode("utf-8")
    return body.replace(b"--" + boundary, b"--") if boundary else body
