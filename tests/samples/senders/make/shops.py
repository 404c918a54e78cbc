"""Shops and payments."""

from __future__ import annotations

import json
from collections.abc import Iterator

import coinbase_commerce.webhook
import stripe
from kit import EMPTY, FORM, STAMP, Request, Sender, compact, php
from libraries import check, javascript, of
from paddle_billing.Notifications.PaddleSignature import PaddleSignature
from paddle_billing.Notifications.Secret import Secret
from signatures import b64, base64_header, digest, hex_header, put
from square.utils.webhooks_helper import verify_signature


def woocommerce() -> Sender:
    """WooCommerce: PHP's JSON, and a ping that is not signed."""
    topics = {
        "X-WC-Webhook-Source": "https://shop.example/",
        "X-WC-Webhook-ID": "7",
        "X-WC-Webhook-Delivery-ID": "9f1c",
    }
    sender = Sender(
        "woocommerce",
        sees='headers."x-wc-webhook-topic"',
        sign=base64_header("X-WC-Webhook-Signature"),
        secret="secret-of-woocommerce",
        agent="WooCommerce/9.8.5 Hookshot (WordPress/6.8)",
    )
    sender.sample("order", ["order.created"], php, headers=topics)
    sender.again("order-again", "order")
    updated = sender.plain["order"].with_headers(X_WC_Webhook_Topic="order.updated")
    # The same bytes under another topic, and in the same second, with the same delivery id.
    sender.post("order-updated", updated.body, ["order.updated"], headers=dict(updated.headers))
    paid = updated.body.replace(b'"processing"', b'"completed"')
    sender.post("order-completed", paid, ["order.updated"], headers=dict(updated.headers))
    sender.probe("ping", sender.request(b"webhook_id=7", FORM), EMPTY)
    sender.forged("order")
    return sender


def shopify() -> Sender:
    """Shopify."""

    def sign(request: Request, secret: str) -> Request:
        signed = put(request, {"X-Shopify-Hmac-SHA256": b64(digest(secret, request.body))})
        check(javascript("shopify-check", signed, secret), "@shopify/shopify-api")
        return signed

    sender = Sender(
        "shopify",
        sees="body.id",
        sign=sign,
        secret="secret-of-shopify",
        signed_by=f"checked by {of('npm:@shopify/shopify-api')}",
        agent="Shopify-Captain-Hook",
    )
    sender.sample(
        "order", ["820982911946154508"], headers={"X-Shopify-Event-Id": "98880550-7158-44d4-b7cd-2c97c8a091b5"}
    )
    sender.again("order-again", "order")
    headers = dict(sender.plain["order"].headers) | {
        "X-Shopify-Topic": "orders/updated",
        "X-Shopify-Webhook-Id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd044",
    }
    sender.post("order-updated", sender.plain["order"].body, ["820982911946154508"], headers=headers)
    sender.forged("order")
    return sender


def stripe_events() -> Sender:
    """Stripe."""

    def sign(request: Request, secret: str) -> Request:
        text = request.body.decode()
        header = stripe.WebhookSignature.generate_signature_header(text, secret, STAMP)
        stripe.Webhook.construct_event(text, header, secret)
        return put(request, {"Stripe-Signature": f"{header},v0={'0' * 64}"})

    sender = Sender(
        "stripe",
        sees="body.type",
        sign=sign,
        secret="whsec_c2VjcmV0LW9mLXN0cmlwZQ",
        wrong="whsec_YW5vdGhlci1zZWNyZXQ",
        signed_by=of("stripe"),
        agent="Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    )

    def pretty(content: object) -> bytes:
        return json.dumps(content, indent=2, ensure_ascii=False).encode()

    sender.sample("checkout", ["checkout.session.completed"], pretty)
    sender.again("checkout-again", "checkout")
    other = {
        "id": "evt_2NG8Du2eZvKYlo2CUI79vXWz",
        "object": "event",
        "type": "customer.created",
        "data": {"object": {}},
    }
    sender.post("customer", pretty(other), ["customer.created"], "application/json; charset=utf-8")
    sender.forged("checkout")
    return sender


def paddle() -> Sender:
    """Paddle Billing."""

    def sign(request: Request, secret: str) -> Request:
        header = f"ts={STAMP};h1={digest(secret, f'{STAMP}:'.encode() + request.body).hex()}"
        check(PaddleSignature().verify(header, request.body.decode(), Secret(secret)), "paddle-python-sdk")
        check(javascript("paddle-check", request, secret, header), "@paddle/paddle-node-sdk")
        return put(request, {"Paddle-Signature": header})

    sender = Sender(
        "paddle",
        sees="body.event_type",
        sign=sign,
        secret="pdl_ntfset_secret_of_paddle",
        signed_by=f"checked by {of('paddle-python-sdk', 'npm:@paddle/paddle-node-sdk')}",
        agent="Paddle",
    )
    sender.sample("transaction", ["transaction.completed"])
    sender.again("transaction-again", "transaction")
    other = {
        "event_id": "evt_01hv8x29kz0t586xy6zn1a62ny",
        "event_type": "subscription.created",
        "data": {"id": "sub_1"},
    }
    sender.post("subscription", compact(other), ["subscription.created"])
    sender.forged("transaction")
    return sender


def lemonsqueezy() -> Sender:
    """Lemon Squeezy."""
    sender = Sender(
        "lemonsqueezy", sees="body.meta.event_name", sign=hex_header("X-Signature"), secret="secret-of-lemon"
    )
    sender.sample("order", ["order_created"], php)
    sender.again("order-again", "order")
    refunded = sender.plain["order"].body.replace(b"order_created", b"order_refunded").replace(b'"paid"', b'"refunded"')
    sender.post("refund", refunded, ["order_refunded"], headers={"X-Event-Name": "order_refunded"})
    sender.forged("order")
    return sender


def coinbase() -> Sender:
    """Coinbase Commerce."""

    def sign(request: Request, secret: str) -> Request:
        signed = digest(secret, request.body).hex()
        coinbase_commerce.webhook.WebhookSignature.verify_sig_header(request.body.decode(), signed, secret)
        return put(request, {"X-CC-Webhook-Signature": signed})

    sender = Sender(
        "coinbase",
        sees="body.event.type",
        sign=sign,
        secret="secret-of-coinbase",
        signed_by=f"checked by {of('coinbase-commerce')}",
        agent="weipay-webhooks",
    )
    sender.sample("confirmed", ["charge:confirmed"])
    sender.again(
        "confirmed-again",
        "confirmed",
        sender.plain["confirmed"].body.replace(b'"attempt_number":1', b'"attempt_number":2'),
    )
    other = {"attempt_number": 1, "event": {"id": "24934862-d980-46cb-9402-43c81b0cdba7", "type": "charge:created"}}
    sender.post("created", compact(other), ["charge:created"])
    sender.forged("confirmed")
    return sender


def square() -> Sender:
    """Square: the address is signed with the body."""

    def sign(request: Request, secret: str) -> Request:
        signed = b64(digest(secret, request.url.encode() + request.body))
        said = verify_signature(
            request_body=request.body.decode(),
            signature_header=signed,
            signature_key=secret,
            notification_url=request.url,
        )
        check(said, "squareup")
        return put(request, {"X-Square-HmacSha256-Signature": signed})

    sender = Sender(
        "square",
        sees="body.type",
        sign=sign,
        secret="key-of-square",
        signed_by=f"checked by {of('squareup')}",
        agent="Square Connect v2",
    )
    sender.sample("payment", ["payment.created"])
    sender.again("payment-again", "payment", square_retry_number="1")
    other = {
        "merchant_id": "6SSW7HV8K2ST5",
        "type": "refund.created",
        "event_id": "13b867cf-db3d-4b1c-90b6-2f32a9d78125",
    }
    # The address is signed as Square calls it: with a slash that is encoded, and a plus.
    sender.post("refund", compact(other), ["refund.created"], query="shop=a%2Fb+c~d")
    sender.forged("payment")
    return sender


def senders() -> Iterator[Sender]:
    """Each of them."""
    for make in (woocommerce, shopify, stripe_events, paddle, lemonsqueezy, coinbase, square):
        yield make()
