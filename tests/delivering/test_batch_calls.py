"""Where many wait they go together, each with a verdict of its own; what a batch could alter goes alone."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.ids import utc_now
from relay.core.lifecycle import State, Verdict
from relay.core.plan import Call
from relay.core.spellings import written
from relay.sandbox import php
from tests.delivering.contexts import (
    BATCHING,
    LEAD,
    add,
    batch_sizes,
    methods,
    send,
    started_documents,
    work_off,
)
from tests.delivering.wire import answering, respond
from workers.bitrix24 import bizproc
from workers.bitrix24.client import Fault, answer_from_payload, answers_of, batch_parameters, to_query

SECOND = timedelta(seconds=1)
FRAGILE = [
    "$result[d0]",
    "a $time[d0][start] b",
    "<b>bold</b>",
    "javascript:alert(1)",
    "&#65;",
    ["fine", "$next[d0]"],
    [],
]


@pytest.fixture
def context(open_context):
    return open_context(**BATCHING)


def fill(record, count, **options):
    """Deliveries to leads 1, 2, ..., the first the oldest."""
    begin = utc_now() - 1000 * SECOND
    return [add(record, lead=number, at=begin + number * SECOND, **options) for number in range(1, count + 1)]


def learn(context, takes_ms, template=1):
    context.pace.learn_took(context.pace.read(), str(template), takes_ms)


def states(record, deliveries):
    return [one.state for one in record.deliveries([one.id for one in deliveries])]


def test_one_that_waits_alone_is_a_plain_call(context, record, portal):
    (only,) = fill(record, 1)

    delivery = send(context, only)

    assert delivery.state is State.STARTED
    assert methods(portal) == {"bizproc.workflow.start": 1}
    assert delivery.attempts[0].batch_size == 1


def test_as_many_as_the_pace_carries_go_one_by_one(open_context, record, portal):
    context = open_context(rate_per_s=0.001, burst=10)
    fill(record, 10)

    work_off(context)

    assert methods(portal) == {"bizproc.workflow.start": 10}


def test_many_go_together_oldest_first(context, record, portal):
    learn(context, 10)
    deliveries = fill(record, 30)

    send(context, deliveries[0])

    assert states(record, deliveries) == [State.STARTED] * 30
    assert started_documents(portal) == [f"LEAD_{number}" for number in range(1, 31)]
    assert methods(portal) == {"batch": 1}
    assert {one.attempts[0].batch_size for one in record.deliveries(one.id for one in deliveries)} == {30}


@pytest.mark.parametrize(("most", "sizes"), [(50, [50, 10]), (7, [7] * 8 + [4]), (1, [1] * 60)])
def test_a_batch_is_never_larger_than_the_portals(open_context, record, portal, most, sizes):
    context = open_context(batch=most, **BATCHING)
    learn(context, 10)
    fill(record, 60)

    work_off(context)

    assert batch_sizes(portal) == sizes
    assert len(portal.started()) == 60


@pytest.mark.parametrize(
    ("waiting_and_ms", "together"),
    [((10, 10), 1), ((60, 10), 50), ((60, 100), 20), ((13, 700), 2), ((60, 3_000), 1)],
    ids=["a few", "many", "many that take a while", "what takes long", "what takes too long"],
)
def test_many_go_together_at_a_portal_without_limits_but_for_two_seconds_at_most(
    open_context, record, portal, waiting_and_ms, together
):
    context, (waiting, takes_ms) = open_context(), waiting_and_ms
    learn(context, takes_ms)

    send(context, fill(record, waiting)[0])

    assert batch_sizes(portal) == [together]


def test_keys_begin_with_a_letter_so_that_no_answer_becomes_a_list():
    commands = batch_parameters([("m", {"A": n}) for n in range(50)])

    assert commands["halt"] == 0
    assert len(commands["cmd"]) == 50
    assert all(key[0].isalpha() for key in commands["cmd"])


def test_every_command_has_its_own_verdict(context, record, portal):
    learn(context, 1)
    learn(context, 1, 999)
    deliveries = fill(record, 2)
    deliveries += [add(record, lead=404), add(record, lead=5), add(record, template=999)]

    send(context, deliveries[0])

    settled = record.deliveries(one.id for one in deliveries)
    assert batch_sizes(portal) == [5]
    assert [one.state for one in settled] == [
        State.STARTED, State.STARTED, State.DEAD, State.STARTED, State.DEAD,
    ]  # fmt: skip
    assert [one.attempts[0].description for one in settled if one.state is State.DEAD] == [
        "Incorrect document type!",
        "Template not found",
    ]
    assert len({one.workflow_id for one in settled if one.workflow_id}) == 3
    by_id = {workflow["id"]: workflow["document"][2] for workflow in portal.started()}
    assert all(by_id[one.workflow_id] == one.call.document_id[2] for one in settled if one.workflow_id)
    assert record.counts().imbalances == []


def test_a_command_that_is_in_neither_map_was_not_executed(open_context, record):
    sections = {"result": {"d0": "wf.1"}, "result_error": [], "result_time": {"d0": {"processing": 0.1}}}
    with answering(respond({"result": sections, "time": {}})) as wire:
        context = open_context(wire.url, **BATCHING)
        learn(context, 1)
        deliveries = fill(record, 3)
        send(context, deliveries[0])

    settled = record.deliveries(one.id for one in deliveries)
    assert [one.state for one in settled] == [State.STARTED, State.RETRYING, State.RETRYING]
    assert {one.attempts[0].verdict for one in settled[1:]} == {Verdict.UNREACHABLE}


def test_an_error_inside_a_batch_may_be_all_kinds_of_error(open_context, record):
    sections = {
        "result": [],
        "result_error": {
            "d0": {"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many requests"},
            "d1": {"error": "", "error_description": "Mysql query error: Deadlock"},
            "d2": {"error": "ERROR_BATCH_LENGTH_EXCEEDED", "error_description": "Max batch length exceeded"},
            "d3": {"error": "ERROR_BATCH_METHOD_NOT_ALLOWED", "error_description": "Method is not allowed"},
            "d4": "a text",
        },
    }
    with answering(respond({"result": sections})) as wire:
        context = open_context(wire.url, **BATCHING)
        learn(context, 1)
        deliveries = fill(record, 5)
        send(context, deliveries[0])

    assert states(record, deliveries) == [
        State.RETRYING, State.UNCERTAIN, State.PENDING, State.PENDING, State.UNCERTAIN,
    ]  # fmt: skip
    assert context.pace.read().batch_limit == 2


WHOLE = {
    "too large": {"kind": "error", "code": "PAYLOAD", "status": 413},
    "a bad argument": {"kind": "error", "code": "ERROR_ARGUMENT"},
    "denied": {"kind": "error", "code": "ACCESS_DENIED"},
    "a firewall": {"kind": "error", "code": "BLOCKED_BY_RULE_7", "status": 403},
    "no batches": {"kind": "error", "code": "ERROR_METHOD_NOT_FOUND"},
    "not allowed": {"kind": "error", "code": "METHOD_CONFIRM_WAITING"},
}


@pytest.mark.parametrize("refusal", WHOLE)
def test_what_refuses_a_batch_as_a_whole_gives_up_none_of_it(context, record, portal, clock, refusal):
    learn(context, 1)
    portal.add_faults({**WHOLE[refusal], "method": "batch", "times": 1_000})
    deliveries = fill(record, 30)

    work_off(context)

    settled = record.deliveries(one.id for one in deliveries)
    assert {one.state for one in settled} == {State.STARTED}
    assert {len(one.attempts) for one in settled} == {1}, "none was spent on it"
    assert context.gate.look().is_open
    assert batch_sizes(portal)[0] == 30


def test_a_batch_that_is_too_large_is_made_smaller_until_it_fits_and_grows_again(context, record, portal):
    learn(context, 1)
    portal.add_faults({**WHOLE["too large"], "method": "batch", "times": 3})
    deliveries = fill(record, 100)

    work_off(context)

    assert states(record, deliveries) == [State.STARTED] * 100
    assert batch_sizes(portal) == [50, 25, 12, 6, 12, 24, 48, 10]
    assert context.pace.read().batch_limit is None


def test_one_call_that_spoils_each_batch_is_found_and_the_others_go_on(context, record, portal):
    """A firewall that looks at contents sees a batch as one text."""
    learn(context, 1)
    deliveries = fill(record, 20)
    spoilt = record.delivery(deliveries[7].id)
    call = context.client.call

    def filtered(method, parameters, *more):
        if "LEAD_8" in json.dumps(parameters):
            portal.add_faults({**WHOLE["a firewall"], "method": method})
        return call(method, parameters, *more)

    context.client.call = filtered
    work_off(context)

    settled = record.deliveries(one.id for one in deliveries)
    assert [one.id for one in settled if one.state is not State.STARTED] == [spoilt.id]
    (attempt,) = record.delivery(spoilt.id).attempts
    assert (attempt.verdict, attempt.batch_size, attempt.status) == (Verdict.REJECTED, 1, 403)
    assert context.gate.look().is_open


def test_a_held_portal_holds_the_whole_batch(context, record, portal):
    learn(context, 1)
    portal.add_faults({"kind": "error", "code": "INVALID_CREDENTIALS", "method": "batch"})
    deliveries = fill(record, 5)

    send(context, deliveries[0])

    assert states(record, deliveries) == [State.PENDING] * 5
    assert not any(one.attempts for one in record.deliveries(one.id for one in deliveries))


@pytest.mark.parametrize("kind", ["drop_after_start", "cut", "truncated", "not_json"])
def test_a_batch_that_is_cut_leaves_each_of_it_uncertain(context, record, portal, kind):
    learn(context, 1)
    portal.add_faults({"kind": kind, "method": "batch"})
    deliveries = fill(record, 5)

    send(context, deliveries[0])

    assert states(record, deliveries) == [State.UNCERTAIN] * 5
    assert len(portal.started()) == 5
    assert record.counts().imbalances == []


@pytest.mark.parametrize("content", [None, [], "a text", {"result": "text"}])
def test_a_batch_answer_of_another_shape_starts_nothing(content):
    whole = answer_from_payload({"result": content}, utc_now(), 1, 200)

    assert {answer.fault for answer in answers_of(whole, 3)} <= {Fault.UNREADABLE, Fault.NOT_EXECUTED}


@pytest.mark.parametrize("value", FRAGILE, ids=str)
def test_a_value_that_a_batch_could_alter_goes_alone_and_arrives_as_it_is(context, record, portal, value):
    learn(context, 1)
    deliveries = fill(record, 4)
    alone = add(record, lead=9, parameters={"Note": value})
    deliveries.append(alone)

    work_off(context)

    assert sorted(batch_sizes(portal)) == [1, 4]
    assert states(record, deliveries) == [State.STARTED] * 5
    (workflow,) = [one for one in portal.started() if one["document"][2] == "LEAD_9"]
    assert workflow["parameters"]["Note"] == value


@pytest.mark.parametrize("value", FRAGILE, ids=str)
def test_one_that_goes_alone_takes_no_other_along(context, record, portal, value):
    learn(context, 1)
    alone = add(record, lead=9, parameters={"Note": value}, at=utc_now() - timedelta(hours=1))
    deliveries = fill(record, 3)

    send(context, alone)

    assert batch_sizes(portal) == [1]
    assert states(record, [*deliveries, alone]) == [State.PENDING] * 3 + [State.STARTED]


def test_a_document_that_a_batch_could_alter_goes_alone():
    assert Call("main", 1, (*LEAD[:2], "$result[d0]"), {}).goes_alone
    assert not Call("main", 1, LEAD, {"Note": "plain"}).goes_alone


def test_a_template_that_was_never_started_goes_alone_once(context, record, portal):
    fill(record, 50)

    work_off(context)

    assert batch_sizes(portal) == [1, 49]


def test_a_template_that_takes_longer_than_the_portal_waits_never_takes_others_with_it(context, record, portal):
    portal.add_templates({"id": 20, "document_type": ["crm", "CCrmDocumentLead", "LEAD"], "first_leg_s": 61})
    learn(context, 1)
    quick = fill(record, 5)
    slow = fill(record, 3, template=20)

    for _ in range(4):  # each that is cut costs a short pause
        work_off(context)
        context.clock.advance(5)

    assert sorted(batch_sizes(portal)) == [1, 1, 1, 5]
    assert states(record, [*quick, *slow]) == [State.STARTED] * 5 + [State.UNCERTAIN] * 3


def test_a_batch_that_was_cut_late_makes_the_next_one_smaller(context, record, portal, monkeypatch):
    monkeypatch.setattr("workers.delivery.deliver.CUT_LATE_MS", -1)
    learn(context, 0.0001)
    portal.add_faults({"kind": "drop_after_start"})
    deliveries = fill(record, 5)

    send(context, deliveries[0])

    assert context.pace.read().takes_ms["1"] > 0.0001


@pytest.mark.parametrize(("takes_ms", "first"), [(100, 50), (1_000, 20), (5_000, 4), (9_000, 2), (30_000, 1)])
def test_a_batch_is_as_large_as_its_starts_are_quick(context, record, portal, takes_ms, first):
    learn(context, takes_ms)
    deliveries = fill(record, 50)

    send(context, deliveries[0])

    assert batch_sizes(portal) == [first]


def test_durations_are_learnt_from_answers(context, record, portal):
    portal.add_templates({"id": 20, "document_type": ["crm", "CCrmDocumentLead", "LEAD"], "first_leg_s": 4})
    deliveries = fill(record, 30, template=20)

    work_off(context)

    assert batch_sizes(portal) == [1, 5, 5, 5, 5, 5, 4]
    assert states(record, deliveries) == [State.STARTED] * 30
    assert context.pace.read().takes_ms["20"] == pytest.approx(4_000)


def test_a_slow_template_does_not_eat_the_time_of_the_quick_ones(context, record, portal):
    learn(context, 10)
    learn(context, 19_000, 2)
    quick = fill(record, 10)
    slow = [add(record, template=2, document=("crm", "CCrmDocumentDeal", f"DEAL_{n}")) for n in range(1, 4)]

    send(context, quick[0])

    assert states(record, [*quick, *slow]) == [State.STARTED] * 11 + [State.PENDING] * 2


def test_where_nothing_waits_no_slot_is_taken(context, record, portal):
    learn(context, 1)
    fill(record, 10)
    assert work_off(context) == 1
    record.redis.delete("relay:bucket:main")

    assert work_off(context) == 0

    assert not record.redis.exists("relay:bucket:main")
    assert methods(portal) == {"batch": 1}


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = texts | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
names = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="[]&="), min_size=1, max_size=9
)
values = scalars | st.lists(scalars, max_size=4)
calls = st.builds(
    Call,
    st.just("main"),
    st.integers(1, 2**31 - 1),
    st.tuples(texts, texts, texts),
    st.dictionaries(names.filter(lambda name: not name.isdigit()), values, max_size=5),
)


def as_texts(value):
    """A query knows only texts; PHP takes either for the other."""
    if isinstance(value, dict):
        return {key: as_texts(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [as_texts(entry) for entry in value]
    return written(value)


@given(calls, st.none() | st.just("0123456789abcd.12345678"))
def test_what_a_batch_sends_is_what_a_plain_call_sends(call, own_id):
    parameters = bizproc.start_parameters(call, own_id)

    in_batch = php.parse_query(to_query(parameters))
    singly = php.settle(json.loads(json.dumps(parameters)))

    # An empty list cannot be said in a query.
    assert in_batch == as_texts(singly) or (call.goes_alone and [] in call.parameters.values())


TRICKY = {
    "Email": "a+b@example.com",
    "Phone": "+7 (900) 000-00-00",
    "Note": "100 % & more = #1?\\ \u2603 \"quoted\" 'too'\n\ttab;",
    "Parameter1": ["user_1", "user 2", "3&4", "[5]"],
}


def test_tricky_values_arrive_alike_in_a_batch_and_alone(context, open_context, record, portal):
    learn(context, 1)
    deliveries = fill(record, 2, parameters=TRICKY)
    send(context, deliveries[0])
    send(open_context(), add(record, lead=3, parameters=TRICKY))

    assert batch_sizes(portal) == [2, 1]
    assert [workflow["parameters"] for workflow in portal.started()] == [TRICKY] * 3
