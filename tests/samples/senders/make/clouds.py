"""Standards and clouds."""

from __future__ import annotations

from collections.abc import Iterator

from cloudevents.v1.http import CloudEvent, to_binary, to_structured
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from kit import AT, EMPTY, JSON, STAMP, Request, Sender, Sign, compact, header, json_text, plain_text, query
from libraries import check, javascript, of
from signatures import b64, hex_header, put
from standardwebhooks import Webhook as StandardWebhook
from svix.webhooks import Webhook as SvixWebhook
from talk import ed25519_key

WHSEC = "whsec_" + b64(b"a key of the corpus, 24+")
ANOTHER = "whsec_" + b64(b"another key of the corpus")


def standard(names: str, library: type[StandardWebhook | SvixWebhook]) -> Sign:
    """Signs with v1, beside another signature as it comes while a secret is changed."""

    def sign(request: Request, secret: str) -> Request:
        lower = {name.lower(): value for name, value in request.headers.items()}
        identity = lower.get(f"{names}-id", "msg_none")
        signature = library(secret).sign(identity, AT, request.body.decode())
        old = library(ANOTHER[:-4] + "AAAA").sign(identity, AT, "something else")
        proof = {f"{names}-timestamp": str(STAMP), f"{names}-signature": f"{old} {signature}"}
        return put(request, proof)

    return sign


def standard_webhooks() -> Sender:
    """v1 by the reference library; v1a with a key of the corpus."""

    def v1a(request: Request, _: str) -> Request:
        return by_key(request, ed25519_key("standard-webhooks"))

    def by_key(request: Request, key: Ed25519PrivateKey) -> Request:
        signed = f"{request.headers['webhook-id']}.{STAMP}.".encode() + request.body
        proof = {"webhook-timestamp": str(STAMP), "webhook-signature": f"v1a,{b64(key.sign(signed))}"}
        return put(request, proof)

    public = "whpk_" + b64(ed25519_key("standard-webhooks").public_key().public_bytes_raw())
    sender = Sender(
        "standard-webhooks",
        sees="body.type",
        sign=standard("webhook", StandardWebhook),
        secret=WHSEC,
        wrong=ANOTHER,
        more={"KEY": public},
        options={"secrets": ["SENDER_STANDARD_WEBHOOKS", "SENDER_STANDARD_WEBHOOKS_KEY"]},
        signed_by=f"{of('standardwebhooks')}; v1a by cryptography",
    )
    sender.sample("v1", ["contact.created"])
    sender.again("v1-again", "v1")
    body = compact({"type": "contact.deleted", "timestamp": "2026-06-01T12:00:00Z", "data": {"id": 1}})
    sender.post("v1a", body, ["contact.deleted"], headers={"webhook-id": "msg_v1a"}, sign=v1a)
    sender.forged("v1")
    sender.forged("v1a", "wrong-v1a", sign=lambda request, _: by_key(request, ed25519_key("somebody else")))
    return sender


def svix() -> Sender:
    """Svix."""
    sender = Sender(
        "svix",
        sees="body.type",
        sign=standard("svix", SvixWebhook),
        secret=WHSEC,
        wrong=ANOTHER,
        signed_by=of("svix"),
        agent="Svix-Webhooks/1.62.0",
    )
    sender.sample("paid", ["invoice.paid"])
    sender.again("paid-again", "paid")
    sender.post("void", compact({"type": "invoice.void"}), ["invoice.void"], headers={"svix-id": "msg_void"})
    sender.forged("paid")
    return sender


def clerk() -> Sender:
    """Clerk, which sends by Svix."""

    def sign(request: Request, secret: str) -> Request:
        signed = standard("svix", SvixWebhook)(request, secret)
        check(javascript("clerk-check", signed, secret), "@clerk/backend")
        return signed

    sender = Sender(
        "clerk",
        sees="body.type",
        sign=sign,
        secret=WHSEC,
        wrong=ANOTHER,
        signed_by=f"{of('svix')}; checked by {of('npm:@clerk/backend')}",
        agent="Svix-Webhooks/1.62.0",
    )
    sender.sample("created", ["user.created"])
    sender.again("created-again", "created")
    other = compact({"object": "event", "type": "user.deleted", "data": {"id": "user_29w83", "deleted": True}})
    sender.post("deleted", other, ["user.deleted"], headers={"svix-id": "msg_deleted"})
    sender.forged("created")
    return sender


def dropbox() -> Sender:
    """Dropbox."""
    sender = Sender(
        "dropbox",
        sees="body.list_folder.accounts",
        sign=hex_header("X-Dropbox-Signature"),
        secret="app-secret-of-dropbox",
        agent="DropboxWebhooks/1.0",
    )
    account = "dbid:AAH4f99T0taONIb-OurWxbNQ6ywGRopQngc"
    sender.sample("change", [account])
    # Nothing tells this one from the first: something has changed again.
    sender.sample("change-later", [account])
    sender.probe("challenge", sender.request(b"", "", "GET", query="challenge=tzz-_8xE%3C"), plain_text("tzz-_8xE<"))
    sender.forged("change")
    return sender


def microsoft_graph() -> Sender:
    """Microsoft Graph: asks with a token in the query, and sends batches."""
    sender = Sender(
        "microsoft-graph",
        sees="body.[changeType, resourceData.id]",
        sign=query("token"),
        secret="token-of-microsoft-graph",
        covers="nothing",
    )
    sender.sample("created", ["created, AAMkADMxZmEwMDAz"])
    sender.again("created-again", "created")
    # Changed twice: all that differs is the state that was left behind, and of chats not even that.
    row = {"subscriptionId": "7622", "changeType": "updated", "resource": "Users/d/Messages/A"}
    states = [row | {"resourceData": {"id": "A", "@odata.etag": f'W/"{state}"'}} for state in (1, 2)]
    chats = [row | {"resource": "chats/1", "resourceData": {"id": "1"}}] * 2
    body = compact({"value": [*states, *chats]})
    sender.post("updated", body, ["updated, A", "updated, A", "updated, 1", "updated, 1"])
    asked = "validationToken=Validation%3A+Testing+client+application+reachability+for+subscription+%3Cb%3E"
    text = "Validation: Testing client application reachability for subscription <b>"
    validation = sender.request(b"", "text/plain; charset=utf-8", query=asked)
    sender.probe("validation", validation, plain_text(text), is_signed=True)
    sender.forged("created", reason="token_mismatch")
    return sender


def event_grid() -> Sender:
    """Azure Event Grid."""
    sender = Sender(
        "event-grid", sees="body.eventType", sign=query("token"), secret="token-of-event-grid", covers="nothing"
    )
    sender.sample("created", ["Microsoft.Storage.BlobCreated"])
    sender.again("created-again", "created", aeg_delivery_count="1")
    rows = [
        {"id": str(number), "topic": "/t", "eventType": f"shop.{name}"} for number, name in enumerate(("paid", "sent"))
    ]
    sender.post("two", compact(rows), ["shop.paid", "shop.sent"], headers={"aeg-event-type": "Notification"})
    code = {
        "validationCode": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6",
        "validationUrl": "https://rp-eastus2.eventgrid.example",
    }
    asked = [
        {"id": "2d17", "topic": "/t", "data": code, "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent"}
    ]
    validation = sender.request(compact(asked), headers={"aeg-event-type": "SubscriptionValidation"})
    expected = json_text('{"validationResponse": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}')
    sender.probe("validation", validation, expected, is_signed=True)
    sender.forged("created", reason="token_mismatch")
    return sender


def cloudevents() -> Sender:
    """CloudEvents: structured, binary, a batch, and the question whether one may send."""
    sender = Sender(
        "cloudevents",
        sees='body.type || headers."ce-type"',
        sign=header("Authorization", "Bearer "),
        secret="token-of-cloudevents",
        covers="nothing",
        signed_by=f"written by {of('cloudevents')}",
    )
    attributes = {"type": "com.example.order.created", "source": "/shop/orders", "time": "2026-06-01T12:00:00Z"}
    event = CloudEvent(attributes | {"id": "45e4"}, {"order": 1234, "email": "ada@example.com"})
    headers, body = to_structured(event)
    sender.post("structured", body, ["com.example.order.created"], headers["content-type"])
    sender.again("structured-again", "structured")
    paid = CloudEvent(attributes | {"id": "45e5", "type": "com.example.order.paid"}, {"order": 1234})
    headers, body = to_binary(paid)
    sender.post("binary", body, ["com.example.order.paid"], JSON, headers=headers)
    sender.again("binary-again", "binary")
    rows = [{"specversion": "1.0", "id": name, "source": "/shop", "type": name} for name in ("one", "two")]
    sender.post("batch", compact(rows), ["one", "two"], "application/cloudevents-batch+json")
    sender.post("in-the-query", compact(rows[0] | {"id": "three"}), ["one"], sign=query("token"))
    asks = sender.request(b"", "", "OPTIONS", headers={"WebHook-Request-Origin": "eventemitter.example.com"})
    allowed = {"WebHook-Allowed-Origin": "eventemitter.example.com", "WebHook-Allowed-Rate": "600"}
    sender.probe("may-i", asks, EMPTY | {"headers": allowed})
    sender.forged("structured", reason="token_mismatch")
    return sender


def senders() -> Iterator[Sender]:
    """Each of them."""
    for make in (standard_webhooks, svix, clerk, dropbox, microsoft_graph, event_grid, cloudevents):
        yield make()
