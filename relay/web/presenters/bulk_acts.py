"""Words for bulk acts: the choices for a state, what each will do, and how it went. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from relay.core.events import CallbackState
from relay.core.lifecycle import BulkAct, EventState, State
from relay.operations.bulk_replay import COUNTED
from relay.operations.operator_acts import ACTS, Act, ordered
from relay.store.operators.bulk_replays import Bulk
from relay.store.record.search import parse_state
from relay.web.language import _, ngettext, say, say_fault
from relay.web.presenters.filters import LABELS
from relay.web.zone import typed

STATES = (State.DEAD, EventState.REJECTED, State.UNCERTAIN, State.STARTED, EventState.IGNORED)
"""States that bulk acts work on, the most frequent first."""
SAID: Mapping[str, Callable[[str], str]] = {
    "state": lambda value: say(parse_state(value)) or value,
    "watch": lambda value: say(CallbackState(value)),
    "fault": say_fault,
    "since": lambda value: typed(datetime.fromisoformat(value)),
    "until": lambda value: typed(datetime.fromisoformat(value)),
    "needs": lambda _value: _("what waits for a person"),
}
"""How a page shows the parts of a filter that are no names."""


def choices_for(state: State | EventState) -> list[Act]:
    """The bulk acts for this state. An event without deliveries has no call to repeat."""
    return [act for act in ACTS if act.many and state in act.states]


def count_of(bulk: Bulk) -> str:
    """The number found, with a + where counting stopped."""
    return f"{bulk.found:,}{'+' if bulk.found >= COUNTED else ''}"


def counted(state: object, bulk: Bulk) -> str:
    """The number found, with its noun."""
    shown = count_of(bulk)
    if isinstance(state, EventState):
        return ngettext("%(shown)s event", "%(shown)s events", bulk.found, shown=shown)
    return ngettext("%(shown)s delivery", "%(shown)s deliveries", bulk.found, shown=shown)


def found_in_words(state: object, bulk: Bulk) -> str:
    """A sentence with the number that matches the filter."""
    shown = count_of(bulk)
    if isinstance(state, EventState):
        return ngettext(
            "%(shown)s event matches the filter", "%(shown)s events match the filter", bulk.found, shown=shown
        )
    return ngettext(
        "%(shown)s delivery matches the filter", "%(shown)s deliveries match the filter", bulk.found, shown=shown
    )


def title_of(bulk: Bulk) -> str:
    """The name of the order's act."""
    return _(ordered(bulk.act, bulk.rules).of_many.button)


def progress_of_bulk(bulk: Bulk) -> str:
    """The progress of an order."""
    return _(
        ordered(bulk.act).of_many.progress, done=f"{bulk.replayed:,}", skipped=f"{bulk.refused:,}", count=count_of(bulk)
    )


def story_of_outcomes(bulk: Bulk, outcomes: Mapping[State, int]) -> str:
    """The outcomes of the deliveries so far, in a sentence."""
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
    """The filter of the order, each part with its label."""
    return [part_in_words(name, value) for name, value in bulk.wanted.items()]


def part_in_words(name: str, value: str) -> tuple[str, str]:
    """One part of a filter: its label, and its value as a page says it."""
    return _(LABELS[name]), SAID[name](value) if name in SAID else value
