"""Who sends a form with a browser sees a page in their own language: thanks, or what is wrong. A machine gets JSON."""

from __future__ import annotations

import re

import pytest

from relay.core.catalogue import EXPECTED, VALUES
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState
from relay.rules.values import TYPES, Items, Text, bounds
from relay.store.record.search import Filter, list_events
from relay.web.answers import ENTRIES, LANGUAGES, SAYINGS, WAY_BACK, Words
from relay.web.language import languages
from tests.support.forms import FILLED, SITE, THANKS, copy_config_with_forms
from tests.support.senders import dump, website

VISIT = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Origin": SITE}
SCRIPT = {"Accept": "*/*", "Origin": SITE}


@pytest.fixture(scope="module")
def with_forms(make_app, shared_valkey, tmp_path_factory):
    return make_app(shared_valkey, config=copy_config_with_forms(tmp_path_factory.mktemp("forms")))


@pytest.fixture
def client(with_forms, valkey):
    return with_forms.test_client()


def only_event(record):
    (row,) = list_events(record, Filter()).rows
    return row.event


def lang(answer):
    return re.search(r'<html lang="(..)">', answer.text)[1]


def test_a_visitor_is_thanked_and_the_form_is_an_event(client, record):
    answer = client.post("/hooks/contact", data=FILLED, headers=VISIT)

    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert "<h1>Thank you</h1>" in answer.text
    assert only_event(record).state is EventState.ACCEPTED


def test_a_visitor_goes_to_the_page_that_the_configuration_names(client, record):
    answer = client.post("/hooks/contact-thanks", data=FILLED, headers=VISIT)

    assert (answer.status_code, answer.headers["Location"]) == (303, THANKS)
    assert only_event(record).state is EventState.ACCEPTED


@pytest.mark.parametrize("where", ["?thanks=https://evil.example", "?next=//evil.example"])
def test_nothing_that_is_sent_changes_where_a_visitor_goes(client, where):
    more = {"thanks": "https://evil.example", "next": "https://evil.example", "_next": "https://evil.example"}
    headers = {**VISIT, "Referer": "https://evil.example/", "X-Forwarded-Host": "evil.example"}

    answer = client.post(f"/hooks/contact-thanks{where}", data={**FILLED, **more}, headers=headers)

    assert answer.headers["Location"] == THANKS
    assert "evil" not in client.post(f"/hooks/contact{where}", data={**FILLED, **more}, headers=headers).text


@pytest.mark.parametrize(
    ("headers", "is_visit"),
    [
        (VISIT, True),
        ({"Accept": "text/html"}, True),
        ({"Accept": "text/html;q=0.9,application/json;q=0.8"}, True),
        ({"Accept": "*/*", "Sec-Fetch-Mode": "navigate"}, True),
        ({"Accept": "*/*"}, False),
        ({}, False),
        ({"Accept": "application/json"}, False),
        ({"Accept": "application/json, text/html;q=0.9"}, False),
        ({"Accept": "text/html", "Sec-Fetch-Mode": "cors"}, False),
        ({"Accept": "text/html", "Sec-Fetch-Mode": "no-cors"}, False),
    ],
)
def test_a_page_is_for_who_goes_to_one_and_json_for_who_asks(client, headers, is_visit):
    answer = client.post("/hooks/contact", data=FILLED, headers=headers)

    assert answer.mimetype == ("text/html" if is_visit else "application/json")


def test_a_source_without_a_form_answers_a_browser_as_ever(client):
    answer = client.post("/hooks/open-form", data={"contact[id]": "1"}, headers=VISIT)

    assert (answer.status_code, answer.get_json()["state"]) == (200, "accepted")


def test_a_script_gets_json_for_every_outcome(client):
    good = client.post("/hooks/contact", json=FILLED, headers=SCRIPT)
    bad = client.post("/hooks/contact", json={**FILLED, "email": "none"}, headers=SCRIPT)

    assert (good.status_code, good.get_json()["state"]) == (200, "accepted")
    assert (bad.status_code, bad.mimetype) == (422, "application/problem+json")
    assert bad.get_json()["errors"] == {"email": ["expected an e-mail address"]}


def test_a_form_that_does_not_fit_is_told_field_by_field(client, record):
    wrong = {**FILLED, "name": "", "email": "none", "guests": "9", "topics": "tea"}

    answer = client.post("/hooks/contact", data=wrong, headers={**VISIT, "Accept-Language": "de"})

    assert answer.status_code == 422
    assert re.findall(r"<dt>(\w+)</dt><dd>(.+?)</dd>", answer.text) == [
        ("name", "bitte ausfüllen"),
        ("email", "bitte eine E-Mail-Adresse eingeben"),
        ("guests", "bitte eine Zahl von 1 bis 5 eingeben"),
        ("topics", "bitte eines davon wählen: price, demo"),
    ]
    assert Words("de").say(WAY_BACK) in answer.text
    assert only_event(record).state is EventState.REJECTED


def test_a_source_that_accepts_what_no_rule_can_use_thanks_for_it(client):
    assert client.post("/hooks/contact-thanks", data={"name": ""}, headers=VISIT).status_code == 303


@pytest.mark.parametrize(
    ("accepted", "spoken"),
    [
        ("", "en"),
        ("ru", "ru"),
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("uk-UA", "uk"),
        ("de-AT,de;q=0.9", "de"),
        ("pt-BR,pt;q=0.9,en;q=0.8", "pt"),
        ("ja,pl;q=0.5,en;q=0.3", "pl"),
        ("ja", "en"),
        ("*", "en"),
        ("en;q=0.2,fr;q=0.7", "fr"),
        ("\xff<script>", "en"),
    ],
)
def test_a_page_speaks_the_language_that_the_visitor_likes_best(client, accepted, spoken):
    answer = client.post("/hooks/contact", data=FILLED, headers={**VISIT, "Accept-Language": accepted})

    assert (lang(answer), answer.headers["Content-Language"]) == (spoken, spoken)
    assert Words(spoken).say(SAYINGS["thanks"][0]) in answer.text


def test_forms_speak_eight_languages_and_the_dashboard_those_that_have_all_its_texts():
    assert set(LANGUAGES) == {"en", "ru", "uk", "de", "fr", "es", "pl", "pt"}
    assert set(languages()) == {"en", "ru"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_fault_of_an_entry_is_told_in_every_language_with_its_values(language):
    """What is missing in a catalogue, tests/meta/test_words.py says."""
    told = {one.code: Words(language).of_entry(one) for one in every_fault()}

    assert "%(" not in "".join(told.values())
    assert told["expected_phone"].count("7") == 1
    assert "a, b" in told["expected_choice"]


def every_fault():
    """Each fault that a value of a rule can have."""
    spec = {"min": None, "max": None, "max_length": None, "choices": None}
    limits = [{"min": 1}, {"max": 5}, {"min": 1, "max": 5}, {"max_length": 3}, {"choices": ["a", "b"]}]
    fields = [kind() for kind in TYPES.values()] + [Items(Text())]
    checks = [check for limit in limits for check in bounds("string", spec | limit)]
    checks += bounds("list", spec | {"max_length": 3})
    found = [field.error_messages["required"] for field in fields] + [field.expected for field in fields]
    return found + [check.error for check in checks]


def test_only_what_no_visitor_could_act_on_is_told_in_general_words():
    general = {one for one in every_fault() if Words("en").of_entry(one) == "this does not fit"}

    assert general == {"expected text", "expected true or false", "expected a list"}
    assert set(ENTRIES) <= set(EXPECTED) | set(VALUES)


@pytest.mark.parametrize(
    ("status", "send", "saying"),
    [
        (400, {"data": b"{", "content_type": "application/json"}, "unreadable"),
        (415, {"data": b"a", "content_type": "image/png"}, "unreadable"),
        (413, {"data": {**FILLED, "note": "x" * 3000}}, "large"),
        (405, {"data": FILLED, "method": "PUT"}, "refused"),
    ],
)
def test_what_goes_wrong_is_told_as_a_page(client, status, send, saying):
    answer = client.open("/hooks/contact", **{"method": "POST", "headers": VISIT, **send})

    assert (answer.status_code, answer.mimetype) == (status, "text/html")
    assert SAYINGS[saying][1] in answer.text
    assert SITE not in answer.text


@pytest.mark.parametrize("trouble", ["make_read_only", "make_full"])
def test_while_nothing_can_be_saved_a_page_says_so_and_when_to_come_again(client, valkey, trouble):
    getattr(valkey, trouble)()

    answer = client.post("/hooks/contact", data=FILLED, headers=VISIT)

    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert int(answer.headers["Retry-After"]) > 0
    assert "could not be saved" in answer.text


def test_where_too_many_forms_come_a_page_says_so(client, with_forms, monkeypatch):
    monkeypatch.setattr(with_forms.extensions["services"].ingest._pauses, "sit_out", lambda *_, **__: 7)

    answer = client.post("/hooks/contact", data=FILLED, headers=VISIT)

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert "Too many forms" in answer.text


def test_nothing_of_a_page_runs_and_nothing_is_fetched(client):
    answer = client.post("/hooks/contact", data=FILLED, headers=VISIT)

    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert policy.endswith(f"form-action 'none'; frame-ancestors {SITE}")
    assert answer.headers["X-Robots-Tag"] == "noindex"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert not re.findall(r"<script|<link|<img|\ssrc=|\son\w+=|\sstyle=", answer.text)


@pytest.mark.parametrize(
    ("referer", "is_linked"),
    [
        (f"{SITE}/contact?q=1", True),
        (SITE, True),
        (f'{SITE}/"><script>alert(1)</script>', True),
        ("https://site.example.evil/", False),
        ("https://evil.example/https://site.example", False),
        ("https://ada:secret@site.example/", False),
        ("https://site.example:444/", False),
        ("http://site.example/", False),
        ("javascript:alert(1)//https://site.example", False),
        ("https://[site.example", False),
        ("", False),
    ],
)
def test_only_a_page_of_the_site_is_linked(client, referer, is_linked):
    page = client.post("/hooks/contact", data=FILLED, headers={**VISIT, "Referer": referer}).text

    assert ("<a href=" in page) is is_linked
    assert "<script>" not in page


def test_nothing_that_was_typed_stands_on_a_page(client):
    typed = {"name": "<b>Ada</b>" * 9, "email": "<i>none</i>", "<u>field</u>": "<s>x</s>"}

    page = client.post("/hooks/contact", data=typed, headers=VISIT).text

    assert not [mark for mark in ("Ada", "none<", "field", "<s>") if mark in page]


# Machines that fill in forms.


def test_a_machine_that_fills_in_what_nobody_sees_is_thanked_and_refused(client, record):
    answer = client.post("/hooks/contact", data={**FILLED, "_gotcha": "http://spam.example"}, headers=VISIT)

    assert "<h1>Thank you</h1>" in answer.text
    event = only_event(record)
    assert (event.state, event.reason) == (EventState.REFUSED, "honeypot")
    assert (event.body, event.headers, event.query) == (b"", {}, "")


@pytest.mark.parametrize("filled", ["x", ["", "x"], 1, ["x"], False])
def test_any_way_of_filling_it_in_counts(client, record, filled):
    answer = client.post("/hooks/contact", json={**FILLED, "_gotcha": filled}, headers=SCRIPT)

    assert (answer.status_code, answer.get_json()["state"]) == (200, "refused")
    assert only_event(record).reason == "honeypot"


@pytest.mark.parametrize("filled", ["", "  ", None, [], [""]])
def test_what_a_person_leaves_empty_is_empty(client, filled):
    assert client.post("/hooks/contact", json={**FILLED, "_gotcha": filled}).get_json()["state"] == "accepted"


def at(moment, seconds):
    return str(int((moment.timestamp() + seconds) * 1000))


@pytest.mark.parametrize(
    ("shown", "sent", "is_refused"),
    [
        (-1.5, None, True),
        (-2.5, None, False),
        (-3600, None, False),
        (0, None, True),
        (+300, None, False),  # a clock that is ahead of ours tells nothing
        (+300, +301, True),
        (+300, +303, False),
        (-300, -299, True),
    ],
)
def test_a_form_that_is_sent_sooner_than_anybody_can_type_is_refused(client, record, shown, sent, is_refused):
    now = utc_now()
    times = {"_started": at(now, shown)} | ({} if sent is None else {"_sent": at(now, sent)})

    answer = client.post("/hooks/contact", data={**FILLED, **times}, headers=VISIT)

    assert answer.status_code == 200
    event = only_event(record)
    assert (event.reason == "too_fast", event.state is EventState.REFUSED) == (is_refused, is_refused)


@pytest.mark.parametrize(
    "started", ["", "soon", "NaN", "inf", "-1", "0", "1e300", "9" * 400, [1], {"a": 1}, None, True]
)
def test_a_time_that_is_none_proves_nothing(client, started):
    answer = client.post("/hooks/contact", json={**FILLED, "_started": started})

    assert (answer.status_code, answer.get_json()["state"]) == (200, "accepted")


def test_a_form_is_read_for_spam_wherever_it_may_be_a_list(client):
    assert client.post("/hooks/contact", json=[FILLED]).status_code in {200, 422}


def test_two_clicks_are_one_event_and_thanked_twice(client, record):
    answers = [client.post("/hooks/contact", data=FILLED, headers=VISIT) for _ in range(2)]

    assert ["Thank you" in answer.text for answer in answers] == [True, True]
    assert only_event(record).duplicates == 1
    assert record.counts().total == 1


def test_the_page_of_sources_counts_what_was_turned_away(client, with_forms):
    client.post("/hooks/contact", data={**FILLED, "_gotcha": "x"})
    client.post("/hooks/contact", data=FILLED, headers={**VISIT, "Origin": "https://www.site.example"})
    client.post("/login", data={"password": "dashboard-password-of-the-test"}, headers={"Origin": "http://localhost"})

    page = client.get("/sources?open=contact").text

    assert "1 refused: the field _gotcha was filled in, which no person sees" in page
    assert "1 refused: the page is on the same site, but with www." in page


def test_what_is_proven_by_a_token_may_be_a_form_too(client):
    assert (
        client.post("/hooks/website", data=dump({"lead": {"id": 1}, "user": 1}), headers=website()).status_code == 200
    )
