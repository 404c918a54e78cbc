"""The nouns of the record: Event, Intent, Delivery, Attempt, and the completion callback of a workflow.

They are frozen, need the standard library only, and know nothing of Redis, HTTP or rules. `to_wire` gives what the API,
the CLI and the dashboard show. The last part says how a delivery continues when a step of its plan is done; the caller
that writes this down compares and swaps (relay/store/record).

A start may carry a one-time address, which the template calls at its end. Only one start carries an address, so a call
of it proves two things: that this start has happened, and that its workflow has ended.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from relay.core.faults import codes_of
from relay.core.ids import iso
from relay.core.labels import code_of_reason
from relay.core.lifecycle import EventState, State, Verdict
from relay.core.placeholders import steps_in
from relay.core.plan import LIST, Call, How, Plan, Step, StepKind, StepResult

PROOF = "proof"
"""The key in the errors of a refused event for its near miss."""
SPAM = ("honeypot", "too_fast")
"""Reasons of refusals that are right: a machine has sent the form."""
PATH = "/done/"
TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")
TOKEN_BYTES = 24
"""192 bits by chance: nobody guesses one."""


@dataclass(frozen=True, slots=True)
class CallbackSettings:
    """The `watch` part of a rule. parameter: the parameter of the template that takes the address.

    within_s: after so many seconds without a call, the end is overdue.
    """

    parameter: str
    within_s: int


class CallbackState(StrEnum):
    """The state of a completion callback."""

    WAITING = "waiting"
    """The address was not called yet."""
    FINISHED = "finished"
    """The address was called."""
    OVERDUE = "overdue"
    """The address was not called in time. It may still be."""
    LEFT = "left"
    """Overdue, and a person has dismissed it or replayed the delivery."""


@dataclass(frozen=True, slots=True)
class CompletionCallback:
    """The completion callback of one delivery's workflow. On disk and on pages it is called `watch`.

    until: the time from which it is overdue; set when the workflow starts. query: the query of the call, still encoded.
    document_id: the document on which the template ran, if it said so.
    """

    address: str = field(repr=False)
    state: CallbackState = CallbackState.WAITING
    until: datetime | None = None
    finished_at: datetime | None = None
    query: str = field(default="", repr=False)
    document_id: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The key under which the record finds the delivery."""
        return digest_of(self.address.rpartition("/")[2])


class CommentState(StrEnum):
    """The state of the comment that follows a start."""

    WAITING = "waiting"
    """Not sent yet."""
    SENT = "sent"
    """The portal has taken it."""
    MISSING = "missing"
    """The portal has refused it, or nobody knows whether it has taken it: it is not sent again."""


@dataclass(frozen=True, slots=True)
class CommentProgress:
    """The progress of a delivery's comment. Its text is in the call.

    reason: a portal's code, or a word of ours. at: when it was sent, or given up. tries: how often it was claimed; only
    the claim that made it this many may say what has become of it.
    """

    state: CommentState = CommentState.WAITING
    reason: str = ""
    at: datetime | None = None
    tries: int = 0

    def to_wire(self) -> dict[str, Any]:
        return {"state": self.state.value, "reason": self.reason or None, "at": iso(self.at) if self.at else None}


def new_callback(base: str) -> CompletionCallback:
    """Make a one-time address. base: the relay's public address, without a slash at its end."""
    return CompletionCallback(f"{base}{PATH}{secrets.token_urlsafe(TOKEN_BYTES)}")


def digest_of(token: str) -> str:
    """The part of a token's hash that the record keeps."""
    return hashlib.sha256(token.encode()).hexdigest()[:32]


SETTLE_S = 60.0
"""Default time, in seconds, that a call may still be running on a portal: the cloud cuts it then (docs: limits.md)."""


class OnUncertain(StrEnum):
    """Policies for the case that nobody can find out whether a workflow has started."""

    HOLD = "hold"
    """Leave it to a person."""
    RESEND = "resend"
    """Send it again. It may start more than once, but at most as often as any call is tried."""
    GIVE_UP = "give_up"
    """Give it up. It may not have started."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings of a rule for its deliveries, beside the call.

    is_ordered: deliveries of one document go one after the other, in the order they came. watch: the completion
    callback; None: the relay does not learn when workflows end.
    """

    on_uncertain: OnUncertain = OnUncertain.HOLD
    is_ordered: bool = False
    watch: CallbackSettings | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """The result of a rule for an event: the call, the policy of its delivery, and the values that belong to a person.

    plan: set if documents are found or made first; the call shows placeholders for their ids. results: steps that an
    earlier delivery has done. unsure: steps that it may have done.
    """

    rule: str
    call: Call
    policy: Policy = Policy()
    personal: tuple[str, ...] = field(default=(), repr=False)
    plan: Plan | None = None
    results: tuple[StepResult, ...] = ()
    unsure: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """The thing received, as it came. Body, headers and query never appear in a repr.

    envelope: the surroundings of a batch's entry, as JSON; else empty.
    tail: what the sender appended to the source's address, from the source's list; else empty.
    person_keys: keyed hashes of extracted values, by which a person's events are found (persons.py).
    body_removed_at: when body, envelope, query and headers were removed by retention; else None.
    reason: a word, or a Fault; earlier versions kept a sentence. errors: by field, Faults or such sentences.
    fault: the group of a rejected event on record (core/faults.py).
    trace: the context of the trace that tells of it (core/otel.py); empty: none does.
    """

    id: str
    source: str
    state: EventState
    received_at: datetime
    method: str
    content_type: str
    query: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    reason: str | None = None
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    deliveries: tuple[str, ...] = ()
    duplicates: int = 0
    person_keys: tuple[str, ...] = ()
    envelope: str = field(default="", repr=False)
    body_removed_at: datetime | None = None
    fault: str = field(default="", compare=False)
    trace: str = ""
    tail: str = ""

    def without_body(self, now: datetime) -> Event:
        """A copy without the sender's content. Its deliveries keep what rules made of it."""
        return replace(self, body=b"", envelope="", query="", headers={}, body_removed_at=now)

    def decided(
        self,
        state: EventState,
        reason: str | None,
        errors: Mapping[str, list[str]],
        deliveries: tuple[str, ...],
        person_keys: tuple[str, ...],
    ) -> Event:
        """A copy with the decision of the rules. Not made by `replace`, which takes twice as long for every event."""
        return Event(
            self.id, self.source, state, self.received_at, self.method, self.content_type, self.query, self.headers,
            self.body, reason, errors, deliveries, self.duplicates, person_keys, self.envelope, trace=self.trace,
            tail=self.tail,
        )  # fmt: skip

    def to_wire(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "source": self.source,
            "state": self.state.value,
            "received_at": iso(self.received_at),
            "method": self.method,
            "content_type": self.content_type,
            "query": self.query,
            "tail": self.tail,
            "headers": dict(self.headers),
            "body": None if self.body_removed_at else self.body.decode("utf-8", "replace"),
            "body_removed_at": iso(self.body_removed_at) if self.body_removed_at else None,
            "envelope": self.envelope,
            "reason": self.reason,
            "code": code_of_reason(self.reason),
            "errors": {name: list(messages) for name, messages in self.errors.items()},
            "codes": codes_of(self.errors),
            "deliveries": list(self.deliveries),
            "duplicates": self.duplicates,
        }


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP try, counted from 1. `description` is the portal's own text. step: its name; empty: the start."""

    number: int
    at: datetime
    duration_ms: int
    verdict: Verdict
    status: int | None = None
    code: str | None = None
    description: str | None = None
    batch_size: int = 1
    step: str = ""

    def to_wire(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "at": iso(self.at),
            "duration_ms": self.duration_ms,
            "verdict": self.verdict.value,
            "status": self.status,
            "code": self.code,
            "description": self.description,
            "batch_size": self.batch_size,
            "step": self.step,
        }

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Attempt:
        return cls(
            number=wire["number"],
            at=datetime.fromisoformat(wire["at"]),
            duration_ms=wire["duration_ms"],
            verdict=Verdict(wire["verdict"]),
            status=wire["status"],
            code=wire["code"],
            description=wire["description"],
            batch_size=wire["batch_size"],
            step=wire.get("step", ""),  # missing in records of earlier versions
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event through one rule, and its outcome.

    turn: the job that may carry it, counted from 1. Each new job takes the next turn; only its holder may claim or
    settle the delivery. looks: how often an uncertain delivery was looked into.
    plan: the steps before its call. results: their results; until all exist, the call shows placeholders as text.
    asked: how many questions of the next step have found nothing. unsure: names of steps whose document may have been
    made by a call without an answer; it is looked for before it is made again. watched: the completion callback, if its
    rule has one. replayed_by: the delivery that a person made in its place, possibly of another event with an edited
    body.
    errors: by field, if its rule wanted the event and could not be filled while another rule could. Such a delivery is
    dead from the beginning and has no call; the call shown has only its portal and template.
    comment: what has become of the comment after its start; None: there is none.
    own_id_at, settle_s: facts of the last claimed call, written with the claim, because settings change and a worker
    may die. own_id_at: the mark of the portal's address to which the start goes under our own workflow id; empty: no
    own id. settle_s: how long such a call may still be running, in seconds.
    trace: the context of the trace that tells of it (core/otel.py); empty: none does.
    """

    id: str
    event_id: str
    rule: str
    call: Call
    state: State
    created_at: datetime
    updated_at: datetime
    attempts: tuple[Attempt, ...] = ()
    workflow_id: str | None = None
    reason: str | None = None
    next_attempt_at: datetime | None = None
    replay_of: str | None = None
    replayed_by: str | None = None
    turn: int = 1
    looks: int = 0
    policy: Policy = Policy()
    plan: Plan | None = None
    results: tuple[StepResult, ...] = ()
    asked: int = 0
    unsure: tuple[str, ...] = ()
    watched: CompletionCallback | None = None
    comment: CommentProgress | None = None
    own_id_at: str = ""
    settle_s: float = SETTLE_S
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    trace: str = ""

    @property
    def call_as_sent(self) -> Call:
        """The call with the one-time address in its parameter. Only the portal gets it; people see `call`."""
        watch = self.policy.watch
        if watch is None or self.watched is None:
            return self.call
        return replace(self.call, parameters={**self.call.parameters, watch.parameter: self.watched.address})

    @property
    def next_number(self) -> int:
        """The number of the attempt to come, counted from 1."""
        return len(self.attempts) + 1

    @property
    def next_step(self) -> Step | None:
        """The first step without a result; None if the start comes next, or nothing is left to do."""
        done = {result.name for result in self.results}
        return next((step for step in self.plan.steps if step.name not in done), None) if self.plan else None

    @property
    def is_looked_for(self) -> bool:
        """Whether the next call looks for a document that may have been made."""
        step = self.next_step
        return step is not None and step.kind is StepKind.MAKE and step.name in self.unsure

    @property
    def next_method(self) -> str:
        """The method of its next call; empty: the start of a workflow."""
        step = self.next_step
        if step is None:
            return ""
        return LIST if self.is_looked_for else step.method

    @property
    def goes_alone(self) -> bool:
        """Whether a batch could change its next call on the way to the portal."""
        step = self.next_step
        return step.goes_alone if step else self.call.goes_alone

    def failures_of(self, step: str) -> int:
        """How many attempts at a step, or at the start (""), failed."""
        return sum(1 for one in self.attempts if one.step == step and one.verdict is not Verdict.DONE)

    @property
    def values(self) -> Mapping[str, int | None]:
        """The results by the names of their steps, for `Plan.filled` and `fill`."""
        return {result.name: result.value for result in self.results}

    def to_wire(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "event_id": self.event_id,
            "rule": self.rule,
            "portal": self.call.portal,
            "state": self.state.value,
            "call": self.call.to_wire(),
            "workflow_id": self.workflow_id,
            "reason": self.reason,
            "errors": {name: list(messages) for name, messages in self.errors.items()},
            "codes": codes_of(self.errors),
            "steps": self._steps_to_wire(),
            "watch": self._watch_to_wire(),
            "comment": self.comment.to_wire() if self.comment else None,
            "attempts": [attempt.to_wire() for attempt in self.attempts],
            "next_attempt_at": iso(self.next_attempt_at) if self.next_attempt_at else None,
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
            "replay_of": self.replay_of,
        }

    def _steps_to_wire(self) -> list[dict[str, Any]]:
        results = {result.name: result.to_wire() | {"state": "done"} for result in self.results}
        waiting = {"state": "waiting", "how": None, "value": None, "at": None}
        steps = self.plan.steps if self.plan else ()
        return [
            {"name": step.name, "kind": step.kind.value, "entity": step.entity}
            | {key: results.get(step.name, waiting)[key] for key in waiting}
            for step in steps
        ]

    def _watch_to_wire(self) -> dict[str, Any] | None:
        watch, watched = self.policy.watch, self.watched
        if watch is None or watched is None:
            return None
        return {
            "within_s": watch.within_s,
            "until": iso(watched.until) if watched.until else None,
            "state": watched.state.value,
            "finished_at": iso(watched.finished_at) if watched.finished_at else None,
            "query": watched.query,
            "document_id": list(watched.document_id),
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """A delivery with a new result, and the state and reason that follow."""

    delivery: Delivery
    state: State
    reason: str = ""


def finish_step(delivery: Delivery, how: How, value: int | None, at: datetime, tries: int = 0) -> Progress:
    """Add the result of the next step. tries: attempts at it that are not on record yet."""
    step = delivery.next_step
    if step is None:
        raise ValueError("there is no step to come")
    tries += sum(1 for attempt in delivery.attempts if attempt.step == step.name)
    result = StepResult(step.name, step.kind, step.entity, step.type_id, value, how, at, tries)
    unsure = tuple(name for name in delivery.unsure if name != step.name)
    return go_on(replace(delivery, results=(*delivery.results, result), asked=0, unsure=unsure))


def go_on(delivery: Delivery) -> Progress:
    """Decide what follows the finished steps."""
    if delivery.plan is None or delivery.next_step is not None:
        return Progress(delivery, State.PENDING)
    if lacks(delivery, delivery.plan.call.document_id):
        return Progress(delivery, State.DEAD, "document_missing")
    call = delivery.plan.filled(delivery.values)
    filled = replace(delivery, call=call, comment=delivery.comment if call.comment else None)
    if not filled.call.starts_workflow:
        return Progress(filled, State.STARTED, "triggered")
    return Progress(filled, State.PENDING)


def lacks(delivery: Delivery, value: object) -> bool:
    """Whether a value needs the result of a step that found nothing."""
    return any(delivery.values.get(name) is None for name in steps_in(value))
