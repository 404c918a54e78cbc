"""Mail, and what is said about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kit import EMPTY, FORM, STAMP, Request, Sender, compact, query, urlencoded
from libraries import check, of
from sendgrid.helpers.eventwebhook import EventWebhook
from signatures import b64, digest, put


def ecdsa_key(name: str) -> ec.EllipticCurvePrivateKey:
    """A key of the corpus, the same whenever it is made."""
    number = int.from_bytes(hashlib.sha256(f"corpus {name}".encode()).digest(), "big") >> 1
    return ec.derive_private_key(number, ec.SECP256R1())


def public(key: ec.EllipticCurvePrivateKey) -> str:
    """Its public half, as SendGrid shows it."""
    der = serialization.Encoding.DER
    return b64(key.public_key().public_bytes(der, serialization.PublicFormat.SubjectPublicKeyInfo))


def sendgrid() -> Sender:
    """SendGrid: a batch, signed with a key of its own."""

    def signed_by(request: Request, key: ec.EllipticCurvePrivateKey) -> Request:
        signature = b64(
            key.sign(str(STAMP).encode() + request.body, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        )
        library = EventWebhook(public(key))
        check(library.verify_signature(request.body.decode(), signature, str(STAMP)), "sendgrid")
        names = ("X-Twilio-Email-Event-Webhook-Signature", "X-Twilio-Email-Event-Webhook-Timestamp")
        return put(request, dict(zip(names, (signature, str(STAMP)), strict=True)))

    sender = Sender(
        "sendgrid",
        sees="body.event",
        sign=lambda request, _: signed_by(request, ecdsa_key("sendgrid")),
        secret=public(ecdsa_key("sendgrid")),
        signed_by=f"cryptography; checked by {of('sendgrid')}",
        agent="SendGrid Event API",
    )

    def lines(content: list[object]) -> bytes:
        # SendGrid's own: one event a line, and a line end at the end, signed with the rest.
        return b"[" + b",\r\n".join(map(compact, content)) + b"]\r\n"

    sender.sample("batch", ["delivered", "bounce"], lines)
    sender.again("batch-again", "batch")
    other = [{"email": "ada@example.com", "event": "open", "sg_event_id": "b3Blbi0w", "timestamp": STAMP}]
    sender.post("open", lines(other), ["open"], "application/json")
    sender.forged("batch", sign=lambda request, _: signed_by(request, ecdsa_key("somebody else")))
    return sender


def mailgun() -> Sender:
    """Mailgun: the signature stands in the body, and is not over it."""

    def sign(request: Request, secret: str) -> Request:
        token = hashlib.sha256(request.body).hexdigest()[:50]
        signed = digest(secret, f"{STAMP}{token}".encode()).hex()
        proof = {"token": token, "timestamp": str(STAMP), "signature": signed}
        if request.headers["Content-Type"] == FORM:
            return request.with_body(request.body + b"&" + urlencoded(proof))
        return request.with_body(compact({"signature": proof, **json.loads(request.body)}))

    sender = Sender(
        "mailgun",
        sees='body."event-data".event || body.recipient',
        sign=sign,
        secret="signing-key-of-mailgun",
        covers="part",
        agent="mailgun/treq-22.2.0",
    )
    sender.sample("failed", ["failed"])
    sender.again("failed-again", "failed")
    opened = {"event-data": {"event": "opened", "id": "Ase7i2zsRYeDXztHGENqRA", "timestamp": STAMP}}
    sender.post("opened", compact(opened), ["opened"])
    mail = {
        "sender": "ada@example.com",
        "subject": "Callback",
        "Message-Id": "<1@example.com>",
        "stripped-text": "Call",
    }
    # One message, received at two addresses.
    for name in ("sales", "service"):
        received = urlencoded({"recipient": f"{name}@site.example", **mail})
        sender.post(f"received-by-{name}", received, [f"{name}@site.example"], FORM)
    sender.forged("failed")
    sender.forged("received-by-sales", "wrong-proof-of-a-mail")
    return sender


def mandrill() -> Sender:
    """Mandrill: address, names and values of the form, and JSON in it."""

    def sign(request: Request, secret: str) -> Request:
        pairs = parse_qsl(request.body.decode(), keep_blank_values=True)
        signed = request.url + "".join(name + value for name, value in sorted(pairs))
        return put(request, {"X-Mandrill-Signature": b64(digest(secret, signed.encode(), "sha1"))})

    sender = Sender("mandrill", sees="body.event", sign=sign, secret="key-of-mandrill", agent="Mandrill-Webhook/1.0")
    sender.sample("batch", ["hard_bounce", "click"])
    sender.again("batch-again", "batch")
    # Of one message: sent, opened, opened again.
    rows = [
        {"event": event, "ts": STAMP + late, "_id": "exampleaaaa"}
        for event, late in (("send", 0), ("open", 5), ("open", 9))
    ]
    body = urlencoded({"mandrill_events": json.dumps(rows)})
    sender.post("one-message", body, ["send", "open", "open"], FORM)
    sender.probe("head", sender.request(b"", "", "HEAD"), EMPTY)
    empty = sign(sender.request(b"mandrill_events=%5B%5D", FORM), "test-webhook")
    sender.probe("test", empty, EMPTY)
    sender.forged("batch")
    return sender


def mailchimp() -> Sender:
    """Mailchimp's audiences."""
    sender = Sender(
        "mailchimp",
        sees="body.[type, data.email]",
        sign=query("token"),
        secret="token-of-mailchimp",
        covers="nothing",
        agent="MailChimp",
    )
    sender.sample("subscribe", ["subscribe, ada@example.com"])
    sender.again("subscribe-again", "subscribe")
    other = {"type": "unsubscribe", "fired_at": "2026-06-01 12:00:00", "data[email]": "ada@example.com"}
    sender.post("unsubscribe", urlencoded(other), ["unsubscribe, ada@example.com"], FORM)
    sender.probe("get", sender.request(b"", "", "GET"), EMPTY, is_signed=True)
    sender.forged("subscribe", reason="token_mismatch")
    return sender


def senders() -> Iterator[Sender]:
    """Each of them."""
    for make in (sendgrid, mailgun, mandrill, mailchimp):
        yield make()
