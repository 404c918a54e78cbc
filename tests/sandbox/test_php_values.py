"""How PHP reads values: the reason why careless requests mean what they mean."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.sandbox import php

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (None, 0), (True, 1), (False, 0), (12, 12), (1.9, 1), (-1.9, -1), (float("nan"), 0), (float("inf"), 0),
        ("", 0), ("12", 12), ("12abc", 12), ("abc", 0), (" 12", 12), ("-3", -3), ("+3", 3), ("1e3", 1000),
        ("1.9", 1), (".5", 0), ("0x1A", 0), ("99999999999999999999", php.INT_MAX), ("-1e400", php.INT_MIN),
        ([], 0), ([0], 1), ({}, 0), ({"a": 1}, 1), ("١٢", 0),
    ],
)  # fmt: skip
def test_a_value_casts_to_int_as_in_php(value, number):
    assert php.to_int(value) == number


@given(st.integers(php.INT_MIN, php.INT_MAX), st.text(alphabet="abcxyz !", max_size=5))
def test_a_number_and_a_tail_of_letters_is_that_number(number, tail):
    assert php.to_int(number) == php.to_int(f"{number}") == number
    assert php.to_int(f"{number} {tail}") == number


@given(JSON)
def test_every_value_casts_to_an_int_of_64_bits(value):
    assert php.INT_MIN <= php.to_int(value) <= php.INT_MAX


@pytest.mark.parametrize(
    ("value", "truth"),
    [("", False), ("0", False), (0, False), (None, False), ([], False), ("false", True), ("0.0", True), (" ", True)],
)
def test_a_value_is_true_or_false_as_in_php(value, truth):
    assert php.is_truthy(value) is truth


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "1"), (False, ""), (7, "7"), (7.0, "7"), (7.5, "7.5"), ("x", "x"), ([1], None)],
)
def test_a_value_casts_to_a_string_as_in_php(value, text):
    assert php.to_string(value) == text


@pytest.mark.parametrize(
    ("query", "parsed"),
    [
        ("a=1&b=", {"a": "1", "b": ""}),
        ("a=1&a=2", {"a": "2"}),
        ("a[]=1&a[]=2", {"a": ["1", "2"]}),
        ("a[0]=1&a[1]=2", {"a": ["1", "2"]}),
        ("a[1]=1&a[2]=2", {"a": {"1": "1", "2": "2"}}),
        ("a[x][y]=1&a[x][z]=2", {"a": {"x": {"y": "1", "z": "2"}}}),
        ("a=1&a[b]=2", {"a": {"b": "2"}}),
        ("a[5]=x&a[]=y", {"a": {"5": "x", "6": "y"}}),
        ("a%5Bb%5D=%5C", {"a": {"b": "\\"}}),
        ("a.b=1&c+d=2", {"a_b": "1", "c_d": "2"}),
        ("a=x+y%2Bz", {"a": "x y+z"}),
    ],
)
def test_bracketed_names_build_arrays(query, parsed):
    assert php.parse_query(query) == parsed


@given(st.text())
def test_any_query_can_be_parsed(query):
    php.parse_query(query)


@given(st.text(st.characters(codec="utf-8")))
def test_a_quoted_value_comes_through(value):
    assert php.parse_query(f"a[b]={quote(value, safe='')}") == {"a": {"b": value}}


def test_a_name_nested_deeper_than_64_is_ignored():
    assert php.parse_query("a" + "[b]" * 64 + "=1&c=2") == {"c": "2"}


@pytest.mark.parametrize(
    ("items", "written"), [({}, []), ({"0": "a", "1": "b"}, ["a", "b"]), ({"1": "a"}, {"1": "a"}), ({"e": 1}, {"e": 1})]
)
def test_an_array_with_keys_from_nought_is_written_as_a_list(items, written):
    assert php.as_array(items) == written


@given(JSON)
def test_settling_twice_changes_nothing_more(value):
    once = php.settle(value)
    assert repr(php.settle(once)) == repr(once)
