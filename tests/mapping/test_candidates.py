"""Rules whose `when` needs another text are not tried, and none that wants an event is passed over."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from relay.cli.configuration import AnySecret
from relay.configuration.expressions import Expression
from relay.operations.preview import try_book, try_event
from relay.rules import load_rules
from relay.rules.book import Candidates
from relay.sources import load_sources
from tests.support.making import make_entry

NAMES = st.sampled_from(["kind", "type", "deep.kind"])
TEXTS = st.sampled_from(["a", "b", "", "1"])
VALUES = TEXTS | st.sampled_from([None, True, 1, [], ["a"], {"kind": "a"}])
LEAVES = st.one_of(
    st.builds("body.{} == '{}'".format, NAMES, TEXTS),
    st.builds("'{1}' == body.{0}".format, NAMES, TEXTS),
    st.builds("body.{} != '{}'".format, NAMES, TEXTS),
    st.builds("body.{} == `1`".format, NAMES),
    st.builds("body.{} == body.{}".format, NAMES, NAMES),
    st.builds("contains(body.{}, '{}')".format, NAMES, TEXTS),
    st.builds("body.{}".format, NAMES),
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
    ),
    max_leaves=5,
)
BODIES = st.fixed_dictionaries({}, optional={"kind": VALUES, "type": VALUES, "deep": VALUES})


@given(st.lists(EXPRESSIONS, max_size=8), BODIES)
def test_whatever_the_rules_say_none_that_wants_an_event_is_passed_over(texts, body):
    whens = [Expression.parse(text, None) for text in texts]
    context = {"body": body}

    found = Candidates(whens).of(context)

    assert [place for place in found if whens[place].holds(context)] == [
        place for place, when in enumerate(whens) if when.holds(context)
    ]


def test_rules_that_need_another_text_are_not_tried():
    whens = [Expression.parse(f"body.kind == 'kind-{number}' && body.lead", None) for number in range(200)]

    assert Candidates([None, *whens]).of({"body": {"kind": "kind-7"}}) == [0, 8]


@pytest.mark.parametrize("body", [{}, {"form": "callback"}, {"document": "deal", "id": 12}, {"lead": {"id": 1}}])
def test_what_is_said_of_every_rule_is_the_same_if_only_those_are_asked_that_can_want_the_event(config, body):
    sources = load_sources(config / "sources.yaml", AnySecret())
    book = load_rules(config / "rules", sources=None, portals=None)
    source, event = sources["website"], make_entry([], body=json.dumps(body).encode()).event

    assert try_book(source, book, event) == try_event(source, book.for_source("website"), event)


@given(st.sampled_from(["body", "body.kind", "body.deep.kind", 'body."deep"."kind"', "headers.kind"]), BODIES)
def test_a_plain_path_finds_what_jmespath_finds(text, body):
    expression = Expression.parse(text, None)

    assert expression.plain
    assert expression.find({"body": body, "headers": {}}) == expression.compiled.search({"body": body, "headers": {}})


@given(EXPRESSIONS, BODIES)
def test_a_condition_without_functions_finds_what_jmespath_finds(text, body):
    expression = Expression.parse(text, None)
    assume(expression.plain)

    found, expected = expression.find({"body": body}), expression.compiled.search({"body": body})

    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, True, False, None, "", "0", [], {}, [0], {"a": 0}])
@pytest.mark.parametrize(
    "text",
    ["!body", "body == `1`", "body == `true`", "body != `0`", "body == `false`", "body && 'x'", "body || `2`"],
)
def test_numbers_and_what_is_empty_are_as_true_as_jmespath_has_them(text, value):
    expression = Expression.parse(text, None)
    expected = expression.compiled.search({"body": value})

    assert expression.plain
    assert (expression.find({"body": value}), type(expression.find({"body": value}))) == (expected, type(expected))
