"""What failed is told in groups, and each group can be emptied: replayed, settled or left, all of it by one order."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape

import pytest

from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.store.operators.audit_log import read_acts
from relay.store.portals.gate import Gate
from relay.store.record.open_issues import OpenIssues
from relay.store.redis import keys
from tests.support.making import bring_to, claim_one, hold, make_entry, write
from tests.support.pages import ask, press

LEAD = {"document": "lead", "id": 7, "email": "ivan@example.com"}
ERRORS = {"lead_id": ["missing"]}


def make_rejected(record, content=LEAD, errors=ERRORS, source="website", state=EventState.REJECTED):
    """An event that no rule could use when it came, of which today's rules may make something."""
    entry = make_entry([], state=state, source=source, body=json.dumps(content).encode(), at=utc_now())
    event = replace(entry.event, reason="rule_not_filled", errors=errors)
    write(record, replace(entry, event=event))
    return event.id


def make_dead(record, reason="error_argument", rule="document-lead"):
    entry = make_entry([rule], body=json.dumps(LEAD).encode(), at=utc_now())
    write(record, entry)
    record.settle(claim_one(record, entry.deliveries[0], utc_now()), State.DEAD, utc_now(), reason=reason)
    return entry.deliveries[0].id


def link(text, words):
    """Where the first link with these words leads."""
    return unescape(re.search(rf'href="([^"]+)"[^>]*>{words}', text)[1])


def confirm(app, client, path, **more):
    """Press the button of a page that asks, and do all that was ordered; the page that says how it went."""
    form = ask(client, path).partition('method="post" action="/bulk">')[2].partition("</form>")[0]
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))
    fields = {name: unescape(value) for name, value in hidden.items()}
    to_progress = press(client, "/bulk", **fields | more).headers["Location"]
    while app.extensions["services"].bulk.step(to_progress.rpartition("/")[2]).state == "running":
        pass
    return ask(client, to_progress)


def test_what_failed_alike_is_one_group(operator, record):
    for _ in range(3):
        make_dead(record)
    make_dead(record, reason="budget_spent")
    make_rejected(record)
    make_rejected(record, errors={"email": ["no"], "lead_id": ["missing"]})

    groups = {(one.state, one["fault"] or one["reason"]): one for one in OpenIssues(record).groups()}

    assert {key: one.count for key, one in groups.items()} == {
        (EventState.REJECTED, '{"code":"cannot_be_filled","fields":["lead_id"]}'): 1,
        (EventState.REJECTED, '{"code":"cannot_be_filled","fields":["email","lead_id"]}'): 1,
        (State.DEAD, "error_argument"): 3,
        (State.DEAD, "budget_spent"): 1,
    }
    text = ask(operator, "/needs")
    assert "The portal refuses a value of the call" in text
    assert "lead_id: missing" in text
    assert "document-lead → main, template 1" in text
    assert text.count('<details class="need"') == 4
    assert "every attempt failed" in text
    assert "budget_spent" not in re.sub(r'href="[^"]*"', "", text)


def test_where_nothing_has_failed_the_page_says_what_would_come_there(viewer, record):
    bring_to(record, State.STARTED, utc_now())

    assert "Every failure was replayed, settled or left" in ask(viewer, "/needs")


def test_rejected_events_are_a_need_until_they_were_replayed(app, operator, record):
    events = [make_rejected(record) for _ in range(3)]
    assert "3 events of website cannot be filled: lead_id" in ask(operator, "/")

    ended = confirm(app, operator, link(ask(operator, "/needs"), "Replay these 3"))

    assert "3 replayed, 0 skipped, of 3" in ended
    assert "0 of 3 deliveries have started" in ended
    assert "cannot be filled" not in ask(operator, "/")
    assert "Replay these" not in ask(operator, "/needs")
    assert [one.state for one in record.events(events)] == [EventState.ACCEPTED] * 3


def test_the_deliveries_of_a_replay_are_a_list_and_its_end_says_how_many_started(app, operator, record):
    for _ in range(2):
        make_rejected(record)
    bring_to(record, State.STARTED)
    ended = confirm(app, operator, link(ask(operator, "/needs"), "Replay these"))
    bulk_id = re.search(r"rpl_\w+", ended)[0]
    made = record.page(keys.MADE + bulk_id)
    record.settle(claim_one(record, record.delivery(made[0])), State.STARTED, utc_now(), workflow_id="7", reason="")

    assert "1 of 2 deliveries have started" in ask(operator, f"/bulk/{bulk_id}")
    assert all(one in ask(operator, f"/events?bulk={bulk_id}") for one in made)
    listed = ask(operator, f"/events?bulk={bulk_id}&state=started")
    assert made[0] in listed
    assert made[1] not in listed


def test_what_todays_rules_cannot_fill_is_skipped_says_why_and_stays_a_need(app, operator, record):
    make_rejected(record)
    make_rejected(record, content={"document": "lead", "id": "x"})

    ended = confirm(app, operator, link(ask(operator, "/needs"), "Replay with today"))

    assert "1 replayed, 1 skipped, of 2" in ended
    assert "1: <bdi>cannot be filled: id</bdi>" in ended
    assert record.unresolved_rejected() == 1


def test_a_group_is_left_with_a_note_and_is_no_need_any_more(app, operator, record):
    rejected, dead = make_rejected(record), make_dead(record)
    leaving = [unescape(one) for one in re.findall(r'href="([^"]+)">Leave it', ask(operator, "/needs"))]
    assert len(leaving) == 2

    for path in leaving:
        press(operator, "/bulk", 400, act="leave", state="dead")
        assert "1 left, 0 skipped, of 1" in confirm(app, operator, path, note="tests of ours")

    assert (record.unresolved_rejected(), record.unresolved_dead()) == (0, 0)
    assert record.event(rejected).state is EventState.REJECTED
    assert record.delivery(dead).state is State.DEAD
    assert "tests of ours" in ask(operator, "/log")


def test_many_uncertain_ones_are_settled_with_one_note(app, operator, record):
    uncertain = [bring_to(record, State.UNCERTAIN, utc_now()) for _ in range(3)]
    path = link(ask(operator, "/needs"), "Settle these")

    press(operator, "/bulk", 400, act="settle-started", state="uncertain", needs="1")
    ended = confirm(app, operator, path, act="settle-started", note="seen on the portal")

    assert "3 settled as started, 0 skipped, of 3" in ended
    assert "3 of 3 deliveries have started" in ended
    assert {one.state for one in record.deliveries(one.id for one in uncertain)} == {State.STARTED}


def test_what_was_left_on_purpose_is_said_and_taken_in_only_if_that_is_asked_for(app, operator, record):
    left, replayed, waiting = (make_dead(record) for _ in range(3))
    record.leave(left)
    press(operator, f"/deliveries/{replayed}/acts/replay")

    text = ask(operator, "/bulk?state=dead")

    assert "1 delivery matches the filter" in text
    assert "1 more was left or given up on purpose, and is not among them." in text
    whole = link(text, "Take these in, too")
    text = ask(operator, whole)
    assert "Replay the same calls: 3" in text
    assert "Leave them: 1" in text
    assert "left or given up on purpose" not in text
    assert "2 replayed, 1 skipped, of 3" in confirm(app, operator, whole, act="replay")
    assert record.unresolved_dead() == 0
    assert waiting in app.extensions["services"].store.record.replaced([waiting])


def test_a_running_order_says_why_it_waits(app, operator, record):
    make_dead(record)
    hold(record.redis, "main", "invalid_credentials", utc_now())

    order = press(operator, "/bulk", state="dead").headers["Location"]

    assert "the portal main is held until its trouble is mended" in ask(operator, order)
    Gate(record.redis, "main").resume(utc_now())
    assert "It waits" not in ask(operator, order)


def test_an_order_that_is_pressed_twice_is_one_and_the_second_press_leads_to_it(app, operator, record):
    make_dead(record)

    first, second = (press(operator, "/bulk", state="dead").headers["Location"] for _ in range(2))

    assert second == first
    assert "this is it" in ask(operator, first)
    assert len(app.extensions["services"].bulk.bulks.running()) == 1


def test_what_the_relay_still_looks_into_is_not_settled_in_bulk(app, operator, record):
    delivery = claim_one(record, bring_to(record, State.PENDING, utc_now()), utc_now())
    record.settle(delivery, State.UNCERTAIN, utc_now(), reason="timeout", next_at=utc_now())

    press(operator, "/bulk", 409, act="settle-again", state="uncertain", note="again")

    assert record.delivery(delivery.id).state is State.UNCERTAIN


def test_ignored_events_are_replayed_with_todays_rules(app, operator, record):
    ignored = make_rejected(record, state=EventState.IGNORED)

    ended = confirm(app, operator, "/bulk?state=ignored&source=website")

    assert "1 replayed" in ended
    assert len(record.event(ignored).deliveries) == 1


def test_an_order_has_two_entries_in_the_log_however_many_it_finds(app, operator, record):
    for _ in range(30):
        make_rejected(record)

    confirm(app, operator, link(ask(operator, "/needs"), "Replay these"))

    acts = read_acts(record.redis)
    assert [act.what for act in acts] == ["bulk replay finished", "bulk replay"]
    assert (acts[0].note, acts[0].said) == ("", "30 done, 0 skipped")
    assert acts[1].note == ""
    assert acts[1].wanted.items() >= {"state": "rejected", "source": "website"}.items()
    assert "State: rejected, Source: website, Until: 20" in ask(operator, "/log")


def test_a_rejected_event_is_left_on_its_own_page(operator, record):
    event_id = make_rejected(record)
    path = link(ask(operator, f"/events/{event_id}"), "Leave it")
    assert "no longer counted" in ask(operator, path)

    press(operator, path, note="a test")
    press(operator, path, 409)

    assert record.unresolved_rejected() == 0
    assert "Leave it" not in ask(operator, f"/events/{event_id}")


def test_a_viewer_sees_the_groups_and_nothing_to_do(viewer, record):
    make_rejected(record)

    text = ask(viewer, "/needs")

    assert "lead_id" in text
    assert "it …" not in text
    assert "Mend this rule" not in text
    assert "Only operators" in ask(viewer, "/bulk?state=rejected")


@pytest.mark.parametrize(
    "fields",
    [
        {"act": "leave", "state": "started", "note": "x"},
        {"act": "settle-started", "state": "dead", "note": "x"},
        {"act": "leave", "state": "ignored", "note": "x"},
        {"act": "burn", "state": "dead"},
        {"state": "refused"},
        {"state": "started", "needs": "1"},
    ],
)
def test_what_cannot_be_done_to_a_state_is_refused(operator, record, fields):
    for state in (State.DEAD, State.STARTED):
        bring_to(record, state)

    press(operator, "/bulk", 400, **fields)


def test_a_forgotten_event_is_no_need(record):
    event_id = make_rejected(record)

    record.prune(event_id)

    assert record.unresolved_rejected() == 0
    assert OpenIssues(record).groups() == []
