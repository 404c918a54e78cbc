"""The policy, which is pure: how often, how far apart, and what ends it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.lifecycle import Verdict
from workers.delivery.retry import (
    BUDGET,
    FIRST_DELAY_S,
    JITTER,
    LONGEST_DELAY_S,
    Bury,
    Done,
    HoldPortal,
    Reconcile,
    RetryAfter,
    delay_after,
    follow_up,
)

NOT_EXECUTED = (Verdict.THROTTLED, Verdict.UNREACHABLE)
numbers = st.integers(1, BUDGET - 1)
chances = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_the_attempts_spread_over_about_a_day(chance):
    total = sum((delay_after(number, chance) for number in range(1, BUDGET)), timedelta())

    assert BUDGET == 12
    assert timedelta(hours=20) <= total <= timedelta(hours=28)


@given(numbers, chances)
def test_chance_adds_up_to_a_fifth_and_takes_nothing_away(number, chance):
    plain = delay_after(number, 0.0)

    assert plain <= delay_after(number, chance) <= plain * (1 + JITTER)
    assert timedelta(seconds=FIRST_DELAY_S) <= plain <= timedelta(seconds=LONGEST_DELAY_S)


@given(numbers, chances)
def test_a_pause_is_never_shorter_than_the_one_before(number, chance):
    assert delay_after(number + 1, chance) >= delay_after(number, chance)


@given(st.integers(1, 500), chances)
def test_the_longest_pause_is_bounded_however_often_it_is_tried(number, chance):
    assert delay_after(number, chance) <= timedelta(seconds=LONGEST_DELAY_S * (1 + JITTER))


@pytest.mark.parametrize("verdict", NOT_EXECUTED)
@given(numbers, chances)
def test_what_was_certainly_not_executed_is_sent_again(verdict, number, chance):
    assert follow_up(verdict, number, "word", chance) == RetryAfter(delay_after(number, chance))


@pytest.mark.parametrize("verdict", NOT_EXECUTED)
@given(st.integers(BUDGET, 100), chances)
def test_what_was_certainly_not_executed_is_given_up_when_the_budget_is_spent(verdict, number, chance):
    assert follow_up(verdict, number, "word", chance) == Bury("budget_spent")


@given(st.sampled_from(Verdict), st.integers(1, 100), st.text(max_size=9), chances)
def test_what_may_have_been_executed_is_never_simply_sent_again(verdict, number, reason, chance):
    step = follow_up(verdict, number, reason, chance)

    assert isinstance(step, RetryAfter) <= (verdict in NOT_EXECUTED)
    others = {
        Verdict.STARTED: Done(),
        Verdict.DONE: Done(),
        Verdict.AMBIGUOUS: Reconcile(),
        Verdict.HELD: HoldPortal(),
        Verdict.REJECTED: Bury(reason),
    }
    assert verdict in NOT_EXECUTED or step == others[verdict]
