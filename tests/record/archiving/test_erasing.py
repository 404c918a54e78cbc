"""A person is removed from the record everywhere, and nobody else is; what cannot be done is said and not half done."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote_plus

import pytest
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer

from relay.cli.main import main
from relay.core.events import CallbackSettings, Policy, new_callback
from relay.core.lifecycle import EventState, State
from relay.core.placeholders import Placeholder, PlaceholderValue
from relay.core.plan import Plan, Step, StepKind
from relay.operations.erase import Eraser, Needle, NotErasableError
from relay.store import Store
from relay.store.operators.audit_log import Act, log_act, read_acts
from relay.store.operators.drafts import Draft
from relay.store.portals.gate import Gate
from relay.store.portals.questions import Asked, Questions
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Endings
from relay.store.redis import keys
from tests.support.folders import WEB_SECRETS
from tests.support.making import NOON, bring_to, claim_one, make_attempt, make_call, make_delivery, make_entry, write

EMAIL, PHONE = "ada@example.com", "+44 20 7946 0000"
PERSONS = PersonIndex(WEB_SECRETS["RELAY_SECRET_KEY"])


def quietly(_seen, _total):
    """No progress is shown."""


@pytest.fixture
def eraser(record):
    return Eraser(Store(record.redis), PERSONS)


def write_with(record, *, body=b"{}", parameters=None, person_keys=(), digest=None, **about):
    """An event with one delivery that is waiting; the entry."""
    entry = make_entry([], state=EventState.ACCEPTED, body=body, digest=digest)
    delivery = make_delivery(entry.event.id, call=make_call(parameters=parameters or {}))
    event = replace(entry.event, deliveries=(delivery.id,), person_keys=PERSONS.keys_of(person_keys), **about)
    write(record, replace(entry, event=event, deliveries=[delivery]))
    return event, delivery


def finish(record, delivery, description=None):
    claimed = claim_one(record, delivery, NOON)
    attempt = replace(make_attempt(), description=description)
    record.settle(claimed, State.DEAD, NOON, attempt=attempt, reason="x")


def end_with(record, query):
    """A delivery whose workflow has ended with this."""
    entry = make_entry()
    watched = new_callback("https://relay.example.com")
    watching = replace(entry.deliveries[0], policy=Policy(watch=CallbackSettings("Back", 60)), watched=watched)
    write(record, replace(entry, deliveries=[watching]))
    record.settle(claim_one(record, watching, NOON), State.STARTED, NOON)
    Endings(record.redis).finish(watched.address.rpartition("/")[2], NOON, query)


def test_what_came_with_the_end_of_a_workflow_is_found_and_its_address_goes_too(record, eraser):
    end_with(record, "s=ok&mail=ada%40example.com")

    traces = eraser.find(EMAIL, quietly)
    eraser.erase(EMAIL, traces, "someone", cancel=False)

    assert len(traces.events) == 1
    assert "ada" not in everything(record.redis)
    assert not record.redis.exists(keys.ADDRESSES, keys.AWAITED, keys.OVERDUE)


def everything(redis):
    """All that the server holds, as one text. What expires meanwhile is gone."""
    read = {
        b"hash": redis.hgetall, b"string": redis.get, b"list": lambda key: redis.lrange(key, 0, -1),
        b"zset": lambda key: redis.zrange(key, 0, -1), b"set": redis.smembers, b"stream": redis.xrange,
        b"none": lambda _: None,
    }  # fmt: skip
    return repr([(key, read[redis.type(key)](key)) for key in redis.scan_iter("relay:*")])


# However it is spelled, and no random id that happens to have her three letters.
HER_ADDRESS = re.compile(r"ada(@|%40|\\+u0040)", re.IGNORECASE)

PLACES = [
    {"body": b'{"email": "ada@example.com"}'},
    {"body": b'{"email": "Ada@Example.COM"}'},
    {"body": b"name=x&email=ada%40example.com"},
    {"body": b'{"email": "ada\\u0040example.com"}'},
    {"body": b"<p>Write to ada@example.com.</p>"},
    {"body": b'{"a": 1}', "query": "email=ada%40example.com"},
    {"headers": {"from": "Ada <ada@example.com>"}},
    {"parameters": {"Email": EMAIL}},
    {"parameters": {"Notes": ["x", f"mailto:{EMAIL}"]}},
    {"errors": {"email": [f"{EMAIL} is taken"]}},
    {"person_keys": (EMAIL,)},
]


NAME = "\u0410\u0434\u0430 \u041b\u0430\u0432\u043b\u0435\u0439\u0441 Andri\u0107"


@pytest.mark.parametrize("charset", ["windows-1251", "koi8-r", "utf-8"])
@pytest.mark.parametrize("is_encoded", [True, False], ids=["percent-encoded", "as it is"])
def test_a_name_is_found_in_whatever_charset_its_page_was(eraser, record, redis, charset, is_encoded):
    raw = NAME.encode(charset, "xmlcharrefreplace")
    kept = quote_plus(raw).encode() if is_encoded else raw
    write_with(record, body=b"name=" + kept)
    write_with(record, body=b"{}", query="name=" + quote_plus(raw))
    write_with(record, body=b"name=" + kept.replace(b"and", b"AND").replace(b"Andri", b"Ondri"))

    traces = eraser.find(NAME.upper(), quietly)

    assert len(traces.events) == 2


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_wherever_the_value_stands_its_event_goes_and_no_other(eraser, record, redis, place):
    _, delivery = write_with(record, **place)
    finish(record, delivery)
    other, staying = write_with(record, body=b'{"email": "bob@example.com"}', person_keys=("bob@example.com",))
    finish(record, staying)

    traces = eraser.find(EMAIL, quietly)
    eraser.erase(EMAIL, traces, "terminal", cancel=False)

    assert (len(traces.events), traces.deliveries) == (1, 1)
    assert not eraser.find(EMAIL, quietly)
    assert not eraser.is_marked(EMAIL)
    assert not HER_ADDRESS.search(everything(redis))
    assert record.event(other.id)
    assert (record.counts().imbalances, record.counts().total) == ([], 1)


@pytest.mark.parametrize(
    "values",
    [
        {"email": EMAIL},
        {"email": ["x", EMAIL]},
        {"title": PlaceholderValue((f"{EMAIL}, client ", Placeholder("client")), has_value=True)},
    ],
)
def test_a_value_that_only_the_steps_before_a_call_have_is_erased_as_well(eraser, record, redis, values):
    entry = make_entry()
    plan = Plan("dlv_1", (Step("lead", StepKind.MAKE, "lead", 1, values),), entry.deliveries[0].call)
    write(record, replace(entry, deliveries=[replace(entry.deliveries[0], plan=plan)]))
    finish(record, entry.deliveries[0])

    eraser.erase(EMAIL, eraser.find(EMAIL, quietly), "terminal", cancel=False)

    assert not HER_ADDRESS.search(everything(redis))
    assert record.counts().total == 0


def test_what_the_portal_said_of_a_person_is_erased_as_well(eraser, record):
    _, delivery = write_with(record)
    finish(record, delivery, f"no contact {EMAIL}")

    eraser.erase(EMAIL, eraser.find(EMAIL, quietly), "terminal", cancel=False)

    assert record.counts().total == 0


def test_erasing_searches_logs_questions_kept_answers_and_dedup_keys(eraser, record, redis):
    _, delivery = write_with(record, body=f'"{EMAIL}"'.encode(), digest="of-the-value")
    finish(record, delivery)
    log_act(redis, Act(NOON, "operator", "settle", "dlv_1", f"called {EMAIL}"))
    log_act(redis, Act(NOON, "operator", "settle", "dlv_2", "called nobody"))
    Gate(redis, "main").alert("x", NOON, about=EMAIL)
    redis.set(keys.ONCE + "1", json.dumps({"answer": {"Email": EMAIL}}))
    redis.set(keys.ONCE + "2", json.dumps({"answer": {"Email": "bob@example.com"}}))
    questions = Questions(redis)
    asked = questions.ask("main", "kill", "wf-1", NOON)
    questions.answer(asked.id, done=False, answer=f"{EMAIL} may not")

    traces = eraser.find(EMAIL, quietly)
    eraser.erase(EMAIL, traces, "terminal", cancel=False)

    assert (len(traces.entries), len(traces.keys)) == (2, 3)
    assert not redis.exists(keys.dedup("website", "of-the-value"))
    assert redis.exists(keys.ONCE + "2")
    assert not HER_ADDRESS.search(everything(redis))
    erased, kept = read_acts(redis)
    assert (erased.what, erased.subject, kept.note) == ("erase", PERSONS.key_of(EMAIL), "called nobody")


def test_erasing_searches_drafts_and_leaves_all_others(eraser, redis):
    drafts = Store(redis).operators.drafts
    for subject, text in (("rule:a", f"when: body.email == '{EMAIL}'"), ("rule:b", "when: body.email")):
        drafts.keep("ann", Draft(subject, text, "", NOON))
    held = drafts.read("ann", "rule:b")
    drafts.keep("ann", held.changed(f"{held.text} == '{EMAIL}'", NOON).changed("name: b", NOON))
    drafts.keep("bob", Draft("rule:a", "name: a", "", NOON))

    traces = eraser.find(EMAIL, quietly)
    eraser.erase(EMAIL, traces, "terminal", cancel=False)

    assert len(traces.drafts) == 2
    assert (drafts.all("ann"), [one.text for one in drafts.all("bob")]) == ([], ["name: a"])


def test_erasing_is_not_disturbed_by_the_note_of_a_question_that_is_not_asked_again(eraser, record, redis):
    write_with(record, body=f'"{EMAIL}"'.encode())
    Questions(redis).ask_at_most(timedelta(minutes=1), "main", Asked.TEMPLATES, NOON)

    assert len(eraser.find(EMAIL, quietly).events) == 1


def test_erasing_searches_the_jobs_that_have_failed_as_rq_keeps_them(eraser, redis):
    queue = Queue("relay", connection=redis, serializer=JSONSerializer)
    hers, others = (queue.enqueue("workers.jobs.serve", text) for text in (EMAIL, "nobody"))
    worker = SimpleWorker([queue], connection=redis, serializer=JSONSerializer)
    for job in (hers, others):
        worker.handle_job_failure(job, queue, exc_string=f"ValueError: {job.args[0]} " + "x" * 1000)
    assert redis.exists(f"rq:results:{hers.id}")

    eraser.erase(EMAIL, eraser.find(EMAIL, quietly), "terminal", cancel=False)

    assert not redis.exists(hers.key, f"rq:results:{hers.id}")
    assert redis.exists(others.key, f"rq:results:{others.id}") == 2


@pytest.mark.parametrize("given", [PHONE, "+442079460000", "44 (20) 7946-0000"])
@pytest.mark.parametrize("stored", ["+44 20 7946 0000", "442079460000", "+44(20)7946-0000"])
def test_a_phone_is_found_whatever_its_punctuation(given, stored):
    assert Needle(given).is_in(f'{{"phone": "{stored}"}}')


@pytest.mark.parametrize(
    "text", ["joada@example.com", "ada@example.com.au", "ada@example.community", "x.ada@example.com", "1442079460000"]
)
def test_another_persons_value_that_holds_it_is_not_found(text):
    assert not Needle(EMAIL).is_in(text)
    assert not Needle(PHONE).is_in(text)


@pytest.mark.parametrize("value", ["", "  ", "abc"])
def test_a_value_that_is_in_everything_is_refused(eraser, value):
    with pytest.raises(NotErasableError):
        eraser.find(value, quietly)


@pytest.mark.parametrize("state", [State.PENDING, State.RETRYING, State.UNCERTAIN])
def test_what_is_not_final_is_given_up_only_where_that_is_asked(eraser, record, state):
    bring_to(record, state, body=EMAIL.encode())
    traces = eraser.find(EMAIL, quietly)

    with pytest.raises(NotErasableError, match="--cancel"):
        eraser.erase(EMAIL, traces, "terminal", cancel=False)
    assert record.counts().total == 1
    eraser.erase(EMAIL, traces, "terminal", cancel=True)

    assert (record.counts().total, record.counts().imbalances) == (0, [])


def test_what_is_being_sent_is_left_alone(eraser, record):
    bring_to(record, State.SENDING, body=EMAIL.encode())

    with pytest.raises(NotErasableError, match="being sent"):
        eraser.erase(EMAIL, eraser.find(EMAIL, quietly), "terminal", cancel=True)

    assert record.counts().total == 1


def test_erasing_looks_at_every_event(eraser, record, monkeypatch):
    monkeypatch.setattr("relay.operations.erase.AT_ONCE", 2)
    for _ in range(5):
        finish(record, write_with(record, body=EMAIL.encode())[1])
    steps = []

    traces = eraser.find(EMAIL, lambda *step: steps.append(step))

    assert len(traces.events) == 5
    assert steps == [(2, 5), (4, 5), (5, 5)]


@pytest.fixture
def terminal(valkey, monkeypatch, config):
    monkeypatch.setenv("REDIS_URL", valkey.url)
    monkeypatch.setenv("RELAY_CONFIG", str(config))
    monkeypatch.setenv("RELAY_SECRET_KEY", WEB_SECRETS["RELAY_SECRET_KEY"])


def erase(*options):
    return main(["erase", "--value", EMAIL, *options])


def test_the_command_to_erase_proves_what_it_did(terminal, record, capsys):
    finish(record, write_with(record, body=EMAIL.encode())[1])

    assert erase("--yes") == 0

    printed = capsys.readouterr().out
    assert "erased 1 event with 1 delivery" in printed
    assert "searched again: found nowhere" in printed
    assert "append-only file" in printed
    assert record.counts().total_events == 0
    assert erase() == 0
    assert "found nowhere" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "left"), [("n", 1), ("", 1), ("y", 0)])
def test_the_command_to_erase_asks_first(terminal, record, monkeypatch, answer, left):
    finish(record, write_with(record, body=EMAIL.encode())[1])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)

    assert erase() == left
    assert record.counts().total_events == left


def test_the_command_to_erase_does_nothing_unasked_without_a_terminal(terminal, record, capsys):
    finish(record, write_with(record, body=EMAIL.encode())[1])

    assert erase() == 1
    assert "--yes" in capsys.readouterr().err
    assert record.counts().total_events == 1


def test_the_command_to_erase_refuses_what_is_not_final_without_cancel(terminal, record, capsys):
    write_with(record, body=EMAIL.encode())

    assert erase("--yes") == 1
    assert "--cancel" in capsys.readouterr().err
    assert erase("--yes", "--cancel") == 0


def test_the_command_to_erase_needs_the_key(terminal, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("RELAY_SECRET_KEY")
    monkeypatch.chdir(tmp_path)

    assert erase("--yes") == 1
    assert "RELAY_SECRET_KEY" in capsys.readouterr().err
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "secrets.env").write_text("RELAY_SECRET_KEY=a-key-that-up-has-made\n")
    assert erase("--yes") == 0


def test_who_stands_around_an_entry_of_a_batch_is_found_and_erased(eraser, record, redis):
    held, _ = write_with(record, envelope='{"account": {"mail": "ada@example.com"}, "items": null}')

    traces = eraser.find(EMAIL, quietly)
    eraser.erase(EMAIL, traces, "somebody", cancel=True)

    assert traces.events == [held.id]
    assert EMAIL not in everything(redis)


def test_a_number_is_erased_in_every_spelling_and_another_that_ends_alike_stays(eraser, record, redis):
    his, foreign = "8 (912) 345-67-89", "+1 912 345 6789"
    (mine, _) = write_with(record, body=json.dumps({"tel": his}).encode(), person_keys=[his])
    (other, _) = write_with(record, body=json.dumps({"tel": foreign}).encode(), person_keys=[foreign])

    traces = eraser.find("+79123456789", quietly)
    eraser.erase("+79123456789", traces, "test", cancel=True)

    assert traces.events == [mine.id]
    assert [one.id for one in record.events([mine.id, other.id])] == [other.id]
    assert not eraser.is_marked("+79123456789")
    assert eraser.is_marked(foreign)
