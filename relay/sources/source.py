"""A source proves a webhook, reads its body, and removes what may not be kept. It holds secrets and prints none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import InitVar, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from relay.configuration.expressions import Expression
from relay.core.errors import NotVerifiedError, UnreadableError, UnsupportedTypeError
from relay.core.events import SPAM, Event
from relay.core.faults import Fault, fault
from relay.sources.addresses import Network, address_near_miss, is_listed
from relay.sources.answers import CODE, SIGNING, Answer, Given, Probe, Rendered, Secrets
from relay.sources.bodies import JSON, PLAIN_BODIES, BodyReader, is_packed, most_before_proof, unpack
from relay.sources.events import (
    MOST_ENTRIES,
    MOST_PROVEN_ENTRIES,
    Dedup,
    DedupKey,
    FanOut,
    Found,
    Kept,
    build_context,
    double_click_key,
    entry_json,
    signature_key,
)
from relay.sources.near_misses import find_near_miss
from relay.sources.proof.verifier import Coverage, Verifier
from relay.sources.redaction import REMOVED, clean_address, is_secret_name, without_secrets, without_tokens
from relay.sources.visitors import Form, is_foreign, origin_near_miss
from relay.sources.webhook import Reading, Webhook

_SEAL = object()
ENCODING = "content-encoding"
OF_BYTES = {"signature_mismatch", "digest_mismatch", "body_unreadable"}
"""Reasons for a refusal that may be caused by compression after signing."""
OF_PACKED = {ENCODING, "content-length"}
"""Headers of a compressed body, which do not apply to its content."""
SignatureKeys = tuple[()] | tuple[DedupKey] | tuple[DedupKey, DedupKey]
"""Claims of a signature: none, its text, or its text under a topic and the text itself."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A webhook whose sender is proven. Only Source.verify makes one.

    headers, query and body may be kept: names are in lower case, and no token or other secret is in them.
    coverage: what its signature covers; None without a signature.
    """

    source: str
    reading: Reading = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    query: str = field(repr=False)
    body: bytes = field(repr=False)
    coverage: Coverage | None
    seal: InitVar[object]

    @property
    def webhook(self) -> Webhook:
        """The request as received, with its proof."""
        return self.reading.webhook

    @property
    def tail(self) -> str:
        """The text that the sender appended to the source's address; else empty."""
        return self.webhook.tail

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only Source.verify makes a Verified")


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of a source may be recorded in a minute: events, and bytes of them.

    at_once: how many of its requests may be processed at the same time; None: any number.
    """

    events: int
    bytes: int
    at_once: int | None = None


INBOX = "inbox"
"""The profile of a source that takes any request, to show what a sender sends (recognition.py)."""
MAX_BODY, OPEN_MAX_BODY = 1_000_000, 100_000
OPEN_LIMIT = Limit(600, 4_000_000)
"""The limit of an open source. Ten people who fill in a form each second are many."""


@dataclass(frozen=True, slots=True)
class Source:
    """A sender, and how its requests are received.

    max_body: bytes. limit: None: no limit. success_status: the HTTP status for a recorded event. methods: HTTP methods,
    upper case. tails: what a sender may append to its address. on_invalid: if no rule can use an event, "reject"
    answers 422 and "accept" answers success_status. bodies: how its bodies are read. probes: requests that are answered
    without an event. each: the entries of a batch. double_click_s: for so many seconds the same content is a duplicate,
    if dedup finds no key. once: whether a signed text is one event however often it comes; None: yes if a time is
    signed or repeats have a key. topic: the header, in lower case, that tells several events of one signed text apart.
    answer: the answer to a recorded event; None: our JSON. profile: the name of its profile. secrets: those that
    answers use, by name. variables: the environment variables of its secrets: `secret` for the first, `verify_token`,
    `confirmation`. secret_names: all variables that prove it. form: set if people's browsers send. thanks: where the
    browser goes afterwards; None: a page of ours. origins: the pages that may send, as browsers name them. spools:
    requests are kept on this machine's disk while the record is away. addresses: the networks that its sender sends
    from; none: any.
    """

    name: str
    verifier: Verifier = field(repr=False)
    dedup: Dedup | None = None
    max_body: int = MAX_BODY
    limit: Limit | None = None
    success_status: int = 200
    methods: tuple[str, ...] = ("POST",)
    tails: tuple[str, ...] = ()
    on_invalid: str = "reject"
    bodies: BodyReader = PLAIN_BODIES
    probes: tuple[Probe, ...] = ()
    each: FanOut | None = None
    double_click_s: float = 0.0
    once: bool | None = None
    topic: str | None = None
    answer: Answer | None = None
    profile: str | None = None
    secrets: Secrets = field(default_factory=dict, repr=False)
    variables: Mapping[str, str] = field(default_factory=dict)
    secret_names: tuple[str, ...] = ()
    form: Form | None = None
    thanks: str | None = None
    origins: tuple[str, ...] = ()
    spools: bool = False
    addresses: tuple[Network, ...] = ()
    is_open: bool = field(init=False)
    """Whether anybody may send, so that no request is proven."""
    reads_before_proof: bool = field(init=False)
    """Whether bodies of unproven senders are read, and not only hashed."""
    _proofs: frozenset[str] = field(init=False, repr=False)
    """The headers and query parameters that contain a proof."""

    def __post_init__(self) -> None:
        ways = self.verifier.ways
        asks = any(one.is_open and one.reads_body for one in self.probes)
        places = {name for way in ways for name in (way.place.header, way.place.query) if name}
        object.__setattr__(self, "is_open", not ways)
        object.__setattr__(self, "reads_before_proof", not ways or self.verifier.reads_body or asks)
        object.__setattr__(self, "_proofs", frozenset(places))

    @property
    def keeps_secret(self) -> bool:
        """Whether the sender gives its secret at run time."""
        return any(probe.keeps for probe in self.probes)

    @property
    def has_secrets(self) -> bool:
        """Whether its secrets are configured."""
        return bool(self.secrets.get(SIGNING))

    def takes(self, tail: str) -> bool:
        """Whether a sender may append this to the address; nothing is always taken."""
        return not tail or tail in self.tails

    def read_lazily(self, webhook: Webhook) -> Reading:
        """The webhook as a Reading, which reads each part once, on demand."""

        def read(reader: Callable[[str, str, str, bytes], Any]) -> Any:
            encoding = webhook.header(ENCODING) or ""
            most = most_before_proof(len(webhook.body), self.max_body)
            body = unpack(encoding, webhook.body, most)
            return reader(webhook.method, webhook.content_type, webhook.query_string, body)

        return Reading(webhook, partial(read, self.bodies.read), partial(read, self.bodies.read_as_sent), self._split)

    def _split(self, webhook: Webhook, content: Any) -> Iterator[tuple[bytes, Any]] | None:
        """The entries of a batch that is not proven yet: the same that become events."""
        entries = self._walk(content, self.kept_headers(webhook) if self.each and self.each.unless else {})
        return None if entries is None else ((entry_json(entry.body), entry.body) for entry in entries)

    def weight_of(self, webhook: Webhook) -> int:
        """The bytes of work that its body may cost before its sender is proven."""
        size = len(webhook.body)
        return most_before_proof(size, self.max_body) if is_packed(webhook.header(ENCODING) or "") else size

    def verify(self, webhook: Webhook, now: datetime, reading: Reading | None = None) -> Verified:
        """Prove the webhook and unpack it. reading: an earlier Reading of it, if there is one.

        The proof may cover the bytes as sent or the unpacked ones, because a proxy may have compressed them.
        Raises NotVerifiedError; its `reason` is for our record only.
        """
        reading = reading or self.read_lazily(webhook)
        try:
            coverage = self.verifier.check(reading, now)
        except NotVerifiedError as error:
            if error.reason not in OF_BYTES:
                raise
            opened = self._opened(webhook, most_before_proof(len(webhook.body), self.max_body))
            if opened is webhook:
                raise
            reading = self.read_lazily(opened)
            coverage = self.verifier.check(reading, now)
        else:
            opened = self._opened(webhook, self.max_body)
            reading = reading if opened is webhook else self.read_lazily(opened)
        self._check_address(webhook)
        if coverage and any(one.signs_codes for one in self.probes) and CODE.fullmatch(opened.body.decode("latin-1")):
            raise NotVerifiedError("body_unreadable")  # a probe would have signed it for whoever asked
        if coverage and coverage.body is not None:
            opened = _with_body(opened, coverage.body)
            reading = self.read_lazily(opened)
        headers, query = self.kept_headers(opened), self.kept_query(opened)
        body = without_tokens(self.verifier, opened.body, opened.content_type)
        return Verified(self.name, reading, headers, query, body, coverage, _SEAL)

    def _check_address(self, webhook: Webhook) -> None:
        if self.addresses and not is_listed(webhook.remote_address, self.addresses):
            raise NotVerifiedError("address_unlisted")

    def _opened(self, webhook: Webhook, most: int) -> Webhook:
        """The unpacked webhook; unchanged if it is not packed or would have more than `most` bytes."""
        encoding = webhook.header(ENCODING) or ""
        if not webhook.body or not is_packed(encoding):
            return webhook
        try:
            body = unpack(encoding, webhook.body, most)
        except (UnreadableError, UnsupportedTypeError):
            return webhook
        headers = {name: value for name, value in webhook.headers.items() if name not in OF_PACKED}
        return replace(webhook, headers=headers, body=body)

    def is_foreign(self, origin: str | None) -> bool:
        """Whether the browser names a page that may not send. origin: the header, if there is one."""
        return self.form is not None and is_foreign(origin, self.origins)

    def find_spam(self, body: Any, now: datetime) -> str | None:
        """The reason why a machine must have filled in the form; None if a person may have."""
        return self.form.find_spam(body, now) if self.form else None

    @property
    def sent_headers(self) -> tuple[str, ...]:
        """The headers, in lower case, that a sender may have to set, for its proof or to mark repeats."""
        found = (*(way.place.header for way in self.verifier.ways), self.dedup.header if self.dedup else None)
        return tuple(dict.fromkeys(name for name in found if name))

    def near_miss(self, webhook: Webhook, reason: str, now: datetime, reading: Reading | None = None) -> Fault | None:
        """The near miss of a webhook that was refused for this reason; for our record only."""
        if reason == "origin":
            return origin_near_miss(webhook.header("origin") or "", self.origins)
        if reason == "address_unlisted":
            return address_near_miss(webhook, self.addresses)
        if self.form and reason in SPAM:
            return self.form.near_miss(reason)
        return find_near_miss(self.verifier, reading or self.read_lazily(webhook), reason, now)

    def with_secret(self, secret: str) -> Source:
        """The source with a secret that its sender gave at run time. Raises NotVerifiedError: secret_unusable."""
        try:
            verifier = self.verifier.with_secret(secret.encode("utf-8"))
        except ValueError:
            raise NotVerifiedError("secret_unusable") from None
        return replace(self, verifier=verifier)

    def probe(self, reading: Reading, *, is_proven: bool) -> Probe | None:
        """The first probe that matches: an open one before the proof, another one after it.

        Raises NotVerifiedError if an open one comes from another address than the sender's.
        """
        found = next((one for one in self.probes if one.is_open != is_proven and reading.holds(one.when)), None)
        if found:
            self._check_address(reading.webhook)
        return found

    def answer_probe(self, probe: Probe, reading: Reading, now: datetime) -> Rendered:
        """The answer to a probe. Raises NotVerifiedError if a required secret is missing or wrong."""
        probe.check(reading, self.secrets)
        return probe.answer.render(Given(reading.find, self.secrets, now, signs_codes_only=probe.is_for_anybody))

    def answer_event(self, answer: Answer, reading: Reading, event: Mapping[str, Any], now: datetime) -> Rendered:
        """The configured answer to a recorded event. event: the content of our JSON answer."""

        def find(expression: Expression) -> Any:
            return reading.find(expression, {"event": event})

        return answer.render(Given(find, self.secrets, now), self.success_status)

    def kept_headers(self, webhook: Webhook) -> dict[str, str]:
        """The headers without proofs, credentials, cookies, and secrets in addresses; names in lower case.

        An inbox keeps the names of removed headers, because a sender is recognised by them.
        """
        proofs, is_secret = self._proofs, self._is_secret
        kept = {
            name: clean_address(value, is_secret)
            for name, value in webhook.headers.items()
            if name not in proofs and not is_secret_name(name)
        }
        if self.profile != INBOX:
            return kept
        return {name: REMOVED for name in webhook.headers if name not in self._proofs} | kept

    def kept_query(self, webhook: Webhook) -> str:
        """The query, still encoded, without the token and parameters that are named like secrets."""
        query = webhook.query_string.encode("utf-8", "surrogatepass")
        without = without_tokens(self.verifier, query).decode("utf-8", "surrogatepass")
        return without_secrets(without, self._is_secret)

    def _is_secret(self, name: str) -> bool:
        return name in self._proofs or is_secret_name(name)

    def parse(self, verified: Verified) -> Any:
        """The body as plain values; for a GET, its query. Raises UnreadableError and UnsupportedTypeError."""
        webhook = verified.webhook
        encoding = webhook.header(ENCODING) or ""
        if webhook.body and webhook.body == verified.body and not is_packed(encoding):
            return verified.reading.body
        return self.read(webhook.method, webhook.content_type, verified.query, verified.body, encoding)

    def read_again(self, event: Event) -> Any:
        """Parse an event from the record. Raises UnreadableError and UnsupportedTypeError."""
        if event.body_removed_at:
            raise UnreadableError(fault("body_removed", day=f"{event.body_removed_at:%Y-%m-%d}"))
        # Bodies are kept unpacked and without that header if possible.
        encoding = event.headers.get(ENCODING, "")
        return self.read(event.method, event.content_type, event.query, event.body, encoding)

    def read(self, method: str, content_type: str, query: str, body: bytes, encoding: str = "") -> Any:
        """Read a body as plain values. encoding: its Content-Encoding. Raises UnreadableError and
        UnsupportedTypeError.
        """
        return self.bodies.read(method, content_type, query, unpack(encoding, body, self.max_body))

    def context(self, kept: Kept, body: Any, received_at: datetime, envelope: Any = None) -> dict[str, Any]:
        """The context for rules: see build_context. body: as it was read. Raises UnreadableError."""
        fallback = self.bodies.fallback_charset
        return build_context(self.name, kept, body, received_at, envelope, fallback_charset=fallback)

    def split(self, content: Any, headers: Mapping[str, str]) -> list[Found] | None:
        """The entries of a batch in order; None if the request is one event. headers: as kept.

        Raises TooLargeError.
        """
        entries = self._walk(content, headers)
        return None if entries is None else list(entries)

    def _walk(self, content: Any, headers: Mapping[str, str]) -> Iterator[Found] | None:
        most = MOST_ENTRIES if self.is_open else MOST_PROVEN_ENTRIES
        if self.each is None or (self.each.unless and self.each.unless.holds({"headers": headers})):
            return None
        return self.each.walk(content, most)

    def dedup_key(self, context: Mapping[str, Any], body: bytes) -> DedupKey | None:
        """The deduplication key of this webhook; None if it is never a duplicate.

        context: from build_context. body: the raw bytes, for `dedup: {body: true}`.
        """
        found = self.dedup.key(self.name, context, body) if self.dedup else None
        if found is None and self.double_click_s:
            return double_click_key(self.name, context, body, self.double_click_s)
        return found

    def signature_keys(self, coverage: Coverage | None, headers: Mapping[str, str], place: int) -> SignatureKeys:
        """The claims of a signature for an event, so that nobody can replay a captured request as another event.

        headers: as kept. place: index of the entry in its batch, which does not count if the entry has a signature of
        its own. With topics, the text is claimed for this topic and also by itself.
        """
        is_once = self.once if self.once is not None else bool(self.dedup or (coverage and coverage.lasts_s))
        if coverage is None or not is_once:
            return ()
        window_s = self.dedup.window_s if self.dedup else 0.0
        if coverage.entries:
            coverage, place = coverage.entries[place], 0
        whole = signature_key(self.name, coverage, str(place), window_s)
        if not self.topic:
            return (whole,)
        return signature_key(self.name, coverage, f"{place} {headers.get(self.topic, '')}", window_s), whole


def _with_body(webhook: Webhook, body: bytes) -> Webhook:
    """The webhook with the JSON that its signed token had inside."""
    headers = {name: value for name, value in webhook.headers.items() if name not in OF_PACKED}
    return replace(webhook, headers=headers | {"content-type": JSON}, body=body)
