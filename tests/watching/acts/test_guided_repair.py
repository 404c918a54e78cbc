"""A need is a guided repair: its cause in words, the part of the rule that failed, the exact call, and what follows."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from html import unescape

import pytest

from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from tests.support.folders import WEB_SECRETS
from tests.support.making import bring_to, claim_one, make_entry, write, write_one
from tests.support.pages import ask
from tests.support.senders import dump, website
from tests.watching.conftest import enter

CALLBACK = {"form": "callback", "name": "Ada Lovelace", "contact": {"phone": "+79123456789"}}
"""What a site sends after its form was changed: the rule looks for the phone at body.phone."""
LEAD = {"document": "lead", "id": 7, "email": "ivan@example.com"}


def post(app, content):
    return app.test_client().post("/hooks/website", data=dump(content), headers=website()).get_json()["event_id"]


def make_dead(app, record, reason):
    event_id = post(app, LEAD)
    (delivery,) = record.deliveries(record.event(event_id).deliveries)
    record.settle(claim_one(record, delivery, utc_now()), State.DEAD, utc_now(), reason=reason)
    return event_id


def look_into(record, until):
    delivery = claim_one(record, write_one(record, utc_now()), utc_now())
    record.settle(delivery, State.UNCERTAIN, utc_now(), reason="timed_out", next_at=until)


def words(markup):
    """The text of a page, with single blanks."""
    bare = re.sub(r"<svg class=.*?</svg>|<[^>]+>", "", markup, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(bare))


def groups(text):
    """The markup of each group, in the order of the page."""
    return text.partition('id="groups">')[2].partition("Mend the cause first")[0].split('<details class="need"')[1:]


def test_the_part_of_the_rule_that_failed_stands_beside_the_events_value(app, operator):
    for _ in range(3):
        event_id = post(app, CALLBACK)

    (group,) = groups(ask(operator, "/needs"))

    text = words(group)
    assert text.count("3 events of website cannot be filled: phone") == 1
    assert "The rule callback needs phone and looks for it at body.phone: there is nothing in this event." in text
    assert "Such a value stands at body.contact.phone." in text
    (wrong,) = re.findall(r'class="l bad"><b>(\d+)</b>([^<]+)', group)
    assert f"The rule callback, line {wrong[0]}" in text
    assert "phone:" in wrong[1]
    assert "body.contact.phone: +7•••89" in text
    assert "Ada Lovelace" not in text
    assert f'href="/studio?rule=callback&amp;event_id={event_id}">Mend this rule' in group


def test_a_change_that_would_do_is_proposed_with_the_call_that_comes_of_it(app, operator):
    post(app, CALLBACK)

    (group,) = groups(ask(operator, "/needs"))

    assert re.search(r'class="added">\+ +phone: +\{from: \[body.phone, body.contact.phone\]', group)
    text = words(group)
    assert "With this change the newest one is sent like this:" in text
    assert "Would be sent" in text
    assert "+7•••89" in text.partition("With this change")[2]


def test_the_exact_call_begins_with_what_is_found_first(relay):
    found_first = {
        "name": "call-back",
        "source": "site",
        "extract": {"phone": {"from": "body.phone", "type": "phone", "required": True}},
        "find": {"client": {"contact": {"phone": "{phone}"}, "none": "stop"}},
        "start": {"portal": "main", "template_id": 4, "document_id": {"contact": "{client}"}, "parameters": {}},
    }
    client = relay({"site": {"verify": {"kind": "none"}}}, [found_first])
    client.post("/hooks/site", json={"contact": {"phone": "+79123456789"}})

    text = words(ask(enter(client.application, WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]), "/needs"))

    call = text.partition("With this change the newest one is sent like this:")[2]
    assert re.search(r"Find a contact client phone: \+7•••89.*Template 4.*Contact {client}", call)


def test_once_the_rule_is_mended_the_call_is_shown_and_the_replay_is_next(operator, record):
    entry = make_entry([], state=EventState.REJECTED, body=json.dumps(LEAD).encode(), at=utc_now())
    write(record, replace(entry, event=replace(entry.event, reason="rule_not_filled", errors={"id": ["missing"]})))

    (group,) = groups(ask(operator, "/needs"))

    text = words(group)
    assert "By today's rules the newest one is sent like this:" in text
    assert "Lead 7" in text
    assert "Mend this rule" not in text
    assert 'class="button primary" href="/bulk?act=replay-current' in group


def test_a_refused_call_leads_to_the_part_of_the_rule_that_it_is_about(app, operator, record):
    event_id = make_dead(app, record, "error_wrong_workflow_id")

    (group,) = groups(ask(operator, "/needs"))

    text = words(group)
    assert "1 delivery of document-lead was given up: no such template" in text
    assert "There is no such template" in text
    assert re.findall(r'class="l bad"><b>\d+</b> *([^<\n]+)', group) == ["template_id: 1"]
    assert f"/studio?rule=document-lead&amp;event_id={event_id}" in group


def test_what_is_no_rules_fault_is_replayed_as_it_was(app, operator, record):
    make_dead(app, record, "budget_spent")

    (group,) = groups(ask(operator, "/needs"))

    assert "Mend this rule" not in group
    assert "When the portal answers again, replay the delivery." in words(group)
    assert re.search(r'class="button primary" href="/bulk\?state=dead[^"]*">Replay it', group)


@pytest.mark.parametrize("reason", ["not_seen_running", "not_found", "error_not_found", "incorrect_document_type"])
def test_an_uncertain_one_is_looked_at_on_the_portal_and_settled_and_never_replayed(operator, record, reason):
    delivery = claim_one(record, write_one(record, utc_now()), utc_now())
    record.settle(delivery, State.UNCERTAIN, utc_now(), reason=reason)

    (group,) = groups(ask(operator, "/needs"))

    text = words(group)
    if reason.startswith("not_"):
        assert "It is not among the portal's running workflows" in text
    assert text.index("Look on the portal") < text.index("Settle what you have seen") < text.index("Settle it …")
    assert "eplay" not in text
    assert "Check the rule" not in text


def test_what_the_relay_still_asks_about_says_until_when_and_offers_nothing_to_do(operator, record):
    until = utc_now() + timedelta(minutes=3)
    look_into(record, until)

    text = ask(operator, "/needs")

    (group,) = groups(text)
    assert "1 start on main is being looked into" in words(group)
    assert f"until {until:%H:%M:%S} at least" in words(group)
    assert "/bulk" not in group
    assert 'class="tally"' not in text


def test_the_first_group_is_open_and_each_has_one_primary_button(app, operator, record):
    post(app, CALLBACK)
    make_dead(app, record, "budget_spent")
    for _ in range(2):
        bring_to(record, State.UNCERTAIN, utc_now())
    post(app, {"document": "deal", "id": "x"})

    found = groups(ask(operator, "/needs"))

    assert [" open>" in one.partition(">")[0] + ">" for one in found] == [True, False, False, False]
    assert [one.count('class="button primary"') for one in found] == [1, 1, 1, 1]


def test_the_page_of_a_rejected_event_has_the_same_repair_and_leads_to_its_group(app, operator, viewer):
    others = [post(app, CALLBACK) for _ in range(3)]
    path = f"/events/{others[0]}"

    text = ask(operator, path)

    assert "The rule callback needs phone and looks for it at body.phone" in words(text)
    assert f"/studio?rule=callback&amp;event_id={others[0]}" in text
    assert "2 more wait for the same reason: mend them together" in words(text)
    together = unescape(re.search(r'href="([^"]+)">mend them together', text)[1])
    assert "3 events of website cannot be filled: phone" in words(ask(operator, together))
    assert "Mend this rule" not in ask(viewer, path)


def test_a_page_of_very_many_groups_stays_light(operator, record):
    for number in range(60):
        entry = make_entry([], state=EventState.REJECTED, body=json.dumps(CALLBACK).encode(), at=utc_now())
        errors = {f"a_rather_long_name_of_a_field_{number}": ["missing"]}
        write(record, replace(entry, event=replace(entry.event, reason="rule_not_filled", errors=errors)))

    text = ask(operator, "/needs")

    assert len(text.encode()) < 60_000
    assert "40 more follow when these are dealt with." in words(text)
