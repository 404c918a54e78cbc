"""The words for a delivery of which nobody knows whether it ran: none of them may lead a person to start it twice."""

from __future__ import annotations

import re

import pytest

from relay.cli.events import whole
from relay.core.ids import to_ms, utc_now
from relay.core.labels import name_of_reason
from relay.core.lifecycle import State
from relay.core.reasons import BY_CODE, explain_reason
from relay.core.templates import Drift, DriftKind
from relay.store.portals.gate import Gate
from relay.store.record.search import Row
from relay.store.redis import keys
from tests.support.making import claim_one, write_one
from tests.support.pages import SAME, ask

LEFT = {
    "not_seen_running": "not seen among running workflows",
    "not_found": "not_found",
    "not_visible_access_denied": "running workflows are not shown: access_denied",
    "incorrect_document_type": "incorrect_document_type",
    "error_not_found": "error_not_found",
    "http_403": "HTTP 403",
    "budget_spent": "every attempt failed",
}
"""Reasons with which a delivery is left to a person, and their names. `not_found` is what earlier versions wrote."""
LOOK_FIRST = "Look on the document&#39;s page in Bitrix24, then settle the delivery."


def leave(record, reason, state=State.UNCERTAIN):
    delivery = write_one(record, utc_now())
    record.settle(claim_one(record, delivery, utc_now()), state, utc_now(), reason=reason)
    return record.delivery(delivery.id)


@pytest.mark.parametrize("reason", LEFT)
def test_nobody_is_told_to_replay_what_may_have_started(operator, record, reason):
    delivery = leave(record, reason)
    printed = "".join(text for line in whole(Row(record.event(delivery.event_id), [delivery])) for text, _ in line)
    pages = {"event": ask(operator, f"/events/{delivery.event_id}"), "needs": ask(operator, "/needs")}

    for page in pages.values():
        assert LEFT[reason] in page
        assert LOOK_FIRST in page
        assert "Check the rule" not in page
    assert LOOK_FIRST.replace("&#39;", "'") in printed
    assert "Check the rule" not in printed
    operator.set_cookie("language", "ru")
    assert "Посмотрите" in ask(operator, f"/events/{delivery.event_id}")


@pytest.mark.parametrize("reason", sorted(BY_CODE))
def test_no_reason_of_a_doubt_says_that_nothing_was_sent_or_that_a_replay_is_safe(reason):
    words = explain_reason(State.UNCERTAIN, reason)

    assert "replay" not in words
    assert "nothing was" not in words
    assert "Mend the rule" not in words


@pytest.mark.parametrize("reason", ["not_found", "not_seen_running"])
def test_what_was_looked_for_in_vain_is_said_with_what_that_proves(reason):
    words = explain_reason(State.UNCERTAIN, reason)

    assert "not among the portal's running workflows" in words
    assert "it may have run and ended" in words


@pytest.mark.parametrize("reason", ["not_found_yet", "not_seen_yet"])
def test_between_two_looks_a_person_reads_that_the_relay_looks_again(reason):
    assert "looks again by itself" in explain_reason(State.UNCERTAIN, reason)


@pytest.mark.parametrize(
    ("state", "prefix", "words"),
    [
        (State.DEAD, "given_up_", "It may have started all the same: look on the document's page before you replay it"),
        (State.RETRYING, "resent_", "it may start twice"),
    ],
)
@pytest.mark.parametrize("reason", ["not_found", "not_seen_running", "fired_unknown", "not_visible_access_denied"])
def test_what_a_rule_has_decided_of_a_doubt_is_said_with_what_it_risks(state, prefix, reason, words):
    assert words in explain_reason(state, prefix + reason)
    assert name_of_reason(prefix + reason).partition(": ")[2] == name_of_reason(reason)


def test_a_portal_that_does_not_find_what_a_step_names_is_still_said_to_refuse_it():
    assert explain_reason(State.DEAD, "not_found") == BY_CODE["not_found"]


DRIFTS = (Drift(DriftKind.REQUIRED, "a-rule", 1, parameter="P"), Drift(DriftKind.NO_TEMPLATE, "b", 2))
ALERTS = (
    ("portal_held", {"reason": "expired_token"}),
    ("uncertain", {"delivery": "dlv_1", "reason": "not_seen_running"}),
    ("method_held", {"method": "crm.item.add", "reason": "access_denied"}),
    ("application_waits", {"domain": "other.bitrix24.com"}),
    ("started_after_all", {"delivery": "dlv_2", "replay": "dlv_3"}),
    ("own_id_ignored", {"delivery": "dlv_4"}),
    ("own_id_ignored", {}),
    ("drift", {"drift": [one.to_wire() for one in DRIFTS]}),
)


def test_an_alert_is_a_kind_with_values_and_its_words_are_those_of_who_looks(operator, record):
    gate = Gate(record.redis, "main")
    for kind, values in ALERTS:
        gate.alert(kind, utc_now(), **values)

    page = ask(operator, "/alerts")
    russian = operator.get("/alerts", headers=SAME | {"Accept-Language": "ru"}).text

    assert "dlv_1 is left to a person: not seen among running workflows" in page
    assert "dlv_2 was given up and replayed by dlv_3, and had started: look for a second workflow" in page
    assert "rule a-rule, template 1: the template requires P, the rule does not send it; rule b, template 2" in page
    said = re.findall(r"<bdi>(.*?)</bdi>", russian[russian.index('id="noticed"') :])
    assert len(said) == len(ALERTS)
    assert [one for one in said if re.search(r"\b(is|the|and|of|to|may|not)\b", one)] == []


def test_an_alert_of_an_earlier_version_is_shown_as_it_is(operator, record):
    entry = {"kind": "uncertain", "portal": "main", "subject": "dlv_1 cut", "at": to_ms(utc_now())}
    record.redis.xadd(keys.ALERTS, entry)

    assert "dlv_1 cut" in ask(operator, "/alerts")
