"""Forms, adverts, bookings, schools, shops and deliveries of Bitrix24's own markets, most of which sign nothing."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import yaml
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPrivateNumbers, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from kit import (
    FORM,
    PROFILES,
    STAMP,
    Request,
    Sender,
    compact,
    header,
    json_text,
    php,
    plain_text,
    query,
    spaced,
    urlencoded,
)
from signatures import base64_header, digest, hex_header, put

RUSSIAN_NAME = "Зоя & Co"


def sample_of(profile: str) -> dict[str, Any]:
    """The sample of a profile, to change it."""
    found: dict[str, Any] = yaml.safe_load((PROFILES / f"{profile}.yaml").read_text("utf-8"))["sample"]
    return found


def in_address(sender: Sender, name: str, pairs: Mapping[str, str], events: list[str]) -> None:
    """A GET whose values all stand in the query."""
    written = "&".join(f"{key}={quote(value, safe='')}" for key, value in pairs.items())
    sender.post(name, b"", events, "", method="GET", query=written)


def tokened(profile: str, sees: str, **more: Any) -> Sender:
    """A sender that signs nothing, with a token in its address."""
    return Sender(profile, sees=sees, sign=query("token"), secret=f"token-of-{profile}", covers="nothing", **more)


def yandex_forms() -> Sender:
    """Yandex Forms: JSON-RPC, and a body of the operator's own."""
    sender = tokened("yandex-forms", "body.params.name || body.name")
    sender.sample("answer", ["Ада Лавлейс"])
    sender.again("answer-again", "answer")
    other = {"answer_id": "1780315201", "form": "Заявка", "name": RUSSIAN_NAME, "phone": ""}
    sender.post("own-body", compact(other), [RUSSIAN_NAME], sign=header("X-Relay-Token"))
    # The same number in another form is another answer.
    sender.post("another-form", compact(other | {"form": "Отзыв"}), [RUSSIAN_NAME], sign=header("X-Relay-Token"))
    sender.forged("answer", reason="token_mismatch")
    return sender


def marquiz() -> Sender:
    """Marquiz."""
    sender = tokened("marquiz", "body.contacts.name", agent="axios/1.7.9")
    sender.sample("quiz", ["Ада Лавлейс"])
    again = sample_of("marquiz")["body"]
    again["extra"]["ip"] = "203.0.113.8"
    sender.again("quiz-again", "quiz", spaced(again))
    other = sample_of("marquiz")["body"] | {"created": "2026-06-01T12:00:05.000Z", "contacts": {"name": RUSSIAN_NAME}}
    sender.post("another", compact(other), [RUSSIAN_NAME])
    sender.forged("quiz", reason="token_mismatch")
    return sender


def flexbe() -> Sender:
    """Flexbe: a request, and its payment."""
    sender = tokened("flexbe", "body.[event, data.client.name]")
    sender.sample("lead", ["lead, Ада Лавлейс"])
    fields = sample_of("flexbe")["body"]
    sender.again("lead-again", "lead", urlencoded(reversed(fields.items())))
    pay = {"data[pay][id]": "7", "data[pay][summ]": "990", "data[pay][status][code]": "2", "data[pay][test]": "1"}
    sender.post("pay", urlencoded(fields | pay | {"event": "pay"}), ["pay, Ада Лавлейс"], FORM)
    sender.forged("lead", reason="token_mismatch")
    return sender


def taplink() -> Sender:
    """Taplink."""
    sender = Sender(
        "taplink",
        sees="body.action",
        sign=hex_header("taplink-signature", algorithm="sha1"),
        secret="secret phrase of taplink",
    )
    sender.sample("lead", ["leads.created"], php)
    sender.again("lead-again", "lead")
    paid = {"order_id": "100", "order_number": "50", "budget": "250.00", "currency_code": "RUB", "purpose": "Обучение"}
    payment = {"action": "payments.created", "data": paid | {"tms_modify": "2026-06-01 12:00:00", "records": []}}
    sender.post("payment", php(payment), ["payments.created"])
    sender.post("payment-completed", php(payment | {"action": "payments.completed"}), ["payments.completed"])
    sender.forged("lead")
    return sender


def roistat() -> Sender:
    """Roistat: a GET with JSON in the query."""
    sender = tokened("roistat", "body.[name, data.page]", answer=json_text('{"status": "ok"}'), agent="Roistat")
    fields = {"id": "1234567", "visit": "100500", "title": "Заявка", "text": "Перезвоните", "name": "Ада"}
    fields |= {"phone": "79995550100", "email": "ada@example.com", "created_date": "2026-06-01T12:00:00+0000"}
    data = php({"page": "https://site.example/", "comment": "да"}).decode()
    in_address(sender, "lead", fields | {"data": data}, ["Ада, https://site.example/"])
    sender.again("lead-again", "lead")
    in_address(sender, "call", fields | {"id": "1234568", "name": RUSSIAN_NAME, "data": ""}, [RUSSIAN_NAME])
    sender.forged("lead", reason="token_mismatch")
    return sender


def google_ads_leads() -> Sender:
    """Google Ads: the key stands in the body."""

    def sign(request: Request, secret: str) -> Request:
        return request.with_body(
            request.body.replace(b'"api_version"', f'"google_key":"{secret}","api_version"'.encode())
        )

    sender = Sender(
        "google-ads-leads",
        sees="body.user_column_data[?column_id=='FULL_NAME'].string_value | [0]",
        sign=sign,
        secret="key-of-google-ads-leads",
        covers="nothing",
        answer=json_text("{}"),
        agent="Google-Ads-Leads",
    )
    sender.sample("test-lead", ["Ada Lovelace"])
    sender.again("test-lead-again", "test-lead")
    given = {"FULL_NAME": "Zoë Lovelace", "LAST_NAME": "Lovelace", "COMPANY_NAME": "Example"}
    columns = [{"column_id": name, "string_value": value} for name, value in given.items()]
    lead = {"lead_id": "TeSter-124", "user_column_data": columns, "api_version": "1.0", "form_id": 12345678}
    sender.post("lead", compact(lead), ["Zoë Lovelace"])
    sender.forged("test-lead", reason="token_mismatch")
    return sender


def getcourse() -> Sender:
    """GetCourse: everything in the query."""
    sender = tokened("getcourse", "body.[order_id || user_id, name]")
    order = {"order_id": "987654321", "number": "1024", "status": "payed", "amount": "4990", "name": "Ада"}
    order |= {"email": "ada@example.com", "phone": "+79995550100"}
    in_address(sender, "order", order, ["987654321, Ада"])
    sender.again("order-again", "order")
    in_address(sender, "order-cancelled", order | {"status": "cancelled"}, ["987654321, Ада"])
    in_address(sender, "user", {"user_id": "987654321", "name": RUSSIAN_NAME}, [f"987654321, {RUSSIAN_NAME}"])
    in_address(sender, "without-number", {"name": "Ада"}, ["Ада"])
    sender.forged("order", reason="token_mismatch")
    return sender


def yclients() -> Sender:
    """YCLIENTS: no number of an event."""
    sender = tokened("yclients", "body.[resource, status, data.attendance]")
    sender.sample("record", ["record, create, 0"])
    sender.again("record-again", "record")
    record = sample_of("yclients")["body"]
    changed = record["data"] | {"attendance": 1, "last_change_date": "2026-06-02T16:00:00+0300"}
    sender.post("record-came", compact(record | {"status": "update", "data": changed}), ["record, update, 1"])
    missed = changed | {"attendance": -1}
    sender.post("record-missed", compact(record | {"status": "update", "data": missed}), ["record, update, -1"])
    client = {"id": 77, "name": "Ада", "phone": "79995550100"}
    body = {"company_id": 4564, "resource": "client", "resource_id": 77, "status": "update", "data": client}
    sender.post("client", compact(body), ["client, update"])
    sender.forged("record", reason="token_mismatch")
    return sender


def cdek() -> Sender:
    """CDEK."""
    sender = tokened("cdek", "body.[type, attributes.code || attributes.type]")
    sender.sample("delivered", ["ORDER_STATUS, DELIVERED"])
    sender.again("delivered-again", "delivered")
    order = sample_of("cdek")["body"]
    earlier = order["attributes"] | {"code": "READY_FOR_SHIPMENT", "status_code": "3"}
    sender.post("ready", compact(order | {"attributes": earlier}), ["ORDER_STATUS, READY_FOR_SHIPMENT"])
    printed = {"type": "PRINT_FORM", "uuid": "aa753031-e9c5-4a7e-a8b1-0a1e7c4f1b11", "attributes": {"type": "barcode"}}
    sender.post("printed", compact(printed | {"date_time": order["date_time"]}), ["PRINT_FORM, barcode"])
    sender.forged("delivered", reason="token_mismatch")
    return sender


def sendpulse() -> Sender:
    """SendPulse: a list of events, or one."""
    sender = tokened("sendpulse", "body.[title, contact.name]")
    sender.sample("message", ["incoming_message, Ada Lovelace"])
    (message,) = sample_of("sendpulse")["body"]
    sender.again("message-again", "message", spaced([message]))
    two = [message | {"date": 1780315201000}, message | {"title": "new_subscriber"}]
    sender.post("two", compact(two), ["incoming_message, Ada Lovelace", "new_subscriber, Ada Lovelace"])
    sender.post("alone", compact(message | {"title": "bot_blocked"}), ["bot_blocked, Ada Lovelace"])
    sender.forged("message", reason="token_mismatch")
    return sender


def klaviyo() -> Sender:
    """Klaviyo: body, then an HTTP date."""

    def sign(request: Request, secret: str) -> Request:
        stamp = request.headers["Klaviyo-Timestamp"].encode()
        return put(request, {"Klaviyo-Signature": digest(secret, request.body + stamp).hex()})

    sender = Sender("klaviyo", sees="body.topic", sign=sign, secret="secret-key-of-klaviyo")
    sender.sample("opened", ["event:klaviyo.opened_email"])
    sender.again("opened-again", "opened", Klaviyo_Timestamp="Mon, 01 Jun 2026 12:05:00 GMT")
    events = [{"topic": "event:klaviyo.clicked_email", "external_id": one, "payload": {}} for one in ("4a", "4b")]
    later = {"Klaviyo-Timestamp": "Mon, 01 Jun 2026 12:00:01 GMT"}
    sender.post("two", compact({"data": events, "meta": {}}), ["event:klaviyo.clicked_email"] * 2, headers=later)
    sender.forged("opened")
    return sender


def cal_com() -> Sender:
    """Cal.com."""
    sender = Sender(
        "cal-com", sees="body.triggerEvent", sign=hex_header("X-Cal-Signature-256"), secret="secret-of-cal-com"
    )
    sender.sample("created", ["BOOKING_CREATED"])
    sender.again("created-again", "created")
    body = sample_of("cal-com")["body"]
    cancelled = {"triggerEvent": "BOOKING_CANCELLED", "createdAt": "2026-06-01T13:00:00.000Z"}
    sender.post("cancelled", compact(body | cancelled), ["BOOKING_CANCELLED"])
    ping = compact({"triggerEvent": "PING", "createdAt": "2026-06-01T12:00:00.000Z", "payload": {"type": "Test"}})
    sender.probe("ping", sender.request(ping), plain_text("ok"), is_signed=True)
    sender.forged("created")
    return sender


def acuity() -> Sender:
    """Acuity: thin, and the same text for two changes."""
    sender = Sender(
        "acuity", sees="body.[action, id]", sign=base64_header("X-Acuity-Signature"), secret="api-key-of-acuity"
    )
    sender.sample("scheduled", ["scheduled, 464961"])
    sender.again("scheduled-again", "scheduled")
    fields = sample_of("acuity")["body"]
    for action in ("rescheduled", "canceled"):
        sender.post(action, urlencoded(fields | {"action": action}), [f"{action}, 464961"], FORM)
    order = urlencoded({"action": "order.completed", "id": "464961"})
    sender.post("order", order, ["order.completed, 464961"], FORM)
    sender.forged("scheduled")
    return sender


def hotmart() -> Sender:
    """Hotmart: the Hottok in a header, and in older bodies."""

    def in_body(request: Request, secret: str) -> Request:
        return request.with_body(request.body.replace(b'{"', f'{{"hottok":"{secret}","'.encode(), 1))

    sender = Sender(
        "hotmart",
        sees="body.event",
        sign=header("X-HOTMART-HOTTOK"),
        secret="hottok-of-hotmart",
        covers="nothing",
    )
    sender.sample("approved", ["PURCHASE_APPROVED"])
    sender.again("approved-again", "approved")
    other = {"id": "5e1b2c3d", "creation_date": 1780315201000, "event": "PURCHASE_REFUNDED", "version": "1.0.0"}
    other["data"] = {"product": {"id": 213344, "name": "Curso"}, "purchase": {"status": "REFUNDED"}}
    sender.post("refunded", compact(other), ["PURCHASE_REFUNDED"], sign=in_body)
    sender.forged("approved", reason="token_mismatch")
    return sender


def rd_station() -> Sender:
    """RD Station: a list of leads, or one event of the API."""
    sender = tokened("rd-station", "body.name || body.contact.name")
    sender.sample("conversion", ["Ada Lovelace"], spaced)
    sender.again("conversion-again", "conversion")
    (lead,) = sample_of("rd-station")["body"]["leads"]
    again = lead | {"last_conversion": {"content": {}, "created_at": "2026-06-02T12:00:00.000Z"}}
    other = lead | {"uuid": "d2f3d2b3-7250-4d27-97f4-eef38be32f7f", "name": "Zoë"}
    sender.post("two", spaced({"leads": [again, other]}), ["Ada Lovelace", "Zoë"])
    event = {"event_type": "WEBHOOK.CONVERTED", "event_identifier": "contato", "contact": {"uuid": "c2", "name": "Ada"}}
    sender.post("of-the-api", compact(event | {"event_timestamp": "2026-06-01T12:00:00.000-03:00"}), ["Ada"])
    sender.forged("conversion", reason="token_mismatch")
    return sender


def kiwify() -> Sender:
    """Kiwify: the signature stands in the query."""

    def sign(request: Request, secret: str) -> Request:
        return request.with_query(f"signature={digest(secret, request.body, 'sha1').hex()}")

    sender = Sender("kiwify", sees="body.webhook_event_type", sign=sign, secret="token-of-kiwify")
    sender.sample("approved", ["order_approved"])
    sender.again("approved-again", "approved")
    body = sample_of("kiwify")["body"]
    refunded = {"order_status": "refunded", "webhook_event_type": "order_refunded"}
    sender.post("refunded", compact(body | refunded), ["order_refunded"], query="produto=curso")
    sender.forged("approved")
    return sender


def indiamart() -> Sender:
    """IndiaMART."""
    sender = tokened("indiamart", "body.RESPONSE.SENDER_NAME", answer=json_text('{"code": 200, "status": "SUCCESS"}'))
    sender.sample("enquiry", ["Ada Lovelace"])
    sender.again("enquiry-again", "enquiry")
    other = {"UNIQUE_QUERY_ID": "2012487828", "QUERY_TYPE": "P", "SENDER_NAME": "Zoë"}
    sender.post("call", compact({"CODE": 200, "STATUS": "SUCCESS", "RESPONSE": other}), ["Zoë"])
    sender.forged("enquiry", reason="token_mismatch")
    return sender


def justdial() -> Sender:
    """JustDial, in each way that makers have met."""
    sender = tokened("justdial", "body.name", answer=plain_text("RECEIVED"))
    sender.sample("form", ["Ada Lovelace"])
    sender.again("form-again", "form")
    lead = {"leadid": "JD0123456790", "prefix": "Mr", "name": "Zoë", "mobile": "919995550101", "category": "Pumps"}
    in_address(sender, "get", lead, ["Zoë"])
    sender.post("json", compact(lead | {"leadid": "JD0123456791"}), ["Zoë"])
    sender.forged("form", reason="token_mismatch")
    return sender


def retailcrm() -> Sender:
    """RetailCRM: the body of the profile's steps, and one of the operator's own."""
    sender = tokened("retailcrm", "body.status || body.order.status")
    sender.sample("order", ["new"], php)
    sender.again("order-again", "order")
    order = sample_of("retailcrm")["body"]
    sender.post("order-paid", php(order | {"status": "paid"}), ["paid"], sign=header("X-Relay-Token"))
    sender.post("own-body", compact({"order": {"id": 1024, "status": "complete"}}), ["complete"])
    sender.forged("order", reason="token_mismatch")
    return sender


def insales() -> Sender:
    """InSales, as JSON."""
    sender = tokened("insales", "body.order.client.name || body.[number, financial_status]")
    sender.sample("created", ["1024, pending"])
    sender.again("created-again", "created")
    paid = {"financial_status": "paid", "updated_at": "2026-06-01T15:05:00.000+03:00"}
    sender.post("paid", compact(sample_of("insales")["body"] | paid), ["1024, paid"])
    # What comes of a webhook whose format nobody has chosen.
    order = '<order>\n  <id type="integer">123456790</id>\n  <client><name>Зоя &amp; Co</name></client>\n</order>\n'
    sender.post("xml", f'<?xml version="1.0" encoding="UTF-8"?>\n{order}'.encode(), [RUSSIAN_NAME], "application/xml")
    sender.again("xml-again", "xml")
    sender.forged("created", reason="token_mismatch")
    return sender


def ozon() -> Sender:
    """Ozon: a ping, and kinds of events with nothing in common."""
    sender = tokened("ozon", "body.message_type", answer=json_text('{"result": true}'))
    sender.sample("posting", ["TYPE_NEW_POSTING"])
    sender.again("posting-again", "posting", spaced(sample_of("ozon")["body"]))
    state = {
        "message_type": "TYPE_STATE_CHANGED",
        "posting_number": "24219509-0020-1",
        "new_state": "posting_delivering",
    }
    for name, date in (("state", "2026-06-01T13:00:00.000Z"), ("another-state", "2026-06-01T14:00:00.000Z")):
        sender.post(name, compact(state | {"changed_state_date": date}), ["TYPE_STATE_CHANGED"])
    ping = sender.request(compact({"message_type": "TYPE_PING", "time": "2026-06-01T12:00:00.000Z"}))
    answer = json_text('{"version": "1.0", "name": "relay", "time": "2026-06-01T12:00:00Z"}')
    sender.probe("ping", ping, answer, is_signed=True)
    sender.forged("posting", reason="token_mismatch")
    return sender


def yandex_market() -> Sender:
    """Yandex Market: known by its addresses alone, under the address or a tail of it."""
    answer = json_text('{"version": "1.0.0", "name": "Bitrix24 relay", "time": "2026-06-01T12:00:00Z"}')
    sender = Sender(
        "yandex-market",
        sees="[tail, body.notificationType]",
        sign=lambda request, _: request,
        signed_by="nobody",
        covers="nothing",
        answer=answer,
        address="5.45.207.17",
    )
    sender.sample("created", ["ORDER_CREATED"])
    sender.again("created-again", "created", spaced(sample_of("yandex-market")["body"]))
    changed = {"notificationType": "ORDER_STATUS_UPDATED", "campaignId": 21600000, "orderId": 5000000001}
    changed |= {"status": "PROCESSING", "substatus": "STARTED"}
    body = compact(changed | {"updatedAt": "2026-06-01T12:10:00Z"})
    sender.post("at-the-tail", body, ["notification, ORDER_STATUS_UPDATED"], tail="notification")
    asked = compact({"notificationType": "PING", "time": "2026-06-01T12:00:00Z"})
    ping = sender.request(asked)
    sender.probe("ping", ping, answer)
    sender.probe("ping-at-the-tail", sender.request(asked, tail="notification"), answer)
    unlisted = {"refused": "address_unlisted", "address": "203.0.113.7"}
    sender.requests["from-elsewhere"] = (sender.plain["created"], {**unlisted})
    sender.requests["ping-from-elsewhere"] = (ping, {**unlisted})
    return sender


def wix() -> Sender:
    """Wix: the whole body is a token."""
    key = rsa_key("wix")

    def by_key(request: Request, private: RSAPrivateKey) -> Request:
        times = {"iat": STAMP, "exp": STAMP + 3600}
        parts = [{"alg": "RS256", "typ": "JWT"}, {"data": request.body.decode(), **times}]
        signed = b".".join(urlsafe_b64encode(compact(part)).rstrip(b"=") for part in parts)
        signature = private.sign(signed, PKCS1v15(), SHA256())
        return request.with_body(signed + b"." + urlsafe_b64encode(signature).rstrip(b"="))

    sender = Sender(
        "wix",
        sees="body.[eventType, data.createdEvent.entity.primaryInfo.email]",
        sign=lambda request, _: by_key(request, key),
        secret=pem_of(key),
        signed_by="cryptography",
    )
    sender.sample("contact", ["wix.contacts.v4.contact_created, ada@example.com"])
    sender.again("contact-again", "contact")
    body = sample_of("wix")["body"]
    other = body | {"eventType": "wix.ecom.v1.order_approved", "data": '{"id":"f3c2","slug":"approved"}'}
    sender.post("order", compact(other), ["wix.ecom.v1.order_approved"], "text/plain")
    sender.forged("contact", sign=lambda request, _: by_key(request, rsa_key("somebody else")))
    return sender


def magento() -> Sender:
    """The webhook of the profile's steps."""
    sender = Sender(
        "magento",
        sees="body.order.[increment_id, status]",
        sign=header("X-Relay-Token"),
        secret="token-of-magento",
        covers="nothing",
        answer=json_text('{"op": "success"}'),
    )
    sender.sample("order", ["000000042, pending"], php)
    sender.again("order-again", "order")
    order = sample_of("magento")["body"]["order"]
    sender.post("another", php({"order": order | {"increment_id": "000000043"}}), ["000000043, pending"])
    sender.forged("order", reason="token_mismatch")
    return sender


def rsa_key(name: str) -> RSAPrivateKey:
    """A key that is the same each time."""
    p, q = (_prime(f"{name} {which}") for which in "pq")
    public = RSAPublicNumbers(65537, p * q)
    d = pow(65537, -1, (p - 1) * (q - 1))
    return RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public).private_key()


def _prime(seed: str) -> int:
    """The first prime of 1024 bits at or after a number made of this text (Fermat's test, which is enough here)."""
    blocks = b"".join(sha256(f"{seed} {number}".encode()).digest() for number in range(4))
    candidate = int.from_bytes(blocks, "big") | 3 << 1022 | 1
    while any(pow(base, candidate - 1, candidate) != 1 for base in (2, 3, 5, 7)):
        candidate += 2
    return candidate


def pem_of(key: RSAPrivateKey) -> str:
    """The public half, as the sender shows it."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def prestashop() -> Sender:
    """The module of the profile's steps."""
    sender = Sender(
        "prestashop",
        sees="body.reference",
        sign=header("X-Relay-Token"),
        secret="token-of-prestashop",
        covers="nothing",
    )
    sender.sample("order", ["XKBKNABJK"], php)
    sender.again("order-again", "order")
    sender.post("another", php(sample_of("prestashop")["body"] | {"id": 1025, "reference": "ЯKBKNABJK"}), ["ЯKBKNABJK"])
    sender.forged("order", reason="token_mismatch")
    return sender


def bitrix24_form() -> Sender:
    """The script of the profile's steps, in a browser."""
    sender = Sender(
        "bitrix24-form",
        sees="body.CONTACT_NAME",
        sign=lambda request, _: request,
        signed_by="nobody",
        covers="nothing",
        options={"origins": ["https://site.example"]},
        answer={"status": 200},
        agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    )
    page = {"Origin": "https://site.example", "Referer": "https://site.example/", "Sec-Fetch-Mode": "no-cors"}
    sender.sample("contact", ["Ада"], headers=page)
    sender.again("contact-again", "contact")
    kind = sample_of("bitrix24-form")["type"]
    fields = {"form_id": "12", "CONTACT_NAME": RUSSIAN_NAME}
    several = urlencoded([*fields.items(), ("DEAL_TOPICS", "Цены"), ("DEAL_TOPICS", "Доставка")])
    sender.post("several-answers", several, [RUSSIAN_NAME], kind, headers=page)
    strange = sender.request(urlencoded(fields), kind, headers=page | {"Origin": "https://elsewhere.example"})
    sender.requests["page-of-somebody-else"] = (strange, {"refused": "origin", "answer": {"status": 403}})
    return sender


def bitrix_site_forms() -> Sender:
    """The site's own link to a CRM, and the handler of the profile's steps."""
    version = {"X-CRM-Version": "24.0.0"}

    def by_hash(request: Request, secret: str) -> Request:
        return request.with_body(request.body + b"&" + urlencoded({"AUTH": secret}))

    def by_password(request: Request, secret: str) -> Request:
        return request.with_body(request.body + b"&" + urlencoded({"LOGIN": "relay", "PASSWORD": secret}))

    sender = Sender(
        "bitrix-site-forms",
        sees="body.[FORM_SID, NAME]",
        sign=by_hash,
        secret="password-of-32-characters-a-site",
        covers="nothing",
        signed_by="the source of the site's module form",
        answer=json_text('{"error": "201", "ID": "1"}') | {"headers": {**version}},
        agent="BitrixSM CHTTP class",
    )
    sender.sample("lead", ["CALLBACK, Ада"])
    fields = sample_of("bitrix-site-forms")["body"]
    sender.again("lead-sent-by-hand", "lead")
    sender.post("another-result", urlencoded(fields | {"RESULT_ID": "1025"}), ["CALLBACK, Ада"], FORM)
    handled = {"NAME": RUSSIAN_NAME, "TOPICS": "Цены, Доставка", "FORM_ID": 3, "FORM_SID": "ORDER", "RESULT_ID": 1024}
    in_header = header("X-Relay-Token")
    sender.post("by-the-handler", php(handled), [f"ORDER, {RUSSIAN_NAME}"], sign=in_header)
    names = [(one["ID"], one["NAME"]) for one in _fields_of_crm()]
    listed = ", ".join(
        f'{{"ID": "{one}", "NAME": "{name}", "TYPE": "string", "REQUIRED": "false"}}' for one, name in names
    )
    asked = sender.request(b"method=lead.get_fields", FORM)
    for name, sign, kept in (("first-question", by_password, sender.secret), ("question", by_hash, "")):
        answer = json_text(f'{{"error": "200", "AUTH": "{kept}", "FIELDS": [{listed}]}}') | {"headers": {**version}}
        sender.probe(name, sign(asked, sender.secret), answer)
    sender.forged("lead", reason="token_mismatch")
    sender.forged("by-the-handler", "wrong-token", "token_mismatch", sign=in_header)
    return sender


def _fields_of_crm() -> list[dict[str, str]]:
    profile = yaml.safe_load((PROFILES / "bitrix-site-forms.yaml").read_text("utf-8"))
    fields: list[dict[str, str]] = profile["probes"][0]["answer"]["body"]["FIELDS"]
    return fields


def senders() -> Iterator[Sender]:
    """Each of them."""
    for make in (yandex_forms, marquiz, flexbe, taplink, roistat, google_ads_leads, getcourse, yclients, cdek):
        yield make()
    for make in (sendpulse, klaviyo, cal_com, acuity, hotmart, rd_station, kiwify, indiamart, justdial, retailcrm):
        yield make()
    for make in (insales, ozon, yandex_market, wix, magento, prestashop, bitrix24_form, bitrix_site_forms):
        yield make()
