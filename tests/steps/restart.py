"""After a kill: everything is started again, on a clock that is moved, until all is final. Real functions do all of it.

Whoever had no answer asks again; the sweeper, the workers and the threads do what is theirs; and a person decides what
only a person can, by what is true at the portal.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
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
        if is_at_rest(world):
            return
        for delivery in world.deliveries():
            if delivery.state is State.UNCERTAIN and delivery.next_attempt_at is None:
                decide(world, delivery)
        world.let_pass(FIRST_MOVE_S * LONGER**number)


def is_at_rest(world: World) -> bool:
    """Whether nothing is left to be done."""
    far = world.clock.now + timedelta(days=1_000)
    return not (world.open() or world.hands.bulk.bulks.running() or world.store.comments.waiting(["main"], far))


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
    acts.say(hands)


def decide(world: World, delivery: Delivery) -> None:
    """A person looks at the portal, and says what is true."""
    found = unclaimed(world, delivery)
    if delivery.next_step is None:
        acts.settle(world.hands, delivery.id, State.STARTED if found else State.RETRYING, found[0] if found else None)
    elif found:  # all of it was done, and forgotten: nothing is left to be sent
        acts.settle(world.hands, delivery.id, State.DEAD)
    else:
        acts.settle(world.hands, delivery.id, State.STARTED if world.portal.triggers else State.RETRYING)


def unclaimed(world: World, delivery: Delivery) -> list[str]:
    """The workflows on its document, or on one that a plan has made, that are on record as nobody's."""
    documents = {delivery.call.document_id[2]}
    if delivery.plan:
        documents |= {f"LEAD_{one.id}" for one in world.portal.items.made}
    taken = {one.workflow_id for one in world.deliveries()}
    free = [one for one in world.portal.started() if one["id"] not in taken]
    return [str(one["id"]) for one in free if one["document"][2] in documents]  # type: ignore[index]
