"""Russian payments and chats, Bitrix24, and whatever else comes."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import md5
from urllib.parse import parse_qsl

from kit import FORM, Request, Sender, compact, header, json_text, plain_text, query, urlencoded
from libraries import check, javascript, of
from robokassa.hash import Hash, HashAlgorithm
from robokassa.signature import SignatureChecker
from signatures import b64, digest, put


def cloudpayments() -> Sender:
    """CloudPayments."""

    def sign(request: Request, secret: str) -> Request:
        signed = b64(digest(secret, request.body))
        check(javascript("cloudpayments-check", request, secret, signed), "cloudpayments")
        return put(request, {"X-Content-HMAC": b64(digest(secret, b"decoded")), "Content-HMAC": signed})

    sender = Sender(
        "cloudpayments",
        sees="query.kind",
        sign=sign,
        secret="api-password-of-cloudpayments",
        signed_by=f"checked by {of('npm:cloudpayments')}",
        answer=json_text('{"code": 0}'),
        agent="CloudPayments",
    )
    sender.sample("pay", ["pay"], query="kind=pay")
    sender.again("pay-again", "pay")
    # A payment of two steps has one number when it is authorized and when it is confirmed, and the same fields but one.
    confirmed = sender.plain["pay"].body.replace(b"1234567890", b"1234567891")
    authorized = confirmed.replace(b"Status=Completed", b"Status=Authorized")
    sender.post("authorized", authorized, ["pay"], FORM, query="kind=pay")
    sender.post("confirm", confirmed, ["confirm"], FORM, query="kind=confirm")
    sender.forged("pay")
    return sender


def robokassa() -> Sender:
    """Robokassa: a digest over some of the fields."""

    def sign(request: Request, secret: str) -> Request:
        pairs = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
        shop = sorted((name, value) for name, value in pairs.items() if name.startswith("Shp_"))
        joined = ":".join([pairs["OutSum"], pairs["InvId"], secret, *(f"{name}={value}" for name, value in shop)])
        signature = md5(joined.encode(), usedforsecurity=False).hexdigest().upper()
        checker = SignatureChecker(hash_=Hash(HashAlgorithm.md5), password1="-", password2=secret)
        said = checker.result_url_signature_is_valid(
            result_signature=signature, out_sum=pairs["OutSum"], inv_id=pairs["InvId"], **dict(shop)
        )
        check(said, "robokassa")
        return request.with_body(request.body + f"&SignatureValue={signature}".encode())

    sender = Sender(
        "robokassa",
        sees="body.Shp_order",
        sign=sign,
        secret="password2ofRobokassa",
        wrong="password1ofRobokassa",
        covers="part",
        signed_by=f"checked by {of('robokassa')}",
        answer=plain_text("OK450009"),
        agent="Robokassa Merchant Notifier",
    )
    sender.sample("result", ["17"])
    sender.again("result-again", "result")
    # A shop that gives no numbers: two orders are two.
    for order, number in (("18", "0"), ("19", "0"), ("20", ""), ("21", "")):
        fields = {"OutSum": "100.000000", "InvId": number, "EMail": "ada@example.com", "Shp_order": order, "Shp_a": "ы"}
        expected = {"answer": plain_text(f"OK{number}")}
        sender.post(f"order-{order}", urlencoded(fields), [order], FORM, expected=expected)
    sender.forged("result")
    return sender


def yookassa() -> Sender:
    """YooKassa."""
    sender = Sender(
        "yookassa",
        sees="body.event",
        sign=query("token"),
        secret="token-of-yookassa",
        covers="nothing",
        agent="AHC/2.1",
    )
    waiting = {"id": "22d6d597-000f-5000-9000-145f6df21d6f", "status": "waiting_for_capture", "paid": True}
    body = compact({"type": "notification", "event": "payment.waiting_for_capture", "object": waiting})
    sender.post("waiting", body, ["payment.waiting_for_capture"])
    sender.sample("succeeded", ["payment.succeeded"])
    sender.again("succeeded-again", "succeeded")
    sender.forged("succeeded", reason="token_mismatch")
    return sender


def jivosite() -> Sender:
    """Jivo."""
    sender = Sender(
        "jivosite",
        sees="body.event_name",
        sign=query("token"),
        secret="token-of-jivosite",
        covers="nothing",
        answer=json_text('{"result": "ok"}'),
    )
    sender.sample("offline-message", ["offline_message"])
    sender.again("offline-message-again", "offline-message")
    for name in ("chat_accepted", "chat_finished"):
        body = compact({"event_name": name, "chat_id": 7507, "widget_id": "3948", "visitor": {"name": "Ada"}})
        sender.post(name.replace("_", "-"), body, [name])
    sender.forged("offline-message", reason="token_mismatch")
    return sender


def bitrix24() -> Sender:
    """The outgoing webhook of a portal: its token stands in the body."""

    def sign(request: Request, secret: str) -> Request:
        return request.with_body(request.body + b"&" + urlencoded({"auth[application_token]": secret}))

    sender = Sender(
        "bitrix24",
        sees="body.[event, data.FIELDS.ID]",
        sign=sign,
        secret="51856fefc120afa4b628cc82d3935cce",
        covers="nothing",
        agent="Bitrix24 Webhook Engine",
    )
    sender.sample("lead", ["ONCRMLEADADD, 52"])
    # Twice within one second: two changes, for Bitrix24 never repeats itself.
    fields = {
        "event": "ONCRMDEALUPDATE",
        "data[FIELDS][ID]": "662",
        "ts": "1780315200",
        "auth[domain]": "example.bitrix24.com",
    }
    sender.post("deal", urlencoded(fields), ["ONCRMDEALUPDATE, 662"], FORM)
    sender.post("deal-again-changed", urlencoded(fields), ["ONCRMDEALUPDATE, 662"], FORM)
    sender.forged("lead", reason="token_mismatch")
    return sender


def bitrix24_activity() -> Sender:
    """The activity of a workflow."""
    sender = Sender(
        "bitrix24-activity",
        sees="query.name || body.document_id[2]",
        sign=query("token"),
        secret="token-of-bitrix24-activity",
        covers="nothing",
        agent="Bitrix24 Webhook Engine",
    )
    sender.sample("lead", ["LEAD_52"])
    # As the portal encodes the handler's address: & in a value is left as it is, and cuts it.
    values = "phone=%2B7%20%28999%29%20555-01-00&name=%D0%90%D0%B4%D0%B0%20&%20%D0%9B%D0%B5%D0%B2"
    sender.sample("lead-with-fields", ["Ада "], query=values)
    sender.forged("lead", reason="token_mismatch")
    return sender


def inbox() -> Sender:
    """Anything at all."""
    sender = Sender(
        "inbox",
        sees="body.hello || body[0] || query.hello",
        sign=query("token"),
        secret="token-of-inbox",
        covers="nothing",
    )
    sender.sample("json", ["relay"], sign=header("X-Relay-Token"))
    sender.post("form", urlencoded({"hello": "form"}), ["form"], FORM)
    sender.post("list", compact(["one", "two"]), ["one"])
    sender.post("put", compact({"hello": "put"}), ["put"], method="PUT")
    sender.post("get", b"", ["query"], "", method="GET", query="hello=query")
    sender.forged("form", reason="token_mismatch")
    return sender


def senders() -> Iterator[Sender]:
    """Each of them."""
    for make in (cloudpayments, robokassa, yookassa, jivosite, bitrix24, bitrix24_activity, inbox):
        yield make()
