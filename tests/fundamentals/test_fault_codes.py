"""A fault is a code and its values: on record, in groups, in every language. English is made of it, and never read."""

from __future__ import annotations

import ast
import copy
import json
import pickle
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.catalogue import EXPECTED, MESSAGES, REFUSALS, SKIPPED
from relay.core.faults import (
    Fault,
    as_data,
    as_text,
    codes_of,
    errors_as_data,
    errors_from_data,
    fault,
    fault_of,
    from_data,
    from_text,
)
from relay.core.labels import REASONS
from relay.core.phrases import Moment

ROOT = Path(__file__).parents[2]
PLACE = re.compile(r"%\((\w+)\)s")
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def any_fault() -> st.SearchStrategy[Fault]:
    plain = st.text() | st.integers() | st.just(Moment(NOON)) | st.lists(st.text(), max_size=3)

    def made(code: str, inner: st.SearchStrategy[object]) -> st.SearchStrategy[Fault]:
        names = sorted(set(PLACE.findall(MESSAGES[code])))
        return st.builds(Fault, st.just(code), st.fixed_dictionaries(dict.fromkeys(names, inner)))

    def of(inner: st.SearchStrategy[object]) -> st.SearchStrategy[Fault]:
        return st.sampled_from(sorted(MESSAGES)).flatmap(lambda code: made(code, inner))

    return of(plain | of(plain))


@given(any_fault())
def test_what_the_record_keeps_of_a_fault_is_the_same_fault_again(one: Fault) -> None:
    through_json = from_data(json.loads(json.dumps(as_data(one))))
    for other in (through_json, from_text(as_text(one)), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):  # noqa: S301 - our own
        assert isinstance(other, Fault)
        assert (other, other.code, other.values) == (one, one.code, one.values)


@pytest.mark.parametrize(
    "text", ["not valid JSON at line 1, column 2", "expected text", "%(odd)s", "{", "", "token_missing"]
)
def test_a_sentence_of_an_earlier_version_stays_what_it_is(text: str) -> None:
    assert from_text(text) == from_data(text) == text
    assert not isinstance(from_text(text), Fault)
    assert as_text(from_text(text)) == as_data(from_data(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        '{"code":[]}',
        '{"code":{}}',
        '{"x":1}',
        '{"code":"json_invalid","line":{"at":1},"column":1}',
        '{"a":' * 99_999,
        "{}",
    ],
    ids=["a list", "a map", "none", "no time", "deep", "empty"],
)
def test_what_somebody_writes_into_a_query_is_no_error(text: str) -> None:
    assert from_text(text) == text


def test_a_code_of_a_later_version_is_shown_as_it_is() -> None:
    assert from_data({"code": "of_tomorrow", "what": 1}) == "of_tomorrow"
    assert from_text('{"code":"json_invalid"}') == "json_invalid"


def test_errors_are_kept_by_field_with_those_of_earlier_versions() -> None:
    errors = {"email": [fault("missing", expected=fault("expected_email")), "an old sentence"]}
    kept = errors_as_data(errors)
    assert kept == {
        "email": [{"code": "missing", "expected": {"code": "expected_email"}}, "an old sentence"],
    }
    assert errors_from_data(json.loads(json.dumps(kept))) == errors
    assert codes_of(errors) == {"email": ["missing", None]}


def test_rejected_events_are_grouped_by_what_is_wrong_and_not_by_where() -> None:
    broken = [fault("json_invalid", line=line, column=2) for line in (1, 99)]
    assert len({as_text(fault_of(one, {})) for one in broken}) == 1
    cut = [fault("body_not_kept", why=one, size=5000) for one in broken]
    assert {as_text(fault_of(one, {})) for one in cut} == {as_text(fault_of(broken[0], {}))}
    fields = [fault("form_field_unreadable", name=name, why=broken[0]) for name in ("a", "b")]
    assert len({as_text(fault_of(one, {})) for one in fields}) == 2
    assert (
        as_text(fault_of("rule_not_filled", {"b": ["x"], "a": ["y"]}))
        == '{"code":"cannot_be_filled","fields":["a","b"]}'
    )
    assert as_text(fault_of(None, {})) == "no_reason"


def test_a_fault_with_a_value_missing_or_without_a_message_is_a_bug() -> None:
    with pytest.raises(KeyError):
        fault("json_invalid", line=1)
    with pytest.raises(KeyError):
        fault("no_such_code")


def test_codes_and_words_for_reasons_are_not_the_same() -> None:
    """Both can stand in the field `reason`, and are told apart by what they are."""
    assert not set(MESSAGES) & set(REASONS)
    assert all(re.fullmatch("[a-z]+(_[a-z0-9]+)*", code) for code in MESSAGES)
    assert not any(set(PLACE.findall(message)) & {"code", "at"} for message in MESSAGES.values())


def test_what_was_expected_stands_in_the_part_of_the_catalogue_that_is_for_it() -> None:
    """By it a mistake is completed with what stands there."""
    assert {code for code in MESSAGES if code.startswith("expected_")} == set(EXPECTED)
    assert {code for code, message in MESSAGES.items() if message.startswith("expected ")} == set(EXPECTED)


def test_every_refusal_of_one_has_words_for_one_among_many() -> None:
    alone = {
        "edit_not_wanted",
        "edited_before",
        "not_waiting",
        "workflow_of_other",
    }  # of acts that are not done to many
    own = {"skipped_changed", "skipped_other_reasons"}
    assert {f"skipped_{code}" for code in set(REFUSALS) - alone} | own == set(SKIPPED)
    for code in set(REFUSALS) - alone:
        assert set(PLACE.findall(SKIPPED[f"skipped_{code}"])) <= set(PLACE.findall(REFUSALS[code]))


def test_every_code_in_use_is_in_the_catalogue_and_every_entry_is_used() -> None:
    used = {code for code, _ in faults_in_code()} | codes_in_text()
    assert used - set(MESSAGES) == set()
    assert set(MESSAGES) - set(SKIPPED) - used == set()


def test_every_fault_is_made_with_the_values_of_its_message() -> None:
    wrong = [
        (code, names)
        for code, names in faults_in_code()
        if names is not None and names != set(PLACE.findall(MESSAGES.get(code, "")))
    ]
    assert wrong == []


def modules() -> Iterator[ast.Module]:
    for path in sorted([*(ROOT / "relay").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]):
        if "sandbox" not in path.parts:
            yield ast.parse(path.read_text("utf-8"))


def faults_in_code() -> Iterator[tuple[str, set[str] | None]]:
    """The code of each `fault("…")`, and the names of its values; None where they are handed on."""
    for module in modules():
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "fault":
                names = {one.arg for one in node.keywords if one.arg}
                handed_on = any(one.arg is None for one in node.keywords)
                for code in _constants(node.args[0]):
                    yield code, None if handed_on else names


def codes_in_text() -> set[str]:
    """Codes that stand in code as text, where a fault is compared or made from a table."""
    return {
        node.value
        for path in sorted([*(ROOT / "relay").rglob("*.py"), *(ROOT / "workers").rglob("*.py")])
        if path.name not in {"catalogue.py", "answers.py"}  # which have the messages, and those for visitors
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in MESSAGES
    }


def _constants(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.IfExp):
        yield from (*_constants(node.body), *_constants(node.orelse))
