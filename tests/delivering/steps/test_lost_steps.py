"""A document is made once, whatever is lost or killed: before it is made again, it is looked for by our own id."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import pytest

from relay.core.errors import RecordUnavailableError
from relay.core.events import OnUncertain, Policy
from relay.core.lifecycle import State
from relay.operations.operator_acts import OperatorActs
from relay.operations.replay import Replayer
from relay.rules import RuleBook
from relay.store import Store
from relay.store.record.record import HARD_DEADLINE
from relay.store.redis import keys
from tests.delivering.contexts import BATCHING, look_into, methods, send, started_documents, work_off
from tests.delivering.plans import CLIENT, MADE, OWNER, fire, made, make, outcomes, planned, tries
from workers.bitrix24.client import Client, Fault
from workers.delivery.retry import BUDGET
from workers.maintenance.repair import sweep
from workers.portal.client import SEND_WITHIN_S

ADD, LIST, START, FIRE = "crm.item.add", "crm.item.list", "bizproc.workflow.start", "crm.automation.trigger"
RAN = {"kind": "drop_after_start", "method": ADD}
NEVER_RAN = {"kind": "drop_before", "method": ADD}
LEAD = make("lead", "lead")


def lose(context, portal, *faults, steps=(LEAD,), **options):
    """A delivery whose first call was lost."""
    portal.add_faults(list(faults) or [RAN])
    delivery = send(context, planned(context.record, *steps, **options))
    context.gate.resume(context.clock())
    return delivery


def due(context, delivery):
    """When it is due; how it is after the next call."""
    delivery = context.record.delivery(delivery.id)
    context.clock.now = max(context.clock.now, delivery.next_attempt_at or delivery.created_at)
    context.gate.resume(context.clock())
    return send(context, delivery)


def done(context, delivery):
    """Whatever time it takes."""
    for _ in range(60):
        if delivery.state in {State.STARTED, State.DEAD, State.UNCERTAIN}:
            return delivery
        delivery = due(context, delivery)
    raise AssertionError("it never ends")


def test_a_lost_answer_is_never_uncertain_and_is_looked_into_when_the_call_is_over(context, portal, clock):
    delivery = lose(context, portal)

    assert (delivery.state, delivery.reason, delivery.unsure) == (State.RETRYING, "made_unknown", ("lead",))
    assert delivery.next_attempt_at == clock.now + timedelta(seconds=60)
    assert (delivery.next_method, delivery.next_step.name) == (LIST, "lead")
    assert context.record.redis.hget(f"relay:delivery:{delivery.id}", "method") == LIST.encode()


@pytest.mark.parametrize(
    ("fault", "how", "calls"),
    [
        (RAN, "found_again", {ADD: 1, LIST: 1, START: 1}),
        (NEVER_RAN, "made", {ADD: 2, LIST: 1, START: 1}),
        ({"kind": "truncated", "method": ADD}, "found_again", {ADD: 1, LIST: 1, START: 1}),
        ({"kind": "html_502", "method": ADD}, "made", {ADD: 2, LIST: 1, START: 1}),
        ({"kind": "wrong_encoding", "method": ADD}, "found_again", {ADD: 1, LIST: 1, START: 1}),
    ],
)
def test_it_ran_or_it_did_not_and_there_is_one_document(context, portal, fault, how, calls):
    delivery = done(context, lose(context, portal, fault))

    (lead,) = made(portal)
    assert (delivery.state, outcomes(delivery)) == (State.STARTED, {"lead": (how, lead["id"])})
    assert (delivery.unsure, methods(portal)) == ((), calls)
    assert started_documents(portal) == [f"LEAD_{lead['id']}"]


def test_no_look_is_needed_before_the_first_try(context, record, portal):
    done(context, planned(record, LEAD))

    assert LIST not in methods(portal)


def test_a_look_that_is_lost_is_put_again_and_nothing_is_made_meanwhile(context, portal):
    delivery = lose(context, portal)
    portal.add_faults([{"kind": "drop_before", "method": LIST, "times": 3}])

    for _ in range(3):
        delivery = due(context, delivery)
        assert (delivery.state, delivery.reason) == (State.RETRYING, "find_unanswered")
        assert delivery.is_looked_for

    assert outcomes(done(context, delivery))["lead"][0] == "found_again"
    assert len(made(portal)) == 1


def test_what_is_lost_every_time_is_looked_for_every_time_and_given_up_after_its_budget(context, portal):
    delivery = done(context, lose(context, portal, {**NEVER_RAN, "times": 100}))

    assert (delivery.state, delivery.reason, made(portal)) == (State.DEAD, "budget_spent", [])
    assert methods(portal) == {ADD: BUDGET, LIST: BUDGET}
    assert delivery.unsure == (), "the last look has said that there is none"


def test_the_budget_of_a_step_is_its_own(context, record, portal):
    portal.add_faults([{"kind": "error", "code": "CONNECTION_ERROR", "method": "user.get", "times": BUDGET - 1}])
    portal.add_faults([{"kind": "error", "code": "CONNECTION_ERROR", "method": ADD, "times": BUDGET - 1}])
    portal.add_faults([{"kind": "error", "code": "CONNECTION_ERROR", "method": START, "times": BUDGET - 1}])

    delivery = done(context, planned(record, OWNER, MADE))

    assert (delivery.state, len(delivery.attempts)) == (State.STARTED, 3 * BUDGET)


def test_a_lost_find_is_asked_again(context, record, portal):
    portal.add_faults([{"kind": "drop_after_start", "method": "user.get"}])
    delivery = send(context, planned(record, OWNER, MADE))

    assert (delivery.state, delivery.reason, delivery.unsure) == (State.RETRYING, "find_unanswered", ())
    assert outcomes(done(context, delivery))["owner"] == ("found", 2)


def test_a_batch_that_is_cut_leaves_each_what_its_call_was(open_context, record, portal):
    context = open_context(**BATCHING)
    context.pace.learn_took(context.pace.read(), "1", 10)
    finding = [planned(record, CLIENT, LEAD) for _ in range(2)]
    making = [planned(record, LEAD) for _ in range(2)]
    starting = [planned(record, lead=n) for n in (5, 6)]
    portal.add_faults([{"kind": "drop_after_start"}])

    send(context, finding[0])

    states = {one.id: (one.state, one.reason) for one in record.deliveries(record.page(keys.DELIVERIES))}
    assert {states[one.id] for one in finding} == {(State.RETRYING, "find_unanswered")}
    assert {states[one.id] for one in making} == {(State.RETRYING, "made_unknown")}
    assert {states[one.id] for one in starting} == {(State.UNCERTAIN, "cut")}
    for one in [*finding, *making]:
        done(context, record.delivery(one.id))
    assert {item["times_made"] for item in made(portal)} == {1}
    assert len(made(portal)) == 4


# Killed workers.


def claimed(context, *steps, **options):
    """A delivery that a worker has claimed, and died over; what it would have called."""
    delivery = planned(context.record, *steps, **options)
    (one,) = context.record.claim("main", "dead", context.clock())
    assert one.id == delivery.id
    return one


@pytest.mark.parametrize("ran", [True, False])
def test_a_worker_that_dies_over_a_make_leaves_it_to_be_looked_for(context, portal, clock, ran):
    delivery = claimed(context, LEAD)
    if ran:
        _call_by_hand(context, delivery)

    clock.advance(HARD_DEADLINE.total_seconds())
    assert sweep(context.record, clock(), {"main": context.portal}) == {"retrying": 1}

    swept = context.record.delivery(delivery.id)
    assert (swept.reason, swept.unsure, tries(swept)) == ("made_unknown", ("lead",), [("lead", "ambiguous")])
    ended = done(context, swept)
    assert outcomes(ended)["lead"][0] == ("found_again" if ran else "made")
    assert len(made(portal)) == 1
    assert context.record.counts().imbalances == []


def _call_by_hand(context, delivery):
    """The call that the dead worker has made."""
    own = {"originatorId": "relay", "originId": f"{delivery.id}/lead"}
    context.client.call(ADD, {"entityTypeId": 1, "fields": {"title": "T", **own}})


def test_where_calls_may_run_for_long_the_sweeper_waits_for_them(context, clock):
    delivery = claimed(context, LEAD)
    patient = {"main": replace(context.portal, settle_after_s=3600.0)}

    clock.advance(HARD_DEADLINE.total_seconds())
    sweep(context.record, clock(), patient)

    swept = context.record.delivery(delivery.id)
    assert swept.next_attempt_at == delivery.updated_at + timedelta(seconds=SEND_WITHIN_S + 3600)


@pytest.mark.parametrize(
    ("steps", "state", "reason"),
    [
        ((OWNER, LEAD), State.RETRYING, "find_unanswered"),
        ((fire("LEAD_1"),), State.UNCERTAIN, "worker_died"),
        ((), State.UNCERTAIN, "worker_died"),
    ],
)
def test_a_worker_that_dies_over_another_step(context, clock, steps, state, reason):
    delivery = claimed(context, *steps, lead=1)

    clock.advance(HARD_DEADLINE.total_seconds())
    sweep(context.record, clock(), {})

    swept = context.record.delivery(delivery.id)
    assert (swept.state, swept.reason, swept.unsure) == (state, reason, ())


def test_a_worker_that_dies_over_a_look_leaves_it_a_look(context, portal, clock):
    delivery = lose(context, portal)
    clock.now = delivery.next_attempt_at
    context.record.claim("main", "dead", clock())

    clock.advance(HARD_DEADLINE.total_seconds())
    sweep(context.record, clock(), {})

    swept = context.record.delivery(delivery.id)
    assert (swept.state, swept.unsure) == (State.RETRYING, ("lead",))
    assert outcomes(done(context, swept))["lead"][0] == "found_again"


def test_an_answer_that_comes_after_the_sweeper_changes_nothing_and_nothing_is_made_twice(open_context, portal, clock):
    context = open_context()
    portal.add_faults([{"kind": "slow", "seconds": 0.1, "method": ADD}])
    delivery = planned(context.record, LEAD)
    call = context.client.call

    def late(method, parameters, not_after=None):
        answer = call(method, parameters, not_after)
        clock.advance(HARD_DEADLINE.total_seconds())
        sweep(context.record, clock(), {})
        context.client.call = call
        return answer

    context.client.call = late
    delivery = send(context, delivery)

    assert (delivery.state, delivery.results) == (State.RETRYING, ())
    assert outcomes(done(context, delivery))["lead"][0] == "found_again"
    assert len(made(portal)) == 1


@pytest.mark.parametrize("step", [LEAD, None])
def test_a_worker_that_was_stopped_between_claim_and_call_sends_nothing(context, record, portal, monkeypatch, step):
    delivery = planned(record, *([step] if step else []), lead=None if step else 1)
    claim = type(context.record).claim

    def stopped(*arguments, **options):
        found = claim(*arguments, **options)
        monkeypatch.setattr("workers.bitrix24.client.time", _Later(SEND_WITHIN_S + 1))
        return found

    monkeypatch.setattr(type(context.record), "claim", stopped)
    delivery = send(context, delivery)

    assert (delivery.state, delivery.reason) == (State.RETRYING, "too_late")
    assert (methods(portal), delivery.unsure) == ({}, ())
    assert context.gate.look().is_open


class _Later:
    """A clock that is ahead."""

    def __init__(self, seconds):
        self._seconds = seconds

    def monotonic(self):
        return time.monotonic() + self._seconds


def test_where_the_record_goes_away_after_the_claim_what_was_taken_is_given_back(context, record, portal, monkeypatch):
    owner = replace(OWNER, keep_s=60)
    deliveries = [planned(record, owner, LEAD), planned(record, LEAD)]
    monkeypatch.setattr(type(context.kept), "found_before", _away)
    with pytest.raises(RecordUnavailableError):
        send(context, deliveries[0])
    assert record.delivery(deliveries[0].id).state is State.SENDING
    monkeypatch.undo()

    work_off(context)

    assert {one.state for one in record.deliveries(one.id for one in deliveries)} == {State.STARTED}
    assert methods(portal) == {"user.get": 1, ADD: 2, START: 2}


def test_where_the_record_goes_away_before_the_call_nothing_was_sent(context, record, portal, monkeypatch):
    delivery = planned(record, LEAD)
    monkeypatch.setattr(type(context.client), "_connect", _away)

    delivery = send(context, delivery)

    assert (delivery.state, delivery.reason, delivery.unsure) == (State.RETRYING, "not_sent", ())
    assert methods(portal) == {}


def _away(*_):
    raise RecordUnavailableError


def test_in_time_is_sent_and_too_late_is_not(sandbox):
    client = Client(f"{sandbox.url}/rest/1/sandbox/")

    assert client.call("scope", {}, not_after=lambda: _Later(5).monotonic()).fault is None
    assert client.call("scope", {}, not_after=lambda: _Later(-0.001).monotonic()).fault is Fault.TOO_LATE
    client.close()


# Replays.


def replay(context, delivery):
    """The same again, as a person asks for it."""
    (fresh,) = Replayer(context.record, {}, RuleBook((), ""), None).replay(delivery.id, current_rules=False)
    return fresh


def kill_off(context, delivery):
    """As if a person had given it up."""
    context.record.settle(delivery, State.DEAD, context.clock(), reason="cancelled")
    return context.record.delivery(delivery.id)


@pytest.mark.parametrize("fault", [RAN, NEVER_RAN])
def test_a_replay_of_what_was_tried_looks_first(context, portal, fault):
    dead = kill_off(context, lose(context, portal, fault))

    fresh = replay(context, dead)
    assert fresh.unsure == ("lead",)
    ended = done(context, fresh)

    assert (ended.state, len(made(portal)), made(portal)[0]["times_made"]) == (State.STARTED, 1, 1)
    assert made(portal)[0]["fields"]["originId"] == f"{dead.id}/lead", "the first of the chain"


def test_a_replay_does_not_look_before_the_call_it_looks_for_can_be_over(context, portal, clock):
    dead = kill_off(context, lose(context, portal))
    fresh = replay(context, dead)
    clock.now = fresh.created_at + timedelta(seconds=5)

    fresh = send(context, fresh)

    assert (fresh.state, fresh.reason, fresh.attempts) == (State.RETRYING, "made_unknown", ())
    assert fresh.next_attempt_at == fresh.created_at + timedelta(seconds=60)
    assert methods(portal) == {ADD: 1}


def test_a_replay_of_a_replay_still_looks_first(context, portal):
    dead = kill_off(context, lose(context, portal))
    second = kill_off(context, replay(context, dead))

    ended = done(context, replay(context, second))

    assert outcomes(ended)["lead"][0] == "found_again"
    assert len(made(portal)) == 1


def test_a_replay_goes_on_with_the_document_that_was_made(context, record, portal):
    portal.add_faults([{"kind": "error", "code": "ERROR_WRONG_WORKFLOW_ID", "method": START}])
    dead = done(context, planned(record, OWNER, MADE))
    assert (dead.state, dead.reason) == (State.DEAD, "error_wrong_workflow_id")

    ended = done(context, replay(context, dead))

    (lead,) = made(portal)
    assert (ended.state, outcomes(ended)) == (State.STARTED, {"lead": ("carried", lead["id"]), "owner": ("found", 2)})
    assert started_documents(portal) == [f"LEAD_{lead['id']}"]


def test_a_replay_for_which_all_was_made_fills_its_call(context, record, portal):
    portal.add_faults([{"kind": "error", "code": "ERROR_WRONG_WORKFLOW_ID", "method": START}])
    dead = done(context, planned(record, LEAD))

    ended = done(context, replay(context, dead))

    assert (ended.state, ended.call.document_id[2]) == (State.STARTED, f"LEAD_{made(portal)[0]['id']}")
    assert methods(portal) == {ADD: 1, START: 2}


# Triggers, of which the portal does not tell whether they were fired.


def doubtful_trigger(context, portal, **options):
    portal.add_faults([{"kind": "drop_after_start", "method": FIRE}])
    delivery = send(context, planned(context.record, fire("LEAD_1"), lead=1, **options))
    context.gate.resume(context.clock())
    assert (delivery.state, delivery.reason) == (State.UNCERTAIN, "fired_unknown")
    context.clock.now = delivery.next_attempt_at
    return delivery


@pytest.mark.parametrize(
    ("policy", "state", "reason"),
    [
        (OnUncertain.HOLD, State.UNCERTAIN, "fired_unknown"),
        (OnUncertain.RESEND, State.RETRYING, "resent_fired_unknown"),
        (OnUncertain.GIVE_UP, State.DEAD, "given_up_fired_unknown"),
    ],
)
def test_a_lost_trigger_is_what_the_rule_says(context, portal, policy, state, reason):
    delivery = look_into(context, doubtful_trigger(context, portal, policy=Policy(policy)))

    assert (delivery.state, delivery.reason) == (state, reason)
    assert methods(portal) == {FIRE: 1}
    assert context.record.counts().imbalances == []


@pytest.mark.parametrize("template", [1, 0])
def test_a_person_who_says_that_it_was_fired_lets_the_rest_follow(context, portal, template):
    delivery = look_into(context, doubtful_trigger(context, portal, template=template))
    acts = OperatorActs(Store(context.record.redis), None, context.clock)

    acts.settle(delivery.id, "operator", State.STARTED, "seen")
    work_off(context)

    ended = context.record.delivery(delivery.id)
    assert (ended.state, outcomes(ended)) == (State.STARTED, {"trigger": ("fired", None)})
    assert methods(portal) == ({FIRE: 1, START: 1} if template else {FIRE: 1})
    assert ended.reason == (None if template else "triggered")


def test_a_person_who_says_again_has_it_fired_again(context, portal):
    delivery = look_into(context, doubtful_trigger(context, portal))
    acts = OperatorActs(Store(context.record.redis), None, context.clock)

    acts.settle(delivery.id, "operator", State.RETRYING, "not seen")
    work_off(context)

    assert context.record.delivery(delivery.id).state is State.STARTED
    assert methods(portal) == {FIRE: 2, START: 1}


def test_whatever_is_lost_no_find_and_no_make_is_uncertain(context, record, portal):
    portal.add_faults([{"kind": "drop_before", "times": 30}])
    delivery = planned(record, CLIENT, MADE)
    for _ in range(40):
        delivery = due(context, delivery)
        assert delivery.next_step is None or delivery.state is not State.UNCERTAIN
