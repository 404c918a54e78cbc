"""What was wrong is kept as a code and its values; sentences of an earlier version are still read and found."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from relay.core.faults import Fault, fault
from relay.core.lifecycle import EventState, State
from relay.operations.ingest import is_lost
from relay.store.archive.lines import line_of, row_of_line
from relay.store.record.open_issues import OpenIssues
from relay.store.record.search import Filter, list_events, row_of
from relay.store.redis import keys
from tests.support.making import NOON, bring_to, make_entry, write

BROKEN = fault("json_invalid", line=3, column=7)
ERRORS = {"email": [fault("missing", expected=fault("expected_email"))], "size": [fault("expected_at_most", most=5)]}


def rejected(record, reason=None, errors=None):
    entry = make_entry([], state=EventState.REJECTED, at=NOON)
    event = replace(entry.event, reason=reason, errors=errors or {})
    write(record, replace(entry, event=event))
    return event


def test_an_event_keeps_code_and_values_and_no_sentence(record, redis):
    event = rejected(record, "rule_not_filled", ERRORS)

    kept = redis.hgetall(keys.EVENT + event.id)
    assert json.loads(kept[b"errors"]) == {
        "email": [{"code": "missing", "expected": {"code": "expected_email"}}],
        "size": [{"code": "expected_at_most", "most": 5}],
    }
    assert json.loads(kept[b"fault"]) == {"code": "cannot_be_filled", "fields": ["email", "size"]}
    read = record.event(event.id)
    assert read.errors == ERRORS
    assert [one.code for messages in read.errors.values() for one in messages] == ["missing", "expected_at_most"]
    assert read.to_wire()["codes"] == {"email": ["missing"], "size": ["expected_at_most"]}


def test_why_a_body_could_not_be_read_is_kept_as_a_code_and_grouped_without_its_place(record, redis):
    event = rejected(record, BROKEN)

    kept = redis.hgetall(keys.EVENT + event.id)
    assert json.loads(kept[b"reason"]) == {"code": "json_invalid", "line": 3, "column": 7}
    read = record.event(event.id)
    assert (read.reason, read.reason.code, read.to_wire()["code"]) == (str(BROKEN), "json_invalid", "json_invalid")
    (group,) = OpenIssues(record).groups()
    assert [row.event.id for row in list_events(record, group.filter).rows] == [event.id]


def as_an_earlier_version(redis, event, reason, errors, group):
    redis.hset(keys.EVENT + event.id, mapping={"reason": reason, "errors": json.dumps(errors), "fault": group})


@pytest.mark.parametrize(
    ("reason", "errors", "group"),
    [
        ("not valid JSON at line 3, column 7", {}, "not valid JSON at line # column #"),
        ("rule_not_filled", {"email": ["missing: expected an e-mail address"]}, "cannot be filled: email"),
    ],
    ids=["a body", "a rule"],
)
def test_sentences_of_an_earlier_version_are_read_as_they_are_and_are_a_group_of_their_own(
    record, redis, reason, errors, group
):
    old, new = rejected(record, BROKEN, errors and ERRORS), rejected(record, BROKEN, errors and ERRORS)
    as_an_earlier_version(redis, old, reason, errors, group)

    read = record.event(old.id)
    assert (read.reason, read.errors) == (reason, errors)
    assert not isinstance(read.reason, Fault)
    assert {one["fault"] for one in OpenIssues(record).groups()} >= {group}
    assert [row.event.id for row in list_events(record, Filter(fault=group)).rows] == [old.id]
    assert [row.event.id for row in list_events(record, Filter(fault=record.event(new.id).fault)).rows] == [new.id]


def test_a_body_that_was_not_kept_is_lost_whichever_version_has_not_kept_it(record, redis):
    ours = rejected(record, fault("body_not_kept", why=BROKEN, size=5000))
    theirs = rejected(record, BROKEN)
    as_an_earlier_version(redis, theirs, "no body; its 5000 bytes were not kept", {}, "no body")
    unread = rejected(record, BROKEN)
    for event in (ours, theirs, unread):
        redis.hset(keys.EVENT + event.id, "body", b"")

    assert [is_lost(record.event(event.id)) for event in (ours, theirs, unread)] == [True, True, False]


def test_an_archived_event_has_its_faults_as_data_and_one_of_an_earlier_version_its_sentences(record):
    for event in (rejected(record, "rule_not_filled", ERRORS), rejected(record, BROKEN)):
        row = row_of(record, record.event(event.id))
        back = row_of_line(line_of(row)).event
        assert (back, back.fault) == (row.event, row.event.fault)
        assert [type(one) for messages in back.errors.values() for one in messages] == [Fault] * len(event.errors)
        wire = json.loads(line_of(row))
        del wire["record"]
        assert row_of_line(json.dumps(wire, separators=(",", ":")).encode()).event.reason == str(event.reason)


def test_a_delivery_keeps_its_errors_as_codes(record, redis):
    delivery = bring_to(record, State.DEAD)
    facts = json.dumps({"errors": {"email": [{"code": "expected_email"}], "old": ["a sentence"]}})
    redis.hset(keys.DELIVERY + delivery.id, "facts", facts)

    read = record.delivery(delivery.id)
    assert read.errors == {"email": ["expected an e-mail address"], "old": ["a sentence"]}
    assert read.to_wire()["codes"] == {"email": ["expected_email"], "old": [None]}
