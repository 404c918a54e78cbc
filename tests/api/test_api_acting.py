"""What the API does: replay, settle, cancel, pause, resume, end a workflow, many at once; each once, each on record."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from relay.core.findings import Finding, as_lines, finding
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.core.templates import Drift, DriftKind
from relay.operations import bulk_replay as bulk_module
from relay.store.operators.audit_log import read_acts
from relay.store.redis import keys
from tests.support.making import NOON, bring_to, claim_one, make_entry, write, write_one
from tests.support.senders import dump, website


@pytest.fixture
def services(app):
    return app.extensions["services"]


def acts(record):
    return [(act.who, act.what) for act in read_acts(record.redis)]


def test_a_dead_delivery_is_replayed_with_the_same_call_once(api, record):
    dead = bring_to(record, State.DEAD)

    made = api.post(f"/deliveries/{dead.id}/replay", {}, 201)

    assert (made["replay_of"], made["state"]) == (dead.id, "pending")
    assert made["call"] == dead.call.to_wire()
    problem = api.post(f"/deliveries/{dead.id}/replay", {}, 409)
    assert "replayed before" in problem["detail"]
    assert acts(record) == [("api", "replay")]
    assert record.counts().deliveries[State.PENDING] == 1


def test_a_replay_with_todays_rules_makes_the_call_anew_or_says_why_not(api, app, record):
    body = {"form": "demo", "lead": {"id": 7}, "email": "ada@example.com"}
    (delivery_id,) = app.test_client().post("/hooks/website", data=dump(body), headers=website()).json["deliveries"]
    delivery = record.delivery(delivery_id)
    claimed = claim_one(record, delivery, delivery.created_at)
    record.settle(claimed, State.DEAD, NOON, reason="x")
    unknown = bring_to(record, State.DEAD)

    made = api.post(f"/deliveries/{delivery_id}/replay", {"rules": "current"}, 201)

    assert made["call"] == claimed.call.to_wire()
    api.post(f"/deliveries/{unknown.id}/replay", {"rules": "current"}, 404)
    api.post(f"/deliveries/{unknown.id}/replay", {"rules": "tomorrow's"}, 422)


def test_only_what_is_final_is_replayed(api, record):
    for state in (State.PENDING, State.SENDING, State.RETRYING, State.UNCERTAIN):
        api.post(f"/deliveries/{bring_to(record, state).id}/replay", {}, 409)
    api.post("/deliveries/dlv_none/replay", {}, 404)


def test_an_event_is_replayed_at_its_own_address_only(api, record):
    body = b'{"form": "demo", "lead": {"id": 7}}'
    rejected = make_entry([], state=EventState.REJECTED, body=body)
    unwanted = make_entry([], state=EventState.IGNORED, body=b'{"form": "none"}')
    for entry in (rejected, unwanted):
        write(record, entry)

    api.post(f"/deliveries/{rejected.event.id}/replay", {}, 404)
    (made,) = api.post(f"/events/{rejected.event.id}/replay", None, 201)["deliveries"]

    assert (made["rule"], made["event_id"], made["replay_of"]) == ("demo-request", rejected.event.id, None)
    api.post(f"/events/{rejected.event.id}/replay", None, 409)
    api.post(f"/events/{unwanted.event.id}/replay", None, 409)
    api.post(f"/events/{made['id']}/replay", None, 404)


@pytest.mark.parametrize("state", ["started", "retrying", "dead"])
def test_an_uncertain_delivery_is_settled_as_a_person_says(api, record, state):
    uncertain = bring_to(record, State.UNCERTAIN)

    settled = api.post(f"/deliveries/{uncertain.id}/settle", {"as": state, "note": "I looked", "workflow_id": "wf-9"})

    assert (settled["state"], settled["reason"]) == (state, "settled_by_person")
    assert read_acts(record.redis)[0].note == "I looked"
    api.post(f"/deliveries/{uncertain.id}/settle", {"as": state, "note": "again"}, 409)
    assert acts(record) == [("api", f"settle as {state}")]
    assert record.counts().imbalances == []


@pytest.mark.parametrize("asked", [{}, {"as": "started"}, {"as": "pending", "note": "x"}, {"as": "dead", "note": ""}])
def test_settling_needs_a_state_and_a_note(api, record, asked):
    api.post(f"/deliveries/{bring_to(record, State.UNCERTAIN).id}/settle", asked, 422)


def test_a_workflow_that_is_anothers_is_refused(api, record):
    first, second = bring_to(record, State.UNCERTAIN), bring_to(record, State.UNCERTAIN)
    asked = {"as": "started", "note": "x", "workflow_id": "wf-1"}
    api.post(f"/deliveries/{first.id}/settle", asked)

    api.post(f"/deliveries/{second.id}/settle", asked, 409)


def test_only_what_waits_is_cancelled(api, record):
    waiting = write_one(record)

    assert api.post(f"/deliveries/{waiting.id}/cancel", {"note": "no longer"})["state"] == "dead"

    for state in (State.SENDING, State.UNCERTAIN, State.STARTED, State.DEAD):
        api.post(f"/deliveries/{bring_to(record, state).id}/cancel", {}, 409)
    assert acts(record) == [("api", "cancel")]


def test_a_dead_delivery_is_left_once_and_needs_nobody_any_more(api, record):
    dead = bring_to(record, State.DEAD)
    assert record.unresolved_dead() == 1

    assert api.post(f"/deliveries/{dead.id}/leave", {"note": "a test of theirs"})["state"] == "dead"
    api.post(f"/deliveries/{dead.id}/leave", {}, 409)
    api.post(f"/deliveries/{bring_to(record, State.STARTED).id}/leave", {}, 409)

    assert record.unresolved_dead() == 0
    assert acts(record) == [("api", "leave")]


def test_a_portal_is_paused_and_resumed(api, record):
    assert api.post("/portals/main/pause")["gate"] == "paused"
    assert api.post("/portals/main/resume")["gate"] == "open"
    assert acts(record) == [("api", "resume"), ("api", "pause")]
    for act in ("pause", "resume"):
        api.post(f"/portals/nowhere/{act}", None, 404)


@pytest.mark.parametrize("act", ["terminate", "kill"])
def test_a_workflow_of_ours_is_ended_by_a_worker_that_answers_later(api, services, record, act):
    started = bring_to(record, State.STARTED)

    question = api.post(f"/workflows/{started.workflow_id}/{act}", None, 202)

    assert question == {
        "id": question["id"], "portal": "main", "act": act, "workflow_id": started.workflow_id, "state": "asked",
        "answer": None,
    }  # fmt: skip
    services.questions.answer(question["id"], done=True, answer="ended")
    assert api.get(f"/questions/{question['id']}")["state"] == "done"
    api.post(f"/workflows/unknown/{act}", None, 409)
    assert acts(record) == [("api", act)]


def test_what_a_worker_has_found_at_a_portal_is_read_as_sentences(api, services):
    asked = services.operator_acts.ping("main", "api")
    found = [finding("templates", count=2), Finding("drift", Drift(DriftKind.NO_LEADS, "a", 1).to_wire())]

    services.questions.answer(asked.id, done=True, answer=f"{as_lines(found)}\nof an earlier version")

    assert api.get(f"/questions/{asked.id}")["answer"].splitlines() == [
        "2 templates can be started",
        "rule a, template 1: the portal works without leads: it turns a new one into a deal at once",
        "of an earlier version",
    ]


def test_the_same_key_gets_the_same_answer_and_nothing_happens_twice(api, record):
    dead = bring_to(record, State.DEAD)

    first = api.post(f"/deliveries/{dead.id}/replay", {}, 201, key="k-1")

    assert api.post(f"/deliveries/{dead.id}/replay", {}, 201, key="k-1") == first
    assert record.counts().total == 2
    assert len(acts(record)) == 1
    api.post(f"/deliveries/{dead.id}/replay", {"rules": "current"}, 422, key="k-1")
    api.post(f"/deliveries/{dead.id}/replay", {}, 409, key="k-2")


def test_a_refusal_is_not_kept_under_the_key(api, record):
    sending = bring_to(record, State.SENDING)
    api.post(f"/deliveries/{sending.id}/replay", {}, 409, key="k")
    record.settle(sending, State.DEAD, NOON, reason="x")

    api.post(f"/deliveries/{sending.id}/replay", {}, 201, key="k")


def test_the_same_key_elsewhere_is_another_one(api, record):
    first, second = bring_to(record, State.DEAD), bring_to(record, State.DEAD)

    for one in (first, second):
        api.post(f"/deliveries/{one.id}/replay", {}, 201, key="k")


def test_a_request_whose_twin_is_still_being_done_is_told_so(api, record, services, monkeypatch):
    dead = bring_to(record, State.DEAD)
    met = []

    def replay_slowly(*_args, **_options):
        met.append(api.post(f"/deliveries/{dead.id}/replay", {}, 409, key="k")["detail"])
        return [replace(dead, replay_of=dead.id)]

    monkeypatch.setattr(type(services.operator_acts), "replay", replay_slowly)
    api.post(f"/deliveries/{dead.id}/replay", {}, 201, key="k")

    assert met == ["the request with this Idempotency-Key is still being done"]


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_a_key_that_is_none_is_refused(api, record, key):
    api.post(f"/deliveries/{bring_to(record, State.DEAD).id}/replay", {}, 422, key=key)


def test_an_answer_under_a_key_is_forgotten_after_a_day(api, record):
    api.post("/portals/main/pause", key="k")
    (kept,) = record.redis.scan_iter(f"{keys.ONCE}*")

    assert 0 < record.redis.ttl(kept) <= 86_400
    assert json.loads(record.redis.get(kept))["answer"]["gate"] == "paused"


def test_a_dry_run_counts_and_does_nothing(api, record):
    dead = [bring_to(record, State.DEAD) for _ in range(7)]
    bring_to(record, State.STARTED)

    found = api.post("/replays", {"filter": {"rule": "a-rule"}, "dry_run": True}, 201)

    assert (found["state"], found["found"], found["id"]) == ("dry_run", 7, None)
    assert len(found["sample"]) == 5
    assert set(found["sample"]) < {one.id for one in dead}
    assert record.counts().total == 8


def test_many_are_replayed_step_by_step_and_what_comes_later_is_not(api, services, record, monkeypatch):
    monkeypatch.setattr(bulk_module, "STEP", 2)
    for _ in range(5):
        bring_to(record, State.DEAD)
    begun = api.post("/replays", {"filter": {"state": "dead"}}, 201)
    later = bring_to(record, State.DEAD, NOON + timedelta(days=9000))

    services.bulk.step(begun["id"])
    half_way = api.get(f"/replays/{begun['id']}")
    while services.bulk.step(begun["id"]).state == "running":
        pass
    done = api.get(f"/replays/{begun['id']}")

    assert (begun["state"], begun["found"]) == ("running", 5)
    assert (half_way["state"], half_way["replayed"]) == ("running", 2)
    assert (done["state"], done["replayed"], done["refused"]) == ("finished", 5, 0)
    assert record.counts().deliveries[State.PENDING] == 5
    api.post(f"/deliveries/{later.id}/replay", {}, 201)


def test_workflows_that_have_started_are_replayed_only_where_that_is_asked(api, record):
    bring_to(record, State.STARTED)

    api.post("/replays", {"filter": {"rule": "a-rule"}}, 409)
    api.post("/replays", {"filter": {"rule": "a-rule", "state": "pending"}}, 422)
    assert api.post("/replays", {"filter": {"state": "started"}, "dry_run": True}, 201)["found"] == 1


def test_a_bulk_replay_yields_to_what_waits(api, services, record, monkeypatch):
    bring_to(record, State.DEAD)
    bring_to(record, State.DEAD)
    begun = api.post("/replays", {"filter": {}}, 201)
    monkeypatch.setattr(bulk_module, "ROOM", 1)
    waiting = [write_one(record).id]

    def step_with_room():
        services.bulk.step(begun["id"])
        claimed = claim_one(record, record.delivery(waiting.pop()), utc_now())
        record.settle(claimed, State.STARTED, NOON, workflow_id=f"wf-{claimed.id[-20:]}")
        waiting.extend(record.page(keys.DELIVERIES_BY_STATE + State.PENDING))
        found = api.get(f"/replays/{begun['id']}")
        return found["replayed"], found["refused"], found["state"]

    assert step_with_room() == (0, 0, "running")
    assert services.bulk.step(begun["id"]).replayed == 1
    waiting.extend(record.page(keys.DELIVERIES_BY_STATE + State.PENDING))
    assert step_with_room() == (1, 0, "running")
    assert services.bulk.step(begun["id"]).replayed == 2
    assert services.bulk.read(begun["id"]).refused == 0


def test_a_bulk_replay_is_cancelled_before_its_next_step(api, services, record, monkeypatch):
    monkeypatch.setattr(bulk_module, "STEP", 1)
    for _ in range(3):
        bring_to(record, State.DEAD)
    begun = api.post("/replays", {"filter": {}}, 201)
    services.bulk.step(begun["id"])

    assert api.ask("DELETE", f"/replays/{begun['id']}").status_code == 200

    assert services.bulk.step(begun["id"]).state == "cancelled"
    assert api.get(f"/replays/{begun['id']}")["replayed"] == 1
    assert record.counts().deliveries[State.PENDING] == 1
    assert [what for _, what in acts(record)].count("cancel bulk replay") == 1


def test_a_filter_that_finds_nothing_begins_nothing(api):
    api.post("/replays", {"filter": {"rule": "none"}}, 409)
    assert api.post("/replays", {"filter": {"rule": "none"}, "dry_run": True}, 201)["found"] == 0
