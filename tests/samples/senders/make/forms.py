"""Form builders and plain pages."""

from __future__ import annotations

from collections.abc import Iterator

from kit import FORM, STAMP, Request, Sender, compact, header, multipart, php, plain_text, query, spaced, urlencoded
from libraries import check, javascript, of
from signatures import base64_header, digest, parts_header, put

THANKS = "https://site.example/thanks"
BROWSER = {
    "Origin": "https://site.example",
    "Referer": "https://site.example/contact",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.5",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}
JSON_UTF8 = "application/json; charset=utf-8"


def html_form() -> Sender:
    """A browser, as it posts a form."""
    sender = Sender(
        "html-form",
        sees="body.name",
        sign=lambda request, _: request,
        signed_by="nobody",
        covers="nothing",
        options={"thanks": THANKS, "origins": ["https://site.example"]},
        answer={"status": 303, "location": THANKS},
        agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    )
    sender.sample("contact", ["Ada Lovelace"], headers=BROWSER)
    sender.again("contact-pressed-twice", "contact")
    fields = {"name": "Ада Лавлейс", "email": "ada@example.com", "comment": "Перезвоните", "_gotcha": ""}
    # A page of windows-1251 does not name its charset.
    sender.post("windows-1251", urlencoded(fields, "cp1251"), ["Ада Лавлейс"], FORM, headers=BROWSER)
    parts = multipart({**fields, "name": "Zoë"}, "----geckoformboundary8c4f1")
    sender.post(
        "multipart", parts, ["Zoë"], "multipart/form-data; boundary=----geckoformboundary8c4f1", headers=BROWSER
    )
    trap = sender.request(urlencoded({**fields, "_gotcha": "https://spam.example"}), FORM, headers=BROWSER)
    sender.requests["robot"] = (trap, {"refused": "honeypot", "answer": {"status": 303, "location": THANKS}})
    hurried = urlencoded(fields | {"_started": str(STAMP * 1000 - 500)})
    fast = sender.request(hurried, FORM, headers=BROWSER)
    sender.requests["robot-in-a-hurry"] = (fast, {"refused": "too_fast", "answer": {"status": 303, "location": THANKS}})
    strange = sender.request(urlencoded(fields), FORM, headers=BROWSER | {"Origin": "https://elsewhere.example"})
    sender.requests["page-of-somebody-else"] = (strange, {"refused": "origin", "answer": {"status": 403}})
    return sender


def contact_form_7() -> Sender:
    """CF7 to Webhook."""
    sender = Sender(
        "contact-form-7",
        sees='body."your-name"',
        sign=header("X-Relay-Token"),
        secret="token-of-contact-form-7",
        covers="nothing",
        agent="WordPress/6.8; https://site.example",
    )
    sender.sample("contact", ["Ada Lovelace"], php)
    sender.again("contact-pressed-twice", "contact")
    text = php({"your-name": "Zoë", "your-message": "по/русски"})
    # What comes of a body template has no type of its own.
    sender.post("template", text, ["Zoë"], "text/plain")
    sender.forged("contact", reason="token_mismatch")
    return sender


def wpforms() -> Sender:
    """The Webhooks addon, in both formats."""
    sender = Sender(
        "wpforms",
        sees="body.name",
        sign=parts_header("X-WPForms-Webhook-Signature", "t={t},v={v}", "."),
        secret="secret-of-wpforms",
        agent="wpforms-webhooks/1.4.0",
    )

    def sign_form(request: Request, secret: str) -> Request:
        content = {"name": "Ада/Lovelace", "email": "ada@example.com", "topics": ["Prices", "Delivery"], "none": []}
        signed = digest(secret, f"{STAMP}.".encode() + php(content | {"none": ""})).hex()
        return put(request, {"X-WPForms-Webhook-Signature": f"t={STAMP},v={signed}"})

    sender.sample("json", ["Ada Lovelace"], php, headers={"X-WPForms-Webhook-Id": "8_1"})
    sender.again("json-pressed-twice", "json")
    pairs = [("name", "Ада/Lovelace"), ("email", "ada@example.com"), ("topics[0]", "Prices"), ("topics[1]", "Delivery")]
    form = urlencoded([*pairs, ("none", "")])
    sender.post("form", form, ["Ада/Lovelace"], "application/x-www-form-urlencoded; charset=utf-8", sign=sign_form)
    sender.forged("json")
    sender.forged("form", "wrong-proof-of-a-form", sign=sign_form)
    return sender


def gravity_forms() -> Sender:
    """The Webhooks add-on."""
    sender = Sender(
        "gravity-forms",
        sees='body."1.3" || body.first_name',
        sign=header("X-Relay-Token"),
        secret="token-of-gravity-forms",
        covers="nothing",
        agent="WordPress/6.8; https://site.example",
    )
    sender.sample("all-fields", ["Ada"], php)
    sender.again("all-fields-again", "all-fields")
    # The id of a selected field is whatever the operator has made of it: two people may share it.
    sender.post("selected-fields", php({"id": "117", "first_name": "Zoë"}), ["Zoë"])
    sender.post("selected-fields-of-another", php({"id": "117", "first_name": "Bob"}), ["Bob"])
    sender.forged("all-fields", reason="token_mismatch")
    return sender


def elementor() -> Sender:
    """Elementor Pro."""
    sender = Sender(
        "elementor",
        sees='body.fields.name.value || body."Your name"',
        sign=query("token"),
        secret="token-of-elementor",
        covers="nothing",
        agent="WordPress/6.8; https://site.example",
    )
    sender.sample("advanced", ["Ada Lovelace"])
    sender.again("advanced-pressed-twice", "advanced")
    simple = {"Your name": "Zoë", "E-mail": "zoe@example.com", "form_id": "4f2a1c7", "form_name": "Contact"}
    sender.post("simple", urlencoded(simple), ["Zoë"], FORM)
    sender.forged("advanced", reason="token_mismatch")
    return sender


def tilda() -> Sender:
    """Tilda, with the key in a header and in a field."""
    sender = Sender(
        "tilda",
        sees="body.Name",
        sign=header("X-Relay-Token"),
        secret="token-of-tilda",
        covers="nothing",
        agent="Tilda.cc",
    )

    def in_field(request: Request, secret: str) -> Request:
        return request.with_body(request.body + urlencoded({"": secret}).replace(b"=", b"&apikey=", 1))

    sender.sample("contact", ["Ада"])
    sender.again("contact-again", "contact")
    order = {
        "Name": "Zoë",
        "tranid": "1111111:6161583732",
        "formid": "form1",
        "payment[orderid]": "1746",
        "payment[amount]": "990",
    }
    sender.post("order", urlencoded(order), ["Zoë"], FORM)
    paid = urlencoded(order | {"payment[sys]": "yookassa", "payment[systranid]": "2419ac3d-000f"})
    sender.post("order-paid", paid, ["Zoë"], FORM)
    fields = urlencoded({"Name": "Bob", "tranid": "1111111:6161583733", "formid": "form1"})
    sender.post("key-in-a-field", fields, ["Bob"], FORM, sign=in_field)
    sender.probe("test", sender.request(b"test=test", FORM), plain_text("ok"))
    sender.forged("contact", reason="token_mismatch")
    sender.forged("key-in-a-field", "wrong-proof-in-a-field", "token_mismatch", sign=in_field)
    return sender


def typeform() -> Sender:
    """Typeform."""
    sender = Sender(
        "typeform",
        sees="body.form_response.token",
        sign=base64_header("Typeform-Signature", "sha256="),
        secret="secret-of-typeform",
        agent="Typeform Webhooks",
    )
    sender.sample("response", ["a3a12ec67a1365927098a606107fac15"])
    sender.again("response-again", "response")
    other = {"event_id": "01HYZ4W4ZP0C4Q5M1S6B9T2K3E", "event_type": "form_response"}
    sender.post("another-response", compact(other | {"form_response": {"form_id": "lT4Z3j", "token": "b7"}}), ["b7"])
    sender.forged("response")
    return sender


def tally() -> Sender:
    """Tally."""
    sender = Sender(
        "tally", sees="body.data.responseId", sign=base64_header("Tally-Signature"), secret="secret-of-tally"
    )
    sender.sample("response", ["2wgx4n"])
    sender.again("response-again", "response")
    other = {"eventId": "0b1e9e0c-6d25-4f39-8a2d-6a2a2d4f7c11", "eventType": "FORM_RESPONSE"}
    sender.post("another-response", compact(other | {"data": {"responseId": "9kQzLm", "fields": []}}), ["9kQzLm"])
    sender.forged("response")
    return sender


def jotform() -> Sender:
    """Jotform: multipart, with JSON in a field."""
    sender = Sender(
        "jotform",
        sees="body.q3_name.first",
        sign=query("token"),
        secret="token-of-jotform",
        covers="nothing",
        agent="jotform-webhook",
    )
    boundary = "------------------------d74496d66958873e"

    def body(number: str, event: str, first: str) -> bytes:
        raw = {"slug": "submit/230674321987654", "event_id": event, "q3_name": {"first": first, "last": "Lovelace"}}
        fields = {"formID": "230674321987654", "submissionID": number, "formTitle": "Contact", "ip": "203.0.113.7"}
        return multipart({**fields, "rawRequest": spaced(raw).decode()}, boundary)

    kind = f"multipart/form-data; boundary={boundary}"
    sender.post("submission", body("5573892106412345678", "1780315200000_Xa1", "Ada"), ["Ada"], kind)
    sender.again("submission-again", "submission")
    sender.post("submission-edited", body("5573892106412345678", "1780318800000_Yb2", "Augusta"), ["Augusta"], kind)
    sender.forged("submission", reason="token_mismatch")
    return sender


def google_forms() -> Sender:
    """The Apps Script of the profile's steps."""
    sender = Sender(
        "google-forms",
        sees='body.answers."Your name"',
        sign=header("X-Relay-Token"),
        secret="token-of-google-forms",
        covers="nothing",
        agent="Mozilla/5.0 (compatible; Google-Apps-Script; beanserver; +https://script.google.com)",
    )
    sender.sample("answer", ["Ada Lovelace"])
    sender.again("answer-again", "answer")
    edited = {"form_id": "1FAIpQLSf0x", "response_id": "2_ABaOnud4mJ0", "submitted_at": "2026-06-01T12:05:00.000Z"}
    sender.post("answer-edited", compact(edited | {"answers": {"Your name": "Augusta"}}), ["Augusta"])
    sender.forged("answer", reason="token_mismatch")
    return sender


def webflow() -> Sender:
    """Webflow's API webhooks."""

    def sign(request: Request, secret: str) -> Request:
        signed = digest(secret, f"{STAMP * 1000}:".encode() + request.body).hex()
        said = javascript("webflow-check", request, secret, signed)
        check(said, "webflow-api")
        return put(request, {"X-Webflow-Timestamp": str(STAMP * 1000), "X-Webflow-Signature": signed})

    sender = Sender(
        "webflow",
        sees="body.payload.data.Email || body.payload.id",
        sign=sign,
        secret="secret-of-webflow",
        signed_by=f"checked by {of('npm:webflow-api')}",
    )
    sender.sample("form", ["ada@example.com"])
    sender.again("form-again", "form")
    item = {
        "id": "42b720ef280c7a7a3be8cabe",
        "siteId": "62749158efef318abc8d5a0f",
        "lastUpdated": "2026-06-01T12:00:00.000Z",
    }
    changed = {"triggerType": "collection_item_changed", "payload": item}
    sender.post("item-changed", compact(changed), [item["id"]])
    later = changed | {"payload": item | {"lastUpdated": "2026-06-01T12:01:00.000Z"}}
    sender.post("item-changed-later", compact(later), [item["id"]])
    sender.forged("form")
    return sender


def calendly() -> Sender:
    """Calendly."""
    sender = Sender(
        "calendly",
        sees="body.event",
        sign=parts_header("Calendly-Webhook-Signature", "t={t},v1={v}", "."),
        secret="signing-key-of-calendly",
    )
    sender.sample("created", ["invitee.created"])
    sender.again("created-again", "created")
    uri = "https://api.calendly.com/scheduled_events/GBGBDCAADAEDCRZ2/invitees/AAAAAAAAAAAAAAAA"
    canceled = {"event": "invitee.canceled", "payload": {"uri": uri, "status": "canceled"}}
    sender.post("canceled", compact(canceled), ["invitee.canceled"], JSON_UTF8)
    sender.forged("created")
    return sender


def senders() -> Iterator[Sender]:
    """Each of them."""
    for make in (html_form, contact_form_7, wpforms, gravity_forms, elementor, tilda, typeform, tally):
        yield make()
    for make in (jotform, google_forms, webflow, calendly):
        yield make()
