"""Senders that came last, each a profile and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from box_sdk_gen.managers.webhooks import WebhooksManager
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from kit import AT, EMPTY, STAMP, Request, Sender, compact, plain_text
from libraries import check, javascript, of
from signatures import b64, base64_header, digest, put
from talk import ed25519_key
from telnyx.lib.webhook_verification import verify_webhook_signature

NANO = AT.strftime("%Y-%m-%dT%H:%M:%S.634234626Z")
PACIFIC = "2026-06-01T05:00:00-07:00"


def sanity() -> Sender:
    """Sanity, by its own library."""

    def sign(request: Request, secret: str) -> Request:
        return put(request, {"sanity-webhook-signature": javascript("sanity-sign", request, secret)})

    sender = Sender(
        "sanity", sees="body.name", sign=sign, secret="secret-of-sanity", signed_by=of("npm:@sanity/webhook")
    )
    sender.sample("created", ["Ada Lovelace"])
    sender.again("created-again", "created")
    headers = {"idempotency-key": "3f1d2c4b5a69788796a5b4c3d2e1f002", "sanity-operation": "update"}
    sender.post("updated", compact({"_id": "21ec8b4f", "_type": "lead", "name": "Zoë"}), ["Zoë"], headers=headers)
    sender.forged("created")
    return sender


def box() -> Sender:
    """Box: two signatures, and a time with an offset."""

    def sign(request: Request, secret: str) -> Request:
        stamp = {"box-delivery-timestamp": PACIFIC}
        proof = {"box-signature-primary": b64(digest(secret, request.body + PACIFIC.encode()))}
        old = {"box-signature-secondary": b64(digest("an older key", request.body + PACIFIC.encode()))}
        signed = put(request, stamp | proof | old)
        check(WebhooksManager.validate_message(request.body.decode(), dict(signed.headers), secret), "boxsdk")
        return signed

    sender = Sender(
        "box",
        sees="body.trigger",
        sign=sign,
        secret="key-of-box",
        signed_by=f"checked by {of('boxsdk')}",
        agent="Box/WH",
    )
    sender.sample("uploaded", ["FILE.UPLOADED"])
    sender.again("uploaded-again", "uploaded", box_delivery_id="f96bb54b-ee16-4fc5-aa65-8c2d9e5b5470")
    other = {"type": "webhook_event", "id": "eb0c4e06-751f-442c-86f8-fd5bb404dbed", "trigger": "FILE.DELETED"}
    sender.post("deleted", compact(other), ["FILE.DELETED"], headers=dict(sender.plain["uploaded"].headers))
    sender.forged("uploaded")
    return sender


def twitch() -> Sender:
    """Twitch: id and time are signed with the body."""

    def sign(request: Request, secret: str) -> Request:
        signed = request.headers["Twitch-Eventsub-Message-Id"].encode() + NANO.encode() + request.body
        proof = {"Twitch-Eventsub-Message-Signature": f"sha256={digest(secret, signed).hex()}"}
        return put(request, proof | {"Twitch-Eventsub-Message-Timestamp": NANO})

    sender = Sender("twitch", sees="body.event.user_name", sign=sign, secret="secret-of-twitch")
    sender.sample("follow", ["Ada"])
    sender.again("follow-again", "follow", Twitch_Eventsub_Message_Retry="1")
    headers = {"Twitch-Eventsub-Message-Type": "notification", "Twitch-Eventsub-Message-Id": "befa7b53-2"}
    sender.post("another", compact({"subscription": {}, "event": {"user_name": "Zoë"}}), ["Zoë"], headers=headers)
    asked = {"challenge": "pogchamp-kappa-360noscope-vohiyo", "subscription": {"status": "pending"}}
    verification = {"Twitch-Eventsub-Message-Type": "webhook_callback_verification", "Twitch-Eventsub-Message-Id": "1"}
    challenge = sender.request(compact(asked), headers=verification)
    sender.probe("challenge", challenge, plain_text("pogchamp-kappa-360noscope-vohiyo"), is_signed=True)
    sender.forged("follow")
    return sender


def pagerduty() -> Sender:
    """PagerDuty: two signatures while a secret changes."""

    def sign(request: Request, secret: str) -> Request:
        both = [digest(one, request.body).hex() for one in ("an older secret", secret)]
        return put(request, {"X-PagerDuty-Signature": ",".join(f"v1={one}" for one in both)})

    sender = Sender(
        "pagerduty",
        sees="body.event.event_type",
        sign=sign,
        secret="secret-of-pagerduty",
        agent="PagerDuty-Webhook/V3.0",
    )
    sender.sample("triggered", ["incident.triggered"])
    sender.again("triggered-again", "triggered")
    other = {
        "event": {"id": "01CWFAKWXJ0UEDKZL3KZYVK6VT", "event_type": "incident.resolved", "data": {"id": "PGR0VU2"}}
    }
    sender.post("resolved", compact(other), ["incident.resolved"])
    ping = compact({"event": {"id": "01CWFAKWXJ0UEDKZL3KZYVK6VU", "event_type": "pagey.ping", "data": {}}})
    sender.probe("ping", sender.request(ping), EMPTY, is_signed=True)
    sender.forged("triggered")
    return sender


def ghost() -> Sender:
    """Ghost: body, then time."""

    def sign(request: Request, secret: str) -> Request:
        signed = digest(secret, request.body + str(STAMP * 1000).encode()).hex()
        return put(request, {"X-Ghost-Signature": f"sha256={signed}, t={STAMP * 1000}"})

    sender = Sender("ghost", sees="body.member.current.status", sign=sign, secret="secret-of-ghost", agent="Ghost/6.0")
    sender.sample("member", ["free"])
    sender.again("member-again", "member")
    paid = sender.plain["member"].body.replace(b'"free"', b'"paid"')
    sender.post("member-pays", paid, ["paid"])
    sender.forged("member")
    return sender


def telnyx() -> Sender:
    """Telnyx: its own key."""

    def by_key(request: Request, key: Ed25519PrivateKey) -> Request:
        signature = b64(key.sign(f"{STAMP}|".encode() + request.body))
        proof = {"telnyx-signature-ed25519": signature, "telnyx-timestamp": str(STAMP)}
        verify_webhook_signature(request.body, proof, b64(key.public_key().public_bytes_raw()))
        return put(request, proof)

    sender = Sender(
        "telnyx",
        sees="body.data.event_type",
        sign=lambda request, _: by_key(request, ed25519_key("telnyx")),
        secret=b64(ed25519_key("telnyx").public_key().public_bytes_raw()),
        signed_by=f"cryptography; checked by {of('telnyx')}",
        agent="telnyx-webhooks",
    )
    sender.sample("message", ["message.received"])
    sender.again("message-again", "message", sender.plain["message"].body.replace(b'"attempt":1', b'"attempt":2'))
    other = {"data": {"event_type": "message.finalized", "id": "b301ed3f-1490-491f-995f-6e64e69674d5"}}
    sender.post("finalized", compact(other), ["message.finalized"])
    sender.forged("message", sign=lambda request, _: by_key(request, ed25519_key("somebody else")))
    return sender


def docusign() -> Sender:
    """Docusign Connect."""
    sender = Sender(
        "docusign", sees="body.event", sign=base64_header("X-DocuSign-Signature-1"), secret="key-of-docusign"
    )
    sender.sample("completed", ["envelope-completed"])
    sender.again(
        "completed-again", "completed", sender.plain["completed"].body.replace(b'"retryCount":0', b'"retryCount":1')
    )
    for number in ("1", "2"):
        data = {"envelopeId": "aa6d2a6c-8d6b-4b55-9d3a-1f2a2c4f9c31", "recipientId": number}
        signed = {"event": "recipient-completed", "generatedDateTime": "2026-06-01T12:00:00.0000000Z", "data": data}
        sender.post(f"recipient-{number}", compact(signed), ["recipient-completed"])
    sender.forged("completed")
    return sender


def senders() -> Iterator[Sender]:
    """Each of them."""
    for make in (sanity, box, twitch, pagerduty, ghost, telnyx, docusign):
        yield make()
