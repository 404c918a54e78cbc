"""What has become of a comment is told on the page of its event, by the API and in a terminal, with its text masked."""

from __future__ import annotations

import pytest

from relay.core.events import CommentState
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.store import Store
from relay.store.record.comments import CommentOutcome
from tests.support.ends import post_watched, start
from tests.support.folders import READ_TOKEN, WEB_SECRETS
from tests.support.making import claim_one
from tests.watching.events.test_pages import page

API = {"Authorization": f"Bearer {WEB_SECRETS['RELAY_API_TOKEN']}"}
READING = {"Authorization": f"Bearer {READ_TOKEN}"}


@pytest.fixture
def app(watching_app, valkey):
    return watching_app


@pytest.fixture
def delivery(app, record):
    return post_watched(app, record)


@pytest.fixture
def comments(redis):
    return Store(redis).comments


def text_of(client, delivery):
    return " ".join(page(client, f"/events/{delivery.event_id}").text.split())


def test_the_page_tells_each_state_of_a_comment_and_masks_its_text(operator, record, delivery, comments):
    before = text_of(operator, delivery)
    assert "It follows the start." in before
    assert before.count("a•••@e•••.com has asked") > 1
    assert "ada@example.com" not in before

    start(record, delivery)
    assert "It is sent when no start waits, and the portal may be called." in text_of(operator, delivery)

    (claimed,) = comments.claim("main", "c", utc_now(), 1)
    assert "It may be missing (no answer is on record), and is not sent again." in text_of(operator, delivery)

    comments.note([CommentOutcome(claimed, CommentState.SENT)], utc_now())
    assert "It stands in the timeline of the document since" in text_of(operator, delivery)


MISSING = {
    "owner_not_found": "It is missing (owner_not_found), and is not sent again.",
    "comment_no_document": "It is missing (no document of CRM), and is not sent again.",
    "cut": "It may be missing (connection broke), and is not sent again.",
}


@pytest.mark.parametrize("reason", MISSING)
def test_a_missing_one_says_why_and_whether_that_is_certain(operator, record, delivery, comments, reason):
    start(record, delivery)
    (claimed,) = comments.claim("main", "c", utc_now(), 1)
    comments.note([CommentOutcome(claimed, CommentState.MISSING, reason)], utc_now())

    assert MISSING[reason] in text_of(operator, delivery)


def test_nothing_is_said_of_the_comment_of_what_never_started(operator, record, delivery):
    record.settle(claim_one(record, delivery), State.DEAD, utc_now(), reason="error_not_found")

    assert "Its comment" not in text_of(operator, delivery)


def test_the_api_has_its_text_for_those_who_may_see_persons_and_its_state_for_all(app, record, delivery, comments):
    start(record, delivery)
    (claimed,) = comments.claim("main", "c", utc_now(), 1)
    comments.note([CommentOutcome(claimed, CommentState.MISSING, "cut")], utc_now())

    whole, masked = (
        app.test_client().get(f"/api/v1/deliveries/{delivery.id}", headers=headers).json for headers in (API, READING)
    )

    assert whole["call"]["comment"] == {"text": "ada@example.com has asked", "is_loud": False}
    assert masked["call"]["comment"] == {"text": "a•••@e•••.com has asked", "is_loud": False}
    assert whole["comment"] == masked["comment"]
    assert (whole["comment"]["state"], whole["comment"]["reason"]) == ("missing", "cut")
