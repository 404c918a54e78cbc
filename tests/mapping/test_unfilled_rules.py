"""Of two rules that want an event, one cannot be filled: its call is no less missing because the other was made."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from relay.core.errors import InvalidEventError, RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.operations.filters import read_filter
from relay.operations.replay import NotReplayableError
from relay.store import Store
from relay.store.archive.archive import Archive
from relay.store.record.open_issues import OpenIssues
from relay.store.record.search import Filter, list_deliveries, row_of
from tests.support.archiving import all_rows
from tests.support.making import bring_to
from workers.maintenance.retention import PackCursors, pack, prune

OPEN = {"verify": {"kind": "none"}, "dedup": {"from": "body.lead"}}
POST = {"lead": 5, "phone": "+79120000000"}
MISSING = {"phone": ["missing: expected text"]}


def rule(name, template=1, **extract):
    start = {"portal": "main", "template_id": template, "document_id": {"lead": "{lead}"}, "parameters": {}}
    lead = {"from": "body.lead", "type": "integer", "required": True}
    return {"name": name, "source": "site", "extract": {"lead": lead, **extract}, "start": start}


def wanting(path):
    return {"from": path, "required": True}


GOOD, BAD = rule("crm-lead"), rule("call-back", template=7, phone=wanting("body.tel"))
MENDED = rule("call-back", template=7, phone=wanting("body.phone"))


@pytest.fixture
def client(relay):
    return relay({"site": OPEN}, [GOOD, BAD])


def services(client):
    return client.application.extensions["services"]


def post(client, content=None, status=200):
    answer = client.post("/hooks/site", json=content or POST)
    assert answer.status_code == status
    return answer.json


def sent_and_missing(record, client, **content):
    """The delivery that is to be sent, and the one that could not be made."""
    answer = post(client, POST | content)
    return record.deliveries(answer["deliveries"])


def replayed(client, wanted, rules="current"):
    return services(client).operator_acts.replayer.replay(wanted, current_rules=rules == "current")


def test_the_call_that_could_not_be_made_is_a_fact_of_its_own_with_what_was_missing(record, client):
    sent, missing = sent_and_missing(record, client)

    assert (sent.rule, sent.state, dict(sent.errors)) == ("crm-lead", State.PENDING, {})
    assert (missing.rule, missing.state, missing.reason) == ("call-back", State.DEAD, "rule_not_filled")
    assert (missing.call.portal, missing.call.template_id, missing.attempts) == ("main", 7, ())
    assert dict(missing.errors) == missing.to_wire()["errors"] == MISSING
    event = record.event(sent.event_id)
    assert (event.state, dict(event.errors), event.reason) == (EventState.ACCEPTED, {}, None)
    assert event.deliveries == (sent.id, missing.id)
    assert missing.updated_at == missing.created_at


def test_it_is_counted_needed_and_found_like_any_other_and_the_books_balance(record, client):
    for lead in (1, 2, 3):
        _, missing = sent_and_missing(record, client, lead=lead)

    counts = record.counts()
    assert counts.imbalances == []
    assert (counts.deliveries[State.PENDING], counts.deliveries[State.DEAD], counts.total) == (3, 3, 6)
    assert (counts.since_start["delivery:created"], counts.since_start["delivery:dead"]) == (6, 3)
    (group,) = OpenIssues(record).groups()
    assert (group.state, group.count, group["rule"], group["reason"]) == (State.DEAD, 3, "call-back", "rule_not_filled")
    assert record.unresolved_dead() == 3
    for wanted in (
        group.filter,
        Filter(rule="call-back"),
        Filter(code="rule_not_filled"),
        Filter(template_id=7),
        Filter(portal="main", state=State.DEAD),
    ):
        assert len(list_deliveries(record, wanted, None, 10).rows) == 3
    assert record.due("main", utc_now()) == 3, "nobody sends it"
    assert record.leave(missing.id)
    assert record.unresolved_dead() == 2


def test_a_repeat_of_the_post_makes_nothing_more(record, client):
    first, again = post(client), post(client)

    assert (again["duplicate"], again["deliveries"]) == (True, first["deliveries"])
    assert record.counts().total == 2


def test_the_call_as_it_was_cannot_be_sent_for_there_is_none(record, client):
    _, missing = sent_and_missing(record, client)

    with pytest.raises(NotReplayableError, match="has no call to repeat"):
        replayed(client, missing.id, "original")

    assert record.counts().total == 2


def test_todays_rules_make_up_for_it_and_for_nothing_else(record, client, relay):
    sent, missing = sent_and_missing(record, client)
    with pytest.raises(InvalidEventError):
        replayed(client, missing.id)

    mended = relay({"site": OPEN}, [GOOD, MENDED])
    (fresh,) = replayed(mended, missing.id)

    assert (fresh.rule, fresh.call.template_id, fresh.call.document_id[2]) == ("call-back", 7, "LEAD_5")
    assert (fresh.replay_of, fresh.state, dict(fresh.errors)) == (missing.id, State.PENDING, {})
    assert (record.unresolved_dead(), OpenIssues(record).groups()) == (0, [])
    assert record.event(sent.event_id).deliveries == (sent.id, missing.id, fresh.id)
    assert record.counts().imbalances == []


@pytest.mark.parametrize(("rules", "made"), [("original", 0), ("current", 2)])
def test_many_are_made_up_for_by_one_order_with_todays_rules(record, client, relay, rules, made):
    for lead in (1, 2):
        sent_and_missing(record, client, lead=lead)
    bulk = services(relay({"site": OPEN}, [GOOD, MENDED])).bulk
    (group,) = OpenIssues(record).groups()

    order = bulk.begin(read_filter(group.filter.to_query()), rules, "olga").id
    bulk.step(order)

    done = bulk.read(order)
    assert (done.replayed, done.refused) == (made, 2 - made)
    assert set(done.skipped) <= {"skipped_no_call_to_repeat"}


def test_where_no_rule_can_be_filled_the_event_is_rejected_as_a_whole(record, relay):
    client = relay({"site": OPEN}, [BAD, rule("other", mail=wanting("body.mail"))])

    answer = post(client, status=422)

    event = record.event(answer["event_id"])
    assert (event.state, event.deliveries) == (EventState.REJECTED, ())
    assert set(event.errors) == {"phone", "mail"}
    assert record.counts().total == 0


def test_a_rejected_event_of_which_one_rule_is_mended_tells_of_the_other(record, relay):
    client = relay({"site": OPEN}, [BAD, rule("other", mail=wanting("body.mail"))])
    event_id = post(client, status=422)["event_id"]

    made = replayed(relay({"site": OPEN}, [MENDED, rule("other", mail=wanting("body.mail"))]), event_id)

    assert [(one.rule, one.state) for one in made] == [("call-back", State.PENDING), ("other", State.DEAD)]
    kept = record.deliveries(record.event(event_id).deliveries)
    assert [set(one.errors) for one in kept] == [set(), {"mail"}]
    assert (record.unresolved_rejected(), record.unresolved_dead(), record.counts().imbalances) == (0, 1, [])


def test_an_edited_body_that_one_of_two_rules_can_use_tells_of_the_other(record, client, relay):
    nothing = relay({"site": OPEN}, [rule("never", mail=wanting("body.mail"))])
    event_id = post(nothing, status=422)["event_id"]

    made = services(client).operator_acts.replayer.replay_edited(event_id, b'{"lead": 9}')

    assert [(one.rule, one.state, set(one.errors)) for one in record.deliveries(one.id for one in made)] == [
        ("crm-lead", State.PENDING, set()),
        ("call-back", State.DEAD, {"phone"}),
    ]
    assert record.counts().imbalances == []


def test_each_entry_of_a_batch_tells_of_its_own(record, relay):
    client = relay({"site": OPEN | {"each": "body.all"}}, [GOOD, BAD])

    post(client, {"all": [{"lead": 1, "tel": "1"}, {"lead": 2}, {"phone": "3"}]})

    states = [(one.call.document_id[2], one.state) for one in record.deliveries(record.page("relay:deliveries"))]
    assert sorted(states) == [("", State.DEAD), *[(f"LEAD_{n}", State.PENDING) for n in (1, 1, 2)]]
    assert record.counts().events[EventState.REJECTED] == 1


def test_it_is_packed_forgotten_archived_and_put_back_like_any_other(record, client, tmp_path):
    sent, missing = sent_and_missing(record, client)
    store, archive, later = Store(record.redis), Archive(tmp_path / "archive"), utc_now() + timedelta(days=1)
    services(client).operator_acts.cancel(sent.id, "olga", "")
    (before, _) = row_of(record, record.event(sent.event_id)), record.delivery(missing.id)

    assert pack(store.compaction, PackCursors(), later, threading.Event()) == 3
    assert dict(record.delivery(missing.id).errors) == MISSING
    prune(record, later, archive=archive)
    assert record.counts().total == record.unresolved_dead() == 0
    (row,) = all_rows(archive)
    assert dict(row.deliveries[1].errors) == MISSING
    assert store.compaction.restore(row.event, row.deliveries)

    assert row_of(record, record.event(sent.event_id)).deliveries[1].to_wire() == before.deliveries[1].to_wire()
    assert record.counts().imbalances == []


def test_what_was_kept_on_disk_while_the_record_was_away_tells_of_it_too(record, relay, tmp_path, monkeypatch):
    client = relay({"site": OPEN | {"spool": True}}, [GOOD, BAD], state=tmp_path / "state")
    spooler = services(client).spooler

    def be_away(*_):
        raise RecordUnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(spooler._collector, "record_all", be_away)
        post(client)
    assert record.counts().total == 0
    spooler.drain()

    kept = {one.rule: one for one in record.deliveries(record.page("relay:deliveries"))}
    assert (kept["call-back"].state, dict(kept["call-back"].errors)) == (State.DEAD, MISSING)
    assert (kept["crm-lead"].state, record.unresolved_dead(), record.counts().imbalances) == (State.PENDING, 1, [])


def test_one_that_was_made_and_died_is_none_of_these(record):
    assert dict(bring_to(record, State.DEAD).errors) == {}
