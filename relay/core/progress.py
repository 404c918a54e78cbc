"""How a delivery goes on when a step of its plan is done: the next step, the start with all places filled, or the end.

Pure; standard library only. Whoever writes it down compares and swaps (relay/store/record).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from relay.core.events import Delivery
from relay.core.lifecycle import State
from relay.core.places import steps_in
from relay.core.plan import How, StepResult


@dataclass(frozen=True, slots=True)
class Progress:
    """A delivery with the result in it, and the state and reason that follow from that."""

    delivery: Delivery
    state: State
    reason: str = ""


def finish_step(delivery: Delivery, how: How, value: int | None, at: datetime, tries: int = 0) -> Progress:
    """The step to come has come to this. tries: attempts at it that are not on record yet."""
    step = delivery.next_step
    if step is None:
        raise ValueError("there is no step to come")
    tries += sum(1 for attempt in delivery.attempts if attempt.step == step.name)
    result = StepResult(step.name, step.kind, step.entity, step.type_id, value, how, at, tries)
    unsure = tuple(name for name in delivery.unsure if name != step.name)
    return go_on(replace(delivery, results=(*delivery.results, result), asked=0, unsure=unsure))


def go_on(delivery: Delivery) -> Progress:
    """What follows the steps that are done."""
    if delivery.plan is None or delivery.next_step is not None:
        return Progress(delivery, State.PENDING)
    if lacks(delivery, delivery.plan.call.document_id):
        return Progress(delivery, State.DEAD, "document_missing")
    filled = replace(delivery, call=delivery.plan.filled(delivery.values))
    if not filled.call.starts_workflow:
        return Progress(filled, State.STARTED, "triggered")
    return Progress(filled, State.PENDING)


def lacks(delivery: Delivery, value: object) -> bool:
    """Whether the result of a step is nothing where a value needs it."""
    return any(delivery.values.get(name) is None for name in steps_in(value))
