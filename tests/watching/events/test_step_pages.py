"""What comes before a start, on the pages: each step, what it came to, where it is; and what methods carry."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from relay.core.events import Attempt, finish_step
from relay.core.ids import utc_now
from relay.core.lifecycle import State, Verdict
from relay.core.plan import TYPE_IDS, How, StepKind, StepResult
from relay.store.portals.learned import Block, Reading
from relay.store.portals.portal import PortalRecord
from relay.web.presenters.event_details import link_of
from tests.support.folders import WEB_SECRETS
from tests.support.making import claim_one
from tests.support.senders import dump, website
from tests.watching.events.test_pages import page

FORM = {"form": "callback", "name": "Ada Lovelace", "phone": "+79991234567", "email": "ada@example.com"}
SITE = "https://example.bitrix24.com"


@pytest.fixture
def delivery(app, record, redis):
    """A delivery of the shipped rule for a callback: find the client, find the owner, make the lead."""
    PortalRecord(redis, "main").learn({"site": SITE})
    answer = app.test_client().post("/hooks/website", data=dump(FORM), headers=website())
    return record.delivery(answer.json["deliveries"][0])


def take(record, delivery, how=None, value=None, state=None, **what):
    """Claim it, and let its next step come to this; or settle it so."""
    claimed, now = claim_one(record, delivery, utc_now()), utc_now()
    step = claimed.next_step
    verdict = what.pop("verdict", Verdict.DONE)
    attempt = Attempt(claimed.next_number, now, 12, verdict, 200, what.pop("code", None), step=step.name)
    if how:
        progress = finish_step(claimed, how, value, now, tries=1)
        record.settle(claimed, progress.state, now, attempt=attempt, reason=progress.reason, after=progress.delivery)
    else:
        record.settle(claimed, state, now, attempt=attempt, **what)
    return record.delivery(delivery.id)


def test_the_page_of_an_event_tells_each_step_and_what_it_came_to(operator, record, delivery):
    delivery = take(record, delivery, How.SEVERAL, 17)
    delivery = take(record, delivery, How.NOTHING, 1)

    shown = page(operator, f"/events/{delivery.event_id}")

    text = " ".join(shown.text.split())
    assert "Find a contact client" in text
    assert "Several were found; the newest is taken: contact 17" in text
    assert "Find a user owner Nothing was found; the rule says what stands for it: user 1" in text
    assert "next Make a lead lead" in text
    assert f"{SITE}/crm/contact/details/17/" in shown.links()
    assert f"{SITE}/company/personal/user/1/" in shown.links()
    assert "Lead {lead}" in text


def test_what_was_made_has_its_page_on_the_portal_and_the_call_its_number(operator, record, delivery):
    for how, value in ((How.FOUND, 17), (How.FOUND, 2), (How.FOUND_AGAIN, 1001)):
        delivery = take(record, delivery, how, value)

    shown = page(operator, f"/events/{delivery.event_id}")

    assert "Made; the answer was lost, and its own id has proven it: lead 1001" in " ".join(shown.text.split())
    assert f"{SITE}/crm/lead/details/1001/" in shown.links()
    assert "Lead 1001" in shown.text


def test_the_persons_values_in_steps_are_masked_until_they_are_revealed(operator, record, delivery):
    path = f"/events/{delivery.event_id}"
    shown = page(operator, path).text
    assert not any(value in shown for value in ("Ada Lovelace", "+79991234567", "ada@example.com"))

    operator.post(f"{path}/reveal", headers={"Origin": "http://localhost"})

    shown = page(operator, path).text
    assert all(value in shown for value in ("Ada Lovelace", "+79991234567", "ada@example.com"))


def test_attempts_stand_with_their_step_and_the_starts_below_the_call(operator, record, delivery):
    delivery = take(record, delivery, state=State.RETRYING, verdict=Verdict.UNREACHABLE, reason="find_unanswered")
    delivery = take(record, delivery, How.FOUND, 17)

    text = " ".join(page(operator, f"/events/{delivery.event_id}").text.split())

    assert "2 attempts" in text
    assert "Attempts None yet" not in text
    assert "asks again by itself" in text


def test_a_lead_that_may_have_been_made_is_said_to_be_looked_for(operator, record, delivery):
    for how, value in ((How.FOUND, 17), (How.FOUND, 2)):
        delivery = take(record, delivery, how, value)
    after = replace(delivery, unsure=("lead",))
    delivery = take(
        record, delivery, state=State.RETRYING, verdict=Verdict.AMBIGUOUS, reason="made_unknown", after=after,
        next_at=utc_now() + timedelta(seconds=60),
    )  # fmt: skip

    text = " ".join(page(operator, f"/events/{delivery.event_id}").text.split())

    assert "It may have been made: it is looked for by its own id first." in text
    assert "Step lead follows, in" in text


def test_a_delivery_that_died_at_a_step_says_where_and_what_was_not_reached(operator, record, delivery):
    delivery = take(record, delivery, state=State.DEAD, verdict=Verdict.DONE, reason="nothing_found")

    text = " ".join(page(operator, f"/events/{delivery.event_id}").text.split())

    assert "ended Find a contact" in text
    assert "skipped Make a lead" in text
    assert "the rule says to stop then" in text


@pytest.mark.parametrize(("done", "words"), [(0, "step 1 of 3"), (2, "step 3 of 3"), (3, None)])
def test_the_list_of_deliveries_says_how_far_each_is(operator, record, delivery, done, words):
    for how, value in ((How.FOUND, 17), (How.FOUND, 2), (How.MADE, 1001))[:done]:
        delivery = take(record, delivery, how, value)

    text = page(operator, "/events").text

    assert ("step" in text) is bool(words)
    assert words is None or words in text


def test_a_doubtful_trigger_is_settled_as_fired_and_never_as_started(operator, record, delivery):
    trigger = replace(delivery.plan.steps[2], kind=StepKind.TRIGGER, values={"target": "LEAD_1", "code": "c"})
    plan = replace(delivery.plan, steps=(trigger,))
    record.redis.hset(f"relay:delivery:{delivery.id}", "plan", json.dumps(plan.to_wire()))
    delivery = record.delivery(delivery.id)
    delivery = take(record, delivery, state=State.UNCERTAIN, verdict=Verdict.AMBIGUOUS, reason="fired_unknown")

    shown = page(operator, f"/events/{delivery.event_id}")
    assert "may have fired this trigger" in shown.text
    assert [link.rpartition("/")[2] for link in shown.links() if "/acts/" in link] == [
        "settle-fired",
        "settle-again",
        "give-up",
    ]

    operator.post(
        f"/deliveries/{delivery.id}/acts/settle-fired", data={"note": "seen"}, headers={"Origin": "http://localhost"}
    )
    assert record.delivery(delivery.id).results[0].how is How.FIRED


@pytest.mark.parametrize(
    ("entity", "path"),
    [
        ("lead", "/crm/lead/details/7/"),
        ("deal", "/crm/deal/details/7/"),
        ("contact", "/crm/contact/details/7/"),
        ("company", "/crm/company/details/7/"),
        ("quote", "/crm/type/7/details/7/"),
        ("invoice", "/crm/type/31/details/7/"),
        ("dynamic", "/crm/type/147/details/7/"),
        ("user", "/company/personal/user/7/"),
    ],
)
def test_where_a_portal_shows_a_document(entity, path):
    type_id = {**TYPE_IDS, "dynamic": 147}.get(entity)
    result = StepResult("made", StepKind.MAKE, entity, type_id, 7, How.MADE, utc_now())

    assert link_of(SITE, result) == SITE + path
    assert link_of(None, result) is None
    assert link_of("javascript:alert(1)", result) is None
    assert link_of(SITE, replace(result, value=None)) is None


@pytest.fixture
def used_up(redis):
    """A portal whose adds are used up, and whose users may not be asked for."""
    portal, now = PortalRecord(redis, "main"), utc_now()
    until = now.replace(microsecond=0) + timedelta(minutes=5)
    portal.learn(
        {
            "used:crm.item.add": Reading(474.2, until).to_text(),
            "t:crm.item.add": "1800",
            "blocked:user.get": Block("insufficient_scope", now, until).to_text(),
        }
    )
    return until


def test_the_page_of_portals_says_which_method_waits_until_when_and_how_many_an_hour_it_carries(operator, used_up):
    text = " ".join(page(operator, "/portals").text.split())

    assert f"crm.item.add waits until {used_up:%H:%M:%S} (time of the method used up); other calls go on." in text
    assert "crm.item.add: 474 s used; the time budget carries about 1583 an hour" in text
    assert f"user.get waits until {used_up:%H:%M:%S} (insufficient_scope)" in text


def test_a_method_that_the_portal_forbids_needs_a_person_and_one_that_is_used_up_does_not(operator, used_up):
    text = " ".join(page(operator, "/").text.split())

    assert "Portal main refuses user.get" in text
    assert "crm.item.add at portal" not in text


def test_the_api_tells_the_methods_of_a_portal(app, used_up):
    bearer = {"Authorization": f"Bearer {WEB_SECRETS['RELAY_API_TOKEN']}"}
    (portal,) = app.test_client().get("/api/v1/portals", headers=bearer).json["portals"][:1]

    add, user = portal["methods"]
    assert (add["name"], add["operating_s"], add["calls_an_hour"]) == ("crm.item.add", 474.2, 1583)
    assert (user["name"], user["reason"]) == ("user.get", "insufficient_scope")
