"""A source: proves a webhook, reads its body, and says what of it may be kept. Holds secrets; prints none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field, replace
from datetime import datetime
from typing import Any

from relay.core.errors import NotVerifiedError, UnreadableError, UnsupportedTypeError
from relay.core.events import Event
from relay.sources.body_reader import PLAIN_BODIES, BodyReader
from relay.sources.context import Kept, build_context
from relay.sources.dedup import Dedup
from relay.sources.near_misses import find_near_miss
from relay.sources.secret_names import clean_address, is_secret_name, without_secrets
from relay.sources.unpacking import is_packed, most_before_proof, unpack
from relay.sources.verifiers import NoVerifier, Verifier
from relay.sources.webhook import Webhook

_SEAL = object()
ENCODING = "content-encoding"
OF_PACKED = {ENCODING, "content-length"}
"""Headers of a packed body, which say nothing of what was in it."""


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
    """How much may be recorded of a source in a minute: events, and bytes of what is kept of them."""

    events: int
    bytes: int


MAX_BODY, OPEN_MAX_BODY = 1_000_000, 100_000
OPEN_LIMIT = Limit(600, 4_000_000)
"""Where anybody may send. Of people who fill in a form, ten a second are many."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who sends, and how.

    max_body: bytes. limit: None: as much as it likes. success_status: the HTTP status of a recorded event.
    methods: HTTP methods, upper case.
    on_invalid: "reject" answers 422 where no rule could use an event, "accept" answers success_status.
    bodies: what is known of its bodies.
    """

    name: str
    verifier: Verifier = field(repr=False)
    dedup: Dedup | None = None
    max_body: int = MAX_BODY
    limit: Limit | None = None
    success_status: int = 200
    methods: tuple[str, ...] = ("POST",)
    on_invalid: str = "reject"
    bodies: BodyReader = PLAIN_BODIES

    @property
    def is_open(self) -> bool:
        """Whether anybody may send: nothing that comes from it is proven."""
        return isinstance(self.verifier, NoVerifier)

    def verify(self, webhook: Webhook, now: datetime) -> Verified:
        """The proven webhook, unpacked. Raises NotVerifiedError whose `reason` is for our record only.

        The proof is of the bytes as they were sent, or of what they hold: a proxy may have packed them.
        """
        try:
            self.verifier.check(webhook, now)
        except NotVerifiedError:
            opened = self._opened(webhook, most_before_proof(len(webhook.body), self.max_body))
            if opened is webhook:
                raise
            self.verifier.check(opened, now)
        else:
            opened = self._opened(webhook, self.max_body)
        return Verified(self.name, opened, self.kept_headers(opened), self.kept_query(opened), _SEAL)

    def _opened(self, webhook: Webhook, most: int) -> Webhook:
        """The webhook as it was before it was packed; as it is, where it was not, or cannot be unpacked to `most`."""
        encoding = webhook.header(ENCODING) or ""
        if not webhook.body or not is_packed(encoding):
            return webhook
        try:
            body = unpack(encoding, webhook.body, most)
        except (UnreadableError, UnsupportedTypeError):
            return webhook
        headers = {name: value for name, value in webhook.headers.items() if name not in OF_PACKED}
        return replace(webhook, headers=headers, body=body)

    def near_miss(self, webhook: Webhook, reason: str, now: datetime) -> str | None:
        """What is almost right about a webhook that was refused for this reason; for our record only."""
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
        encoding = webhook.header(ENCODING) or ""
        return self.read(webhook.method, webhook.content_type, verified.query, webhook.body, encoding)

    def read_again(self, event: Event) -> Any:
        """What `parse` gives, of an event as it is on record. Raises UnreadableError and UnsupportedTypeError."""
        # What could be unpacked is kept so, without that header.
        encoding = event.headers.get(ENCODING, "")
        return self.read(event.method, event.content_type, event.query, event.body, encoding)

    def read(self, method: str, content_type: str, query: str, body: bytes, encoding: str = "") -> Any:
        """A body as plain values. encoding: how it is packed. Raises UnreadableError and UnsupportedTypeError."""
        return self.bodies.read(method, content_type, query, unpack(encoding, body, self.max_body))

    def context(self, kept: Kept, body: Any, received_at: datetime) -> dict[str, Any]:
        """What rules may look at: see build_context. body: as it was read. Raises UnreadableError."""
        return build_context(self.name, kept, body, received_at, self.bodies.fallback_charset)

    def dedup_key(self, context: Mapping[str, Any], body: bytes) -> str | None:
        """What makes this webhook the same as another, as a digest; None: it is never a duplicate.

        context: from build_context. body: the raw bytes, needed by `dedup: {body: true}`.
        """
        return self.dedup.key(self.name, context, body) if self.dedup else None

    @property
    def dedup_window_s(self) -> float:
        """How long a repeat counts as one, in seconds; 0 where the source has no dedup."""
        return self.dedup.window_s if self.dedup else 0.0
