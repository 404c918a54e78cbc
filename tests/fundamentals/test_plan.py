"""Plans: what they say comes back as it was, and only their own places are filled."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.events import CallbackSettings, Policy
from relay.core.placeholders import Placeholder, PlaceholderValue, fill, from_wire, shown, steps_in, to_wire
from relay.core.plan import STOP, Call, How, Many, Plan, Step, StepKind, StepResult, is_fragile
from tests.support.making import NOON, make_delivery, make_entry, write

NAMES = st.sampled_from(["client", "owner", "lead"])
LITERALS = st.text() | st.integers(-(2**53), 2**53) | st.booleans() | st.sampled_from(["{lead}", '{"later": ["x"]}'])
LATERS = st.builds(
    PlaceholderValue,
    st.lists(st.text() | st.builds(Placeholder, NAMES), min_size=1, max_size=4).map(tuple),
    st.booleans(),
)
VALUES = st.dictionaries(
    st.text(max_size=20) | st.sampled_from(["later", "map", "step"]), LITERALS | LATERS | st.lists(LITERALS | LATERS)
)

LEAD, CLIENT_ID = PlaceholderValue((Placeholder("lead"),)), PlaceholderValue((Placeholder("client"),))
CALL = Call(
    "main",
    12,
    ("crm", "CCrmDocumentLead", PlaceholderValue(("LEAD_", Placeholder("lead")))),
    {"Manager": "user_1", "Lead": LEAD},
)
CLIENT = Step("client", StepKind.FIND, "contact", 3, {"phone": "+79990000000"}, many=Many.STOP, none=STOP, keep_s=60)
LEAD_STEP = Step("lead", StepKind.MAKE, "lead", 1, {"contactId": CLIENT_ID}, unless="client", is_quiet=True)
PLAN = Plan("dlv_1", (CLIENT, LEAD_STEP), CALL)
FOUND = StepResult("client", StepKind.FIND, "contact", 3, 17, How.FOUND, NOON, attempts=2)


@given(VALUES)
def test_values_come_back_from_their_wire_form_as_they_were(values):
    assert from_wire(json.loads(json.dumps(to_wire(values)))) == values


@given(st.dictionaries(st.text(max_size=20), LITERALS | st.lists(LITERALS)), st.dictionaries(NAMES, st.integers()))
def test_a_value_without_a_place_is_never_changed_whatever_it_looks_like(values, results):
    assert fill(values, results) == values
    assert shown(values, results) == values
    assert not list(steps_in(values))


@pytest.mark.parametrize(
    ("parts", "has_value", "results", "filled"),
    [
        ((Placeholder("lead"),), False, {"lead": 7}, 7),
        ((Placeholder("lead"),), False, {"lead": None}, ""),
        (("user_", Placeholder("owner")), False, {"owner": 1}, "user_1"),
        (("user_", Placeholder("owner")), False, {"owner": None}, ""),
        (("Ann, client ", Placeholder("client")), True, {"client": None}, "Ann, client "),
        ((Placeholder("client"), "/", Placeholder("lead")), False, {"client": None, "lead": 7}, "/7"),
        ((Placeholder("client"), " {lead}"), True, {"client": 1, "lead": 7}, "1 {lead}"),
    ],
)
def test_a_place_takes_the_result_of_its_step(parts, has_value, results, filled):
    assert fill(PlaceholderValue(parts, has_value), results) == filled


def test_a_result_of_nothing_is_left_out_of_a_list_and_an_empty_text_of_the_sender_is_not():
    assert fill(["", PlaceholderValue((Placeholder("client"),)), 1], {"client": None}) == ["", 1]


def test_a_place_is_shown_as_a_rule_has_it():
    shown_call = Call("main", 12, ("crm", "CCrmDocumentLead", "LEAD_{lead}"), {"Manager": "user_1", "Lead": "{lead}"})

    assert PLAN.shown() == shown_call


@pytest.mark.parametrize(
    ("place", "known", "expected"),
    [
        (CLIENT_ID, {}, "{client}"),
        (CLIENT_ID, {"client": 7}, 7),
        (CLIENT_ID, {"client": None}, ""),
        (PlaceholderValue((Placeholder("client"), "/", Placeholder("lead"))), {"lead": 7}, "{client}/7"),
        (PlaceholderValue((Placeholder("client"), "/", Placeholder("lead"))), {"lead": None}, "{client}/"),
        (["a", CLIENT_ID], {"client": None}, ["a"]),
    ],
)
def test_what_is_known_of_a_place_is_shown_and_the_rest_as_a_rule_has_it(place, known, expected):
    assert shown(place, known) == expected


@pytest.mark.parametrize(
    ("kind", "entity", "values", "results", "filled"),
    [
        ("find", "contact", {"phone": "+7", "email": ""}, {}, {"phone": "+7"}),
        ("find", "contact", {"phone": "", "email": ""}, {}, {}),
        (
            "find",
            "deal",
            {"contactId": CLIENT_ID, "closed": "N"},
            {"client": 7},
            {"contactId": 7, "closed": "N"},
        ),
        ("find", "deal", {"contactId": CLIENT_ID, "closed": "N"}, {"client": None}, {}),
        ("find", "deal", {"opportunity": 0}, {}, {"opportunity": 0}),
        ("find", "user", {"email": ""}, {}, {}),
        ("find", "user", {"email": "", "phone": "+7"}, {}, {}),
        (
            "make",
            "lead",
            {"title": "x", "name": "", "phone": [], "contactId": CLIENT_ID},
            {},
            {"title": "x"},
        ),
    ],
)
def test_a_field_without_content_is_not_written_and_nothing_is_looked_for_without_it(
    kind, entity, values, results, filled
):
    assert Step("one", StepKind(kind), entity, 1, values).filled(results) == filled


@pytest.mark.parametrize(
    ("step", "method"),
    [
        (CLIENT, "crm.duplicate.findbycomm"),
        (replace(CLIENT, values={"name": "x"}), "crm.item.list"),
        (replace(CLIENT, entity="deal"), "crm.item.list"),
        (replace(CLIENT, entity="user"), "user.get"),
        (LEAD_STEP, "crm.item.import"),
        (replace(LEAD_STEP, is_quiet=False), "crm.item.add"),
        (replace(LEAD_STEP, kind=StepKind.TRIGGER), "crm.automation.trigger"),
    ],
)
def test_a_step_is_one_method_of_the_portal(step, method):
    assert step.method == method


def test_a_plan_comes_back_from_its_wire_form_as_it_was():
    assert Plan.from_wire("main", json.loads(json.dumps(PLAN.to_wire()))) == PLAN


def test_the_call_is_filled_with_what_the_steps_came_to():
    filled = PLAN.filled({"client": 17, "lead": 5})

    assert filled == Call("main", 12, ("crm", "CCrmDocumentLead", "LEAD_5"), {"Manager": "user_1", "Lead": 5})


def test_the_next_step_is_the_first_without_a_result():
    delivery = replace(make_delivery("evt_1"), plan=PLAN)
    made = replace(FOUND, name="lead", kind=StepKind.MAKE, how=How.MADE)

    assert delivery.next_step == CLIENT
    assert replace(delivery, results=(FOUND,)).next_step == LEAD_STEP
    assert replace(delivery, results=(FOUND, made)).next_step is None
    assert make_delivery("evt_1").next_step is None


def test_a_delivery_shows_its_steps_and_what_they_came_to():
    delivery = replace(make_delivery("evt_1"), plan=PLAN, results=(FOUND,))

    assert delivery.to_wire()["steps"] == [
        {
            "name": "client",
            "kind": "find",
            "entity": "contact",
            "state": "done",
            "how": "found",
            "value": 17,
            "at": "2026-06-01T12:00:00.000+00:00",
        },
        {"name": "lead", "kind": "make", "entity": "lead", "state": "waiting", "how": None, "value": None, "at": None},
    ]


def test_a_plan_its_results_and_a_watch_are_read_back_from_the_record_as_they_were(record):
    entry = make_entry()
    policy = Policy(watch=CallbackSettings("RelayCallback", 3600))
    delivery = replace(entry.deliveries[0], plan=PLAN, results=(FOUND,), policy=policy)

    write(record, replace(entry, deliveries=[delivery]))

    assert record.delivery(delivery.id) == delivery


FRAGILE = re.compile(r"[$<>]|javascript:|&#", re.IGNORECASE)


MARKS = ("$", "<", ">", "&#", "&", "#", ":", "javascript", "JavaScript:", "java", "java\u017fcript:", "x")


@given(text=st.lists(st.sampled_from(MARKS)).map("".join) | st.text())
def test_a_text_that_a_batch_could_change_is_known_by_its_marks(text):
    assert is_fragile(text) == (FRAGILE.search(text) is not None)


def test_no_value_of_a_plan_is_in_its_repr():
    assert "+7999" not in repr(PLAN)
