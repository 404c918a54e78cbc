"""A captured signed webhook starts nothing again, whatever is changed around what is signed; a retry is a duplicate."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlencode

import pytest
import yaml

from relay.configuration.files import Mistakes
from relay.operations.deciding import MOST_TOPICS
from relay.sources.events import UNTIMED_S
from relay.sources.loading import SHIPPED, Profiles
from relay.sources.proof.verifier import Coverage
from relay.store.record.codec import PLAIN_EVENT, packed
from relay.store.record.entries import Claim
from relay.store.record.spool import Spool
from tests.support.making import make_entry, write
from tests.support.senders import JSON

KEY = "the-secret-of-the-test"
FORM = "application/x-www-form-urlencoded"
PAID = urlencode({"TransactionId": "77", "Amount": "10.00", "Status": "Declined", "Name": "Ада"}).encode()
BODY = json.dumps({"id": 7, "a": 1}).encode()
RULE = {
    "name": "any",
    "source": "one",
    "start": {"portal": "main", "template_id": 1, "document_id": {"lead": "1"}, "parameters": {}},
}
PAY = {**RULE, "name": "pay", "when": "query.kind == 'pay'"}


def mac(text: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.digest(KEY.encode(), text, algorithm)


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@pytest.fixture
def door(relay):
    """A client of a relay with one source, whose events all make a call."""

    def make(rules=None, **source):
        return relay({"one": {"secrets": ["SECRET"], **source}}, rules or [RULE], {"SECRET": KEY})

    return make


def post(client, body=BODY, headers=None, content_type=JSON, query=""):
    answer = client.post(f"/hooks/one{query}", data=body, headers={"Content-Type": content_type, **(headers or {})})
    return answer.status_code


def calls(record):
    return record.counts().total


def test_a_failed_payment_is_not_sent_again_as_a_paid_one(door, record):
    client, signed = door([RULE, PAY], profile="cloudpayments"), {"Content-HMAC": b64(mac(PAID))}

    for query, content_type in (
        ("?kind=fail", FORM), ("?kind=fail", FORM), ("?kind=pay", FORM), ("?kind=fail&kind=fail", FORM),
        ("?kind=fail&x=1", FORM), ("?kind=FAIL", FORM), ("?kind=fail", f"{FORM}; charset=windows-1251"),
        ("?kind=fail", f"{FORM}; charset=koi8-r"), ("?kind=fail", ""),
    ):  # fmt: skip
        assert post(client, PAID, signed, content_type, query) == 200
    packed = {**signed, "Content-Encoding": "gzip"}
    assert post(client, gzip.compress(PAID), packed, FORM, "?kind=fail") == 200

    assert calls(record) == 1


HEADERS = {
    "github": ("X-Hub-Signature-256", lambda: f"sha256={mac(BODY).hex()}", "X-GitHub-Delivery"),
    "bitbucket": ("X-Hub-Signature", lambda: f"sha256={mac(BODY).hex()}", "X-Request-UUID"),
    "jira": ("X-Hub-Signature", lambda: f"sha256={mac(BODY).hex()}", "X-Atlassian-Webhook-Identifier"),
    "shopify": ("X-Shopify-Hmac-SHA256", lambda: b64(mac(BODY)), "X-Shopify-Webhook-Id"),
}


@pytest.mark.parametrize("profile", HEADERS)
def test_another_number_of_the_delivery_makes_no_other_event_of_a_captured_body(door, record, redis, profile):
    header, sign, number = HEADERS[profile]
    client, signed = door(profile=profile), {header: sign()}
    assert post(client, headers=signed | {number: "0"}) == 200
    kept = len(redis.keys("relay:dedup:*"))

    for at in range(1, 6):
        assert post(client, headers=signed | {number: str(at)}) == 200
    assert post(client, headers=signed) == 200

    assert calls(record) == 1
    assert len(redis.keys("relay:dedup:*")) == kept, "a repeat leaves keys behind"


@pytest.mark.parametrize(
    ("profile", "header", "topic"),
    [
        ("shopify", "X-Shopify-Hmac-SHA256", "X-Shopify-Topic"),
        ("woocommerce", "X-WC-Webhook-Signature", "X-WC-Webhook-Topic"),
    ],
)
def test_made_up_topics_make_few_events_of_a_captured_body_and_real_ones_one_each(door, record, profile, header, topic):
    client, signed = door(profile=profile), {header: b64(mac(BODY))}

    for name in ("orders/create", "orders/paid", "orders/create", "orders/paid"):
        assert post(client, headers=signed | {topic: name}) == 200
    assert calls(record) == 2
    for at in range(20):
        assert post(client, headers=signed | {topic: f"made-up-{at}"}) == 200

    assert calls(record) == MOST_TOPICS


SMS = [("AccountSid", "AC1"), ("Body", "call me"), ("From", "+12025550100"), ("MessageSid", "SM1"), ("SmsStatus", "in")]


def test_the_fields_of_a_captured_form_put_together_otherwise_are_the_same_event(door, record):
    client = door(profile="twilio")
    text = "http://localhost/hooks/one" + "".join(name + value for name, value in SMS)
    signed = {"X-Twilio-Signature": b64(mac(text.encode(), "sha1"))}
    merged = [*SMS[:2], ("From", "+12025550100MessageSidSM1SmsStatusin")]

    assert [post(client, urlencode(form), signed, FORM) for form in (SMS, SMS[::-1], merged, merged)] == [200] * 4
    assert [post(client, urlencode(SMS + [SMS[3]] * more), signed, FORM) for more in (1, 2)] == [401] * 2
    assert calls(record) == 1


CALL = {"event": "NOTIFY_END", "caller_id": "+380441234567", "called_did": "380447654321", "call_start": "2026-06-01"}


def test_the_fields_of_a_captured_call_cut_otherwise_or_sent_as_numbers_are_the_same_event(door, record):
    client = door(profile="zadarma")
    text = CALL["caller_id"] + CALL["called_did"] + CALL["call_start"]
    signed = {"Signature": b64(mac(text.encode(), "sha1").hex().encode())}
    cut = {**CALL, "caller_id": "+38044", "called_did": "1234567380447654321"}
    number = {**CALL, "called_did": int(CALL["called_did"])}

    for form in (CALL, cut, {**CALL, "caller_id": text, "called_did": "", "call_start": ""}):
        assert post(client, urlencode(form), signed, FORM) == 200
    for content in (CALL, cut, number, {**number, "pbx_call_id": "1"}):
        assert post(client, json.dumps(content), signed, JSON) == 200

    assert calls(record) == 1


def test_a_captured_batch_makes_no_other_events_by_other_percent_signs_or_a_doubled_field(door, record):
    client = door(profile="mandrill")
    events = json.dumps([{"event": "send", "_id": name} for name in "ab"])
    signed = {"X-Mandrill-Signature": b64(mac(f"http://localhost/hooks/onemandrill_events{events}".encode(), "sha1"))}
    plain = urlencode({"mandrill_events": events})
    hexed = "mandrill_events=" + "".join(f"%{byte:02X}" for byte in events.encode())

    assert [post(client, form, signed, FORM) for form in (plain, plain, hexed)] == [200] * 3
    assert post(client, f"{plain}&{plain}", signed, FORM) == 401
    assert calls(record) == 2


def test_each_entry_of_a_signed_batch_is_an_event_of_its_own(door, record):
    client = door(verify={"kind": "hmac", "header": "X-Sign"}, each="body", dedup={"from": "body.id"})
    batch = json.dumps([{"id": 1}, {"id": 2}, {"no": "id"}, {"no": "id"}]).encode()

    for _ in range(2):
        assert post(client, batch, {"X-Sign": mac(batch).hex()}) == 200

    assert calls(record) == 4


def test_a_senders_retry_that_is_signed_anew_is_still_a_repeat_by_its_id(door, record):
    client = door(
        verify={"kind": "hmac", "header": "X-Sign", "signed": "{timestamp}.{body}", "timestamp": {"header": "X-Time"}},
        dedup={"from": "body.id"},
    )
    for late_s in (0, 1, 2):
        stamp = str(int(record.redis.time()[0]) + late_s)
        assert post(client, headers={"X-Time": stamp, "X-Sign": mac(stamp.encode() + b"." + BODY).hex()}) == 200

    assert calls(record) == 1


def test_a_sender_that_signs_the_same_text_for_two_events_may_say_so(door, record):
    client = door(verify={"kind": "hmac", "header": "X-Sign"}, dedup={"header": "X-Id"}, once=False)
    for name in ("1", "2", "2"):
        assert post(client, headers={"X-Sign": mac(BODY).hex(), "X-Id": name}) == 200

    assert calls(record) == 2


def test_without_a_time_and_without_a_dedup_the_same_text_may_be_two_events(door, record):
    client = door(profile="dropbox")
    for _ in range(2):
        assert post(client, headers={"X-Dropbox-Signature": mac(BODY).hex()}) == 200

    assert calls(record) == 2


def test_what_made_no_call_claims_no_signature(door, record):
    client = door([{**RULE, "when": "query.x"}], profile="github")
    signed = {"X-Hub-Signature-256": f"sha256={mac(BODY).hex()}"}

    assert [post(client, headers=signed), post(client, headers=signed, query="?x=1")] == [200, 200]
    assert calls(record) == 1


@pytest.mark.parametrize(
    ("profile", "window_s"), [("github", UNTIMED_S), ("stripe", 7 * 86_400), ("wpforms", 600)], ids=str
)
def test_a_signature_counts_once_as_long_as_it_is_believed_or_longer(door, profile, window_s):
    source = door(profile=profile).application.extensions["services"].sources["one"]
    clock = source.verifier.ways[0].clock
    coverage = Coverage.of(b"text", 2 * clock.tolerance_s if clock else None)

    (key,) = source.signature_keys(coverage, {}, 0)

    assert key.window_s == window_s


def test_what_is_claimed_is_no_guess_at_a_secret(door, redis):
    """A digest of secret and body that lay in the record could be tried against secrets anywhere."""
    client = door(verify={"kind": "hash", "header": "X-Sign", "signed": "{secret}{body}"}, dedup={"body": True})
    digest = hashlib.sha256(KEY.encode() + BODY).hexdigest()

    assert post(client, headers={"X-Sign": digest}) == 200

    kept = {key.decode().rpartition(":")[2] for key in redis.keys("relay:dedup:*")}
    without = hashlib.sha256(b"one\0signature\0" + hashlib.sha256(BODY).hexdigest().encode() + b"\x000").hexdigest()
    assert without[:32] in kept
    assert len(kept) == 2


def signed_entry(*claims, **options):
    return replace(make_entry(**options), further=claims)


def test_a_claim_of_a_forgotten_event_is_given_to_the_next(record, redis):
    claim = Claim("s", timedelta(days=1))
    first, again, other = (signed_entry(claim) for _ in range(3))
    assert not write(record, first).duplicate
    assert write(record, again).event_id == first.event.id
    redis.delete(f"relay:event:{first.event.id}")

    assert not write(record, other).duplicate


def test_what_is_claimed_survives_in_the_spool(tmp_path):
    entry = signed_entry(Claim("s", timedelta(days=30)), Claim("t", timedelta(days=30), 4))
    spool = Spool.of(tmp_path, 1)
    spool.keep([entry], is_open=False)

    (name,) = spool.names()
    assert [tuple(one.further) for one in spool.read(name)] == [tuple(entry.further)]


def test_a_topic_beside_the_first_is_remembered_when_the_event_is_packed(record, redis):
    text = Claim("text", timedelta(days=1), 1)
    first, second, third = (signed_entry(Claim(f"topic-{number}", timedelta(days=1)), text) for number in range(3))
    write(record, first)
    write(record, second)
    key = f"relay:event:{first.event.id}"
    fields = redis.hgetall(key)
    redis.delete(key)
    redis.hset(key, mapping=packed(fields, (), PLAIN_EVENT))

    assert write(record, third).event_id == first.event.id


# Which fields are covered by the proof, and which form the key: of every shipped sender.

UNSIGNED_KEYS = {
    "bitbucket": "a header", "github": "a header", "jira": "a header", "linear": "a header", "sanity": "a header",
    "shopify": "a header", "zendesk": "a header", "woocommerce": "a header", "mailgun": "part of the body",
    "twilio": "fields that can be put together otherwise",
    "razorpay": "a header", "adyen": "part of the body", "click": "part of the body", "iyzico": "part of the body",
    "mango": "part of the body", "mercadopago": "part of the body", "paykeeper": "part of the body",
    "paytr": "part of the body", "przelewy24": "part of the body", "unitpay": "part of the body",
    "wayforpay": "part of the body", "yoomoney": "part of the body",
    "freedompay": "fields that can be put together otherwise", "liqpay": "fields that can be put together otherwise",
    "sber": "fields that can be put together otherwise", "tbank": "fields that can be put together otherwise",
}  # fmt: skip
"""Signed senders whose dedup key hangs on what the signature does not cover: there the signature is claimed as well."""
NOT_ONCE = {
    "acuity": "an appointment that is moved twice is signed alike",
    "dropbox": "nothing tells one from the next",
    "robokassa": "a shop that gives no numbers signs two payments alike",
    "zadarma": "the beginning and the end of a call are signed alike",
}
KEYS_OF_SIGNED = {"robokassa", "mandrill", "zadarma"}
"""Their keys are of fields that are signed: InvId and OutSum; the whole text of the signature."""
WHOLE = {"body", "body_sha256", "php_json", "php_json:sorted"}


def signed_ways(profile):
    signed = {"hmac", "hash", "ed25519", "ecdsa", "rsa", "jwt"}
    return [way for way in profile.content["verify"] if way["kind"] in signed]


def hangs_on(profile):
    """What of the request that is not signed the dedup key hangs on."""
    dedup, ways = profile.content["dedup"], signed_ways(profile)
    kinds = [WHOLE if way["kind"] == "jwt" else way["signed"].kinds for way in ways]
    if dedup is None:
        return None
    if dedup["header"]:
        ids = {(way.get("id_header") or "").lower() for way in ways}
        return None if ids == {dedup["header"].lower()} else "a header"
    roots = dedup["expression"].roots if dedup["expression"] else {"body"}
    if "headers" in roots:
        return "a header"
    if "query" in roots:
        return "the query"
    if all(kind & WHOLE for kind in kinds):
        return None
    if profile.name in KEYS_OF_SIGNED:
        return None
    return "part of the body" if all("field" in kind for kind in kinds) else "fields that can be put together otherwise"


def shipped():
    profiles, mistakes = Profiles(None), Mistakes()
    return {name: one for name in profiles.names if (one := profiles.get(name, mistakes))}


def test_the_key_of_a_signed_sender_hangs_on_what_is_signed_or_its_signature_is_claimed():
    signed = {name: one for name, one in shipped().items() if signed_ways(one)}

    assert {name: found for name, one in signed.items() if (found := hangs_on(one))} == UNSIGNED_KEYS
    once = {
        name: one.content["once"] is not False and (one.content["dedup"] is not None or _is_timed(one))
        for name, one in signed.items()
    }
    assert {name for name, is_once in once.items() if not is_once} == NOT_ONCE.keys()
    assert len(signed) > 35


def _is_timed(profile):
    return all(way.get("timestamp") for way in signed_ways(profile))


def test_only_senders_that_do_not_sign_their_topic_have_one():
    found = {
        file.stem: written["topic"] for file in SHIPPED.glob("*.yaml")
        if "topic" in (written := yaml.safe_load(file.read_text("utf-8")))
    }  # fmt: skip

    assert found == {"shopify": "X-Shopify-Topic", "woocommerce": "X-WC-Webhook-Topic"}
