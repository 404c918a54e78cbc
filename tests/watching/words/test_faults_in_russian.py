"""Faults, roles and notes of the log are said in the language of who looks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from marshmallow import ValidationError, missing

from relay.core.errors import Mistake, UnreadableError, UnsupportedTypeError
from relay.core.faults import as_text, fault, fault_of, from_text
from relay.core.ids import to_ms, utc_now
from relay.core.lifecycle import EventState
from relay.core.phrases import Moment
from relay.rules.values import TYPES, typed
from relay.sources.bodies import parse_body, unpack
from relay.store import Store
from relay.store.operators.audit_log import Act, log_act, read_acts
from relay.store.redis import keys
from relay.web.language import say_fault
from relay.web.presenters.audit import note_of
from tests.support.making import make_entry, write
from tests.support.pages import SAME

RUSSIAN = {"Accept-Language": "ru"}
UNBOUNDED: dict[str, Any] = dict.fromkeys(("min", "max", "max_length", "choices", "region", "items", "default"))
SPECS = {
    **{kind: {"type": kind} for kind in TYPES},
    "a phone of a region": {"type": "phone", "region": "RU"},
    "a list": {"type": "list", "items": "integer"},
    "too short a list": {"type": "list", "items": "integer", "max_length": 0},
    "too long": {"type": "string", "max_length": 0},
    "too small": {"type": "integer", "min": 2},
    "too large": {"type": "integer", "max": 0},
    "between": {"type": "integer", "min": 2, "max": 3},
    "none of them": {"type": "integer", "choices": [2, 3]},
}
WRONG = ({}, [{}], True, "1", 1, missing)
"""Each type refuses one of these, and each bound another."""
BODIES = {
    "broken": ("application/json", b"{"),
    "two": ("application/json", b"1 2"),
    "a long number": ("application/json", b"1" * 5000),
    "infinite": ("application/json", b"NaN"),
    "large": ("application/json", b"1e999"),
    "deep": ("application/json", b"[" * 90 + b"]" * 90),
    "very deep": ("application/json", b"[" * 100_000),
    "NUL": ("application/json", b'"\\u0000"'),
    "half a pair": ("application/json", b'"\\ud800"'),
    "empty": ("application/json", b""),
    "another charset": ("application/json", b'"\xff"'),
    "no charset": ("application/json; charset=none", b"1"),
    "many fields": ("application/x-www-form-urlencoded", b"a[]=&" * 30_000),
    "no boundary": ("multipart/form-data", b"a"),
    "no end": ("multipart/form-data; boundary=a", b"--a"),
    "no head": ("multipart/form-data; boundary=a", b"--a\r\n--a--"),
    "no name": ("multipart/form-data; boundary=a", b"--a\r\n\r\n\r\n--a--"),
    "no type": ("", b"\xff"),
    "a picture": ("image/png", b"a"),
    "a page": ("text/html", b"a"),
    "XML": ("text/xml", b"a"),
    "SOAP": ("application/soap+xml", b"a"),
    "rows": ("application/x-ndjson", b"a"),
    "binary": ("application/cbor", b"a"),
    "parts": ("multipart/mixed", b"a"),
    "unknown": ("x/y", b"a"),
}


def messages_of(spec: dict[str, Any]) -> Iterator[str]:
    field = typed(UNBOUNDED | {"required": True} | spec, "value")
    for wrong in WRONG:
        try:
            field.deserialize(wrong)
        except ValidationError as error:
            yield from error.messages


def is_english(text: str) -> bool:
    return not re.search(r"[\u0400-\u04ff]", text) or re.search(r"expected|missing| is | of | not ", text) is not None


def test_whatever_is_wrong_with_a_value_the_page_of_its_event_says_it_in_russian(operator, record):
    messages = {
        f"{name}-{number}": text for name, spec in SPECS.items() for number, text in enumerate(messages_of(spec))
    }
    assert {name.rpartition("-")[0] for name in messages} == {*SPECS}
    entry = make_entry([], state=EventState.REJECTED, at=utc_now())
    errors = {name: [text] for name, text in messages.items()}
    write(record, replace(entry, event=replace(entry.event, errors=errors)))

    page = operator.get(f"/events/{entry.event.id}", headers=SAME | RUSSIAN).text

    said = dict(re.findall(r'<dt class="mono" translate="no">([^<]+)</dt><dd>([^<]+)</dd>', page))
    assert {*said} >= {*messages}
    assert {messages[name]: said[name] for name in messages if is_english(said[name])} == {}


@pytest.mark.parametrize(("kind", "body"), BODIES.values(), ids=BODIES)
def test_why_a_body_cannot_be_read_is_said_in_russian_of_one_and_of_many(app, kind: str, body: bytes):
    with pytest.raises((UnreadableError, UnsupportedTypeError)) as raised:
        parse_body(kind, body)
    with app.test_request_context(headers=RUSSIAN):
        why = raised.value.message
        for one in (why, fault("body_not_kept", why=why, size=5000), fault_of(why, {})):
            assert not is_english(say_fault(one))
            assert not is_english(say_fault(from_text(as_text(one))))


@pytest.mark.parametrize(("encoding", "body"), [("br", b"a"), ("deflate", b"\xff"), ("gzip", b"\x1f\x8b\x08")])
def test_why_a_body_cannot_be_unpacked_is_said_in_russian(app, encoding: str, body: bytes):
    with pytest.raises((UnreadableError, UnsupportedTypeError)) as raised:
        unpack(encoding, body, 10)
    with app.test_request_context(headers=RUSSIAN):
        assert not is_english(say_fault(raised.value.message))


RULE = """
name: a-rule
source: websit
when: "a ["
extract:
  id: {from: body.id, type: intger, min: x}
  email: {type: email}
start:
  portal: man
  template_id: first
  templat_id: 1
  document_id: {lead: "{idd}"}
  parameters: [1]
"""


def test_mistakes_in_a_rule_are_said_in_russian_in_the_studio(operator):
    page = operator.post("/studio", data={"text": RULE}, headers=SAME | RUSSIAN).text
    (said,) = re.findall(r'<ul class="mistakes">(.*)</ul>', page)
    mistakes = said.split("<li>")[1:]
    assert len(mistakes) == 11
    assert [one for one in mistakes if is_english(one)] == []


def test_a_mistake_is_said_after_its_file_and_keys_and_one_of_an_earlier_version_stays_as_it_is(operator, redis):
    wrong = fault("missing", expected=fault("expected_text"))
    files = Store(redis).files
    files.say_waiting("web@here", [Mistake("config/rules/a.yaml", 6, wrong, ("extract", "id"))], utc_now())
    old = {"mistakes": ["rules/a.yaml:6: id: missing: expected text"], "since": 0, "seen": to_ms(utc_now())}
    redis.hset(keys.WAITING_FILES, "web@there", json.dumps(old))
    ours, _ = files.waiting(utc_now())
    page = operator.get("/rules", headers=SAME | RUSSIAN).text
    assert "<li><code>config/rules/a.yaml:6: extract.id</code>: нет значения: ожидается текст</li>" in page
    assert "<li>rules/a.yaml:6: id: missing: expected text</li>" in page
    assert ours.to_wire()["mistakes"] == ["config/rules/a.yaml:6: extract.id: missing: expected text"]


AT = datetime(2026, 11, 26, tzinfo=UTC)
SIX = "2026-11-26T06:01:00+00:00"
ENDED = fault("bulk_ended", done=30, skipped=2)
WANTED = {
    "state": "rejected",
    "fault": as_text(fault("cannot_be_filled", fields=["a", "b"])),
    "until": SIX,
    "needs": "1",
}


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (
            Act(AT, "operator", "pause", "main", "", fault("paused_until", until=Moment(datetime.fromisoformat(SIX)))),
            "до 2026-11-26 09:01",
        ),
        (
            Act(AT, "operator", "bulk leave", "rpl_1", "a, b", "", WANTED),
            "Состояние: не заполнено, Неполадка: нельзя заполнить: a, b, До: 2026-11-26 09:01",
        ),
        (Act(AT, "operator", "bulk replay finished", "rpl_1", "", ENDED), "сделано 30, пропущено 2"),
        (
            Act(AT, "operator", "pause", "main", "until 2026-11-26 06:01 UTC"),
            "",
        ),
        (Act(AT, "operator", "leave", "dlv_1", "30 done, 2 skipped"), ""),
    ],
    ids=["a pause", "an order with a note", "the end of an order", "of an earlier version", "a person's words"],
)
def test_a_note_of_the_log_is_in_the_language_and_zone_of_who_looks_but_for_a_persons_words(
    app, operator, record, act, said
):
    log_act(record.redis, act)
    with app.test_request_context(headers=RUSSIAN | {"Cookie": "zone=Europe/Moscow"}):
        assert note_of(read_acts(record.redis)[0]) == said
    page = operator.get("/log", headers=SAME | RUSSIAN).text
    assert (f'<bdi translate="no">{act.note}</bdi>' in page) is bool(act.note)


def test_the_log_names_a_role_in_the_language_of_who_looks_and_a_name_as_it_is(operator, record):
    for who in ("operator", "api", "ann"):
        log_act(record.redis, Act(utc_now(), who, "resume", "main", ""))
    page = operator.get("/log", headers=SAME | RUSSIAN).text
    assert [who for who in ("оператор", "api", "ann", "operator") if f">{who}<" in page] == ["оператор", "api", "ann"]
