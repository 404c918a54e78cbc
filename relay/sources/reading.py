"""A webhook as it is read: its query and its body once each, and the body only when somebody asks for it.

Proofs, probes and answers look at it, before anything is proven; so nothing here is kept. What rules see is made in
`context`, without secrets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote_to_bytes

from relay.configuration.expressions import Expression
from relay.core.errors import UnreadableError, UnsupportedTypeError
from relay.core.faults import fault
from relay.sources.forms import MAX_VALUES, read_query
from relay.sources.parsers import FORM, kind_of
from relay.sources.webhook import Webhook

ROOTS = ("method", "query", "headers", "body")
"""What an expression may look at: headers by their names in lower case, the query as a map, the body as it is read."""


class Reading:
    """One webhook. read: reads its body as its source does."""

    __slots__ = ("_body", "_context", "_error", "_read", "webhook")

    def __init__(self, webhook: Webhook, read: Callable[[], Any]) -> None:
        self.webhook = webhook
        self._read: Callable[[], Any] | None = read
        self._body: Any = None
        self._error: UnreadableError | UnsupportedTypeError | None = None
        self._context: dict[str, Any] | None = None

    @property
    def body(self) -> Any:
        """The body as plain values. Raises UnreadableError and UnsupportedTypeError, each time alike."""
        if self._read:
            read, self._read = self._read, None
            try:
                self._body = read()
            except (UnreadableError, UnsupportedTypeError) as error:
                self._error = error
        if self._error:
            raise self._error
        return self._body

    def find(self, expression: Expression, beside: Mapping[str, Any] | None = None) -> Any:
        """What an expression over ROOTS finds. A body that cannot be read, or that is not there, is null.

        beside: what it may look at beside these.
        """
        context = {**self.context, **(beside or {})}
        if expression.looks_at("body"):
            context["body"] = self._body_or_none()
        return expression.find(context)

    def holds(self, expression: Expression) -> bool:
        """Whether an expression over ROOTS finds something true."""
        found = self.find(expression)
        return not (found is None or found is False or (isinstance(found, str | list | dict) and not found))

    @property
    def context(self) -> dict[str, Any]:
        """What costs nothing to read: method, headers and query."""
        if self._context is None:
            self._context = {
                "method": self.webhook.method,
                "headers": dict(self.webhook.headers),
                "query": self._query(),
            }
        return self._context

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """The fields of a urlencoded form as they came, decoded but not nested; none where there is no body.

        Raises UnreadableError where the body is something else, and for too many.
        """
        body = self.webhook.body
        if body and kind_of(self.webhook.content_type) != FORM:
            raise UnreadableError(fault("not_a_form"))
        return _pairs(body)

    @property
    def sent_fields(self) -> list[tuple[bytes, bytes]]:
        """The same; of a GET, those of its query."""
        is_in_query = self.webhook.method == "GET" and not self.webhook.body
        return _pairs(self.webhook.query_string.encode("utf-8", "surrogatepass")) if is_in_query else self.fields

    def with_body(self, body: bytes) -> Reading:
        """The same webhook with another body, for who only looks at its bytes."""
        return Reading(replace(self.webhook, body=body), lambda: None)

    @property
    def body_sha256(self) -> str:
        """The SHA-256 of the body in hex."""
        return hashlib.sha256(self.webhook.body).hexdigest()

    def _body_or_none(self) -> Any:
        try:
            return self.body
        except (UnreadableError, UnsupportedTypeError):
            return None

    def _query(self) -> Mapping[str, Any]:
        try:
            return read_query(self.webhook.query_string)
        except UnreadableError:
            return {}


def text_of(value: Any) -> str | None:
    """A text or a number as it stands in a signature or an answer; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return value if isinstance(value, str) else str(value)


def _pairs(form: bytes) -> list[tuple[bytes, bytes]]:
    if form.count(b"&") > MAX_VALUES:
        raise UnreadableError(fault("too_many_values", most_values=MAX_VALUES))
    pairs = (field.partition(b"=") for field in form.split(b"&") if field)
    return [(_decoded(name), _decoded(value)) for name, _, value in pairs]


def _decoded(encoded: bytes) -> bytes:
    return unquote_to_bytes(encoded.replace(b"+", b" "))
