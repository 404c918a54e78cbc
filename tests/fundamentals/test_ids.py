"""Ids sort by time, and times survive their way through milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.ids import (
    ALPHABET,
    DELIVERY_PREFIX,
    EVENT_PREFIX,
    earliest_id,
    from_ms,
    new_delivery_id,
    new_event_id,
    to_ms,
    utc_now,
)

MILLISECONDS = st.integers(0, 250_000_000_000_000)  # until the year 9892
KINDS = [(new_event_id, EVENT_PREFIX), (new_delivery_id, DELIVERY_PREFIX)]


@given(MILLISECONDS)
def test_a_time_in_milliseconds_comes_back_as_it_was(milliseconds):
    moment = from_ms(milliseconds)

    assert to_ms(moment) == milliseconds
    assert moment.tzinfo is UTC


@given(MILLISECONDS, MILLISECONDS)
def test_ids_sort_as_their_times_do(one, other):
    first, second = sorted((one, other))
    if first < second:
        assert new_event_id(from_ms(first)) < new_event_id(from_ms(second))


@given(MILLISECONDS)
def test_the_earliest_id_parts_what_is_before_from_what_is_at_a_time(milliseconds):
    at = from_ms(milliseconds + 1)
    bound = earliest_id(EVENT_PREFIX, at)

    assert new_event_id(at - timedelta(milliseconds=1)) < bound <= new_event_id(at)


@pytest.mark.parametrize(("make", "prefix"), KINDS)
def test_an_id_is_a_prefix_and_26_characters_that_cannot_be_misread(make, prefix):
    made = make(utc_now())

    assert made.startswith(prefix)
    assert len(made) == len(prefix) + 26
    assert set(made.removeprefix(prefix)) <= set(ALPHABET)
    assert not set("ilou") & set(ALPHABET)


@pytest.mark.parametrize(("make", "prefix"), KINDS)
def test_ids_of_the_same_moment_differ(make, prefix):
    now = utc_now()

    assert len({make(now) for _ in range(1000)}) == 1000


def test_the_clock_is_aware_and_as_precise_as_the_record():
    before = datetime.now(UTC)
    now = utc_now()

    assert now.tzinfo is UTC
    assert now.microsecond % 1000 == 0
    assert abs(now - before) < timedelta(minutes=1)
    assert from_ms(to_ms(now)) == now


def test_ids_of_one_millisecond_sort_in_the_order_they_were_made():
    made = [new_delivery_id(from_ms(1_000)) for _ in range(1000)]

    assert made == sorted(set(made))
