"""Payments of Russia, Kazakhstan, Belarus, Ukraine, Uzbekistan, Brazil, Poland, India and Turkey."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from hashlib import md5, sha1, sha384
from typing import Any
from urllib.parse import parse_qsl, urlencode

import razorpay
from kit import (
    FORM,
    STAMP,
    Request,
    Sender,
    Sign,
    compact,
    header,
    json_text,
    plain_text,
    query,
    spaced,
    urlencoded,
)
from libraries import check, javascript, of
from mercadopago.webhook import WebhookSignatureValidator
from signatures import b64, digest, hex_header, put

OK = plain_text("OK")
Fields = Mapping[str, str]


def fields_of(request: Request) -> dict[str, str]:
    """The values of a form; of a GET, those of its query."""
    text = request.body.decode() if request.body else request.target.partition("?")[2]
    return dict(parse_qsl(text, keep_blank_values=True))


def with_fields(request: Request, **more: str) -> Request:
    """The form, or the query of a GET, with more at its end."""
    if not request.body:
        return request.with_query(urlencode(more))
    return request.with_body(request.body + b"&" + urlencoded(more))


def with_member(request: Request, **more: Any) -> Request:
    """The JSON with more members, written as it was."""
    write = spaced if b'": ' in request.body else compact
    return request.with_body(write({**json.loads(request.body), **more}))


def hexadecimal(algorithm: Callable[..., Any], text: str) -> str:
    """A plain digest."""
    return str(algorithm(text.encode(), usedforsecurity=False).hexdigest())


def changed(sender: Sender, of_: str, before: bytes, after: bytes, name: str = "changed") -> None:
    """A request that was changed after it was signed."""
    signed = sender.requests[of_][0]
    body, target = signed.body.replace(before, after), signed.target.replace(before.decode(), after.decode())
    if (body, target) == (signed.body, signed.target):
        raise RuntimeError(f"{sender.profile}: nothing changed")
    sender.requests[name] = (Request(signed.method, target, signed.headers, body), {"refused": "signature_mismatch"})


def refuse(sender: Sender, name: str, request: Request, reason: str = "proof_missing") -> None:
    """What is signed with the same secret and is no notification."""
    sender.requests[name] = (sender.sign(request, sender.secret), {"refused": reason})


def also(sender: Sender, name: str, of_: str, request: Request) -> None:
    """The same event in another spelling."""
    sender.requests[name] = (sender.sign(request, sender.secret), {"repeats": f"{of_}.http"})


def tbank() -> Sender:
    """T-Bank: a digest over the sorted values of the top level, among them the password."""

    def sign(request: Request, secret: str) -> Request:
        members = {**json.loads(request.body), "Password": secret}
        plain = {name: value for name, value in members.items() if not isinstance(value, dict | list)}
        text = "".join(value if isinstance(value, str) else json.dumps(value) for _, value in sorted(plain.items()))
        return with_member(request, Token=hexadecimal(hashlib.sha256, text))

    sender = Sender(
        "tbank", sees="body.[OrderId, Status]", sign=sign, secret="password-of-tbank", covers="part", answer=OK
    )
    sender.sample("confirmed", ["21090, CONFIRMED"])
    sender.again("confirmed-again", "confirmed")
    content = json.loads(sender.plain["confirmed"].body)
    # Data is not signed, and the order and the spaces of the members say nothing.
    other = dict(reversed({**content, "Data": {"Email": "eve@example.com"}}.items()))
    sender.again("confirmed-with-other-data", "confirmed", spaced(other))
    sender.post("authorized", compact({**content, "Status": "AUTHORIZED"}), ["21090, AUTHORIZED"])
    sender.post(
        "refunded", compact({**content, "Status": "PARTIAL_REFUNDED", "Amount": 40000}), ["21090, PARTIAL_REFUNDED"]
    )
    card = {"TerminalKey": "1234567890DEMO", "CustomerKey": "Ада", "RequestKey": "13021e10-a3ed-4f14-bcd1-823b5ac37390",
            "Success": True, "Status": "COMPLETED", "ErrorCode": "0", "CardId": 155, "Pan": "430000******0777",
            "NotificationType": "LINKCARD"}  # fmt: skip
    sender.post("card", compact(card), ["COMPLETED"])
    changed(sender, "confirmed", b"140000", b"940000")
    sender.forged("confirmed")
    return sender


def sber() -> Sender:
    """The gateway of Sber and other banks: GET, all parameters sorted."""

    def sign(request: Request, secret: str) -> Request:
        pairs = sorted((name, value) for name, value in fields_of(request).items() if name != "sign_alias")
        text = "".join(f"{name};{value};" for name, value in pairs)
        return with_fields(request, checksum=digest(secret, text.encode()).hex().upper())

    sender = Sender("sber", sees="body.[orderNumber, operation]", sign=sign, secret="secret-of-sber", covers="part")
    order = {"orderNumber": "10747", "mdOrder": "3ff6962a-7dcc-4283-ab50-a6d7dd3386fe", "operation": "deposited",
             "status": "1", "amount": "100000", "sign_alias": "SHA-256 with HMAC"}  # fmt: skip
    get = {"content_type": "", "method": "GET"}
    sender.post("deposited", b"", ["10747, deposited"], query=urlencode(order), **get)
    sender.again("deposited-again", "deposited")
    # The same by POST, in another order, without the name of the key.
    form = sorted((name, value) for name, value in order.items() if name != "sign_alias")
    also(sender, "deposited-as-form", "deposited", sender.request(urlencoded(form), FORM))
    for operation in ("approved", "refunded"):
        written = urlencode({**order, "operation": operation, "shop": "Чай/1"})
        sender.post(operation, b"", [f"10747, {operation}"], query=written, **get)
    changed(sender, "deposited", b"100000", b"900000")
    # What a body says is not what the query has signed.
    signed = sender.requests["deposited"][0]
    hidden = Request("GET", signed.target, {"Content-Type": FORM}, urlencoded({**order, "amount": "1"}))
    sender.requests["body-beside-query"] = (hidden, {"refused": "proof_missing"})
    sender.forged("deposited")
    return sender


def paykeeper() -> Sender:
    """PayKeeper: some of the fields, and an answer with a digest."""

    def sign(request: Request, secret: str) -> Request:
        pairs = fields_of(request)
        text = "".join(pairs.get(name, "") for name in ("id", "sum", "clientid", "orderid"))
        return with_fields(request, key=hexadecimal(md5, text + secret))

    secret = "secret-word-of-paykeeper"

    def answer(number: str) -> dict[str, Any]:
        return plain_text(f"OK {hexadecimal(md5, number + secret)}")

    sender = Sender(
        "paykeeper", sees="body.[id, orderid]", sign=sign, secret=secret, covers="part", answer=answer("71025")
    )
    sender.sample("paid", ["71025, A-17"])
    sender.again("paid-again", "paid")
    body = sender.plain["paid"].body
    sender.again("paid-with-other-email", "paid", body.replace(b"ada%40", b"eve%40") + b"&batch_date=2026-06-01")
    other = urlencoded({"id": "71026", "sum": "10.00", "clientid": "", "orderid": "", "ps_id": "32"})
    sender.post("without-order", other, ["71026"], FORM, expected={"answer": answer("71026")})
    changed(sender, "paid", b"1500.00", b"9500.00")
    # The answer to a request is no proof of another one, whose values are cut elsewhere.
    for name, cut in {"answer-as-proof": {"id": "7", "sum": "1025"}, "without-sum": {"id": "71025"},
                      "two-sums": [("id", "71025"), ("sum", "."), ("sum", "1")]}.items():  # fmt: skip
        stolen = urlencoded(cut) + f"&key={hexadecimal(md5, '71025' + secret)}".encode()
        sender.requests[name] = (sender.request(stolen, FORM), {"refused": "proof_missing"})
    sender.forged("paid")
    return sender


def prodamus() -> Sender:
    """Prodamus: PHP's JSON of the whole form, sorted at every level."""

    def nested(pairs: Fields) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs.items():
            *path, last = name.replace("]", "").split("[")
            level = found
            for step in path:
                level = level.setdefault(step, {})
            level[last] = value
        return found

    def listed(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        inner = {name: listed(one) for name, one in value.items()}
        return list(inner.values()) if list(inner) == [str(place) for place in range(len(inner))] else inner

    def sign(request: Request, secret: str) -> Request:
        ordered = listed(nested(fields_of(request)))
        text = json.dumps(ordered, ensure_ascii=False, sort_keys=True, separators=(",", ":")).replace("/", "\\/")
        return put(request, {"Sign": digest(secret, text.encode()).hex()})

    sender = Sender(
        "prodamus", sees="body.[order_id, payment_status]", sign=sign, secret="secret-of-prodamus",
        answer=plain_text("success"),
    )  # fmt: skip
    sender.sample("paid", ["1, success"])
    sender.again("paid-again", "paid")
    pairs = dict(parse_qsl(sender.plain["paid"].body.decode()))
    sender.again("paid-in-another-order", "paid", urlencoded(sorted(pairs.items(), reverse=True)))
    sender.post("denied", urlencoded({**pairs, "payment_status": "order_denied"}), ["1, order_denied"], FORM)
    renewed = {**pairs, "subscription[id]": "7", "subscription[payment_num]": "2"}
    sender.post("renewed", urlencoded(renewed), ["1, success"], FORM)
    link = {"do": "pay", "order_id": "2", "products[0][name]": "Чай", "products[0][price]": "10", "sys": "shop"}
    refuse(sender, "link-of-the-shop", sender.request(urlencoded(link), FORM))
    sender.forged("paid")
    return sender


def yoomoney() -> Sender:
    """The wallet of YooMoney."""
    names = ("notification_type", "operation_id", "amount", "currency", "datetime", "sender", "codepro")

    def sign(request: Request, secret: str) -> Request:
        pairs = fields_of(request)
        text = "&".join([*(pairs[name] for name in names), secret, pairs["label"]])
        return with_fields(request, sha1_hash=hexadecimal(sha1, text))

    sender = Sender(
        "yoomoney", sees="body.[operation_id, label]", sign=sign, secret="secret-of-yoomoney", covers="part"
    )
    sender.sample("card", ["1234567890, order 17"])
    sender.again("card-again", "card")
    body = sender.plain["card"].body
    sender.again("card-with-other-email", "card", body + b"&email=eve%40example.com")
    wallet = body.replace(b"card-incoming", b"p2p-incoming").replace(b"1234567890", b"904035776918098009")
    wallet = (
        wallet.replace(b"sender=", b"sender=41001000040")
        + b"&"
        + urlencoded({"lastname": "Лавлейс", "firstname": "Ада", "phone": "+79995550100", "email": "ada@example.com"})
    )
    sender.post("wallet", wallet, ["904035776918098009, order 17"], FORM)
    changed(sender, "card", b"98.50", b"98.51")
    sender.forged("card")
    return sender


def unitpay() -> Sender:
    """Unitpay: GET, the values of a map in the query."""

    def sign(request: Request, secret: str) -> Request:
        pairs = fields_of(request)
        values = [value for name, value in sorted(pairs.items()) if name.startswith("params[")]
        text = "{up}".join([pairs["method"], *values, secret])
        return with_fields(request, **{"params[signature]": hexadecimal(hashlib.sha256, text)})

    sender = Sender(
        "unitpay", sees="body.[method, params.account]", sign=sign, secret="secret-of-unitpay", covers="part",
        answer=json_text('{"result": {"message": "Payment has been received"}}'),
    )  # fmt: skip
    pay = {"method": "pay", "params[account]": "17", "params[customerEmail]": "ada@example.com",
           "params[date]": "2026-06-01 12:00:00", "params[operator]": "card",
           "params[orderCurrency]": "RUB", "params[orderSum]": "100.00", "params[payerSum]": "100.00",
           "params[paymentType]": "card", "params[phone]": "79995550100", "params[projectId]": "1",
           "params[sum]": "100", "params[test]": "0", "params[unitpayId]": "2147483647"}  # fmt: skip
    get = {"content_type": "", "method": "GET"}
    sender.post("pay", b"", ["pay, 17"], query=urlencode(pay), **get)
    sender.again("pay-again", "pay")
    also(sender, "pay-in-another-order", "pay", sender.request(b"", query=urlencode(sorted(pay.items())[::-1]), **get))
    sender.post("error", b"", ["error, 17"], query=urlencode({**pay, "method": "error"}), **get)
    asked = sender.request(b"", query=urlencode({**pay, "method": "check"}), **get)
    sender.probe("check", asked, json_text('{"result": {"message": "Check is successful"}}'), is_signed=True)
    # A captured check, cut elsewhere; and the shop's own form: account, currency, description and sum.
    signed = sender.requests["check"][0]
    cut = signed.target.replace("method=check&params%5Baccount%5D=17", "method=check%7Bup%7D17")
    sender.requests["check-cut-elsewhere"] = (Request("GET", cut, {}, b""), {"refused": "proof_missing"})
    form = {"method": "pay", "params[a]": "RUB", "params[account]": "17", "params[orderSum]": "1.00"}
    refuse(sender, "form-of-the-shop", sender.request(b"", query=urlencode(form), **get))
    changed(sender, "pay", b"100.00", b"900.00")
    sender.forged("pay")
    return sender


def liqpay() -> Sender:
    """LiqPay: JSON as base64 in a field, signed between two secrets."""

    def sign(request: Request, secret: str) -> Request:
        text = secret + fields_of(request)["data"] + secret
        return with_fields(request, signature=b64(sha1(text.encode(), usedforsecurity=False).digest()))

    sender = Sender(
        "liqpay", sees="body.data.[order_id, status]", sign=sign, secret="private-key-of-liqpay", covers="part"
    )
    sender.sample("success", ["17, success"])
    sender.again("success-again", "success")
    content = json.loads(base64.b64decode(fields_of(sender.plain["success"])["data"]))
    reversed_ = {**content, "status": "reversed", "refund_amount": 100.5}
    sender.post("reversed", urlencoded({"data": b64(compact(reversed_))}), ["17, reversed"], FORM)
    sender.again("success-with-more", "success", sender.plain["success"].body + b"&extra=1")
    form = {"version": 3, "action": "pay", "amount": 1, "currency": "UAH", "order_id": "17", "description": "Чай"}
    refuse(sender, "form-of-the-shop", sender.request(urlencoded({"data": b64(compact(form))}), FORM))
    dearer = urlencoded({"data": b64(compact({**content, "amount": 900.5}))})
    changed(sender, "success", sender.plain["success"].body, dearer)
    sender.forged("success")
    return sender


def wayforpay() -> Sender:
    """WayForPay: HMAC-MD5, and an answer with the time and its signature."""
    names = ("merchantAccount", "orderReference", "amount", "currency", "authCode", "cardPan", "transactionStatus",
             "reasonCode")  # fmt: skip
    secret = "flk3409refn54t54t_FNJRET"

    def sign(request: Request, secret: str) -> Request:
        content = json.loads(request.body)
        text = ";".join(str(content[name]) for name in names)
        return with_member(request, merchantSignature=digest(secret, text.encode(), "md5").hex())

    def answer(order: str) -> dict[str, Any]:
        signature = digest(secret, f"{order};accept;{STAMP}".encode(), "md5").hex()
        body = {"orderReference": order, "status": "accept", "time": STAMP, "signature": signature}
        return json_text(json.dumps(body, ensure_ascii=False))

    sender = Sender(
        "wayforpay", sees="body.[orderReference, transactionStatus]", sign=sign, secret=secret, covers="part",
        answer=answer("DH783023"),
    )  # fmt: skip
    sender.sample("approved", ["DH783023, Approved"])
    sender.again("approved-again", "approved")
    content = json.loads(sender.plain["approved"].body)
    sender.again("approved-with-other-email", "approved", spaced({**content, "email": "eve@example.com"}))
    refunded = {**content, "transactionStatus": "Refunded", "amount": 100}
    sender.post("refunded", compact(refunded), ["DH783023, Refunded"])
    # Its PHP library reads such a form: the JSON is its only name.
    other = {**content, "orderReference": "Чай-2"}
    sender.post("as-form", compact(other), ["Чай-2, Approved"], FORM, expected={"answer": answer("Чай-2")})
    # The shop's own form: account;domain;order;date;amount;currency;product;count;price.
    form = {"merchantAccount": "test_merch_n1", "orderReference": "shop.example", "amount": "DH783024",
            "currency": "1780315200", "authCode": "1", "cardPan": "UAH", "transactionStatus": "Approved",
            "reasonCode": "1;1"}  # fmt: skip
    refuse(sender, "form-of-the-shop", sender.request(compact(form)))
    changed(sender, "approved", b"1547.36", b"1547.37")
    sender.forged("approved")
    return sender


def mercadopago() -> Sender:
    """Mercado Pago: the id of the payment, of the request, and the time."""

    def sign(request: Request, secret: str, stamp: str = str(STAMP)) -> Request:
        number, identity = json.loads(request.body)["data"]["id"], request.headers["X-Request-Id"]
        made = digest(secret, f"id:{number};request-id:{identity};ts:{stamp};".encode()).hex()
        signature = f"ts={stamp},v1={made}"
        WebhookSignatureValidator.validate(signature, identity, number, secret)
        return put(request, {"X-Signature": signature})

    sender = Sender(
        "mercadopago", sees="body.[action, data.id]", sign=sign, secret="secret-of-mercadopago", covers="part",
        signed_by=f"checked by {of('mercadopago')}", agent="restclient-node/4.15.3",
    )  # fmt: skip
    about = "data.id=123456789&type=payment"
    sender.sample("updated", ["payment.updated, 123456789"], query=about)
    content = json.loads(sender.plain["updated"].body)
    # A repeat has a request id of its own, and another moment.
    sender.again(
        "updated-again", "updated", sign=lambda request, secret: sign(request, secret, str(STAMP + 60)),
        X_Request_Id="0a1b2a1d-0b1c-4ec2-aaaa-9e8b1d2f3c4d",
    )  # fmt: skip
    # The notification's own number is not signed: a captured request makes no second event with another one.
    forged = sender.plain["updated"].with_body(spaced({**content, "id": 7, "action": "payment.created"}))
    also(sender, "updated-with-another-number", "updated", forged)
    sender.post(
        "created", compact({**content, "id": 112233445567, "action": "payment.created", "data": {"id": "123456790"}}),
        ["payment.created, 123456790"], query="data.id=123456790&type=payment",
        headers={"X-Request-Id": "c7b2a1d4-0b1c-4ec2-aaaa-9e8b1d2f3c4e"},
        sign=lambda request, secret: sign(request, secret, f"{STAMP}123"),
    )  # fmt: skip
    changed(sender, "updated", b"123456789", b"923456789")
    sender.forged("updated")
    return sender


def asaas() -> Sender:
    """Asaas: the token as it was typed in."""
    sender = Sender(
        "asaas", sees="body.[event, payment.externalReference]", sign=header("asaas-access-token"),
        secret="token-of-asaas-for-the-corpus", covers="nothing", agent="Java/1.8.0_282",
    )  # fmt: skip
    sender.sample("received", ["PAYMENT_RECEIVED, 17"])
    sender.again("received-again", "received")
    content = json.loads(sender.plain["received"].body)
    other = {**content, "id": "evt_15b708f961d739ea7eba7e4db318f621&368604921", "event": "PAYMENT_REFUNDED"}
    sender.post("refunded", compact(other), ["PAYMENT_REFUNDED, 17"])
    sender.forged("received", reason="token_mismatch")
    return sender


def pagbank() -> Sender:
    """PagBank: a digest over token and body."""

    def sign(request: Request, secret: str) -> Request:
        made = hashlib.sha256(secret.encode() + b"-" + request.body).hexdigest()
        return put(request, {"x-authenticity-token": made})

    sender = Sender("pagbank", sees="body.[reference_id, charges[0].status]", sign=sign, secret="token-of-pagbank")
    sender.sample("paid", ["17, PAID"])
    sender.again("paid-again", "paid")
    declined = sender.plain["paid"].body.replace(b'"PAID"', b'"DECLINED"')
    sender.post("declined", declined, ["17, DECLINED"])
    sender.forged("paid")
    return sender


def payu() -> Sender:
    """PayU: a digest over body and key, by either algorithm."""

    def signing(name: str, algorithm: Callable[..., Any]) -> Sign:
        def sign(request: Request, secret: str) -> Request:
            made = algorithm(request.body + secret.encode(), usedforsecurity=False).hexdigest()
            return put(
                request,
                {"OpenPayu-Signature": f"sender=checkout;signature={made};algorithm={name};content=DOCUMENT"},
            )

        return sign

    sender = Sender(
        "payu", sees="body.[order.extOrderId || extOrderId, order.status || refund.status]",
        sign=signing("MD5", md5), secret="second-key-of-payu", agent="Apache-HttpClient/4.5.14 (Java/17)",
    )  # fmt: skip
    sender.sample("completed", ["17, COMPLETED"])
    sender.again("completed-again", "completed")
    pending = sender.plain["completed"].body.replace(b"COMPLETED", b"PENDING")
    sender.post("pending", pending, ["17, PENDING"], sign=signing("SHA-256", hashlib.sha256))
    refund = {"orderId": "LDLW5N7MF4140324GUEST000P01", "extOrderId": "17", "refund": {"refundId": "5000009987",
              "amount": "2100", "currencyCode": "PLN", "status": "FINALIZED"}}  # fmt: skip
    sender.post("refund", compact(refund), ["17, FINALIZED"])
    sender.forged("completed")
    return sender


def przelewy24() -> Sender:
    """Przelewy24: JSON of some members, with the key among them."""
    names = (
        "merchantId",
        "posId",
        "sessionId",
        "amount",
        "originAmount",
        "currency",
        "orderId",
        "methodId",
        "statement",
    )

    def sign(request: Request, secret: str) -> Request:
        content = json.loads(request.body)
        text = compact({**{name: content[name] for name in names}, "crc": secret}).decode()
        return with_member(request, sign=hexadecimal(sha384, text))

    sender = Sender(
        "przelewy24", sees="body.[sessionId, orderId]", sign=sign, secret="crc-key-of-przelewy24", covers="part"
    )
    sender.sample("paid", ["order-17, 302441"])
    sender.again("paid-again", "paid")
    content = json.loads(sender.plain["paid"].body)
    sender.again("paid-with-more", "paid", spaced({"more": 1, **content}))
    sender.post("other", compact({**content, "orderId": 302442, "statement": "чай"}), ["order-17, 302442"])
    changed(sender, "paid", b'"amount":2100', b'"amount":9100')
    sender.forged("paid")
    return sender


def razorpay_events() -> Sender:
    """Razorpay."""

    def sign(request: Request, secret: str) -> Request:
        signature = digest(secret, request.body).hex()
        said = razorpay.Client(auth=("-", "-")).utility.verify_webhook_signature(
            request.body.decode(), signature, secret
        )
        check(said, "razorpay")
        return put(request, {"X-Razorpay-Signature": signature})

    sender = Sender(
        "razorpay", sees="body.event", sign=sign, secret="secret-of-razorpay",
        signed_by=f"checked by {of('razorpay')}", agent="Razorpay-Webhook/v1",
    )  # fmt: skip
    sender.sample("captured", ["payment.captured"])
    sender.again("captured-again", "captured")
    # The id of the event is not signed.
    sender.again("captured-with-another-id", "captured", x_razorpay_event_id="another")
    failed = sender.plain["captured"].body.replace(b"payment.captured", b"payment.failed")
    sender.post("failed", failed, ["payment.failed"], headers={"X-Razorpay-Event-Id": "LkFqzZ1bP2ZQ5e"})
    sender.forged("captured")
    return sender


def freedompay() -> Sender:
    """Freedom Pay: the last part of the address, and the sorted values; the answer is XML and signed."""
    secret = "secret-of-freedompay"

    def sign(request: Request, secret: str) -> Request:
        values = [value for _, value in sorted(fields_of(request).items())]
        return with_fields(request, pg_sig=hexadecimal(md5, ";".join(["result", *values, secret])))

    def answer(salt: str, written: str = "") -> dict[str, Any]:
        made = hexadecimal(md5, f"result;{salt};ok;{secret}")
        body = (
            f'<?xml version="1.0" encoding="utf-8"?><response><pg_salt>{written or salt}</pg_salt>'
            f"<pg_status>ok</pg_status><pg_sig>{made}</pg_sig></response>"
        )
        return {"status": 200, "type": "application/xml", "body": body}

    sender = Sender(
        "freedompay", sees="body.[pg_order_id, pg_result]", sign=sign, secret=secret, covers="part",
        answer=answer("8d1d5d7b0e"),
    )  # fmt: skip
    sender.sample("paid", ["17, 1"])
    request = sender.plain["paid"]
    at_result = Request(request.method, f"{request.target}/result", request.headers, request.body)
    sender.requests.clear()
    sender.plain.clear()
    sender._add("paid", at_result, {"events": ["17, 1"]})
    sender.again("paid-again", "paid")
    pairs = fields_of(at_result)
    sender.again("paid-in-another-order", "paid", urlencoded(sorted(pairs.items(), reverse=True)))
    failed = at_result.with_body(urlencoded({**pairs, "pg_result": "0", "pg_salt": "a<b>&c"}))
    sender._add("failed", failed, {"events": ["17, 0"], "answer": answer("a<b>&c", "a&lt;b&gt;&amp;c")})
    changed(sender, "paid", b"1500.00", b"9500.00")
    stolen = urlencoded({"pg_payment_id": "8d1d5d7b0e", "pg_result": "ok"})
    refuse(sender, "answer-as-proof", at_result.with_body(stolen))
    sender.forged("paid")
    return sender


def click() -> Sender:
    """Click: it asks, and then it says that the money came."""
    names = ("merchant_trans_id", "merchant_prepare_id", "amount", "action", "sign_time")

    def sign(request: Request, secret: str) -> Request:
        pairs = fields_of(request)
        text = pairs["click_trans_id"] + pairs["service_id"] + secret + "".join(pairs.get(name, "") for name in names)
        return with_fields(request, sign_string=hexadecimal(md5, text))

    def answer(kind: str, error: int = 0, note: str = "Success") -> dict[str, Any]:
        body = {
            "click_trans_id": 13044601,
            "merchant_trans_id": "17",
            kind: 13044601,
            "error": error,
            "error_note": note,
        }
        return json_text(json.dumps(body))

    sender = Sender(
        "click", sees="body.[merchant_trans_id, error]", sign=sign, secret="secret-of-click", covers="part",
        answer=answer("merchant_confirm_id"),
    )  # fmt: skip
    sender.sample("complete", ["17, 0"])
    sender.again("complete-again", "complete")
    pairs = fields_of(sender.plain["complete"])
    sender.again("complete-with-another-note", "complete", urlencoded({**pairs, "error_note": "-", "error": "-1"}),
                 sign=None)  # fmt: skip
    sender.requests["complete-with-another-note"][1]["answer"] = answer(
        "merchant_confirm_id", -9, "Transaction cancelled"
    )
    other = {**pairs, "click_trans_id": "13044602", "error": "-5017", "error_note": "Cancelled"}
    cancelled = json.loads(answer("merchant_confirm_id", -9, "Transaction cancelled")["body"])
    cancelled |= {"click_trans_id": 13044602, "merchant_confirm_id": 13044602}
    sender.post("cancelled", urlencoded(other), ["17, -5017"], FORM,
                expected={"answer": json_text(json.dumps(cancelled))})  # fmt: skip
    asked = {name: value for name, value in pairs.items() if name != "merchant_prepare_id"} | {
        "action": "0", "amount": "5010"}  # fmt: skip
    prepare = sender.request(urlencoded(asked), FORM)
    sender.probe("prepare", prepare, answer("merchant_prepare_id"), is_signed=True)
    # The digits of a Prepare, cut elsewhere: 5010 and 0 would be 50 and 1, if the time had 00 before it.
    signed = sender.requests["prepare"][0].body
    cut = signed.replace(b"amount=5010", b"amount=50").replace(b"action=0", b"action=1")
    cut = cut.replace(b"sign_time=2026", b"sign_time=002026")
    sender.requests["prepare-cut-elsewhere"] = (prepare.with_body(cut), {"refused": "proof_missing"})
    timeless = signed.replace(b"&sign_time=2026-06-01+17%3A00%3A00", b"")
    timeless = timeless.replace(b"action=0", b"action=02026-06-01+17%3A00%3A00")
    sender.requests["prepare-without-time"] = (prepare.with_body(timeless), {"refused": "proof_missing"})
    changed(sender, "complete", b"amount=1000", b"amount=9000")
    sender.forged("complete")
    return sender


def bepaid() -> Sender:
    """bePaid: the shop's id and its key."""

    def sign(request: Request, secret: str) -> Request:
        return put(request, {"Authorization": f"Basic {b64(secret.encode())}"})

    sender = Sender(
        "bepaid", sees="body.transaction.[tracking_id, status]", sign=sign, secret="363:key-of-the-shop-at-bepaid",
        wrong="363:another-key-of-a-shop", covers="nothing",
    )  # fmt: skip
    sender.sample("successful", ["17, successful"])
    sender.again("successful-again", "successful")
    failed = sender.plain["successful"].body.replace(b"successful", b"failed")
    sender.post("failed", failed, ["17, failed"])
    sender.forged("successful", reason="token_mismatch")
    return sender


def iyzico() -> Sender:
    """iyzico: the secret stands in the signed text too."""

    def sign(request: Request, secret: str) -> Request:
        content = json.loads(request.body)
        names = ("iyziPaymentId", "token") if "token" in content else ("paymentId",)
        values = [str(content[name]) for name in ("iyziEventType", *names, "paymentConversationId", "status")]
        return put(request, {"X-IYZ-SIGNATURE-V3": digest(secret, (secret + "".join(values)).encode()).hex()})

    sender = Sender(
        "iyzico", sees="body.[paymentConversationId, status]", sign=sign, secret="secret-of-iyzico", covers="part"
    )
    sender.sample("page", ["17, SUCCESS"])
    sender.again("page-again", "page")
    content = json.loads(sender.plain["page"].body)
    sender.again("page-with-another-reference", "page", spaced({**content, "iyziReferenceCode": "another"}))
    direct = {"paymentConversationId": "18", "merchantId": 123456, "paymentId": 22416036, "status": "FAILURE",
              "iyziReferenceCode": "4a7a6d3e", "iyziEventType": "API_AUTH", "iyziEventTime": 1780315200000}  # fmt: skip
    sender.post("direct", compact(direct), ["18, FAILURE"])
    changed(sender, "page", b'"SUCCESS"', b'"FAILURE"')
    sender.forged("page")
    return sender


def paytr() -> Sender:
    """PayTR: a second secret stands in the signed text."""
    salt = "salt-of-paytr"

    def sign(request: Request, secret: str) -> Request:
        pairs = fields_of(request)
        text = pairs["merchant_oid"] + salt + pairs["status"] + pairs["total_amount"]
        return with_fields(request, hash=b64(digest(secret, text.encode())))

    sender = Sender(
        "paytr", sees="body.[merchant_oid, status]", sign=sign, secret="key-of-paytr", more={"SALT": salt},
        options={"named": {"salt": "SENDER_PAYTR_SALT"}}, covers="part", answer=OK,
    )  # fmt: skip
    sender.sample("success", ["order17, success"])
    sender.again("success-again", "success")
    body = sender.plain["success"].body
    sender.again("success-in-another-currency", "success", body.replace(b"currency=TL", b"currency=USD"))
    failed = body.replace(b"success", b"failed").replace(b"total_amount=3456", b"total_amount=0")
    sender.post("failed", failed, ["order17, failed"], FORM)
    changed(sender, "success", b"total_amount=3456", b"total_amount=9456")
    sender.forged("success")
    return sender


def mollie() -> Sender:
    """Mollie, signed."""
    sender = Sender(
        "mollie", sees="body.[type, entityId]", sign=hex_header("X-Mollie-Signature", "sha256="),
        secret="secret-of-mollie", agent="Mollie HTTP Client/1.0",
    )  # fmt: skip
    sender.sample("paid", ["payment-link.paid, pl_qng5gbbv8NAZ5gpM5ZYgx"])
    sender.again("paid-again", "paid")
    other = (
        sender.plain["paid"].body.replace(b"event_Gv", b"event_Hv").replace(b"payment-link.paid", b"sales-invoice.paid")
    )
    sender.post("invoice", other, ["sales-invoice.paid, pl_qng5gbbv8NAZ5gpM5ZYgx"])
    sender.forged("paid")
    return sender


def mollie_classic() -> Sender:
    """Mollie, as every payment names its address."""
    sender = Sender(
        "mollie-classic", sees="body.id", sign=query("token"), secret="token-of-mollie-classic", covers="nothing",
        agent="Mollie HTTP Client/1.0",
    )  # fmt: skip
    sender.sample("payment", ["tr_d0b0E3EA3v"])
    # Mollie says so of every change: none is a repeat.
    sender.post("payment-changed", urlencoded({"id": "tr_d0b0E3EA3v"}), ["tr_d0b0E3EA3v"], FORM)
    sender.forged("payment", reason="token_mismatch")
    return sender


def adyen() -> Sender:
    """Adyen: each item of a list is signed."""
    names = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")
    key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"

    def signed(item: dict[str, Any], secret: str) -> dict[str, Any]:
        amount = [str(item["amount"]["value"]), item["amount"]["currency"]]
        text = ":".join([*(item.get(name, "") for name in names), *amount, item["eventCode"], item["success"]])
        made = b64(digest(bytes.fromhex(secret), text.encode()))
        item = {**item, "additionalData": {**item.get("additionalData", {}), "hmacSignature": made}}
        said = javascript("adyen-check", Request("POST", "/", {}, compact(item)), secret)
        check(said, "@adyen/api-library")
        return item

    def sign(request: Request, secret: str) -> Request:
        content = json.loads(request.body)
        items = [one["NotificationRequestItem"] for one in content["notificationItems"]]
        made = [{"NotificationRequestItem": signed(item, secret)} for item in items]
        return with_member(request, notificationItems=made)

    sender = Sender(
        "adyen", sees="body.NotificationRequestItem.[merchantReference, eventCode]", sign=sign, secret=key,
        wrong=key.replace("4", "5"), covers="part", answer=plain_text("[accepted]"),
        signed_by=f"checked by {of('npm:@adyen/api-library')}", agent="Adyen HttpClient 1.0",
    )  # fmt: skip
    sender.sample("authorised", ["17, AUTHORISATION"])
    sender.again("authorised-again", "authorised")
    content = json.loads(sender.plain["authorised"].body)
    item = content["notificationItems"][0]["NotificationRequestItem"]

    def several(*more: dict[str, Any]) -> bytes:
        return compact({**content, "notificationItems": [{"NotificationRequestItem": {**item, **one}} for one in more]})

    sender.again("authorised-with-another-date", "authorised", several({"eventDate": "2026-06-02T12:00:00+02:00"}))
    refund = {"eventCode": "REFUND", "pspReference": "8314073381342284", "originalReference": item["pspReference"]}
    shopper = {"additionalData": {"shopperEmail": "ada@example.com"}}
    capture = {
        **shopper,
        "eventCode": "CAPTURE",
        "pspReference": "8314073381342285",
        "originalReference": item["pspReference"],
    }
    sender.post("two", several(refund, capture), ["17, REFUND", "17, CAPTURE"])
    changed(sender, "two", b'"CAPTURE"', b'"AUTHORISATION"', "second-changed")
    sender.forged("authorised")
    return sender


def senders() -> Iterator[Sender]:
    """Each of them."""
    for make in (
        tbank, sber, paykeeper, prodamus, yoomoney, unitpay, liqpay, wayforpay, mercadopago, asaas, pagbank, payu,
        przelewy24, razorpay_events, freedompay, click, bepaid, iyzico, paytr, mollie, mollie_classic, adyen,
    ):  # fmt: skip
        yield make()
