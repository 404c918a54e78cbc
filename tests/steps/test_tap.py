"""The instrument itself: what counts as a step, where it is stopped, and that what it does not expect is told."""

from __future__ import annotations

import pytest

from relay.core.lifecycle import State
from tests.steps.crashes import crash, trace
from tests.steps.journeys import JOURNEYS
from tests.support.tap import Position, Step, Stop


def test_a_pipeline_is_one_step_and_a_call_of_the_portal_is_one(world):
    steps = trace(world, JOURNEYS["send a batch"])

    assert [step.name for step in steps if not step.commands] == ["batch"]
    assert [len(step.commands) for step in steps if step.name.startswith("settle")] == [3]


def test_what_is_killed_before_its_first_step_has_done_nothing(world):
    accept = JOURNEYS["accept"]
    world.start(accept, world.begin(accept), Stop(1, Position.BEFORE))

    assert world.end().was_killed
    assert world.record.event_count() == 0


def test_what_is_killed_after_it_has_done_it_and_was_not_answered(world):
    accept = JOURNEYS["accept"]
    world.start(accept, world.begin(accept), Stop(1, Position.AFTER))

    assert world.end().was_killed
    assert (world.record.event_count(), world.acknowledged) == (1, [])


def test_of_a_pipeline_that_is_killed_midway_half_of_the_commands_are_executed(world):
    batch = JOURNEYS["send a batch"]
    number = next(n for n, step in enumerate(trace(world, batch), 1) if step.names == ("settle",) * 3)
    given = world.begin(batch)
    before = world.record.counts().deliveries[State.STARTED]
    world.start(batch, given, Stop(number, Position.MIDWAY))

    assert world.end().was_killed
    assert world.record.counts().deliveries[State.STARTED] - before == 1


@pytest.mark.parametrize(
    ("commands", "positions"),
    [
        ([(b"GET", b"a")], [Position.BEFORE, Position.AFTER]),
        ([(b"SET", b"a", b"1"), (b"SET", b"b", b"1")], list(Position)),
        ([(b"MULTI",), (b"SET", b"a", b"1"), (b"EXEC",)], [Position.BEFORE, Position.AFTER]),
    ],
)
def test_a_pipeline_can_be_cut_in_two_and_a_transaction_cannot(commands, positions):
    assert list(Step(("",) * len(commands), tuple(commands)).positions) == positions


def test_a_step_that_is_never_reached_is_told(world):
    (fault,) = crash(world, JOURNEYS["accept"], 2, Position.BEFORE)

    assert "its steps are not the same each time" in fault


def test_an_act_that_fails_is_told_with_its_error(world):
    world.begin(JOURNEYS["send"])
    world.order(0, "settle", {"delivery_id": "dlv_1"})

    with pytest.raises(AssertionError, match="TypeError"):
        world.end()

    assert trace(world, JOURNEYS["pause"])
