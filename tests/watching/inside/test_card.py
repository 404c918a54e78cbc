"""The tab in a document's card: what came for it and what became of that, in words of the people who work with it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from relay.core.events import finish_step
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.core.plan import How
from relay.store.portals.gate import Gate
from relay.store.portals.portal import PortalRecord
from tests.support.ends import BASE
from tests.support.frames import DEAL, answer_opening, ask_again, post_frame, show, token_in
from tests.support.making import claim_one, hold
from tests.support.senders import dump, website

OURS = re.compile(r"webhook|\brule\b|deliver|\bdead\b|replay|payload|\btemplate\b", re.IGNORECASE)
"""Words of the relay, which nobody in a card has to know."""


def send(app, **content):
    """Post as the website does; the delivery."""
    answer = app.test_client().post("/hooks/website", data=dump(content), headers=website())
    assert answer.status_code == 200, answer.text
    return answer.json["deliveries"][0]


def order(app, deal=12, **more):
    return send(app, form="order", id=deal, number=10418, buyer="Мария Петрова", **more)


def settle(record, delivery_id, state, *, ago=timedelta(0), **how):
    """Bring a delivery that waits into a state."""
    at = utc_now() - ago
    workflow = {"workflow_id": f"wf-{delivery_id}"[:32]} if state is State.STARTED else {}
    record.settle(claim_one(record, record.delivery(delivery_id), at), state, at, **(workflow | how))
    return record.delivery(delivery_id)


def text_of(answer):
    """What is read of a page."""
    assert answer.status_code == 200, answer.text
    main = answer.text.partition("<main")[2].partition("</main>")[0].partition(">")[2]
    return " ".join(re.sub(r"<[^>]+>", " ", main).split()).replace(" .", ".")


@pytest.fixture
def card(frame, applications):
    """Opens the card of the deal 12: its text."""
    return lambda language="en", **changes: text_of(show(frame, applications, {"LANG": language}, **changes))


@pytest.fixture
def names(redis):
    PortalRecord(redis, "main").keep_template_names({2: "Deal: follow up"})


def test_nothing_has_come_is_said(card):
    assert card().startswith("Nothing has come for this deal yet")


def test_the_card_counts_what_came_and_what_became_of_it(inside, record, card):
    settle(record, order(inside), State.STARTED)
    settle(record, order(inside), State.STARTED)
    settle(record, order(inside), State.DEAD, reason="budget_spent")
    order(inside)

    shown = card()

    assert "4 things came for this deal" in shown
    assert "2 started a process 1 started nothing 1 on its way" in shown


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ((State.STARTED, {}), "Started “Process 2”. It is still running."),
        ((State.DEAD, {"reason": "budget_spent"}), "Nothing was started: Bitrix24 could not be reached for a day."),
        ((State.DEAD, {"reason": "access_denied"}), "Nothing was started: Bitrix24 has refused it."),
        ((State.DEAD, {"reason": "cancelled"}), "Nothing was started: somebody has cancelled it."),
        (
            (State.UNCERTAIN, {"reason": "timed_out"}),
            "may have started “Process 2”: its answer was lost, so it is not sent again",
        ),
        (
            (State.RETRYING, {"next_at": utc_now() + timedelta(minutes=3)}),
            "could not be started so far. It is tried again",
        ),
    ],
    ids=["started", "spent", "refused", "cancelled", "uncertain", "retrying"],
)
def test_each_outcome_is_told_in_plain_words_without_a_word_of_ours(inside, record, card, outcome, words):
    state, how = outcome
    settle(record, order(inside), state, **how)

    shown = card()

    assert words in shown
    assert not OURS.search(shown)


def test_what_waits_is_told_with_the_reason_for_which_it_waits(inside, record, redis, card):
    order(inside)
    assert "Starts “Process 2” when its turn comes." in card()

    Gate(redis, "main").pause_by_person(utc_now())
    assert "“Process 2” waits: your operator lets nothing start at the moment." in card()

    Gate(redis, "main").resume(utc_now())
    hold(redis, "main", "expired_token", utc_now())
    assert "“Process 2” waits until Bitrix24 can be called again." in card()


def test_a_process_that_ended_is_told_with_its_words_and_one_that_is_late_as_late(inside, record, card):
    delivery = settle(record, order(inside), State.STARTED)
    path = delivery.watched.address.removeprefix(BASE)
    inside.test_client().get(f"{path}?result=approved&said=Wants%20an%20offer.%20Call%20%2B49%2030%201234567")
    shown = card()
    assert re.search(r"Started “Process 2”\. It ended at \d\d:\d\d: approved\. Wants an offer\. Call \+4•••67", shown)

    settle(record, order(inside), State.STARTED, ago=timedelta(hours=2))
    assert re.search(r"It has not said by \d\d:\d\d( on \d+ \w+)? that it has ended\.", card())


def test_what_made_the_document_says_so_and_what_was_found_before(inside, record, card):
    delivery_id = send(inside, form="callback", name="Ada Lovelace", phone="+79991234567")
    for how, value in ((How.FOUND, 17), (How.FOUND, 2), (How.MADE, 1001)):
        claimed = claim_one(record, record.delivery(delivery_id), utc_now())
        progress = finish_step(claimed, how, value, utc_now())
        record.settle(claimed, progress.state, utc_now(), reason=progress.reason, after=progress.delivery)
    settle(record, delivery_id, State.STARTED)

    shown = card(document=("crm", "CCrmDocumentLead", "LEAD_1001"))

    assert "1 thing came for this lead" in shown
    assert "Made this lead and started" in shown
    assert "Find a contact: Found" in shown
    assert "17" not in shown  # the number of another document


def test_nothing_of_another_document_or_portal_is_shown(inside, record, frame, applications, card):
    settle(record, order(inside, deal=13), State.STARTED)
    send(inside, document="contact", id=12)
    settle(record, order(inside, deal=1), State.STARTED)
    settle(record, order(inside, deal=120), State.DEAD, reason="cancelled")

    assert card().startswith("Nothing has come for this deal yet")
    assert "1 thing came for this contact" in card(document=("crm", "CCrmDocumentContact", "CONTACT_12"))
    # A number of a list's element may read like that of a document of the CRM.
    assert "Nothing has come" in card(document=("lists", "BizprocDocument", "DEAL_12"))


def test_a_persons_values_are_masked_as_a_viewer_sees_them(inside, record, card):
    order(inside)

    shown = card()

    assert "Order 10418 for \u041c•••" in shown
    assert "Петрова" not in shown


def test_a_title_that_holds_markup_is_text(inside, record, frame, applications):
    send(inside, form="order", id=12, number=1, buyer="<img src=x onerror=alert(1)>")

    assert "<img" not in show(frame, applications).text


def test_what_came_stands_under_its_day_newest_first(inside, record, card):
    for _ in range(2):
        order(inside)

    shown = card()

    assert shown.count("Today") == 1
    assert "Only what concerns this deal is shown here." in shown


def test_only_the_latest_are_shown_of_very_many(inside, card, monkeypatch):
    monkeypatch.setattr("relay.web.application.card.MOST", 2)
    for _ in range(3):
        order(inside)

    shown = card()

    assert "The latest 2 things that came for this deal" in shown
    assert "What came earlier is not shown." in shown


def test_the_same_card_in_russian(inside, record, card):
    settle(record, order(inside), State.STARTED)
    settle(record, order(inside), State.DEAD, reason="budget_spent")
    order(inside)

    shown = card("ru")

    assert "Для этой сделки пришло: 3" in shown
    assert "Ничего не запущено:" in shown
    assert "Запущен процесс «Процесс 2»." in shown
    assert not re.search(
        r"[A-Za-z]{3,}", shown.replace("Bitrix24", "").replace("website", "").replace("Order 10418 for", "")
    )


def test_times_are_those_of_the_zone_that_the_page_names(inside, frame, applications):
    order(inside)
    seen = []
    for zone in ("UTC", "Asia/Kathmandu", "../etc/passwd"):
        waiting = post_frame(frame)
        answer_opening(applications, document=DEAL)
        seen.append(re.search(r"As of (\d\d):(\d\d)", ask_again(frame, token_in(waiting), zone=zone).text))

    assert (int(seen[1][2]) - int(seen[0][2])) % 60 in {45, 46}  # five hours and three quarters
    assert (int(seen[2][2]) - int(seen[0][2])) % 60 in {0, 1}
