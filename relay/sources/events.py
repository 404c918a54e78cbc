"""Events out of a webhook: the entries of a batch, what rules see of each, and what makes two of them the same. Pure.

No entry is lost: a member of a list that no path leads into is an entry itself, and where no path leads anywhere, the
whole body is one event. Deduplication keys are digests, so that no key in Redis is personal data.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from relay.configuration.expressions import Expression
from relay.core.errors import TooLargeError, WrongCharsetError
from relay.core.faults import fault
from relay.core.ids import iso
from relay.sources.bodies import MULTIPART, kind_of, parameters, read_query
from relay.sources.proof.verifier import Coverage

MOST_ENTRIES, MOST_PROVEN_ENTRIES = 1_000, 3_000
"""Entries of one request from an open source, and from a proven sender: SendGrid posts 768 KB, about 2,000 events
(docs.sendgrid.com/for-developers/tracking-events/event).
"""
MOST_BYTES = 16_000_000
"""Bytes that the events of one request may have together: each repeats the headers and the envelope."""
PATH = r"body(\.[A-Za-z_][A-Za-z0-9_-]*|\[\])*"
_PATH = re.compile(PATH, re.ASCII)
_MISSING = object()

Names = tuple[str, ...]
Way = tuple[Names, ...]
"""The names that lead to each list, in order: body.entry[].changes[] is (("entry",), ("changes",))."""


@dataclass(frozen=True, slots=True)
class Found:
    """One entry. envelope: the body in which each list is replaced by the one member that leads here, and the entry by
    null.
    """

    body: Any = field(repr=False)
    envelope: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class FanOut:
    """The paths to the lists whose members are events. unless: if this finds something, the whole body is one event."""

    paths: tuple[Way, ...]
    unless: Expression | None = None

    def entries(self, body: Any, most: int = MOST_ENTRIES) -> list[Found] | None:
        """Every entry in order; None if no path matches. most: the limit; above it, TooLargeError is raised."""
        found = self.walk(body, most)
        return None if found is None else list(found)

    def walk(self, body: Any, most: int) -> Iterator[Found] | None:
        """The same, each entry found when it is asked for."""
        return _up_to(most, _entries(body, self.paths)) if any(_leads(body, way[0]) for way in self.paths) else None


def parse_path(text: str) -> Way:
    """Parse a path. Raises ValueError."""
    if not _PATH.fullmatch(text):
        raise ValueError(text)
    steps = text.removeprefix("body").removesuffix("[]").split("[]")
    return tuple(tuple(name for name in step.split(".") if name) for step in steps)


def entry_json(value: Any) -> bytes:
    """An entry or an envelope as JSON bytes for the record."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _up_to(most: int, entries: Iterator[Found]) -> Iterator[Found]:
    for number, entry in enumerate(entries, 1):
        if number > most:
            raise TooLargeError(fault("too_many_entries", most=f"{most:,}"))
        yield entry


def _entries(unit: Any, ways: Sequence[Way]) -> Iterator[Found]:
    """The entries in one unit: the body, or a member of a list."""
    leading = [way for way in ways if way and _leads(unit, way[0])]
    if not leading:
        yield Found(unit, None)
        return
    for names in dict.fromkeys(way[0] for way in leading):
        target = _at(unit, names)
        following = [way[1:] for way in leading if way[0] == names]
        for member in _members(target):
            for found in _entries(member, following):
                yield Found(found.body, _with(unit, names, found.envelope))


def _members(target: Any) -> list[Any]:
    """The members of a list, or of a map of numbers: a form's list that does not begin at 0 is read as such a map."""
    if isinstance(target, dict) and target and all(key.isascii() and key.isdecimal() for key in target):
        return list(target.values())
    return target if isinstance(target, list) else [target]


def _leads(unit: Any, names: Names) -> bool:
    found = _at(unit, names)
    return isinstance(found, list | dict)


def _at(unit: Any, names: Names) -> Any:
    for name in names:
        unit = unit.get(name, _MISSING) if isinstance(unit, dict) else _MISSING
    return unit


def _with(unit: Any, names: Names, inner: Any) -> Any:
    """The unit with another value at this path. Only the maps on the path are copied."""
    if not names:
        return inner
    around: Mapping[str, Any] = unit
    return {**around, names[0]: _with(around[names[0]], names[1:], inner)}


class Kept(Protocol):
    """Headers, query and tail without secrets: a Verified webhook, or an Event from the record.

    A Webhook does not qualify, on purpose: its headers still hold the proof.
    """

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers by name."""

    @property
    def query(self) -> str:
        """The query, still encoded."""

    @property
    def tail(self) -> str:
        """The text that the sender appended to the source's address; else empty."""


def build_context(
    source: str,
    kept: Kept,
    body: Any,
    received_at: datetime,
    envelope: Any = None,
    *,
    fallback_charset: str | None = None,
) -> dict[str, Any]:
    """The context for rules: `{body, envelope, headers, query, tail, source, received_at}`. No secrets are in it.

    Names of headers are in lower case, the query is a map, the time is ISO 8601. envelope: the surroundings of an entry
    of a batch. fallback_charset: for a query that is not UTF-8.

    Query text in no known charset stays percent-encoded: a link that adds its own mark to the address, such as
    `utm_term=%EA%F3`, must not spoil a good body. Raises UnreadableError if the query cannot be read.
    """
    return {
        "body": body,
        "envelope": envelope,
        "headers": {name.lower(): value for name, value in kept.headers.items()},
        "query": _query_of(kept.query, fallback_charset),
        "tail": kept.tail,
        "source": source,
        "received_at": iso(received_at),
    }


def _query_of(query: str, fallback_charset: str | None) -> dict[str, Any]:
    try:
        return read_query(query, fallback_charset)
    except WrongCharsetError:
        return read_query(_UNREAD.sub(_as_text, query))


_UNREAD = re.compile(r"(?:%[89a-fA-F][0-9a-fA-F])+")


def _as_text(encoded: re.Match[str]) -> str:
    """Escape bytes that are not UTF-8 once more; keep others as they are."""
    try:
        unquote_to_bytes(encoded[0]).decode("utf-8")
    except UnicodeDecodeError:
        return encoded[0].replace("%", "%25")
    return encoded[0]


DEFAULT_WINDOW_S = 86_400.0
UNTIMED_S = 30 * 86_400.0
"""How long a repeated signature without a time is a duplicate, and at most one with a time. It is valid for longer, but
remembering it takes memory.
"""
SIGNATURE_DIGITS = 32
"""Hexadecimal digits kept of the digest of a signed text: nobody finds a second text for 128 bits."""


@dataclass(frozen=True, slots=True)
class DedupKey:
    """A claim of an event: nothing else with this digest becomes an event within the window, in seconds."""

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
        """The key; None if the webhook has no such value, so that it is never a duplicate."""
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
    """The claim that a signed text is one event. beside: tells several events of one text apart."""
    lasts_s = UNTIMED_S if coverage.lasts_s is None else min(coverage.lasts_s, UNTIMED_S)
    identity = f"{coverage.digest}\0{beside}".encode("utf-8", "surrogatepass")
    return DedupKey(_digest(source, b"signature", identity)[:SIGNATURE_DIGITS], max(window_s, lasts_s))


def double_click_key(source: str, context: Mapping[str, Any], body: bytes, window_s: float) -> DedupKey:
    """The key of the short window: the same content sent again, such as a form that was submitted twice."""
    query = json.dumps(context["query"], sort_keys=True).encode()
    return DedupKey(_digest(source, b"double click", query + b"\0" + _whole(context, body)), window_s)


def digest_with(digest: str, content: bytes) -> str:
    """The digest for an entry of a batch whose key is not distinctive enough: it includes the content."""
    return hashlib.sha256(digest.encode() + b"\0" + content).hexdigest()


def _digest(source: str, kind: bytes, identity: bytes) -> str:
    return hashlib.sha256(source.encode() + b"\0" + (kind + b"\0" if kind else b"") + identity).hexdigest()


def _whole(context: Mapping[str, Any], body: bytes) -> bytes:
    """The body, with the envelope of an entry. Without a body, the query is used instead."""
    if not body:
        return json.dumps(query, sort_keys=True).encode() if (query := context["query"]) else b""
    around = context.get("envelope")
    whole = _without_boundary(context["headers"].get("content-type", ""), body)
    return whole if around is None else json.dumps(around, sort_keys=True).encode() + b"\0" + whole


def _is_nothing(value: Any) -> bool:
    """Whether a value identifies nothing: null, true, false, blanks, and lists and maps of these."""
    if isinstance(value, dict | list):
        return all(_is_nothing(inner) for inner in (value.values() if isinstance(value, dict) else value))
    return value is None or isinstance(value, bool) or (isinstance(value, str) and not value.strip())


def _without_boundary(content_type: str, body: bytes) -> bytes:
    """Remove the multipart boundary, which is new with every try of the same form. Other types keep theirs: anybody
    could add one to make a captured body look new.
    """
    if kind_of(content_type) != MULTIPART:
        return body
    boundary = parameters(content_type).get("boundary", "").encode("utf-8")
    return body.replace(b"--" + boundary, b"--") if boundary else body
