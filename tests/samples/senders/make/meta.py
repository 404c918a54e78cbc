"""Facebook, Instagram, WhatsApp: one handshake, one signature."""

from __future__ import annotations

from collections.abc import Iterator

from kit import JSON, STAMP, Request, Sender, compact, plain_text
from libraries import check, of
from pywa.utils import webhook_updates_validator
from signatures import digest, put


def meta_sign(request: Request, secret: str) -> Request:
    """Facebook's and WhatsApp's."""
    signed = f"sha256={digest(secret, request.body).hex()}"
    check(webhook_updates_validator(secret, request.body, signed), "pywa")
    legacy = digest(secret, request.body, "sha1").hex()
    return put(request, {"X-Hub-Signature": f"sha1={legacy}", "X-Hub-Signature-256": signed})


def of_meta(profile: str, sees: str) -> Sender:
    """A sender with Meta's handshake."""
    sender = Sender(
        profile,
        sees=sees,
        sign=meta_sign,
        secret=f"app-secret-of-{profile}",
        more={"VERIFY": f"verify-token-of-{profile}"},
        options={"verify_token": f"SENDER_{profile.upper()}_VERIFY"},
        signed_by=f"checked by {of('pywa')}",
        agent="facebookexternalua",
    )
    asked = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    get = sender.request(b"", "", "GET", query=f"{asked}verify-token-of-{profile}")
    sender.probe("challenge", get, plain_text("1158201444"))
    wrong = sender.request(b"", "", "GET", query=f"{asked}wrong")
    sender.requests["wrong-challenge"] = (wrong, {"refused": "token_mismatch"})
    return sender


def meta() -> Sender:
    """Lead Ads, and a batch of two pages."""
    sender = of_meta("meta", "body.value.leadgen_id || body.message.text || body.value.item")
    sender.sample("lead", ["123123123123"])
    sender.again("lead-again", "lead")
    leads = [{"field": "leadgen", "value": {"leadgen_id": number, "page_id": "1"}} for number in ("45", "46")]
    chat = {
        "id": "2",
        "time": STAMP * 1000,
        "messaging": [{"sender": {"id": "9"}, "message": {"mid": "m_1", "text": "Hello"}}],
    }
    batch = {"object": "page", "entry": [{"id": "1", "time": STAMP, "changes": leads}, chat]}
    sender.post("batch", compact(batch), ["45", "46", "Hello"])
    comment = {"field": "feed", "value": {"item": "comment", "verb": "add"}}
    comments = {"object": "page", "entry": [{"id": "1", "time": STAMP, "changes": [comment, comment]}]}
    # Nothing tells two comments apart: both count.
    sender.post("comments", compact(comments), ["comment", "comment"])
    sender.forged("lead")
    return sender


def whatsapp() -> Sender:
    """The Cloud API."""
    sender = of_meta("whatsapp", "body.value.messages[0].text.body || body.value.statuses[0].status")
    sender.sample("message", ["Does it come in another color?"])
    sender.again("message-again", "message")
    for state in ("sent", "delivered"):
        value = {
            "messaging_product": "whatsapp",
            "statuses": [{"id": "wamid.HBgLMTY1", "status": state, "timestamp": str(STAMP)}],
        }
        change = {"field": "messages", "value": value}
        content = {"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": [change]}]}
        sender.post(f"status-{state}", compact(content), [state], JSON)
    sender.forged("message")
    return sender


def senders() -> Iterator[Sender]:
    """Each of them."""
    for make in (meta, whatsapp):
        yield make()
