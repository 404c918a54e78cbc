"""The machine of a delivery: the table, and that nothing leads round it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import IllegalTransitionError
from relay.core.lifecycle import FINAL, TRANSITIONS, EventState, State, advance, states_before

# Written by hand from the table of the design, and not from the code. A person may also cancel what only waits.
BEFORE = {
    "pending": {"sending"},
    "sending": {"pending", "retrying"},
    "retrying": {"sending", "uncertain"},
    "uncertain": {"sending", "pending", "retrying"},
    "started": {"pending", "retrying", "sending", "uncertain", "dead"},
    "dead": {"pending", "retrying", "sending", "uncertain"},
}
PAIRS = list(itertools.product(State, State))
STEPS = {
    ("pending", "sending"), ("retrying", "sending"),
    ("pending", "dead"), ("retrying", "dead"),
    ("pending", "started"), ("retrying", "started"),
    ("pending", "uncertain"), ("retrying", "uncertain"),
    ("sending", "started"), ("sending", "retrying"), ("sending", "pending"),
    ("sending", "uncertain"), ("sending", "dead"),
    ("uncertain", "started"), ("uncertain", "retrying"), ("uncertain", "dead"),
    ("dead", "started"),
}  # fmt: skip


def test_the_table_has_a_row_for_every_state_and_exactly_these_steps():
    assert set(TRANSITIONS) == set(State)
    assert {(one.value, other.value) for one, steps in TRANSITIONS.items() for other in steps} == STEPS


@pytest.mark.parametrize(("current", "following"), PAIRS)
def test_a_step_is_taken_exactly_where_the_table_has_it(current, following):
    if (current.value, following.value) in STEPS:
        assert advance(current, following) is following
        return
    with pytest.raises(IllegalTransitionError, match=f"no step from {current} to {following}"):
        advance(current, following)


def test_every_step_says_why_it_is_taken():
    assert all(reason for steps in TRANSITIONS.values() for reason in steps.values())


@pytest.mark.parametrize("state", State)
def test_a_state_is_reached_in_one_step_from_exactly_these(state):
    assert {one.value for one in states_before(state)} == BEFORE[state.value]
    assert len(states_before(state)) == len(BEFORE[state.value])


def test_nothing_leads_out_of_a_final_state_but_the_proof_that_what_was_given_up_has_started():
    assert {state: set(TRANSITIONS[state]) for state in FINAL} == {State.STARTED: set(), State.DEAD: {State.STARTED}}
    assert all(set(steps) - {State.STARTED} for state, steps in TRANSITIONS.items() if state not in FINAL)


def test_from_any_state_a_proof_leads_to_started():
    assert set(states_before(State.STARTED)) == set(State) - {State.STARTED}


@given(st.lists(st.sampled_from(State), max_size=40))
def test_any_walk_begins_pending_and_ends_for_good_in_a_final_state_unless_proof_wins(wishes):
    state = State.PENDING
    walked = [state]
    for wish in wishes:
        try:
            state = advance(state, wish)
        except IllegalTransitionError:
            continue
        walked.append(state)

    left = [pair for pair in itertools.pairwise(walked) if pair[0] in FINAL]
    assert left in ([], [(State.DEAD, State.STARTED)])
    assert all(following in TRANSITIONS[current] for current, following in itertools.pairwise(walked))


def test_what_may_have_been_executed_is_never_sent_again_without_passing_through_retrying():
    assert states_before(State.SENDING) == (State.PENDING, State.RETRYING)
    assert State.PENDING not in TRANSITIONS[State.UNCERTAIN]


def test_no_word_is_a_state_of_events_and_of_deliveries_both():
    assert not set(State) & set(EventState)
