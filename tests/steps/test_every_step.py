"""Killed at any step of anything it does, a process loses nothing that was acknowledged and starts nothing twice."""

from __future__ import annotations

import pytest

from tests.steps.crashes import crashes, trace
from tests.steps.journeys import JOURNEYS, ROUND_TRIPS
from tests.steps.repeats import repeats
from tests.support.tap import Position, Step
from workers.bitrix24.bizproc import START


@pytest.fixture(scope="module")
def traced(world):
    """The steps of each journey, looked at once."""
    seen: dict[str, list[Step]] = {}

    def steps_of(name: str) -> list[Step]:
        if name not in seen:
            seen[name] = trace(world, JOURNEYS[name])
        return seen[name]

    return steps_of


def found(world, journey, bug):
    """Where a bug is found, and how it is named."""
    undisturbed = trace(world, JOURNEYS[journey], bug)
    return [one for one in crashes(world, JOURNEYS[journey], undisturbed, bug, is_short=True) if one.faults]


@pytest.mark.parametrize("name", JOURNEYS)
def test_a_kill_at_any_step_breaks_no_promise(world, traced, name):
    tried = crashes(world, JOURNEYS[name], traced(name), is_short=True)

    assert [str(one) for one in tried if one.faults] == []


@pytest.mark.parametrize("name", JOURNEYS)
def test_whoever_is_answered_only_the_second_time_is_told_what_was_done_the_first_time(world, traced, name):
    tried = repeats(world, JOURNEYS[name], traced(name))

    assert [str(one) for one in tried if one.faults] == []


def test_no_journey_takes_more_round_trips_than_it_did(traced):
    assert {name: len(traced(name)) for name in JOURNEYS} == ROUND_TRIPS


def test_an_event_that_is_written_in_two_trips_is_found(world):
    crash, *_ = found(world, "accept", "write_the_event_in_two_trips")

    assert str(crash) == "accept, step 1 (record), killed after it, unanswered: 0 of 1 workflows"


def test_a_worker_that_is_woken_outside_the_script_is_found(world):
    crash, *_ = found(world, "accept", "wake_outside_the_script")

    assert (crash.journey, crash.number, crash.position) == ("accept", 1, Position.AFTER)
    assert "a delivery is due, and no worker was woken" in crash.faults


def test_an_outcome_that_is_written_before_the_call_is_found(world):
    crash, *_ = found(world, "send", "write_the_outcome_before_the_call")

    assert (crash.journey, crash.step, crash.position) == ("send", "settle", Position.AFTER)
    assert crash.faults == ("0 of 1 workflows",)


def test_a_claim_that_comes_after_the_call_is_found(world):
    crash, *_ = found(world, "send", "claim_after_the_call")

    assert (crash.journey, crash.step, crash.position) == ("send", START, Position.AFTER)
    assert "2 workflows on LEAD_1" in crash.faults
