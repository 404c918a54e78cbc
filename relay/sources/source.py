"""A source: proves a webhook, reads its body, and says what of it may be kept. Holds secrets; prints none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from typing import Any

from relay.core.errors import UnreadableError
from relay.sources.dedup import Dedup
from relay.sources.forms import read_query
from relay.sources.near_misses import find_near_miss
from relay.sources.parsers import parse_body, read_json
from relay.sources.secret_names import clean_address, is_secret_name, without_secrets
from relay.sources.verifiers import NoVerifier, Verifier
from relay.sources.visitors import SPAM, Form, is_foreign, origin_near_miss
from relay.sources.webhook import Webhook

_SEAL = object()


@dataclass(frozen=True, slots=True)
class Verified:
    """A webhook whose sender is proven. Only Source.verify makes one.

    headers and query are what may be kept: lower-case names, no proof and no other secret among them.
    """

    source: str
    webhook: Webhook = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    query: str = field(repr=False)
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only Source.verify makes a Verified")


@dataclass(frozen=True, slots=True)
class Limit:
    """How much may be recorded of a source in a minute: events, and bytes of what is kept of them.

    at_once: how many of its requests may be in work at the same time; None: any number.
    """

    events: int
    bytes: int
    at_once: int | None = None


MAX_BODY, OPEN_MAX_BODY = 1_000_000, 100_000
OPEN_LIMIT = Limit(600, 4_000_000)
"""Where anybody may send. Of people who fill in a form, ten a second are many."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who sends, and how.

    max_body: bytes. limit: None: as much as it likes. success_status: the HTTP status of a recorded event.
    methods: HTTP methods, upper case.
    on_invalid: "reject" answers 422 where no rule could use an event, "accept" answers success_status.
    json_field: a form field that holds JSON.
    form: people's browsers send it; None: only machines do. thanks: where a browser goes then; None: to a page of ours.
    origins: the pages whose scripts and forms may send, as browsers name them.
    """

    name: str
    verifier: Verifier = field(repr=False)
    dedup: Dedup | None = None
    max_body: int = MAX_BODY
    limit: Limit | None = None
    success_status: int = 200
    methods: tuple[str, ...] = ("POST",)
    on_invalid: str = "reject"
    json_field: str | None = None
    form: Form | None = None
    thanks: str | None = None
    origins: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether anybody may send: nothing that comes from it is proven."""
        return isinstance(self.verifier, NoVerifier)

    def verify(self, webhook: Webhook, now: datetime) -> Verified:
        """The proven webhook. Raises NotVerifiedError whose `reason` is for our record only."""
        self.verifier.check(webhook, now)
        return Verified(self.name, webhook, self.kept_headers(webhook), self.kept_query(webhook), _SEAL)

    def is_foreign(self, origin: str | None) -> bool:
        """Whether a browser says that a page of another site sends a form. origin: its header, if there is one."""
        return self.form is not None and is_foreign(origin, self.origins)

    def find_spam(self, body: Any, now: datetime) -> str | None:
        """The reason why a machine must have filled in the form; None where a person may have done it."""
        return self.form.find_spam(body, now) if self.form else None

    @property
    def sent_headers(self) -> tuple[str, ...]:
        """The headers, in lower case, that a sender may have to set: for its proof, and to name a repeat."""
        found = (self.verifier.proof_header, self.dedup.header if self.dedup else None)
        return tuple(name for name in found if name)

    def near_miss(self, webhook: Webhook, reason: str, now: datetime) -> str | None:
        """What is almost right about a webhook that was refused for this reason; for our record only."""
        if reason == "origin":
            return origin_near_miss(webhook.header("origin") or "", self.origins)
        if self.form and reason in SPAM:
            return self.form.words_of(reason)
        return find_near_miss(self.verifier, webhook, reason, now)

    def kept_headers(self, webhook: Webhook) -> dict[str, str]:
        """The headers without proof, credentials, cookies, and secrets in addresses; names in lower case."""
        proof = self.verifier.proof_header
        return {
            name: clean_address(value, self._is_secret)
            for name, value in webhook.headers.items()
            if name != proof and not is_secret_name(name)
        }

    def kept_query(self, webhook: Webhook) -> str:
        """The query without the token and anything else that is named like a secret; still encoded."""
        return without_secrets(webhook.query_string, self._is_secret)

    def _is_secret(self, name: str) -> bool:
        return name == self.verifier.proof_query or is_secret_name(name)

    def parse(self, verified: Verified) -> Any:
        """The body as plain values; of a GET, its query. Raises UnreadableError and UnsupportedTypeError."""
        webhook = verified.webhook
        return self.read(webhook.method, webhook.content_type, verified.query, webhook.body)

    def read(self, method: str, content_type: str, query: str, body: bytes) -> Any:
        """What `parse` gives, of an event that is on record. Raises UnreadableError and UnsupportedTypeError."""
        if method == "GET" and not body:
            return read_query(query)
        content = parse_body(content_type, body)
        return self._unwrapped(content) if self.json_field else content

    def _unwrapped(self, content: Any) -> Any:
        """A form's JSON field gives its members to the form (GitHub's `payload`, Jotform's `rawRequest`)."""
        wrapped = content.get(self.json_field) if isinstance(content, dict) else None
        if not isinstance(wrapped, str):
            return content
        inner = read_json(wrapped.encode("utf-8"))
        if not isinstance(inner, dict):
            raise UnreadableError("the JSON field does not hold a map")
        return {name: value for name, value in content.items() if name != self.json_field} | inner

    def dedup_key(self, context: Mapping[str, Any], body: bytes) -> str | None:
        """What makes this webhook the same as another, as a digest; None: it is never a duplicate.

        context: from build_context. body: the raw bytes, needed by `dedup: {body: true}`.
        """
        return self.dedup.key(self.name, context, body) if self.dedup else None

    @property
    def dedup_window_s(self) -> float:
        """How long a repeat counts as one, in seconds; 0 where the source has no dedup."""
        return self.dedup.window_s if self.dedup else 0.0
