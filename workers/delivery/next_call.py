"""What is asked of the portal next for a delivery: a question, a document to be made, a trigger, or the start.

Decided from the record alone, so whoever claims a delivery goes on where it stands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from relay.core.events import Delivery
from relay.core.lifecycle import State
from relay.core.plan import LIST, STOP, How, Step, StepKind
from relay.core.progress import finish_step, lacks
from relay.store.record.record import Settlement
from workers.bitrix24 import bizproc, crm
from workers.bitrix24.answers import Answer
from workers.bitrix24.step_verdicts import MADE_UNKNOWN, judge_step
from workers.bitrix24.verdicts import Judgement, judge
from workers.portal.context import Context


@dataclass(frozen=True, slots=True)
class NextCall:
    """A call to be made for a delivery.

    step: None for the start. memory: under which digest its answer is remembered; empty: it is not.
    """

    delivery: Delivery
    method: str
    parameters: Mapping[str, Any] = field(repr=False)
    step: Step | None = None
    memory: str = ""

    @property
    def timed_as(self) -> str:
        """What its duration teaches about: the template that it starts, or its method."""
        return self.method if self.step else str(self.delivery.call.template_id)

    @property
    def is_look(self) -> bool:
        """Whether it looks for a document that may have been made."""
        return self.step is not None and self.step.kind is StepKind.MAKE and self.method != self.step.method

    @property
    def failures(self) -> int:
        """How many tries at the same thing were no success."""
        return self.delivery.failures_of(self.step.name if self.step else "")

    def judge(self, answer: Answer) -> Judgement:
        """What an answer to it means."""
        return judge_step(self.step, self.method, answer) if self.step else judge(answer)


def prepare(context: Context, claimed: Sequence[Delivery]) -> tuple[list[NextCall], list[Settlement]]:
    """What to call for each delivery that was claimed; and what has become of those that need no call now."""
    prepared = [_next_of(context, delivery) for delivery in claimed]
    calls = [one for one in prepared if isinstance(one, NextCall)]
    settled = [one for one in prepared if isinstance(one, Settlement)]
    kept = [call for call in calls if call.memory]
    found = context.kept.found_before([call.memory for call in kept])
    remembered = [(call, value) for call, value in zip(kept, found, strict=True) if value is not None]
    settled += [finished(context, call.delivery, How.KEPT, value) for call, value in remembered]
    spared = {call.delivery.id for call, _ in remembered}
    return [call for call in calls if call.delivery.id not in spared], settled


def finished(context: Context, delivery: Delivery, how: How, value: int | None, tries: int = 0) -> Settlement:
    """The step to come has come to this. tries: attempts at it that are not on record yet."""
    progress = finish_step(delivery, how, value, context.clock(), tries)
    return Settlement(delivery, progress.state, progress.reason, after=progress.delivery)


def found_nothing(context: Context, delivery: Delivery, step: Step, tries: int = 0) -> Settlement:
    """No question of a find was answered with anything: what the rule says of that."""
    if step.none == STOP:
        return Settlement(delivery, State.DEAD, "nothing_found")
    return finished(context, delivery, How.NOTHING, step.none if isinstance(step.none, int) else None, tries)


def own_id(delivery: Delivery) -> str | None:
    """The workflow id of ours that its start carries; None where it was claimed to be sent without."""
    return bizproc.own_id_of(delivery.id) if delivery.own_id_at else None


def questions_of(delivery: Delivery, step: Step) -> list[dict[str, Any]]:
    """What a find asks, one question after the other until one is answered with something."""
    return crm.questions_of(step, step.filled(delivery.values))


def _next_of(context: Context, delivery: Delivery) -> NextCall | Settlement:
    step = delivery.next_step
    if step is None:
        call = delivery.call_as_sent
        return NextCall(delivery, bizproc.START, bizproc.start_parameters(call, own_id(delivery)))
    if step.kind is StepKind.FIND:
        return _question_of(context, delivery, step)
    if step.kind is StepKind.TRIGGER:
        if lacks(delivery, step.values.get("target")):
            return Settlement(delivery, State.DEAD, "document_missing")
        return NextCall(delivery, step.method, crm.firing_of(step.filled(delivery.values)), step)
    taken = delivery.values.get(step.unless) if step.unless else None
    if taken is not None:
        return finished(context, delivery, How.TAKEN, taken)
    own = crm.own_id_of(delivery.plan.origin if delivery.plan else delivery.id, step.name)
    if delivery.is_looked_for:
        return _look_of(context, delivery, step, own)
    return NextCall(delivery, step.method, crm.making_of(step, step.filled(delivery.values), own), step)


def _look_of(context: Context, delivery: Delivery, step: Step, own: str) -> NextCall | Settlement:
    if not any(attempt.step == step.name for attempt in delivery.attempts):
        # A replay: the call that may have made it belongs to an earlier delivery, and may still be running.
        over_at = delivery.created_at + timedelta(seconds=context.portal.settle_after_s)
        if context.clock() < over_at:
            return Settlement(delivery, State.RETRYING, MADE_UNKNOWN, next_at=over_at)
    return NextCall(delivery, LIST, crm.looking_of(step, own), step)


def _question_of(context: Context, delivery: Delivery, step: Step) -> NextCall | Settlement:
    questions = questions_of(delivery, step)
    if delivery.asked >= len(questions):
        return found_nothing(context, delivery, step)
    question = questions[delivery.asked]
    memory = context.address.digest(json.dumps([step.method, step.many, question])) if step.keep_s else ""
    return NextCall(delivery, step.method, question, step, memory)
