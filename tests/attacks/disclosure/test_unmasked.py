"""Persons' values are masked in whatever form they came, and whoever may only read sees no others."""

from __future__ import annotations

import json
import time
from urllib.parse import quote, quote_plus

import pytest

from relay.web.presenters.masking import MOST_KNOWN, Masking
from tests.support.folders import WEB_SECRETS
from tests.support.senders import dump, website
from tests.watching.conftest import SAME, enter

READ, METRICS = "read-token-of-the-test", "metrics-token-of-the-test"
EMAIL, PHONE, NAME = "ivan.petrov@example.com", "+7 916 123-45-67", "Иван Петров"
SECRETS = ["ivan.petrov", "ivan%2Epetrov", "123-45", "9161234567", NAME, quote(NAME), quote_plus(NAME), "Pencil"]
ORDINARY = "a@b, \u00ab\u0414\u0430\u00bb 5\u00a0000 \u2014 \u044d\u0442\u043e&nbsp;& \u0415"
SHADE = Masking(names=frozenset({"name"}), known=frozenset({NAME, "Smith & Söhne"}))


@pytest.fixture
def app(make_app, valkey):
    return make_app(valkey, api_read_token=READ, metrics_token=METRICS)


@pytest.fixture
def event_id(app):
    body = {"document": "lead", "id": 7, "email": EMAIL, "phone": PHONE, "note": f"write to {EMAIL}"}
    headers = {
        **website(),
        "X-Customer": "Pencil",
        "Referer": f"https://site.test/?phone={quote_plus(PHONE)}&to={quote(EMAIL, safe='')}",
    }
    query = f"to={quote(EMAIL, safe='').replace('.', '%2E')}&tel={quote(PHONE, safe='')}"
    answer = app.test_client().post(f"/hooks/website?{query}", data=dump(body), headers=headers)
    assert answer.json["state"] == "accepted"
    return answer.json["event_id"]


def ask(app, path, token):
    return app.test_client().get(path, headers={"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize(
    "text",
    [
        quote(PHONE),
        quote_plus(PHONE).replace("+", "%20"),
        "".join(f"%{byte:02X}" for byte in EMAIL.encode()),
        quote(quote(EMAIL)),
        f"https://site.test/?who={quote(NAME)}&next=1",
        f"company={quote('Smith & Söhne')}",
    ],
)
def test_percent_encoding_does_not_take_the_mask_off(text):
    shown = SHADE.text(text)

    assert "•••" in shown
    for secret in ("916", "ivan", "petrov", "%D0%9F", "hne", "%40example", "%65"):
        assert secret not in shown


@pytest.mark.parametrize("key", ["name", "lead[name]", "lead%5Bname%5D", "lead.name", "name[]", "NAME"])
def test_a_value_of_a_query_is_masked_by_its_name_however_it_is_encoded(key):
    assert SHADE.query(f"a=1&{key}=%41nna+B&b=%20x") == f"a=1&{key}=A•••&b=%20x"


@pytest.mark.parametrize("piece", ["%", "%2", "%20", "a%40", "%25", "&=%41", "x"])
@pytest.mark.parametrize("method", ["text", "query"])
def test_percent_signs_without_end_do_not_keep_the_masking_busy(monkeypatch, piece, method):
    plain, read = Masking._plain, []
    monkeypatch.setattr(Masking, "_plain", lambda self, text: (read.append(len(text)), plain(self, text))[1])
    text = piece * (100_000 // len(piece))

    getattr(SHADE, method)(text)

    assert sum(read) <= 6 * len(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ivan&#64;example.com ivan&#x40;example.com", "i•••@e•••.com i•••@e•••.com"),
        ("ivan&commat;example.com ivan&amp;#064;example.com", "i•••@e•••.com i•••@e•••.com"),
        ("ivan\\u0040example.com", "i•••@e•••.com"),
        ("ivan\N{FULLWIDTH COMMERCIAL AT}example.com", "i•••@e•••.com"),
        ("iv\N{SOFT HYPHEN}an\u200b@\u2060example.com", "i•••@e•••.com"),
        ("\U0001d422van@example.com", "i•••@e•••.com"),
        ("ivan@[192.0.2.1] ivan@[2001:db8::1]", "i•••@••• i•••@•••"),
        ("ivan@localhost", "i•••@•••"),
        ("8\u2011916\u2011123\u201145\u201167", "8•••67"),
        ("+7\u2009916\u202f123\u00a045\u300067", "+7•••67"),
        ("+7_916_123_45_67", "+7•••67"),
        ("\N{FULLWIDTH PLUS SIGN}" + "".join(chr(0xFF10 + int(digit)) for digit in "79161234567"), "+7•••67"),
        ("+" + "".join(chr(0x660 + int(digit)) for digit in "79161234567"), "+7•••67"),
        ("8 916 123 45 67 8 916 123 45 68", "8•••67 8•••68"),
        ("8-916-123-45-67 89161234568 / 89161234569", "8•••67 8•••68 / 8•••69"),
        ("4111 1111 1111 1111", "4•••11"),
        ("1760000000 1760000000123 2026-06-01 2026-06-02", "1760000000 1760000000123 2026-06-01 2026-06-02"),
        ("12345678901234567890", "12345678901234567890"),
        (ORDINARY, ORDINARY),
        ("&#" + "9" * 6000 + ";", "&#" + "9" * 6000 + ";"),
    ],
)
def test_an_odd_spelling_does_not_take_the_mask_off(text, shown):
    assert Masking().text(text) == shown


@pytest.mark.parametrize(
    ("known", "text", "shown"),
    [
        ("Lindqvist", "LINDQVIST, lindqvist's", "L•••, l•••'s"),
        ("Ada  Lindqvist", "Ada Lindqvist / LINDQVIST, ADA / ada_lindqvist", "A••• / L••• / a•••"),
        ("Anna-Lena Berg", "Berg Anna Lena; Anna, a lena", "B•••; Anna, a lena"),
        ("O'Neil", "O&#39;Neil O\N{RIGHT SINGLE QUOTATION MARK}NEIL", "O••• O•••"),
        ("O&#39;Neil", "O'Neil", "O•••"),
        ("Iv\u200banov", "IVANOV", "I•••"),
        (
            "one two three four five",
            "ONE TWO THREE FOUR FIVE; five four three two one",
            "O•••; five four three two one",
        ),
        ("İbrahim", "İBRAHIM aber İ", "İ••• aber İ"),
        ("Li", "LI lies", "LI lies"),
        ("---!", "----!", "--•••"),
    ],
)
def test_what_a_rule_marks_is_masked_in_any_case_and_order(known, text, shown):
    assert Masking(known=frozenset({known})).text(text) == shown


@pytest.mark.parametrize(
    "piece", ["Ada ", "Ada Lindqvist ", "\u200b", "&#64;", "\\u0040", "й ", "1 ", "1/", "1_", "a@\u200b"]
)
def test_odd_spellings_without_end_do_not_keep_the_masking_busy(piece):
    known = frozenset(f"Ada Lindqvist {number}" for number in range(MOST_KNOWN))
    began = time.thread_time()

    Masking(known=known).text(piece * (200_000 // len(piece)))

    assert time.thread_time() - began < 2


def test_exports_do_not_tell_what_stands_in_a_header(app, event_id):
    client = enter(app, WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"])
    for path in ("/events.jsonl", "/events.csv", "/deliveries.jsonl", "/deliveries.csv"):
        text = client.get(path, headers=SAME).text
        assert event_id in text
        assert [secret for secret in SECRETS if secret in text] == [], path
    (line,) = client.get("/events.jsonl", headers=SAME).text.splitlines()
    assert json.loads(line)["headers"]["content-type"] == "application/json"
    assert json.loads(line)["headers"]["x-customer"] == "P•••"


def test_the_token_that_reads_does_not_read_persons(app, event_id):
    delivery_id = ask(app, f"/api/v1/events/{event_id}", READ).json["deliveries"][0]["id"]
    paths = [f"/events/{event_id}", "/events", f"/deliveries/{delivery_id}", "/deliveries", f"/events?q={EMAIL}"]
    for path in paths:
        answer = ask(app, f"/api/v1{path}", READ)
        assert answer.status_code == 200
        text = json.dumps(answer.json, ensure_ascii=False)
        assert event_id in text
        assert [secret for secret in SECRETS if secret in text] == [], path
    body = json.loads(ask(app, f"/api/v1/events/{event_id}", READ).json["body"])
    assert (body["document"], body["id"], body["email"]) == ("lead", 7, "i•••@e•••.com")


def test_the_token_that_acts_sees_everything(app, event_id):
    wire = ask(app, f"/api/v1/events/{event_id}", WEB_SECRETS["RELAY_API_TOKEN"]).json

    assert json.loads(wire["body"])["email"] == EMAIL
    assert wire["headers"]["x-customer"] == "Pencil"


def test_a_token_that_reads_does_not_have_large_bodies_masked_for_it(app):
    body = dump({"email": EMAIL, "x": "y" * 100_000})
    sent = app.test_client().post("/hooks/website", data=body, headers=website()).json

    told = ask(app, f"/api/v1/events/{sent['event_id']}", READ).json["body"]

    assert told == f"({len(body)} bytes: too large to be masked; RELAY_API_TOKEN sees it)"


def test_the_token_of_the_metrics_opens_nothing_else(app, event_id):
    outside = {"REMOTE_ADDR": "203.0.113.9"}
    headers = {"Authorization": f"Bearer {METRICS}"}

    assert app.test_client().get("/metrics", headers=headers, environ_overrides=outside).status_code == 200
    for path in ("/events", f"/events/{event_id}", "/deliveries", "/audit", "/portals"):
        answer = app.test_client().get(f"/api/v1{path}", headers=headers, environ_overrides=outside)
        assert answer.status_code in {401, 429}, path
