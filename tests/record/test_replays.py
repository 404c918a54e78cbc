"""A person asks again: with the call as it was, or with what today's rules make of the event as it came."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.configuration.portals import load_portals
from relay.core.errors import InvalidEventError, NotFoundError
from relay.core.lifecycle import EventState, State
from relay.operations.replay import NotReplayableError, Replayer
from relay.rules import load_rules
from relay.sources import load_sources
from relay.store.record.persons import PersonIndex
from relay.store.redis import keys
from tests.support.folders import SECRETS, copy_config
from tests.support.making import NOON, bring_to, claim_one, make_entry, write
from tests.support.senders import SEED, dump


@pytest.fixture
def today(record, tmp_path):
    """Makes a Replayer with the shipped rules, some of them changed: file -> (old text, new text)."""
    folder = copy_config(tmp_path)

    def make(**changes):
        for name, (old, new) in changes.items():
            path = folder / "rules" / f"{name.replace('_', '-')}.yaml"
            path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
        sources = load_sources(folder / "sources.yaml", SECRETS)
        portals = load_portals(folder / "portals.yaml")
        rules = load_rules(folder / "rules", sources=sources, portals=portals)
        return Replayer(record, sources, rules, PersonIndex("key"))

    return make


def dead(record, body):
    """A dead delivery of the rule seed-example, from an event with this body."""
    entry = make_entry(["seed-example"], body=body)
    write(record, entry)
    claimed = claim_one(record, entry.deliveries[0])
    record.settle(claimed, State.DEAD, NOON, reason="because")
    return record.delivery(claimed.id)


def test_the_original_call_is_made_again_whatever_the_rules_say_today(record, today):
    old = dead(record, dump(SEED))

    (fresh,) = today(seed_example=("template_id: 1", "template_id: 9")).replay(old.id, current_rules=False)

    assert fresh.call == old.call
    assert (fresh.state, fresh.replay_of, fresh.rule) == (State.PENDING, old.id, old.rule)
    assert record.delivery(fresh.id) == fresh


def test_the_rules_of_today_may_make_another_call(record, today):
    old = dead(record, dump(SEED))

    (fresh,) = today(seed_example=("template_id: 1", "template_id: 9")).replay(old.id, current_rules=True)

    assert (fresh.call.template_id, fresh.call.document_id) == (9, ("crm", "CCrmDocumentLead", "LEAD_1"))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (("when: ", "when: body.never && "), NotReplayableError, "does not want"),
        (("body.user,", "body.other,"), InvalidEventError, "user"),
        (("name: seed-example", "name: renamed"), NotFoundError, "seed-example"),
    ],
)
def test_what_the_rules_of_today_cannot_use_is_not_replayed(record, today, change, error, words):
    old = dead(record, dump(SEED))

    with pytest.raises(error, match=words):
        today(seed_example=change).replay(old.id, current_rules=True)

    assert record.event(old.event_id).deliveries == (old.id,)


def test_an_event_that_was_rejected_is_used_after_its_rule_was_mended(record, today):
    entry = make_entry([], state=EventState.REJECTED, body=b'{"lead": {"id": 1}, "user": "anna"}')
    write(record, replace(entry, event=replace(entry.event, errors={"user": ["expected a whole number"]})))

    with pytest.raises(InvalidEventError):
        today().replay(entry.event.id, current_rules=True)
    mended = today(
        seed_example=("user: {from: body.user, type: integer, required: true, min: 1}", "user: {from: body.user}")
    )
    (fresh,) = mended.replay(entry.event.id, current_rules=True)

    assert fresh.call.parameters == {"Parameter1": "user_anna"}
    event = record.event(entry.event.id)
    assert (event.state, event.deliveries, event.errors) == (EventState.ACCEPTED, (fresh.id,), {})


ADA = "ada@example.com"
WITH_EMAIL = ("extract:", "extract:\n  email: {from: body.email, type: email}")


def test_the_person_of_a_replayed_event_is_found_by_name(record, today):
    entry = make_entry([], state=EventState.REJECTED, body=dump({**SEED, "email": ADA}))
    write(record, entry)

    today(seed_example=WITH_EMAIL).replay(entry.event.id, current_rules=True)

    person_key = PersonIndex("key").key_of(ADA)
    assert record.event(entry.event.id).person_keys == (person_key,)
    assert record.page(keys.PERSON_INDEX + person_key) == [entry.event.id]


def test_an_event_of_a_person_is_not_replayed_where_the_key_is_not_known(record, today):
    entry = make_entry([], state=EventState.REJECTED, body=dump({**SEED, "email": ADA}))
    write(record, entry)
    replayer = today(seed_example=WITH_EMAIL)
    replayer._persons = None

    with pytest.raises(NotReplayableError, match="RELAY_SECRET_KEY"):
        replayer.replay(entry.event.id, current_rules=True)


@pytest.mark.parametrize("state", [State.PENDING, State.SENDING, State.RETRYING, State.UNCERTAIN])
def test_what_is_not_final_is_not_replayed(record, today, state):
    delivery = bring_to(record, state)

    with pytest.raises(NotReplayableError, match=f"is {state}: only what is dead or started"):
        today().replay(delivery.id, current_rules=False)


def test_a_second_replay_is_refused_by_name(record, today):
    old = dead(record, dump(SEED))
    today().replay(old.id, current_rules=False)

    with pytest.raises(NotReplayableError, match=f"{old.id} has been replayed before"):
        today().replay(old.id, current_rules=False)


def test_an_event_with_deliveries_is_replayed_by_them(record, today):
    old = dead(record, dump(SEED))

    with pytest.raises(NotReplayableError, match=f"replay one of {old.id}"):
        today().replay(old.event_id, current_rules=True)


def test_an_event_that_still_no_rule_wants_is_not_replayed(record, today):
    entry = make_entry([], body=b"{}")
    write(record, entry)

    with pytest.raises(NotReplayableError, match="no rule of today wants"):
        today().replay(entry.event.id, current_rules=True)


def test_an_event_of_a_source_that_is_gone_is_not_replayed(record, today):
    entry = make_entry([], source="former")
    write(record, entry)

    with pytest.raises(NotFoundError, match="no longer configured"):
        today().replay(entry.event.id, current_rules=True)


def test_an_edit_that_is_sent_twice_records_nothing_the_second_time(record, today):
    old = dead(record, dump(SEED))
    edit = dump({**SEED, "lead": {"id": 77}})
    (fresh,) = today().replay_edited(old.id, edit)
    before = record.counts()

    with pytest.raises(NotReplayableError, match=f"{old.id} has been replayed before"):
        today().replay_edited(old.id, edit)

    assert record.page(keys.EVENTS) == [fresh.event_id, old.event_id]
    assert record.counts() == before
    copy = record.event(fresh.event_id)
    assert (copy.state, copy.deliveries, copy.body) == (EventState.ACCEPTED, (fresh.id,), edit)
    assert record.delivery(fresh.id) == fresh
    assert before.imbalances == []


def test_an_edit_whose_answer_was_lost_finds_what_it_has_recorded(record, today, monkeypatch):
    old = dead(record, dump(SEED))
    real = record.replay

    def replayed_twice(event, *rest, **options):
        real(event, *rest, **options)
        real(event, *rest, **options)

    monkeypatch.setattr(record, "replay", replayed_twice)

    (fresh,) = today().replay_edited(old.id, dump({**SEED, "lead": {"id": 77}}))

    assert record.page(keys.EVENTS) == [fresh.event_id, old.event_id]
    assert record.event(fresh.event_id).deliveries == (fresh.id,)
