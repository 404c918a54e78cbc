"""Whatever changes around a process, at whichever step: nothing is lost, nothing is started twice, nothing stands."""

from __future__ import annotations

from itertools import chain

import pytest

from tests.steps.around import attempt, sample, states
from tests.steps.changes import CHANGES
from tests.steps.crashes import trace
from tests.steps.journeys import JOURNEYS

EACH = 3
"""So many states of each change; `make chaos ARGS=around` tries them all."""


@pytest.fixture(scope="module")
def traced(world):
    return {name: trace(world, journey) for name, journey in JOURNEYS.items()}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_around_a_process_breaks_no_promise(world, traced, name):
    every = chain.from_iterable(states(JOURNEYS[one], steps, CHANGES[name]) for one, steps in traced.items())

    tried = [attempt(world, one) for one in sample(list(every), EACH)]

    assert [str(one) for one in tried if one.faults] == []


BUGS = {
    "look_by_todays_setting": ("send, answer lost", "a setting: own_id is turned", "2 workflows on LEAD_1"),
    "sweep_at_once_where_the_portal_is_unknown": (
        *("make, answer lost", "another host: it serves other portals"),
        "2 documents made instead of 1",
    ),
    "go_on_with_orders_when_the_record_went_back": (
        *("bulk replay", "restored: to the beginning"),
        "something went on by itself",
    ),
    "want_room_for_outcomes": ("send", "the server: it is full", "is sending (None), and nobody is told"),
    "close_the_gate_for_one_content": (
        *("send", "the portal: a firewall answers 403 to one document"),
        "the gate is held: http_403",
    ),
    "forget_by_the_clock_of_the_machine": ("send", "the clock: 100 days ahead", "was forgotten"),
}
"""Each with the journey and the change that show it, and what is found wrong then."""


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_that_shows_only_where_something_changes_is_found(world, traced, bug):
    journey, change, fault = BUGS[bug]
    found = (attempt(world, one, bug) for one in states(JOURNEYS[journey], traced[journey], CHANGES[change]))

    first = next(one for one in found if one.faults)

    assert fault in str(first)
