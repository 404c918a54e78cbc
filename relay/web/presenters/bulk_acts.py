"""What can be done to many at once, in words: what to offer for a state, what it will do, and how it went. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from relay.core.events import CallbackState
from relay.core.lifecycle import EventState, State
from relay.operations.bulk_replay import COUNTED, STATES_OF
from relay.store.operators.bulk_replays import Bulk, BulkAct
from relay.store.record.search import parse_state
from relay.web.language import N_, _, ngettext, say, say_fault
from relay.web.presenters.filters import LABELS
from relay.web.zone import typed


@dataclass(frozen=True, slots=True)
class Choice:
    """One act. name: its value in a form; says: what it will do to each; asks_note: whether it is to be said why."""

    name: str
    act: BulkAct
    rules: str
    button: str
    says: str
    asks_note: bool = False
    is_grave: bool = False


CHOICES = (
    Choice(
        "replay", BulkAct.REPLAY, "original", "Replay the same calls",
        "Each gets a new delivery with the same call as before, unless it was replayed already.",
    ),
    Choice(
        "replay-current", BulkAct.REPLAY, "current", "Replay with today's rules",
        "Each gets the deliveries that today's rules make of it, unless it was replayed already. What they cannot fill "
        "is skipped and stays as it is.",
    ),
    Choice(
        "leave", BulkAct.LEAVE, "original", "Leave them",
        "They stay as they are, and are no longer counted among what needs a person. They can still be replayed.",
        asks_note=True,
    ),
    Choice(
        "settle-started", BulkAct.STARTED, "original", "They have started",
        "Each becomes started, or its trigger counts as fired. Do this after you have looked on the portal.",
        asks_note=True,
    ),
    Choice(
        "settle-again", BulkAct.AGAIN, "original", "Send them again",
        "Each is sent again. Whatever did arrive the first time is done twice: look on the portal first.",
        asks_note=True, is_grave=True,
    ),
    Choice(
        "give-up", BulkAct.GIVE_UP, "original", "Give them up",
        "Each becomes dead. Nothing is sent; they can be replayed later.",
        asks_note=True, is_grave=True,
    ),
)  # fmt: skip
BY_NAME = {choice.name: choice for choice in CHOICES}
STATES = (State.DEAD, EventState.REJECTED, State.UNCERTAIN, State.STARTED, EventState.IGNORED)
"""What something can be done to in bulk, the most frequent first."""
DONE = {
    BulkAct.REPLAY: N_("%(done)s replayed, %(skipped)s skipped, of %(count)s"),
    BulkAct.LEAVE: N_("%(done)s left, %(skipped)s skipped, of %(count)s"),
    BulkAct.STARTED: N_("%(done)s settled as started, %(skipped)s skipped, of %(count)s"),
    BulkAct.AGAIN: N_("%(done)s sent again, %(skipped)s skipped, of %(count)s"),
    BulkAct.GIVE_UP: N_("%(done)s given up, %(skipped)s skipped, of %(count)s"),
}


SAID: Mapping[str, Callable[[str], str]] = {
    "state": lambda value: say(parse_state(value)) or value,
    "watch": lambda value: say(CallbackState(value)),
    "fault": say_fault,
    "since": lambda value: typed(datetime.fromisoformat(value)),
    "until": lambda value: typed(datetime.fromisoformat(value)),
    "needs": lambda _value: _("what waits for a person"),
}
"""What of a filter is no name, and how it is said."""


def choices_for(state: State | EventState) -> list[Choice]:
    """What can be done to what is in this state. An event without deliveries has no call that could be repeated."""
    fitting = [choice for choice in CHOICES if state in STATES_OF[choice.act]]
    return [one for one in fitting if one.name != "replay" or isinstance(state, State)]


def count_of(bulk: Bulk) -> str:
    """How many were found; above what is counted, at least."""
    return f"{bulk.found:,}{'+' if bulk.found >= COUNTED else ''}"


def counted(state: object, bulk: Bulk) -> str:
    """How many were found, and what they are."""
    shown = count_of(bulk)
    if isinstance(state, EventState):
        return ngettext("%(shown)s event", "%(shown)s events", bulk.found, shown=shown)
    return ngettext("%(shown)s delivery", "%(shown)s deliveries", bulk.found, shown=shown)


def found_in_words(state: object, bulk: Bulk) -> str:
    """How many match the filter."""
    shown = count_of(bulk)
    if isinstance(state, EventState):
        return ngettext(
            "%(shown)s event matches the filter", "%(shown)s events match the filter", bulk.found, shown=shown
        )
    return ngettext(
        "%(shown)s delivery matches the filter", "%(shown)s deliveries match the filter", bulk.found, shown=shown
    )


def title_of(bulk: Bulk) -> str:
    """What was asked for."""
    return _(next(one.button for one in CHOICES if (one.act, one.rules) == (bulk.act, _rules_of(bulk))))


def progress_of_bulk(bulk: Bulk) -> str:
    """How far it is."""
    return _(DONE[bulk.act], done=f"{bulk.replayed:,}", skipped=f"{bulk.refused:,}", count=count_of(bulk))


def story_of_outcomes(bulk: Bulk, outcomes: Mapping[State, int]) -> str:
    """What has become of the deliveries so far, in a sentence."""
    total = sum(outcomes.values())
    if not total:
        return (
            _("Nothing was sent.") if bulk.act in {BulkAct.LEAVE, BulkAct.GIVE_UP} else _("No delivery was made yet.")
        )
    return ngettext(
        "%(started)s of %(total)s delivery has started.",
        "%(started)s of %(total)s deliveries have started.",
        total,
        started=f"{outcomes.get(State.STARTED, 0):,}",
        total=f"{total:,}",
    )


def filter_in_words(bulk: Bulk) -> list[tuple[str, str]]:
    """What was dealt with, each part of the filter with its label."""
    return [part_in_words(name, value) for name, value in bulk.wanted.items()]


def part_in_words(name: str, value: str) -> tuple[str, str]:
    """One part of a filter: its label, and its value as a page says it."""
    return _(LABELS[name]), SAID[name](value) if name in SAID else value


def _rules_of(bulk: Bulk) -> str:
    return bulk.rules if bulk.act is BulkAct.REPLAY else "original"
