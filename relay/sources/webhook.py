"""The HTTP request that carried an event, and how its parts are read. Nothing here is proven, kept or printed.

Proofs, probes and answers look at a `Reading` before anything is proven. It reads the query and the body at most once,
and the body only on demand. Rules see another shape, without secrets: `build_context` in `events`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import unquote_to_bytes

from relay.configuration.expressions import Expression
from relay.core.errors import UnreadableError, UnsupportedTypeError
from relay.core.faults import fault
from relay.sources.bodies import FORM, MAX_VALUES, kind_of, read_query


class Headers(Mapping[str, str]):
    """Headers by name, in any case. Repeated headers are joined with a comma (RFC 9110, section 5.3)."""

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            key = name.lower()
            self._values[key] = f"{self._values[key]}, {value}" if key in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def get(self, name: str, default: Any = None) -> Any:
        # Mapping's own version raises and catches an error for each missing header.
        return self._values.get(name.lower(), default)

    def items(self) -> ItemsView[str, str]:
        return self._values.items()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Headers({len(self)} names)"


@dataclass(frozen=True, slots=True)
class Webhook:
    """One request. `headers` may be any map, or Headers made of pairs if names repeat; it is stored as Headers.

    query_string: the part after `?`, still encoded. public_url: the address as the sender called it, with its query.
    tail: the part of the path after the source's name, one of those that the source takes; else empty.
    """

    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=Headers, repr=False)
    query_string: str = field(default="", repr=False)
    body: bytes = field(default=b"", repr=False)
    remote_address: str = ""
    public_url: str = field(default="", repr=False)
    tail: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.headers, Headers):
            object.__setattr__(self, "headers", Headers(self.headers.items()))

    def header(self, name: str) -> str | None:
        """The value of a header, by its name in any case."""
        found: str | None = self.headers.get(name)
        return found

    @property
    def content_type(self) -> str:
        """The Content-Type header, or an empty text."""
        return self.header("content-type") or ""


ROOTS = ("method", "query", "headers", "body", "tail")
"""Names that an expression may use: headers in lower case, the query as a map, the body as it was read, and what the
sender appended to the address.
"""


class _Once:
    """A value that is read at most once, on demand."""

    __slots__ = ("_error", "_read", "_value")

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read: Callable[[], Any] | None = read
        self._value: Any = None
        self._error: UnreadableError | UnsupportedTypeError | None = None

    def get(self) -> Any:
        """The value. Raises UnreadableError and UnsupportedTypeError, the same one each time."""
        if self._read:
            read, self._read = self._read, None
            try:
                self._value = read()
            except (UnreadableError, UnsupportedTypeError) as error:
                self._error = error
        if self._error:
            raise self._error
        return self._value


Split = Callable[[Webhook, Any], Iterator[tuple[bytes, Any]] | None]


class Reading:
    """One webhook, read lazily. read: reads the body as its source does; read_as_sent: as a signature covers it.

    split: of a batch, gives each entry as bytes and as it was read; None if it is no batch.
    """

    __slots__ = ("_as_sent", "_body", "_context", "_split", "webhook")

    def __init__(
        self,
        webhook: Webhook,
        read: Callable[[], Any],
        read_as_sent: Callable[[], Any],
        split: Split | None = None,
    ) -> None:
        self.webhook = webhook
        self._body, self._as_sent = _Once(read), _Once(read_as_sent)
        self._split = split
        self._context: dict[str, Any] | None = None

    @property
    def body(self) -> Any:
        """The body as plain values. Raises UnreadableError and UnsupportedTypeError, the same one each time."""
        return self._body.get()

    @property
    def body_as_sent(self) -> Any:
        """The body as a signature covers it, see BodyReader.read_as_sent. Raises as body."""
        return self._as_sent.get()

    def find(self, expression: Expression, beside: Mapping[str, Any] | None = None) -> Any:
        """The value that an expression over ROOTS finds. An unreadable or missing body is null.

        beside: more names that it may use.
        """
        context = {**self.context, **(beside or {})}
        if expression.looks_at("body"):
            context["body"] = self._body_or_none()
        return expression.find(context)

    def holds(self, expression: Expression) -> bool:
        """Whether an expression over ROOTS finds a true value."""
        found = self.find(expression)
        return not (found is None or found is False or (isinstance(found, str | list | dict) and not found))

    @property
    def context(self) -> dict[str, Any]:
        """Method, headers, query and tail, which are cheap to read."""
        if self._context is None:
            self._context = {
                "method": self.webhook.method,
                "headers": dict(self.webhook.headers),
                "query": self._query(),
                "tail": self.webhook.tail,
            }
        return self._context

    def entries(self) -> Iterator[Reading]:
        """The entries of a batch in order, each with a body of its own; of another webhook only itself.

        Raises UnreadableError and UnsupportedTypeError.
        """
        found = self._split(self.webhook, self.body) if self._split else None
        if found is None:
            yield self
        for body, content in found or ():
            same = partial(_same, content)
            yield Reading(replace(self.webhook, body=body), same, same)

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """The fields of a urlencoded form, decoded but not nested; none if there is no body.

        Raises UnreadableError if the body is not such a form, or has too many fields.
        """
        body = self.webhook.body
        if body and kind_of(self.webhook.content_type) != FORM:
            raise UnreadableError(fault("not_a_form"))
        return _pairs(body)

    @property
    def sent_fields(self) -> list[tuple[bytes, bytes]]:
        """The fields of the form; for a GET, those of the query."""
        is_in_query = self.webhook.method == "GET" and not self.webhook.body
        return _pairs(self.webhook.query_string.encode("utf-8", "surrogatepass")) if is_in_query else self.fields

    def with_body(self, body: bytes) -> Reading:
        """The same webhook with another body. Only the bytes of that body can be read."""
        return Reading(replace(self.webhook, body=body), lambda: None, lambda: None)

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


def _same(content: Any) -> Any:
    return content


def text_of(value: Any) -> str | None:
    """A text or a number as signatures and answers write it; None for anything else."""
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
