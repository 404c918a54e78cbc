"""What an operator does with buttons: each asks once, says what it will do, does it, and is in the log."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.store.operators.audit_log import read_acts
from relay.store.portals.gate import Gate, GateState
from relay.store.portals.portal import PortalRecord
from relay.store.portals.rollback import hold
from relay.store.record.search import Filter
from relay.store.redis import keys
from relay.web.dashboard.portals import _end_of_pause
from tests.support.making import bring_to, claim_one, make_entry, write
from tests.support.pages import SAME, Page, ask, press

MOSCOW = ZoneInfo("Europe/Moscow")
LEAD = {"document": "lead", "id": 7, "email": "ivan@example.com"}


def make_dead(record, rule="document-lead", content=LEAD):
    """A dead delivery of a shipped rule; its call is not what the rule would make today."""
    entry = make_entry([rule], body=json.dumps(content).encode(), at=utc_now())
    write(record, entry)
    claimed = claim_one(record, entry.deliveries[0], utc_now())
    record.settle(claimed, State.DEAD, utc_now(), reason="error_argument")
    return record.delivery(claimed.id)


def siblings(record, delivery):
    return [one for one in record.deliveries(record.event(delivery.event_id).deliveries) if one.id != delivery.id]


def acts(redis):
    return [(act.who, act.what, act.subject) for act in read_acts(redis)]


def test_a_dead_delivery_is_replayed_with_the_same_call(operator, record, redis):
    dead = make_dead(record)
    path = f"/deliveries/{dead.id}/acts/replay"

    text = ask(operator, path)
    assert "A new delivery with the call below" in text
    assert siblings(record, dead) == []
    press(operator, path)

    (fresh,) = siblings(record, dead)
    assert (fresh.call, fresh.replay_of, fresh.state) == (dead.call, dead.id, State.PENDING)
    assert acts(redis) == [("operator", "replay", dead.id)]
    assert f"A new delivery was made: {fresh.id}" in ask(operator, f"/events/{dead.event_id}")


def test_a_second_replay_is_not_offered_and_not_done(operator, record):
    dead = make_dead(record)
    press(operator, f"/deliveries/{dead.id}/acts/replay")

    assert f"/deliveries/{dead.id}/acts/replay" not in ask(operator, f"/events/{dead.event_id}")
    press(operator, f"/deliveries/{dead.id}/acts/replay", 409)
    assert len(siblings(record, dead)) == 1


def test_todays_rules_show_what_differs_before_anything_is_done(operator, record):
    dead = make_dead(record)
    path = f"/deliveries/{dead.id}/acts/replay-current"

    text = ask(operator, path)
    assert "LEAD_7" in text
    assert "LEAD_1" in text
    assert "differs" in text
    press(operator, path)

    (fresh,) = siblings(record, dead)
    assert fresh.call.document_id[2] == "LEAD_7"
    assert fresh.call.parameters["Email"] == "ivan@example.com"


@pytest.mark.parametrize(
    ("rule", "content", "words"),
    [
        ("document-lead", {"document": "deal", "id": 1}, "does not match this event"),
        ("document-lead", {"document": "lead", "id": "x"}, "cannot be filled"),
        ("gone", LEAD, "there is no rule gone any more"),
    ],
)
def test_todays_rules_that_make_no_call_say_why_and_replay_nothing(operator, record, rule, content, words):
    dead = make_dead(record, rule, content)

    text = ask(operator, f"/deliveries/{dead.id}/acts/replay-current")

    assert words in text
    assert 'method="post" action="/deliveries/' not in text
    assert press(operator, f"/deliveries/{dead.id}/acts/replay-current", status=404 if rule == "gone" else None or (
        409 if "deal" in str(content) else 422)).status_code >= 400  # fmt: skip


@pytest.mark.parametrize(
    ("name", "state"), [("settle-started", State.STARTED), ("settle-again", State.RETRYING), ("give-up", State.DEAD)]
)
def test_an_uncertain_delivery_is_settled(operator, record, redis, name, state):
    uncertain = bring_to(record, State.UNCERTAIN)
    path = f"/deliveries/{uncertain.id}/acts/{name}"

    assert 'name="note"' in ask(operator, path)
    press(operator, path, note="I have looked", workflow_id="wf1")

    assert record.delivery(uncertain.id).state is state
    assert read_acts(redis)[0].note == "I have looked"
    assert (record.delivery(uncertain.id).workflow_id == "wf1") is (state is State.STARTED)


def test_a_workflow_of_another_delivery_is_not_taken(operator, record):
    started, uncertain = bring_to(record, State.UNCERTAIN), bring_to(record, State.UNCERTAIN)
    press(operator, f"/deliveries/{started.id}/acts/settle-started", note="x", workflow_id="wf1")
    path = f"/deliveries/{uncertain.id}/acts/settle-started"

    assert "another delivery" in press(operator, path, 409, note="x", workflow_id="wf1").text
    press(operator, path, 400, note="x", workflow_id="w" * 33)

    assert record.delivery(uncertain.id).state is State.UNCERTAIN


def test_a_waiting_delivery_is_cancelled(operator, record):
    pending = bring_to(record, State.PENDING)

    ask(operator, f"/deliveries/{pending.id}/acts/cancel")
    press(operator, f"/deliveries/{pending.id}/acts/cancel", note="wrong lead")

    assert record.delivery(pending.id).state is State.DEAD


def test_a_dead_delivery_that_is_left_needs_nobody_and_can_still_be_replayed(operator, record):
    dead = bring_to(record, State.DEAD)
    page, path = f"/events/{dead.event_id}", f"/deliveries/{dead.id}/acts/leave"
    assert "neither replayed nor left" in ask(operator, "/")

    ask(operator, path)
    press(operator, path, note="a test of theirs")

    assert "neither replayed nor left" not in ask(operator, "/")
    assert path not in ask(operator, page)
    assert f"/deliveries/{dead.id}/acts/replay" in ask(operator, page)
    assert record.delivery(dead.id).state is State.DEAD


@pytest.mark.parametrize("name", ["terminate", "kill"])
def test_a_workflow_is_ended_and_the_answer_is_shown(app, operator, record, name):
    started = bring_to(record, State.STARTED)

    ask(operator, f"/deliveries/{started.id}/acts/{name}")
    to_answer = press(operator, f"/deliveries/{started.id}/acts/{name}").headers["Location"]
    waiting = operator.get(to_answer, headers=SAME)
    app.extensions["services"].questions.answer(to_answer.rpartition("/")[2], done=True, answer="true <b>")

    assert "updates by itself" in waiting.text
    answered = operator.get(to_answer, headers=SAME)
    assert "true &lt;b&gt;" in answered.text


def test_an_act_that_has_come_too_late_says_so(operator, record):
    started = bring_to(record, State.STARTED)

    assert operator.get(f"/deliveries/{started.id}/acts/cancel", headers=SAME).status_code == 409
    press(operator, f"/deliveries/{started.id}/acts/cancel", 409)
    press(operator, f"/deliveries/{started.id}/acts/settle-started", 409, note="x")
    press(operator, f"/deliveries/{started.id}/acts/nothing", 404)


def test_an_event_without_a_call_gets_one_when_the_rules_allow_it(operator, record):
    entry = make_entry([], state=EventState.IGNORED, body=json.dumps(LEAD).encode())
    write(record, entry)
    path = f"/events/{entry.event.id}/replay"

    assert path in ask(operator, f"/events/{entry.event.id}")
    assert "Make 1 delivery" in ask(operator, path)
    press(operator, path)

    assert len(record.event(entry.event.id).deliveries) == 1


def test_an_event_that_no_rule_wants_stays_without_a_call(operator, record):
    entry = make_entry([], state=EventState.IGNORED, body=b'{"a": 1}')
    write(record, entry)

    assert "None of today's rules can make a call" in ask(operator, f"/events/{entry.event.id}/replay")
    press(operator, f"/events/{entry.event.id}/replay", 409)


def test_a_portal_is_paused_and_resumed(operator, redis):
    assert "until a person resumes it" in ask(operator, "/portals/main/pause")
    press(operator, "/portals/main/pause")
    assert Gate(redis, "main").look().state is GateState.PAUSED
    assert "A person has paused this portal" in ask(operator, "/portals")

    press(operator, "/portals/main/resume")
    assert Gate(redis, "main").look().state is GateState.OPEN
    assert acts(redis) == [("operator", "resume", "main"), ("operator", "pause", "main")]
    press(operator, "/portals/nobody/pause", 404)
    press(operator, "/portals/main/explode", 404)


def morning_after(now):
    here = now.astimezone(MOSCOW)
    return (here + timedelta(days=here.hour >= 9)).replace(hour=9, minute=0, second=0, microsecond=0)


@pytest.mark.parametrize(
    ("asked", "until_of"),
    [
        ({"lasts": "hour"}, lambda now: now + timedelta(hours=1)),
        ({"lasts": "shift"}, lambda now: now + timedelta(hours=8)),
        ({"lasts": "morning"}, morning_after),
        ({"lasts": "time", "until": "31.12.2999 10:30"}, lambda _now: datetime(2999, 12, 31, 7, 30, tzinfo=UTC)),
    ],
    ids=["for an hour", "for eight hours", "until the next morning", "until a time that is typed"],
)
def test_a_portal_is_paused_until_a_time_and_the_pages_say_which(operator, redis, asked, until_of):
    operator.set_cookie("zone", "Europe/Moscow")
    before = until_of(utc_now())
    press(operator, "/portals/main/pause", **asked)

    until = Gate(redis, "main").look().until
    assert before - timedelta(seconds=1) <= until <= until_of(utc_now())
    said = f"until {until.astimezone(MOSCOW):%Y-%m-%d %H:%M}"
    assert said in Page(ask(operator, "/portals")).text(".//section[@id='main']/p[@class='notice']")
    (act,) = read_acts(redis)
    assert (act.what, act.note, act.said) == ("pause", "", f"until {until:%Y-%m-%d %H:%M} UTC")
    need = Page(ask(operator, "/")).text(".//ul[@class='needs']/li/a[@class='need calm']")
    assert f"paused portal main, {said}" in need


@pytest.mark.parametrize(
    ("close", "name", "reason"),
    [
        (lambda gate, now: gate.pause_by_person(now), "paused by a person", "paused by a person"),
        (lambda gate, now: gate.hold_for_person("went_back", now), "paused", "record has gone back in time"),
        (lambda gate, now: gate.back_off(gate.look(), "not_sent", now), "backing off", "no connection"),
    ],
    ids=["by a person", "by a record that has gone back", "by trouble"],
)
def test_what_a_person_ends_is_a_pause_and_what_ends_by_itself_is_backing_off(operator, redis, close, name, reason):
    close(Gate(redis, "main"), utc_now() - timedelta(hours=1))

    portal = Page(ask(operator, "/portals")).text(".//section[@id='main']")
    assert f"main {name} {reason}, closed" in portal
    assert f"{name.removesuffix(' by a person')} portal main" in Page(ask(operator, "/")).text(".//ul[@class='needs']")


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"lasts": "time", "until": "2020-01-01T00:00"}, 409),
        ({"lasts": "time", "until": ""}, 400),
        ({"lasts": "time", "until": "soon"}, 400),
    ],
    ids=["a time that has passed", "no time", "no time at all"],
)
def test_a_pause_until_no_time_to_come_is_refused(operator, redis, asked, status):
    press(operator, "/portals/main/pause", status, **asked)

    assert Gate(redis, "main").look().state is GateState.OPEN


def test_a_portal_is_pinged_and_the_answer_is_shown(app, operator, redis):
    assert 'action="/portals/main/ping"' in ask(operator, "/portals")
    to_answer = press(operator, "/portals/main/ping").headers["Location"]
    found = "2 templates can be started\nrule <r>, template 9: none"
    app.extensions["services"].questions.answer(to_answer.rpartition("/")[2], done=False, answer=found)

    text = ask(operator, to_answer)
    assert "Ping main" in text
    assert "Something is wrong." in text
    assert '<bdi translate="no">rule &lt;r&gt;, template 9: none</bdi>' in text
    assert acts(redis) == [("operator", "ping", "main")]
    press(operator, "/portals/nobody/ping", 404)


def test_what_a_portal_has_said_lately_is_counted_by_code(operator, record, redis):
    assert "Recent failures</dt><dd>none" in ask(operator, "/portals")
    bring_to(record, State.STARTED)
    for _ in range(2):
        make_dead(record)
    bring_to(record, State.UNCERTAIN)

    assert [(code.reason, code.count) for code in PortalRecord(redis, "main").codes()] == [
        ("because", 1),
        ("error_argument", 2),
    ]
    text = ask(operator, "/portals")
    assert "code=error_argument" in text
    assert "The portal refuses a value of the call" in text
    for _ in range(25):
        make_dead(record)
    assert redis.llen(keys.CODES + "main") == 20


def test_the_log_shows_what_was_done(operator, record):
    dead = make_dead(record)
    press(operator, f"/deliveries/{dead.id}/acts/replay")

    text = ask(operator, "/log")

    assert dead.id in text
    assert "replay" in text


def test_many_are_replayed_after_they_were_counted(app, operator, record, redis):
    dead = [make_dead(record) for _ in range(3)]
    assert "Nothing is sent before" in ask(operator, "/bulk")
    assert "3 deliveries match the filter" in ask(operator, "/bulk?state=dead&code=error_argument")

    to_progress = press(operator, "/bulk", state="dead", code="error_argument", rules="current").headers["Location"]
    assert "Cancel the rest" in ask(operator, to_progress)
    assert to_progress in ask(operator, "/bulk")
    app.extensions["services"].bulk.step(to_progress.rpartition("/")[2])

    finished = ask(operator, to_progress)
    assert "3 replayed" in finished
    assert "Cancel the rest" not in finished
    assert all(len(siblings(record, one)) == 1 for one in dead)


def test_without_a_state_the_dead_are_meant_and_started_ones_are_asked_for(app, operator, record):
    dead, started = make_dead(record), bring_to(record, State.STARTED)

    form = ask(operator, "/bulk?portal=main")
    assert "1 delivery matches the filter" in form
    assert 'name="state" value="dead"' in form
    assert "1 delivery matches the filter" in ask(operator, "/bulk?portal=main&state=started")
    assert "any" not in Page(ask(operator, "/bulk")).text(".//select[@name='state']")
    to_progress = press(operator, "/bulk", portal="main", state="").headers["Location"]
    app.extensions["services"].bulk.step(to_progress.rpartition("/")[2])

    assert len(siblings(record, dead)) == 1
    assert siblings(record, started) == []


def test_a_bulk_replay_is_cancelled(app, operator, record):
    make_dead(record)
    to_progress = press(operator, "/bulk", state="dead").headers["Location"]

    press(operator, f"{to_progress}/cancel")
    assert "stopping" in ask(operator, to_progress)
    app.extensions["services"].bulk.step(to_progress.rpartition("/")[2])

    assert "cancelled" in ask(operator, to_progress)


@pytest.mark.parametrize(
    ("fields", "status"),
    [({}, 400), ({"state": "pending"}, 400), ({"state": "dead", "rules": "x"}, 400), ({"state": "dead"}, 409)],
)
def test_a_bulk_replay_of_everything_or_nothing_is_refused(operator, record, fields, status):
    press(operator, "/bulk", status, **fields)


def test_whoever_resumes_a_portal_is_told_what_was_stopped_when_the_record_went_back(app, operator, viewer, record):
    bulk, until = app.extensions["services"].bulk, datetime(2040, 1, 2, 3, 4, tzinfo=UTC)
    bring_to(record, State.DEAD)
    Gate(record.redis, "main").pause_by_person(utc_now(), until)
    order = bulk.begin(Filter(State.DEAD), "original", "olga").id
    hold(record.redis, record, bulk.store.high_water, bulk.store.high_water.read(), utc_now())
    bulk.step_all("web-1")

    said = ask(operator, "/portals/main/resume")
    assert "A person had paused it until 2040-01-02 03:04" in said
    assert f'href="/bulk/{order}"' in said
    assert "stopped when the record went back" in ask(operator, "/")
    assert order in ask(operator, "/bulk")
    assert "would do that again" in ask(viewer, f"/bulk/{order}")
    assert "Let it go on" not in ask(viewer, f"/bulk/{order}")

    press(operator, f"/bulk/{order}/resume")
    bulk.step_all("web-1")
    assert "finished" in ask(operator, f"/bulk/{order}")
    assert ("operator", "resume bulk replay", order) in acts(record.redis)


def test_an_order_that_was_stopped_is_cancelled(app, operator, record):
    bulk = app.extensions["services"].bulk
    bring_to(record, State.DEAD)
    order = bulk.begin(Filter(State.DEAD), "original", "olga").id
    hold(record.redis, record, bulk.store.high_water, bulk.store.high_water.read(), utc_now())
    bulk.step_all("web-1")

    press(operator, f"/bulk/{order}/cancel")

    assert "cancelled" in ask(operator, f"/bulk/{order}")
    assert "stopped when the record went back" not in ask(operator, "/")


@pytest.mark.parametrize(("hour", "lasts"), [(1, 8), (8, 1), (9, 24), (23, 10)])
def test_a_pause_until_the_morning_ends_at_the_next_nine_o_clock(app, hour, lasts):
    now = datetime(2026, 6, 1, hour, tzinfo=UTC)
    with app.test_request_context("/portals/main/pause", method="POST", data={"lasts": "morning"}):
        assert _end_of_pause(now) - now == timedelta(hours=lasts)
