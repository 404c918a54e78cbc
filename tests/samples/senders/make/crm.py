"""Customers, contacts, accounts."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from hubspot.utils.signature import Signature
from kit import AT, EMPTY, FORM, STAMP, Request, Sender, Sign, compact, query, urlencoded
from libraries import check, javascript, of
from signatures import b64, base64_header, digest, hex_header, put

ISO = AT.strftime("%Y-%m-%dT%H:%M:%SZ")


def by(version: str) -> Sign:
    """One of HubSpot's three signatures."""

    def sign(request: Request, secret: str) -> Request:
        stamp, text = str(STAMP * 1000), request.body.decode()
        url = decoded(request.url) if version == "v3" else request.url
        signature = Signature.get_signature(secret, text, version, url, "POST", stamp)
        said = javascript("hubspot-check", request, secret, signature, version=version, url=url)
        check(said, "@hubspot/api-client")
        if version != "v3":
            return put(request, {"X-HubSpot-Signature-Version": version, "X-HubSpot-Signature": signature})
        # The old signature comes beside the new one.
        legacy = Signature.get_signature(secret, text, "v1")
        headers = {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": stamp}
        return put(request, headers | {"X-HubSpot-Signature-Version": "v1", "X-HubSpot-Signature": legacy})

    return sign


HUBSPOT_WAYS = [
    {
        "kind": "hmac",
        "header": "X-HubSpot-Signature-v3",
        "signed": "{method}{url:decoded}{body}{timestamp}",
        "encoding": "base64",
        "timestamp": {"header": "X-HubSpot-Request-Timestamp", "unit": "ms"},
    },
    {"kind": "hash", "header": "X-HubSpot-Signature", "signed": "{secret}{body}"},
    {"kind": "hash", "header": "X-HubSpot-Signature", "signed": "{secret}{method}{url}{body}"},
]
"""The profile's, and the old ones, which an operator has to ask for."""


def hubspot() -> Sender:
    """HubSpot, by all three of its signatures."""

    sender = Sender(
        "hubspot",
        sees="body.subscriptionType || body.workflow",
        sign=by("v3"),
        secret="client-secret-of-hubspot",
        options={"verify": HUBSPOT_WAYS},
        signed_by=f"{of('hubspot-api-client')}; checked by {of('npm:@hubspot/api-client')}",
        agent="HubSpot Connect 2.0 (http://dev.hubspot.com/) - WebHooks",
    )
    sender.sample("v3", ["contact.creation", "contact.propertyChange"])
    repeated = sender.plain["v3"].body.replace(b'"attemptNumber":0', b'"attemptNumber":1')
    sender.again("v3-again", "v3", repeated)
    shared = {"eventId": 3181526809, "subscriptionId": 99, "objectId": 7, "occurredAt": STAMP * 1000}
    timeless = {"timeless": True}
    body = compact([shared | {"subscriptionType": "deal.creation"}])
    # An eventId that has been there, of another subscription: not a repeat.
    sender.post("v1", body, ["deal.creation"], sign=by("v1"), expected=timeless)
    sender.post(
        "v2-of-a-workflow", compact({"workflow": "callback", "vid": 7}), ["callback"], sign=by("v2"), expected=timeless
    )
    other = compact([shared | {"eventId": 5, "subscriptionType": "deal.deletion"}])
    sender.post("v3-with-an-encoded-address", other, ["deal.deletion"], query="shop=a%2Fb%3Ac")
    sender.forged("v3")
    sender.forged("v1", "wrong-v1", sign=by("v1"))
    # The strong proof is wrong, the weak one beside it is right: refused.
    strong = by("v3")(sender.plain["v3"], sender.wrong)
    weak = Signature.get_signature(sender.secret, strong.body.decode(), "v1")
    sender.requests["wrong-v3-beside-a-right-v1"] = (
        put(strong, {"X-HubSpot-Signature": weak}),
        {"refused": "signature_mismatch"},
    )
    return sender


def decoded(url: str) -> str:
    """An address with what HubSpot decodes before it signs."""
    for code in ("%3A", "%2F", "%3F", "%40", "%21", "%24", "%27", "%28", "%29", "%2A", "%2C", "%3B"):
        url = url.replace(code, chr(int(code[1:], 16)))
    return url


def intercom() -> Sender:
    """Intercom."""
    sender = Sender(
        "intercom",
        sees="body.topic",
        sign=hex_header("X-Hub-Signature", "sha1=", "sha1"),
        secret="client-secret-of-intercom",
        agent="intercom-webhooks",
    )
    sender.sample("created", ["contact.user.created"])
    repeated = sender.plain["created"].body.replace(b'"delivery_attempts":1', b'"delivery_attempts":2')
    sender.again("created-again", "created", repeated)
    other = {
        "type": "notification_event",
        "id": "notif_ccd8a4d0-f965-11e3-a367-c779cae3e1b3",
        "topic": "conversation.user.created",
    }
    sender.post("conversation", compact(other), ["conversation.user.created"])
    sender.probe("head", sender.request(b"", "", "HEAD"), EMPTY)
    ping = sender.request(compact({"type": "notification_event", "topic": "ping", "id": None, "data": {}}))
    sender.probe("ping", ping, EMPTY, is_signed=True)
    sender.forged("created")
    return sender


def zendesk() -> Sender:
    """Zendesk: a time in ISO 8601."""

    def sign(request: Request, secret: str) -> Request:
        signed = b64(digest(secret, ISO.encode() + request.body))
        headers = {"X-Zendesk-Webhook-Signature": signed, "X-Zendesk-Webhook-Signature-Timestamp": ISO}
        return put(request, headers)

    sender = Sender("zendesk", sees="body.type", sign=sign, secret="secret-of-zendesk", agent="Zendesk Webhook")
    sender.sample("ticket", ["zen:event-type:ticket.created"])
    sender.again("ticket-again", "ticket")
    headers = {"X-Zendesk-Webhook-Invocation-Id": "01FBH2A1S4P8X5Z2N7R9K3W6QE"}
    other = compact({"account_id": 123456, "id": "3b24", "type": "zen:event-type:user.created"})
    sender.post("user", other, ["zen:event-type:user.created"], headers=headers)
    sender.forged("ticket")
    return sender


def pipedrive() -> Sender:
    """Pipedrive: HTTP Basic."""

    def sign(request: Request, secret: str) -> Request:
        return put(request, {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"})

    sender = Sender(
        "pipedrive",
        sees="body.meta.[action, entity]",
        sign=sign,
        secret="relay:password-of:pipedrive",
        covers="nothing",
        agent="Pipedrive Webhooks",
    )
    sender.sample("deal", ["create, deal"])
    sender.again("deal-again", "deal", sender.plain["deal"].body.replace(b'"attempt":1', b'"attempt":2'))
    # Version 1: meta.id is the deal's, and the same with every change.
    for action in ("added", "updated"):
        old = {"v": 1, "meta": {"v": 1, "action": action, "entity": "deal", "object": "deal", "id": 2}, "retry": 0}
        sender.post(f"version-1-{action}", compact(old), [f"{action}, deal"])
    sender.forged("deal", reason="token_mismatch", wrong="relay:wrong")
    return sender


def amocrm() -> Sender:
    """amoCRM: brackets, and several kinds in one request."""
    sender = Sender(
        "amocrm",
        sees="body.id",
        sign=query("token"),
        secret="token-of-amocrm",
        covers="nothing",
        agent="amoCRM-Webhooks/3.0",
    )
    sender.sample("added", ["25399013"])
    sender.again("added-again", "added")
    # The same lead, in the same second, under another name.
    moved = sender.plain["added"].body.replace(b"leads%5Badd%5D", b"leads%5Bstatus%5D")
    sender.post("moved", moved, ["25399013"], FORM)
    two = {f"contacts[update][{place}][id]": number for place, number in enumerate(("11", "12"))}
    both = two | {"leads[delete][0][id]": "25399013", "account[id]": "29085955"}
    sender.post("three", urlencoded(both), ["25399013", "11", "12"], FORM)
    sender.forged("added", reason="token_mismatch")
    return sender


def xero() -> Sender:
    """Xero: signed lists, empty ones when it asks."""
    sender = Sender(
        "xero", sees="body.eventCategory", sign=base64_header("X-Xero-Signature"), secret="key-of-xero", answer=EMPTY
    )
    sender.sample("contact", ["CONTACT"])
    sender.again("contact-again", "contact")
    event = {"resourceId": "717f2bfc", "eventDateUtc": "2026-06-01T12:00:01.000", "eventType": "Create"}
    rows = [event | {"eventCategory": category} for category in ("INVOICE", "CONTACT")]
    body = compact({"events": rows, "firstEventSequence": 2, "lastEventSequence": 3, "entropy": "x"})
    sender.post("two", body, ["INVOICE", "CONTACT"])
    asked = compact({"events": [], "firstEventSequence": 0, "lastEventSequence": 0, "entropy": "S0m3r4Nd0mt3xt"})
    sender.post("intent-to-receive", asked, [])
    sender.forged("intent-to-receive", "wrong-intent-to-receive")
    sender.forged("contact")
    return sender


ACK = (
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><notificationsResponse '
    'xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse></soapenv:Body>'
    "</soapenv:Envelope>"
)
XML = "text/xml; charset=utf-8"


def salesforce() -> Sender:
    """Salesforce's Outbound Messages: SOAP, and a token in the address."""
    sender = Sender(
        "salesforce-outbound",
        sees="body.[Id, sObject.Name]",
        sign=query("token"),
        secret="token-of-salesforce-outbound",
        covers="nothing",
        answer={"status": 200, "type": XML, "body": ACK},
        agent="Jakarta Commons-HttpClient/3.1",
    )
    first = "04l5g00000QWERTAA4, Ada Lovelace"
    sender.sample("lead", [first], write=str.encode)
    body = sender.plain["lead"].body
    begin, end = body.index(b"<Notification>"), body.index(b"</Notification>") + len(b"</Notification>")
    others = [
        body[begin:end].replace(b"QWERT", key).replace(b"Ada Lovelace", name.encode())
        for key, name in ((b"QWERU", "Анна &lt;1&gt;"), (b"QWERV", "&#x410;&#1085;&#1085;&#1072; <![CDATA[<2>]]>"))
    ]
    # Salesforce waits for the answer again with the same notification, alone or beside later ones.
    sender.again("lead-again", "lead", body.replace(b"<soapenv:Body>", b"<!-- again --><soapenv:Body>"))
    both = ["04l5g00000QWERUAA4, Анна <1>", "04l5g00000QWERVAA4, Анна <2>"]
    sender.post(
        "two-at-once", body[:begin] + others[0] + others[1] + body[end:], both, XML, headers={"SOAPAction": '""'}
    )
    sender.forged("lead", reason="token_mismatch")
    return sender


def senders() -> Iterator[Sender]:
    """Each of them."""
    for make in (hubspot, intercom, zendesk, pipedrive, amocrm, xero, salesforce):
        yield make()
