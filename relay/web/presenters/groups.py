"""The groups of what failed, in words for people. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from relay.core.events import Delivery, Event
from relay.core.labels import name_of_reason
from relay.core.lifecycle import EventState, State
from relay.core.reasons import explain_reason
from relay.store.record.open_issues import Group
from relay.web.language import N_, _, say, say_fault

LONGEST_ADVICE = 300
TITLES: dict[State | EventState, str] = {
    EventState.REJECTED: N_("rejected: a rule wanted them and could not be filled, or nobody could read them"),
    State.DEAD: N_("dead: given up, and neither replayed nor left"),
    State.UNCERTAIN: N_("uncertain: only a person can tell whether they started"),
}


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group. what: reason or fields; where: rule, portal and template, or the source. sample: an id to look at."""

    state: State | EventState
    count: int
    what: str
    where: str
    advice: str
    first_seen: datetime
    last_seen: datetime
    sample: str
    query: dict[str, str]

    @property
    def is_of_events(self) -> bool:
        """Whether it holds events, else deliveries."""
        return isinstance(self.state, EventState)


def view_of(group: Group, sample: Event | Delivery | None = None) -> GroupView:
    """The group as a page shows it. sample: one of what is in it, for what its errors say."""
    where = group["source"] or f"{group['rule']} → {group['portal']}"
    if group["template_id"]:
        where += _(", template %(number)s", number=group["template_id"])
    return GroupView(
        state=group.state,
        count=group.count,
        what=say_fault(group["fault"]) or say(name_of_reason(group["reason"])) or _("no reason was kept"),
        where=where,
        advice=_errors_of(sample) or say(explain_reason(group.state, group["reason"])),
        first_seen=group.first_seen,
        last_seen=group.last_seen,
        sample=group.newest,
        query=group.filter.to_query(),
    )


def _errors_of(sample: Event | Delivery | None) -> str:
    """What is wrong with one of them, in the rule's words: there is no value in them."""
    errors = sample.errors.items() if sample else ()
    return "; ".join(f"{name}: {' '.join(map(say_fault, messages))}" for name, messages in errors)[:LONGEST_ADVICE]
