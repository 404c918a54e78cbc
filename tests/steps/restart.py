"""After a kill: everything is started again, on a clock that is moved, until all is final. Real functions do all of it.

Whoever had no answer asks again; the sweeper, the workers and the threads do what is theirs; and a person decides what
only a person can, by what is true at the portal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.core.errors import RelayError
from relay.core.events import Delivery
from relay.core.lifecycle import State
from tests.steps import acts
from tests.steps.world import Journey, World

ROUNDS = 30
"""So often the clock is moved; the last move is longer than any retry waits."""
RECEIVING = {"receive", "receive_together"}
FIRST_MOVE_S, LONGER = 125.0, 1.5
"""The first is longer than the hard deadline of a claim."""


def go_on(world: World, journey: Journey, given: Mapping[str, Any]) -> None:
    """Restart and drain. A sender who was answered does not ask again; a person does who sees that it is not done."""
    if journey.is_asked and not (journey.act in RECEIVING and world.acknowledged):
        ask_again(world, journey.act, given)
    if journey.is_paused:
        assert world.hands.context.gate.look().by_person
        acts.resume(world.hands)
    for number in range(ROUNDS):
        work(world)
        if not world.open() and not world.hands.bulk.bulks.running():
            return
        for delivery in world.deliveries():
            if delivery.state is State.UNCERTAIN and delivery.next_attempt_at is None:
                decide(world, delivery)
        world.let_pass(FIRST_MOVE_S * LONGER**number)


def ask_again(world: World, act: str, given: Mapping[str, Any]) -> None:
    """Somebody who had no answer asks once more; a refusal is an answer."""
    try:
        result = acts.ACTS[act](world.hands, **given)
    except RelayError:
        return
    if act in RECEIVING:
        world.acknowledged += result[acts.ACKNOWLEDGED]


def work(world: World) -> None:
    """All that sweeper, clock, workers and threads would do now."""
    hands = world.hands
    acts.mend(hands)
    acts.wake(hands)
    while any([acts.ask_portal(hands), acts.look_into(hands), acts.send_once(hands)]):
        pass
    acts.step_bulks(hands)


def decide(world: World, delivery: Delivery) -> None:
    """A person looks at the portal, and says what is true."""
    if delivery.next_step:
        is_fired = bool(world.portal.triggers)
        acts.settle(world.hands, delivery.id, State.STARTED if is_fired else State.RETRYING)
        return
    document = list(delivery.call.document_id)
    taken = {one.workflow_id for one in world.deliveries()}
    free = [one["id"] for one in world.portal.started() if one["document"] == document and one["id"] not in taken]
    acts.settle(world.hands, delivery.id, State.STARTED if free else State.RETRYING, free[0] if free else None)
