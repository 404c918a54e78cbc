"""The groups of what failed, in words for people. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from relay.core.lifecycle import EventState, State
from relay.core.reasons import explain
from relay.store.record.needs import Group

TITLES: dict[State | EventState, str] = {
    EventState.REJECTED: "Rejected: a rule wanted them and could not be filled, or nobody could read them",
    State.DEAD: "Dead: given up, and neither replayed nor left",
    State.UNCERTAIN: "Uncertain: only a person can tell whether they started",
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


def view_of(group: Group) -> GroupView:
    """The group as a page shows it."""
    where = group["source"] or f"{group['rule']} → {group['portal']}"
    if group["template_id"]:
        where += f", template {group['template_id']}"
    return GroupView(
        state=group.state,
        count=group.count,
        what=group["fault"] or group["reason"] or "no reason was kept",
        where=where,
        advice=explain(group["reason"]) or "",
        first_seen=group.first_seen,
        last_seen=group.last_seen,
        sample=group.newest,
        query=group.filter.to_query(),
    )
