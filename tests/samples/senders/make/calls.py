"""Telephony and call tracking."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

from kit import EMPTY, FORM, Request, Sender, compact, json_text, plain_text, query, urlencoded
from signatures import b64, digest, put

SIGNED = {
    "NOTIFY_START": ("caller_id", "called_did", "call_start"),
    "NOTIFY_INTERNAL": ("caller_id", "called_did", "call_start"),
    "NOTIFY_END": ("caller_id", "called_did", "call_start"),
    "NOTIFY_ANSWER": ("caller_id", "destination", "call_start"),
    "NOTIFY_OUT_START": ("internal", "destination", "call_start"),
    "NOTIFY_OUT_END": ("internal", "destination", "call_start"),
    "NOTIFY_RECORD": ("pbx_call_id", "call_id_with_rec"),
    "SMS": ("result",),
}
"""The fields that Zadarma signs, by event."""


def mango() -> Sender:
    """Mango Office: the JSON stands in a field, and the kind of event in the address."""

    def sign(request: Request, secret: str) -> Request:
        fields = dict(parse_qsl(request.body.decode()))
        proof = sha256((fields["vpbx_api_key"] + fields["json"] + secret).encode()).hexdigest()
        return request.with_body(request.body + f"&sign={proof}".encode())

    sender = Sender(
        "mango",
        sees="[tail, body.json.entry_id, body.json.call_state]",
        sign=sign,
        secret="salt-of-mango",
        covers="part",
        answer=EMPTY,
    )

    def form(**content: Any) -> bytes:
        key = "v3x6cvh8hvcvzm2mv6qnuwj8tpzv2aaa"
        return urlencoded({"vpbx_api_key": key, "json": json.dumps(content, separators=(",", ":"))})

    entry = "MjIwMDQ0ODQ5Nzk="
    sender.sample("summary", [f"events/summary, {entry}"], tail="events/summary")
    sender.again("summary-again", "summary")
    # Neither the tail, nor the query, nor the other fields are signed.
    other = sender.requests["summary-again"][0]
    moved = Request(other.method, "/hooks/mango/events/call?x=1", other.headers, other.body + b"&note=1")
    sender.requests["summary-under-another-tail"] = (moved, {"repeats": "summary.http"})
    caller = {"from": {"number": "79161234567"}, "to": {"extension": "101", "line_number": "74951112233"}}
    for number, state in enumerate(("Appeared", "Connected", "Disconnected"), 1):
        call = {"entry_id": entry, "call_id": "MToxMDA1NzU5Mw==", "timestamp": 1780315200, "seq": number}
        body = form(**call, call_state=state, location="abonent", **caller)
        sender.post(f"call-{state.lower()}", body, [f"events/call, {entry}, {state}"], FORM, tail="events/call")
    record = {"entry_id": entry, "product_id": 1, "user_id": 2, "recording_id": "MToxMDA=", "timestamp": 1780315300}
    sender.post("record-added", form(**record), [f"events/record/added, {entry}"], FORM, tail="events/record/added")
    sender.probe("ping", sender.request(form(), FORM, tail="events/ping"), EMPTY, is_signed=True)
    sender.probe("test-button", sender.request(b"", FORM), EMPTY)
    sender.forged("summary")
    changed = sender.requests["summary"][0]
    changed = changed.with_body(changed.body.replace(b"entry_result%22%3A1", b"entry_result%22%3A0"))
    sender.requests["summary-one-byte-changed"] = (changed, {"refused": "signature_mismatch"})
    return sender


def zadarma() -> Sender:
    """Zadarma: each event has its own fields that are signed."""

    def sign(request: Request, secret: str) -> Request:
        fields = dict(parse_qsl(request.body.decode()))
        signed = "".join(fields[name] for name in SIGNED[fields["event"]])
        return put(request, {"Signature": b64(digest(secret, signed.encode(), "sha1").hex().encode())})

    sender = Sender(
        "zadarma",
        sees="body.[event, call_id_with_rec, result.text]",
        sign=sign,
        secret="secret-of-zadarma",
        covers="part",
        answer=json_text("{}"),
        agent="Zadarma API",
    )
    recorded = "1780315200.12345"
    began = {"call_start": "2026-06-01 15:00:00", "pbx_call_id": "in_a1b2c3d4e5f60718293a4b5c6d7e8f9011223344"}
    inward = began | {"caller_id": "+380441234567", "called_did": "380447654321"}
    sender.post("start", urlencoded({"event": "NOTIFY_START", **inward}), ["NOTIFY_START"], FORM)
    answered = {"event": "NOTIFY_ANSWER", **inward, "destination": "100", "internal": "100"}
    sender.post("answer", urlencoded(answered), ["NOTIFY_ANSWER"], FORM)
    sender.sample("end", [f"NOTIFY_END, {recorded}"])
    sender.again("end-again", "end")
    # Duration and the id of the call are not signed: the same call once more, whatever stands there.
    other = sender.plain["end"].body.replace(b"duration=60", b"duration=61").replace(b"=in_a1", b"=in_b1")
    sender.again("end-with-other-fields", "end", other)
    outward = began | {"internal": "100", "destination": "380501234567", "caller_id": "100"}
    for event in ("NOTIFY_OUT_START", "NOTIFY_OUT_END"):
        sender.post(event.lower().replace("notify_", "").replace("_", "-"), urlencoded({"event": event, **outward}),
                    [event], FORM)  # fmt: skip
    record = {"event": "NOTIFY_RECORD", "call_id_with_rec": recorded, "pbx_call_id": began["pbx_call_id"]}
    sender.post("record", urlencoded(record), [f"NOTIFY_RECORD, {recorded}"], FORM)
    message = json.dumps({"caller_id": "+380441234567", "caller_did": "380447654321", "text": "Так, дзвоніть"})
    sender.post("sms", urlencoded({"event": "SMS", "result": message}), ["SMS, Так, дзвоніть"], FORM)
    asked = sender.request(b"", "", method="GET", query="zd_echo=a1b2c3")
    sender.probe("echo", asked, plain_text("a1b2c3"))
    sender.forged("end")
    started = sender.requests["start"][0]
    as_answer = started.with_body(started.body.replace(b"NOTIFY_START", b"NOTIFY_ANSWER") + b"&destination=100")
    sender.requests["start-as-an-answer"] = (as_answer, {"refused": "signature_mismatch"})
    nameless = started.with_body(started.body.replace(b"event=NOTIFY_START&", b""))
    sender.requests["without-an-event"] = (nameless, {"refused": "proof_missing"})
    changed = started.with_body(started.body.replace(b"380441234567", b"380441234568"))
    sender.requests["start-one-byte-changed"] = (changed, {"refused": "signature_mismatch"})
    return sender


def uis() -> Sender:
    """UIS: the body is the operator's, with values that UIS writes as JSON."""
    sender = Sender(
        "uis",
        sees="body.[notification_mnemonic, contact_full_name]",
        sign=query("token"),
        secret="token-of-uis",
        covers="nothing",
        answer=EMPTY,
    )
    named = 'Ада Лавлейс, фирма "Ромашка"'
    sender.sample("finished", [f"finished_call_session, {named}"])
    sender.again("finished-again", "finished")
    lost = {"notification_mnemonic": "lost_call_session", "call_session_id": 1780315200, "contact_full_name": None}
    sender.post("lost", compact(lost), ["lost_call_session"])
    by_query = "notification_mnemonic=in_call_session&call_session_id=1780315201&contact_full_name=%D0%90%D0%B4%D0%B0"
    sender.post("get", b"", ["in_call_session, Ада"], "", method="GET", query=by_query)
    sender.forged("finished", reason="token_mismatch")
    return sender


def calltouch() -> Sender:
    """Calltouch."""
    sender = Sender(
        "calltouch",
        sees="body.[callphase, fio]",
        sign=query("token"),
        secret="token-of-calltouch",
        covers="nothing",
        answer=EMPTY,
    )
    sender.sample("call", ["calldisconnected"])
    sender.again("call-again", "call")
    got = "id=1234567&callphase=callconnected&callerphone=79161234567&phonenumber=74951112233"
    sender.post("get", b"", ["callconnected"], "", method="GET", query=got)
    request = {"id": "1234567", "requestNumber": "42", "fio": "Ада Лавлейс", "email": "ada@example.com"}
    request |= {"siteId": "4242", "source": "yandex", "medium": "cpc", "utmSource": "yandex", "utmCampaign": "spring"}
    sender.post("request", urlencoded(request), ["Ада Лавлейс"], FORM)
    sender.forged("call", reason="token_mismatch")
    return sender


def binotel() -> Sender:
    """Binotel."""
    sender = Sender(
        "binotel",
        sees="body.[requestType, internalNumber, callDetails.customerData.name]",
        sign=query("token"),
        secret="token-of-binotel",
        covers="nothing",
        answer=json_text('{"status":"success"}'),
    )
    sender.sample("completed", ["apiCallCompleted, Ада Лавлейс"])
    sender.again("completed-again", "completed", sender.plain["completed"].body.replace(b"Counter=1", b"Counter=2"))
    details = {"companyID": "95710", "generalCallID": "4567892", "externalNumber": "998901234567"}
    sender.post("json", compact({"requestType": "apiCallCompleted", "callDetails": details}), ["apiCallCompleted"])
    for number in ("901", "902"):
        call = {"requestType": "transferredTheCall", "generalCallID": "4567892", "internalNumber": number}
        sender.post(f"transferred-{number}", urlencoded(call), [f"transferredTheCall, {number}"], FORM)
    asked = urlencoded({"requestType": "apiCallSettings", "externalNumber": "380441234567", "companyID": "95710"})
    sender.probe("who-is-calling", sender.request(asked, FORM), json_text("{}"), is_signed=True)
    sender.forged("completed", reason="token_mismatch")
    return sender


def ringostat() -> Sender:
    """Ringostat: the operator chooses the names."""
    sender = Sender(
        "ringostat",
        sees="[query.event, body.disposition]",
        sign=query("token"),
        secret="token-of-ringostat",
        covers="nothing",
        answer=EMPTY,
    )
    sender.sample("after-call", ["after_call, ANSWERED"], query="event=after_call")
    sender.again("after-call-again", "after-call")
    call = {"call_id": "ua1-1780315200.123456", "caller": "380441234567", "call_type": "in", "calldate": "2026-06-01"}
    rated = compact({"additional_call_data": call | {"rating": "5"}})
    sender.post("after-rating", rated, ["after_rating"], query="event=after_rating")
    got = "event=before_call&call_id=ua1-1780315200.123456&caller=380441234567"
    sender.post("get", b"", ["before_call"], "", method="GET", query=got)
    sender.forged("after-call", reason="token_mismatch")
    return sender


def itoolabs() -> Sender:
    """MegaFon, t2 and Rostelecom: the key stands in the form."""

    def sign(request: Request, secret: str) -> Request:
        return request.with_body(request.body + b"&" + urlencoded({"crm_token": secret}))

    sender = Sender(
        "itoolabs",
        sees="body.[cmd, type, user]",
        sign=sign,
        secret="key-of-itoolabs",
        covers="nothing",
        answer=EMPTY,
    )
    sender.sample("history", ["history, in, ivanov"])
    sender.again("history-again", "history")
    for user in ("ivanov", "petrov"):
        call = {"cmd": "event", "type": "INCOMING", "phone": "79161234567", "user": user, "callid": "43294397431"}
        sender.post(f"incoming-{user}", urlencoded(call), [f"event, INCOMING, {user}"], FORM)
    asked = urlencoded({"cmd": "contact", "phone": "79161234567", "callid": "43294397431"})
    sender.probe("who-is-calling", sender.request(asked, FORM), json_text("{}"), is_signed=True)
    sender.forged("history", reason="token_mismatch")
    return sender


def senders() -> Iterator[Sender]:
    """Each of them."""
    for make in (mango, zadarma, uis, calltouch, binotel, ringostat, itoolabs):
        yield make()
