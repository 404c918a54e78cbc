"""The state machine of a delivery: its states, the verdicts of a try, and every allowed step. No I/O.

Nothing else decides whether a step is allowed: the store's scripts compare and swap with the states of this table.
"""

from __future__ import annotations

from enum import StrEnum

from relay.core.errors import IllegalTransitionError


class EventState(StrEnum):
    """The result of a request. Every request ends in exactly one."""

    ACCEPTED = "accepted"
    """Recorded; at least one delivery was made from it."""
    IGNORED = "ignored"
    """Recorded; no rule of its source wanted it."""
    REJECTED = "rejected"
    """Recorded; a rule wanted it and could not be filled."""
    REFUSED = "refused"
    """The sender was not proven; the body is not kept."""


class State(StrEnum):
    """The life of a delivery."""

    PENDING = "pending"
    """Recorded, waiting for its turn."""
    SENDING = "sending"
    """A worker has claimed it and may be calling the portal at this moment."""
    RETRYING = "retrying"
    """Certainly not executed, or that can be found out. It will be tried again automatically."""
    UNCERTAIN = "uncertain"
    """The call may have been executed. It is never sent again automatically."""
    STARTED = "started"
    """A workflow id is on record, or another proof that one was started. Final."""
    DEAD = "dead"
    """Given up. Final unless a proof comes late. A replay makes a new delivery."""


FINAL = frozenset({State.STARTED, State.DEAD})


class BulkAct(StrEnum):
    """The act of an order on many, on each event or delivery that it finds."""

    REPLAY = "replay"
    LEAVE = "leave"
    STARTED = "settle-started"
    AGAIN = "settle-again"
    GIVE_UP = "give-up"


class Verdict(StrEnum):
    """The meaning of one try."""

    STARTED = "started"
    """The portal answered with a workflow id."""
    DONE = "done"
    """A step before the start was answered: something was found or not, made, or fired."""
    THROTTLED = "throttled"
    """Not executed: the portal wants us to wait."""
    UNREACHABLE = "unreachable"
    """Not executed: nothing arrived, or the portal said that it could not begin."""
    REJECTED = "rejected"
    """Not executed, and the same call will be refused again."""
    HELD = "held"
    """Not executed: no call to this portal can succeed until a person has fixed something."""
    AMBIGUOUS = "ambiguous"
    """It may have been executed."""


TRANSITIONS: dict[State, dict[State, str]] = {
    State.PENDING: {
        State.SENDING: "a worker claimed it",
        State.STARTED: "an earlier try did arrive: a proof of it came late",
        State.UNCERTAIN: "the record has gone back in time: it may have been sent since",
        State.DEAD: "a person cancelled it",
    },
    State.RETRYING: {
        State.SENDING: "a worker claimed it",
        State.STARTED: "an earlier try did arrive: a proof of it came late",
        State.UNCERTAIN: "the record has gone back in time: it may have been sent since",
        State.DEAD: "a person cancelled it",
    },
    State.SENDING: {
        State.STARTED: "a workflow id is on record",
        State.RETRYING: "certainly not executed, and budget is left; or it is to be looked for before it is made",
        State.PENDING: "a step is done, and the next one follows; or the portal is held, and no attempt is spent",
        State.UNCERTAIN: "read timeout, connection lost after sending, HTML 5xx, worker died in mid-call",
        State.DEAD: "rejected by the portal, or the budget is spent",
    },
    State.UNCERTAIN: {
        State.STARTED: "the portal confirms it, or another proof comes, or a person says so",
        State.RETRYING: "proven not started, or a person says 'send again', or that a trigger was fired",
        State.DEAD: "a person gives up on it; no timer guesses",
    },
    State.STARTED: {},
    State.DEAD: {State.STARTED: "it had started: a proof of it came late, and proof wins over a verdict"},
}
"""A proof is a call of the one-time address by its workflow, or an answer in which the portal names the workflow, even
after the claim has lapsed."""


def advance(current: State, following: State) -> State:
    """The state after a step. Raises IllegalTransitionError if the table has no such step."""
    if following not in TRANSITIONS[current]:
        raise IllegalTransitionError(f"no step from {current} to {following}")
    return following


def states_before(following: State) -> tuple[State, ...]:
    """Every state from which this one can be reached in one step."""
    return tuple(state for state, steps in TRANSITIONS.items() if following in steps)
