"""Sends a signed sample of a source to the running relay, as its sender would, and reports the outcome.

It speaks HTTP to the relay itself and follows no redirect.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from relay.core.errors import RelayError
from relay.core.events import Delivery, Event
from relay.core.ids import new_event_id
from relay.core.lifecycle import FINAL, EventState
from relay.sources import Headers, Source, Webhook
from relay.sources.bodies import FORM, kind_of
from relay.sources.loading import Profile
from relay.sources.signing import sign
from relay.store import Store
from relay.store.record.search import Filter, Row, list_events

TIMEOUT_S = 15.0
POLL_S = 0.2
MOST_EVENTS = 50
PLAIN: Mapping[str, Any] = {
    "method": "POST", "tail": "", "query": "", "headers": {}, "type": "application/json", "body": {"lead": {"id": 1}},
}  # fmt: skip
"""The sample of a source without a profile."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The relay's answer. body: its beginning."""

    status: int
    content_type: str
    body: str = field(repr=False)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 400


@dataclass(frozen=True, slots=True)
class Fate:
    """The outcome of a sample: its events, newest last, and the number of counted repeats and probes."""

    events: tuple[Event, ...]
    deliveries: tuple[Delivery, ...]
    repeats: int
    probes: int

    @property
    def is_settled(self) -> bool:
        """Whether nothing more will happen without a person."""
        return all(one.state in FINAL for one in self.deliveries)


def sample_of(source: Source, profile: Profile | None, origin: str, now: datetime) -> Webhook:
    """The signed sample. origin: the relay's address as the sender knows it, because some senders sign it.

    Raises UnsignableError.
    """
    return sign(source, unsigned_sample(source, profile, origin), now)


def unsigned_sample(source: Source, profile: Profile | None, origin: str) -> Webhook:
    """The sample without a proof."""
    said = profile.sample if profile else PLAIN
    query = f"?{said['query']}" if said["query"] else ""
    method = said["method"] if profile else source.methods[0]
    return Webhook(
        method=method,
        headers=Headers([("Content-Type", said["type"]), *said["headers"].items()]),
        query_string=said["query"],
        body=_body(said["type"], said["body"]) if method not in {"GET", "HEAD"} else b"",
        public_url=f"{origin}/hooks/{source.name}{_tail(said['tail'])}{query}",
        tail=said["tail"],
    )


def sample_event(source: Source, profile: Profile | None, now: datetime) -> Event:
    """The event that a sample would be on record."""
    webhook = unsigned_sample(source, profile, "")
    headers = dict(webhook.headers)
    return Event(
        id=new_event_id(now),
        source=source.name,
        state=EventState.ACCEPTED,
        received_at=now,
        method=webhook.method,
        content_type=headers["content-type"],
        query=webhook.query_string,
        headers=headers,
        body=webhook.body,
        tail=webhook.tail,
    )


def post(webhook: Webhook, address: str, name: str) -> Answered:
    """Send it to the relay at this address. Raises RelayError if nobody answers."""
    parts = urlsplit(address)
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    query = f"?{webhook.query_string}" if webhook.query_string else ""
    connection = connect(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        target = f"{parts.path.rstrip('/')}/hooks/{name}{_tail(webhook.tail)}{query}"
        connection.request(webhook.method, target, webhook.body or None, dict(webhook.headers))
        answer = connection.getresponse()
        text = answer.read(2_000).decode("utf-8", "replace")
        return Answered(answer.status, answer.headers.get("Content-Type", ""), text)
    except (OSError, http.client.HTTPException) as error:
        raise RelayError(f"nobody answers at {address} ({type(error).__name__}): does the relay run there?") from None
    finally:
        connection.close()


class SampleTracker:
    """Watches the record for the effects of a sample. It must be created before the sample is sent."""

    def __init__(self, store: Store, source: str, now: datetime) -> None:
        self._store, self._source, self._began = store, source, now
        self._probes, self._repeats = self._counted()

    def wait(self, clock: Callable[[], float] = time.monotonic) -> Fate:
        """Wait until the outcome is settled, at most 15 seconds."""
        deadline = clock() + TIMEOUT_S
        while True:
            fate = self._look()
            if fate.is_settled or clock() > deadline:
                return fate
            time.sleep(POLL_S)

    def _look(self) -> Fate:
        rows: tuple[Row, ...] = list_events(
            self._store.record, Filter(source=self._source, since=self._began), limit=MOST_EVENTS
        ).rows
        probes, repeats = self._counted()
        return Fate(
            events=tuple(row.event for row in reversed(rows)),
            deliveries=tuple(one for row in reversed(rows) for one in row.deliveries),
            repeats=repeats - self._repeats,
            probes=probes - self._probes,
        )

    def _counted(self) -> tuple[int, int]:
        probes = self._store.senders.probes([self._source])[self._source].count
        return probes, self._store.record.counts().since_start.get("event:duplicate", 0)


def _tail(tail: str) -> str:
    return f"/{tail}" if tail else ""


def _body(content_type: str, written: Any) -> bytes:
    if isinstance(written, str):
        return written.encode("utf-8")
    if kind_of(content_type) == FORM:
        return urlencode(list(_fields(written))).encode("ascii")
    return json.dumps(written, ensure_ascii=False).encode("utf-8")


def _fields(written: Any, name: str = "") -> Any:
    """Fields of a form, with maps and lists in PHP's notation: `lead[phone]`, `tags[0]`."""
    pairs = written.items() if isinstance(written, dict) else enumerate(written) if isinstance(written, list) else None
    if pairs is None:
        yield name, "" if written is None else str(written)
        return
    for key, inner in pairs:
        yield from _fields(inner, f"{name}[{key}]" if name else str(key))
