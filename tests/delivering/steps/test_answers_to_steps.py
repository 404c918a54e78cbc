"""Whatever a portal answers to a step is read without an error, and nothing is taken for an id that is none."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from relay.core.ids import utc_now
from relay.core.lifecycle import Verdict
from relay.core.phones import ways_to_write
from relay.core.plan import FIND_BY_COMM, LIST, USERS
from relay.sandbox import php
from tests.delivering.plans import find, fire, make
from workers.bitrix24 import crm
from workers.bitrix24.client import Answer, to_query
from workers.bitrix24.verdicts import judge_step

NAMES = st.sampled_from(("item", "items", "id", "ID", "CONTACT"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner),
    max_leaves=12,
)
STEPS = {
    FIND_BY_COMM: find("client", "contact", {"phone": "1"}),
    LIST: find("deal", "deal", {"title": "1"}),
    USERS: find("owner", "user", {"email": "1"}),
}


@given(method=st.sampled_from(list(STEPS)), result=JSON)
def test_any_answer_to_a_question_is_ids_or_no_answer(method, result):
    found = crm.found_in(STEPS[method], method, result)

    assert found is None or all(type(one) is int and one > 0 for one in found)


@given(result=JSON)
def test_a_document_is_made_only_where_an_answer_names_it(result):
    judgement = judge_step(make("lead", "lead"), "crm.item.add", Answer(utc_now(), 1, 200, result))

    item = result.get("item") if isinstance(result, dict) else None
    named = isinstance(item, dict) and re.fullmatch("[1-9][0-9]{0,17}", str(item.get("id"))) is not None
    assert judgement.verdict is (Verdict.DONE if named else Verdict.AMBIGUOUS)
    assert bool(judgement.ids) is named


@given(result=JSON)
def test_a_trigger_is_fired_only_where_the_answer_is_true(result):
    judgement = judge_step(fire("LEAD_1"), "crm.automation.trigger", Answer(utc_now(), 1, 200, result))

    assert judgement.verdict is (Verdict.DONE if result is True else Verdict.AMBIGUOUS)


@given(st.text(max_size=30))
def test_a_number_has_at_most_four_spellings_and_the_first_is_as_it_was_written(phone):
    spellings = ways_to_write(phone)

    assert spellings[0] == phone.strip()
    assert len(spellings) == len(set(spellings)) <= 4


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=30))
def test_no_question_names_more_than_twenty_values_and_none_is_left_out(phones):
    questions = crm.questions_of(STEPS[FIND_BY_COMM], {"phone": phones})

    assert all(0 < len(question["values"]) <= 20 for question in questions)
    asked = {value for question in questions for value in question["values"]}
    assert {phone.strip() for phone in phones} - {""} <= asked


def test_yes_and_no_arrive_in_a_batch_as_php_writes_them():
    assert php.parse_query(to_query({"A": True, "B": [False, 1, "x"]})) == {"A": "1", "B": ["0", "1", "x"]}


def test_a_question_about_users_names_fields_as_they_are_called_there():
    step = find("owner", "user", {"email": "a@example.com", "lastName": "B", "ufPhoneInner": "12"})

    (question,) = crm.questions_of(step, step.values)

    assert question["FILTER"] == {"EMAIL": "a@example.com", "LAST_NAME": "B", "UF_PHONE_INNER": "12", "ACTIVE": True}


def test_yes_and_no_of_a_custom_field_are_looked_for_as_numbers_and_written_as_letters():
    values = {"ufCrmVip": True, "opened": False}

    (question,) = crm.questions_of(find("lead", "lead", values), values)
    assert question["filter"] == {"=ufCrmVip": 1, "=opened": "N"}
    fields = crm.making_of(make("lead", "lead"), values, "own")["fields"]
    assert (fields["ufCrmVip"], fields["opened"]) == ("Y", "N")
