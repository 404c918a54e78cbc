"""Chats, calls and bots."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from urllib.parse import quote_plus, unquote_plus

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from kit import EMPTY, FORM, STAMP, Request, Sender, compact, header, json_text, plain_text, urlencoded
from libraries import check, javascript, of
from linebot.v3.webhook import SignatureValidator
from signatures import b64, digest, put
from slack_sdk.signature import SignatureVerifier
from twilio.request_validator import RequestValidator


def slack() -> Sender:
    """Slack: events, commands, buttons."""

    def sign(request: Request, secret: str) -> Request:
        signed = SignatureVerifier(secret).generate_signature(timestamp=str(STAMP), body=request.body)
        check(javascript("slack-check", request, secret, signed), "@slack/bolt")
        return put(request, {"X-Slack-Request-Timestamp": str(STAMP), "X-Slack-Signature": signed})

    sender = Sender(
        "slack",
        sees="body.event.type || body.command || body.actions[0].action_id",
        sign=sign,
        secret="8f742231b10e8888abcd99yyyzzz85a5",
        signed_by=f"{of('slack_sdk')}; checked by {of('npm:@slack/bolt')}",
        answer=EMPTY,
        agent="Slackbot 1.0 (+https://api.slack.com/robots)",
    )
    sender.sample("mention", ["app_mention"])
    sender.again("mention-again", "mention", X_Slack_Retry_Num="1", X_Slack_Retry_Reason="http_timeout")
    command = {"token": "x", "team_id": "T123ABC456", "command": "/callback", "text": "+1 202 555 0100 Zoë & Bob"}
    more = {"response_url": "https://hooks.slack.com/commands/1234/5678", "trigger_id": "13345224609.738474920.8088"}
    sender.post("command", urlencoded(command | more), ["/callback"], FORM)
    sender.again("command-again", "command")
    press = {"type": "block_actions", "trigger_id": "12321423423.333649436676.d8c1", "actions": [{"action_id": "call"}]}
    sender.post("button", urlencoded({"payload": compact(press).decode()}), ["call"], FORM)
    asked = compact({"token": "x", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmd", "type": "url_verification"})
    answer = plain_text("3eZbrw1aBm2rZgRNFdxV2595E9CY3gmd")
    sender.probe("challenge", sender.request(asked), answer, is_signed=True)
    sender.forged("mention")
    return sender


def ed25519_key(name: str) -> Ed25519PrivateKey:
    """A key of the corpus, the same whenever it is made."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"corpus {name}".encode()).digest())


def discord() -> Sender:
    """Discord's interactions."""

    def sign(request: Request, _: str) -> Request:
        return signed_by(request, ed25519_key("discord"))

    def signed_by(request: Request, key: Ed25519PrivateKey) -> Request:
        signature = key.sign(str(STAMP).encode() + request.body).hex()
        public = key.public_key().public_bytes_raw().hex()
        check(javascript("discord-check", request, public, signature), "discord-interactions")
        return put(request, {"X-Signature-Ed25519": signature, "X-Signature-Timestamp": str(STAMP)})

    sender = Sender(
        "discord",
        sees="body.data.name || body.data.custom_id",
        sign=sign,
        secret=ed25519_key("discord").public_key().public_bytes_raw().hex(),
        signed_by=f"cryptography; checked by {of('npm:discord-interactions')}",
        answer=json_text('{"type": 4, "data": {"content": "Received.", "flags": 64}}'),
        agent="Discord-Interactions/1.0 (+https://discord.com)",
    )
    sender.sample("command", ["callback"])
    sender.again("command-again", "command")
    button = {"id": "846462639134605312", "type": 3, "version": 1, "data": {"component_type": 2, "custom_id": "call"}}
    sender.post("button", compact(button), ["call"])
    ping = compact({"id": "1", "type": 1, "version": 1, "application_id": "775799577604522054"})
    sender.probe("ping", sender.request(ping), json_text('{"type": 1}'), is_signed=True)
    sender.forged("command", sign=lambda request, _: signed_by(request, ed25519_key("somebody else")))
    # Before it saves an address, Discord sends a ping with a wrong signature, and wants it refused.
    sender.plain["ping"] = sender.request(ping)
    sender.forged("ping", "wrong-ping", sign=lambda request, _: signed_by(request, ed25519_key("somebody else")))
    return sender


def telegram() -> Sender:
    """A Telegram bot."""
    sender = Sender(
        "telegram",
        sees="body.message.text || body.callback_query.data",
        sign=header("X-Telegram-Bot-Api-Secret-Token"),
        secret="secret_token-of-telegram",
        covers="nothing",
        answer=EMPTY,
    )
    sender.sample("message", ["Call me back"])
    sender.again("message-again", "message")
    pressed = {
        "update_id": 10001,
        "callback_query": {"id": "4382bfdwdsb323b2d9", "from": {"id": 1111111}, "data": "call"},
    }
    sender.post("button", compact(pressed), ["call"])
    sender.forged("message", reason="token_mismatch")
    return sender


def vk() -> Sender:
    """VK's Callback API: the secret stands in the body."""

    def sign(request: Request, secret: str) -> Request:
        return request.with_body(request.body[:-1] + f',"secret":"{secret}"}}'.encode())

    sender = Sender(
        "vk",
        sees="body.object.message.text || body.type",
        sign=sign,
        secret="secretofvk",
        covers="nothing",
        more={"CONFIRMATION": "c0de0fvk"},
        options={"confirmation": "SENDER_VK_CONFIRMATION"},
        answer=plain_text("ok"),
    )
    sender.sample("message", ["Перезвоните мне"])
    sender.again("message-again", "message", X_Retry_Counter="1")
    lead = {
        "group_id": 128493345,
        "type": "lead_forms_new",
        "event_id": "8c9b7f5f0c2e1f2e54a1f4e0a4d6f9f0bd0d8a12",
        "object": {},
    }
    sender.post("lead", compact(lead), ["lead_forms_new"])
    asked = sender.request(compact({"type": "confirmation", "group_id": 128493345}))
    sender.probe("confirmation", asked, plain_text("c0de0fvk"))
    sender.forged("message", reason="token_mismatch")
    return sender


def line() -> Sender:
    """LINE: several events in one request, or none."""

    def sign(request: Request, secret: str) -> Request:
        signed = b64(digest(secret, request.body))
        check(SignatureValidator(secret).validate(request.body.decode(), signed), "line-bot-sdk")
        check(javascript("line-check", request, secret, signed), "@line/bot-sdk")
        return put(request, {"X-Line-Signature": signed})

    sender = Sender(
        "line",
        sees="body.message.text || body.type",
        sign=sign,
        secret="channel-secret-of-line",
        signed_by=f"checked by {of('line-bot-sdk', 'npm:@line/bot-sdk')}",
        agent="LineBotWebhook/2.0",
    )
    sender.sample("message", ["Call me back"])
    redelivered = sender.plain["message"].body.replace(b'"isRedelivery":false', b'"isRedelivery":true')
    sender.again("message-redelivered", "message", redelivered)
    events = [
        {"type": "follow", "webhookEventId": "01FZ74ASS536FW97EX38NKCZQK", "source": {"userId": "U4af4980629"}},
        {"type": "unfollow", "webhookEventId": "01FZ74B5Y0F4TNKA5SCAVKPEDM", "source": {"userId": "U4af4980630"}},
    ]
    sender.post("two", compact({"destination": "xxxxxxxxxx", "events": events}), ["follow", "unfollow"])
    sender.post("verify", compact({"destination": "xxxxxxxxxx", "events": []}), [])
    sender.forged("message")
    return sender


def zoom() -> Sender:
    """Zoom."""

    def sign(request: Request, secret: str) -> Request:
        signed = digest(secret, f"v0:{STAMP}:".encode() + request.body).hex()
        return put(request, {"X-Zm-Signature": f"v0={signed}", "X-Zm-Request-Timestamp": str(STAMP)})

    sender = Sender("zoom", sees="body.event", sign=sign, secret="secret-token-of-zoom", agent="Zoom Marketplace/1.0a")
    sender.sample("ended", ["meeting.ended"])
    sender.again("ended-again", "ended")
    # Of the same meeting: neither is the other's repeat.
    started = sender.plain["ended"].body.replace(b"meeting.ended", b"meeting.started")
    sender.post("started", started, ["meeting.started"], "application/json; charset=utf-8")
    for number in ("16778240", "16778241"):
        meeting = {"uuid": "4444AAAiAAAAAiAiAiiAii==", "participant": {"user_id": number}}
        joined = {"event": "meeting.participant_joined", "event_ts": STAMP * 1000, "payload": {"object": meeting}}
        sender.post(f"joined-{number}", compact(joined), ["meeting.participant_joined"])
    token = "qgg8vlvZRS6UYooatFL8Aw"
    asked = sender.request(
        compact({"event": "endpoint.url_validation", "payload": {"plainToken": token}, "event_ts": STAMP})
    )
    encrypted = digest(sender.secret, token.encode()).hex()
    answer = json_text(f'{{"plainToken": "{token}", "encryptedToken": "{encrypted}"}}')
    sender.probe("validation", asked, answer, is_signed=True)
    sender.forged("ended")
    return sender


def twilio() -> Sender:
    """Twilio, with a form and with JSON."""

    def sign(request: Request, secret: str) -> Request:
        fields = dict(pair.split("=", 1) for pair in request.body.decode().split("&"))
        plain = {unquote_plus(name): unquote_plus(value) for name, value in fields.items()}
        return put(request, {"X-Twilio-Signature": RequestValidator(secret).compute_signature(request.url, plain)})

    def sign_json(request: Request, secret: str) -> Request:
        validator = RequestValidator(secret)
        signature = validator.compute_signature(request.url, {})
        check(validator.validate(request.url, request.body.decode(), signature), "twilio")
        return put(request, {"X-Twilio-Signature": signature})

    sender = Sender(
        "twilio",
        sees="body.Body || body.MessageStatus || body.reason",
        sign=sign,
        secret="12345auth-token-of-twilio",
        signed_by=of("twilio"),
        answer={"status": 200, "type": "text/xml", "body": "<Response/>"},
        agent="TwilioProxy/1.1",
    )
    sender.sample("message", ["Call me back"])
    sender.again("message-again", "message", I_Twilio_Idempotency_Token="7f1c")
    status = {"MessageSid": "SM2ff11a5dcd2ea3da7b5b0e6d0b2d9f6a", "SmsSid": "SM2ff11a5dcd2ea3da7b5b0e6d0b2d9f6a"}
    for state in ("sent", "delivered"):
        sender.post(f"status-{state}", urlencoded(status | {"MessageStatus": state, "SmsStatus": state}), [state], FORM)
    body = compact({"event": "study", "reason": "called"})
    digest_of_body = hashlib.sha256(body).hexdigest()
    address = f"from={quote_plus('+1202')}&bodySHA256={digest_of_body}"
    sender.post("json", body, ["called"], query=address, sign=sign_json)
    sender.forged("message")
    forged = sign_json(sender.plain["json"], sender.secret).with_body(body.replace(b"called", b"forged"))
    sender.requests["json-with-another-body"] = (forged, {"refused": "digest_mismatch"})
    return sender


def senders() -> Iterator[Sender]:
    """Each of them."""
    for make in (slack, discord, telegram, vk, line, zoom, twilio):
        yield make()
