"""Signs a webhook as its sender would: the inverse of a proof. Pure: the time is passed in.

Used by `sources test` and by tests. It refuses what only the sender can sign, with its private key.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from relay.core.errors import UnsignableError
from relay.sources.bodies import FORM, JSON, kind_of
from relay.sources.proof.signatures import DigestVerifier, encode
from relay.sources.proof.signed import OF_WHOLE_BODY
from relay.sources.proof.verifier import BASIC, BasicVerifier, Location, TokenVerifier, Way, counting
from relay.sources.source import Source
from relay.sources.webhook import Headers, Webhook

if TYPE_CHECKING:
    from relay.sources.proof.signed_tokens import JwtVerifier

_SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


def sign(source: Source, webhook: Webhook, now: datetime) -> Webhook:
    """The webhook as its sender would send it now, with the strongest proof that can be made here.

    Raises UnsignableError with the reason if none can be made.
    """
    if source.is_open:
        return webhook
    reading = source.read_lazily(webhook)
    ways = list(counting(source.verifier.ways, reading))
    usable = next((way for way in ways if getattr(way, "secrets", ())), None)
    if usable is None:
        raise UnsignableError(_reason(source, ways))
    return _proven(source, usable, webhook, now)


def _reason(source: Source, ways: list[Way]) -> str:
    if source.keeps_secret:
        return f"the sender of {source.name} has given no secret yet"
    if any(getattr(way, "keys", ()) for way in ways):
        return f"only the sender of {source.name} can sign: the relay has its public key"
    return f"no secret of {source.name} is at hand"


def _proven(source: Source, way: Way, webhook: Webhook, now: datetime) -> Webhook:
    if isinstance(way, BasicVerifier):
        pair = base64.b64encode(way.secrets[0]).decode("ascii")
        return _with_header(webhook, "Authorization", BASIC + pair)
    if isinstance(way, TokenVerifier):
        charset = "latin-1" if way.place.header else "utf-8"
        return _placed(webhook, way.place, way.prefix + way.secrets[0].decode(charset))
    if isinstance(way, DigestVerifier):
        return _signed_entries(source, way, webhook, now) if way.place.entries else _signed(source, way, webhook, now)
    from relay.sources.proof.signed_tokens import JwtVerifier  # noqa: PLC0415 - it takes long to load

    if isinstance(way, JwtVerifier):
        return _with_token(way, webhook, now)
    raise UnsignableError(f"no way to sign for {source.name}")


def _signed(source: Source, way: DigestVerifier, webhook: Webhook, now: datetime) -> Webhook:
    if way.place.field:
        if way.signed.kinds & OF_WHOLE_BODY:
            raise UnsignableError("a signature that stands in what it signs")
        # JSON is written anew with the signature in it, and numbers are signed as they are written.
        webhook = _placed(webhook, way.place, "")
    stamp = way.clock.write(now) if way.clock else ""
    if way.clock and way.clock.place:
        webhook = _placed(webhook, way.clock.place, stamp)
    if way.id_header:
        webhook = _with_header(webhook, way.id_header, webhook.header(way.id_header) or f"sample-{now.timestamp():.3f}")
    if way.body_digest:
        webhook = _placed(webhook, Location(query=way.body_digest), source.read_lazily(webhook).body_sha256)
    reading = source.read_lazily(webhook)
    digest = way.digests(reading, way.given(reading, stamp))[0]
    signature = way.prefix + encode(digest, way.encoding)
    if way.parts:
        time = f"{way.parts[1]}={stamp}{way.separator}" if way.parts[1] else ""
        signature = f"{time}{way.parts[0]}={signature}"
    return _placed(webhook, way.place, signature)


def _signed_entries(source: Source, way: DigestVerifier, webhook: Webhook, now: datetime) -> Webhook:
    """The webhook with a signature in each entry of its batch."""
    alone = replace(way, place=replace(way.place, entries=False))
    content = json.loads(webhook.body)
    entries = source.split(content, {}) or []
    for entry in entries:
        if not isinstance(entry.body, dict):
            raise UnsignableError("an entry that is no map")
        body = json.dumps(entry.body, ensure_ascii=False).encode("utf-8")
        signed = json.loads(_signed(source, alone, replace(webhook, body=body), now).body)
        entry.body.clear()
        entry.body.update(signed)
    return replace(webhook, body=json.dumps(content, ensure_ascii=False).encode("utf-8"))


def _with_token(way: JwtVerifier, webhook: Webhook, now: datetime) -> Webhook:
    content: dict[str, Any] = {"iat": int(now.timestamp())}
    if way.body_hash:
        content[way.body_hash] = hashlib.sha256(webhook.body).hexdigest()
    if way.url_hash:
        content[way.url_hash] = hashlib.sha256(webhook.public_url.encode("utf-8")).hexdigest()
    if way.claim:
        content[way.claim] = webhook.body.decode("utf-8")
    token = way.token(content)
    return replace(webhook, body=token.encode("ascii")) if way.place.whole_body else _placed(webhook, way.place, token)


def _placed(webhook: Webhook, place: Location, value: str) -> Webhook:
    """The webhook with a value at this location."""
    if place.header:
        return _with_header(webhook, place.header, value)
    if place.query:
        pair = f"{quote(place.query, safe='')}={quote(value, safe='')}"
        query = f"{webhook.query_string}&{pair}" if webhook.query_string else pair
        address = webhook.public_url.partition("?")[0]
        return replace(webhook, query_string=query, public_url=f"{address}?{query}")
    path = place.field.text if place.field else ""
    if not _SIMPLE.fullmatch(path):
        raise UnsignableError(f"the proof stands at {path!r}, which can only be read")
    return replace(webhook, body=_with_field(webhook, path.split("."), value))


def _with_header(webhook: Webhook, name: str, value: str) -> Webhook:
    others = [(known, text) for known, text in webhook.headers.items() if known.lower() != name.lower()]
    return replace(webhook, headers=Headers([*others, (name, value)]))


def _with_field(webhook: Webhook, names: list[str], value: str) -> bytes:
    """The body with a value in a field, replacing an old one."""
    kind = kind_of(webhook.content_type)
    if kind == JSON:
        return json.dumps(_set(json.loads(webhook.body or b"{}"), names, value), ensure_ascii=False).encode("utf-8")
    if kind != FORM:
        raise UnsignableError("the proof stands in a body that is neither JSON nor a urlencoded form")
    name = names[0] + "".join(f"[{inner}]" for inner in names[1:])
    own = f"{quote_plus(name)}=".encode()
    others = [pair for pair in webhook.body.split(b"&") if pair and not pair.startswith(own)]
    return b"&".join([*others, own + quote_plus(value).encode()])


def _set(content: Any, names: list[str], value: str) -> Any:
    around = content if isinstance(content, dict) else {}
    inner = _set(around.get(names[0]), names[1:], value) if len(names) > 1 else value
    return {**around, names[0]: inner}
