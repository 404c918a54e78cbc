"""A filter as a line of chips: each is a field that can be changed in place, with a link that removes it.

Unused filters wait in a menu beside them. All of it is one form, so that adding one keeps the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from relay.core.events import CallbackState
from relay.core.lifecycle import EventState, State
from relay.store.record.search import Filter
from relay.web.language import N_
from relay.web.presenters.filters import LABELS, choices, query_of
from relay.web.presenters.titles import template_of
from relay.web.services import services
from relay.web.zone import typed

ALWAYS = ("source",)
"""Chips that are always in the line, even when empty."""
Options = Mapping[str, Sequence[str]]
"""The choices, by heading; the heading may be empty."""


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter. name: of its field. value: empty if it is unused and waits in the menu.

    kind: "choice", "text", "number", "moment", or "fixed" for a filter that only a link can set. options: of a choice.
    without: the query of the list without it; None if the list needs it. told: what its value means, if known.
    """

    name: str
    label: str
    kind: str
    value: str = ""
    options: Options = field(default_factory=dict)
    without: Mapping[str, str] | None = None
    told: str = ""

    @property
    def is_in_line(self) -> bool:
        """Whether it is visible without opening the menu."""
        return bool(self.value) or self.name in ALWAYS


def chips_of(
    wanted: Filter,
    word: str | None = None,
    states: Sequence[State | EventState] = (),
    needed: Collection[str] = (),
    tab: str = "",
) -> list[Chip]:
    """Every filter, in the order of the form. states: the states on offer; empty: all of them.

    needed: the names of the filters that the page needs. tab: the tab of the list (filters.py), which stays.
    """
    offered = choices()
    by_heading = (
        {"": states} if states else {N_("Deliveries"): offered["states"], N_("Events"): offered["event_states"]}
    )
    query = query_of(wanted, word, tab)
    fields: list[tuple[str, str, Options]] = [
        ("state", "choice", by_heading),
        ("source", "choice", {"": offered["sources"]}),
        ("rule", "choice", {"": offered["rules"]}),
        ("portal", "choice", {"": offered["portals"]}),
        ("code", "text", {}),
        ("template_id", "number", {}),
        ("document_id", "text", {}),
        ("watch", "choice", {"": [CallbackState.OVERDUE]}),
        ("since", "moment", {}),
        ("until", "moment", {}),
        ("needs", "fixed", {}),
        ("fault", "fixed", {}),
        ("bulk", "fixed", {}),
    ]
    return [
        Chip(
            name,
            N_("Waits for a person") if name == "needs" else LABELS[name],  # which has no value beside it
            kind,
            value=_value(wanted, query, name),
            options=_with(options, query.get(name)) if kind == "choice" else {},
            without=None if name in needed else without(query, name),
            told=_name_of_template(wanted) if name == "template_id" else "",
        )
        for name, kind, options in fields
    ]


def without(query: Mapping[str, str], name: str) -> dict[str, str] | None:
    """The query without one of its filters and those that depend on it; None if it does not have the filter."""
    taken = {name, "needs"} if name == "state" else {name}
    return {key: value for key, value in query.items() if key not in taken} if name in query else None


def _name_of_template(wanted: Filter) -> str:
    """The name of the template that is asked for, if all portals that know one have the same."""
    number = wanted.template_id
    if not number:
        return ""
    portals = [wanted.portal] if wanted.portal else services().portals
    names = {name for portal in portals if (name := template_of(portal, number)) != str(number)}
    return names.pop() if len(names) == 1 else ""


def _value(wanted: Filter, query: Mapping[str, str], name: str) -> str:
    found = getattr(wanted, name)
    return typed(found) if isinstance(found, datetime) else query.get(name, "")


def _with(options: Options, value: str | None) -> Options:
    """The choices and the chosen value, which may be gone: a removed rule leaves deliveries."""
    known: Iterable[str] = (one for group in options.values() for one in group)
    return options if value is None or value in known else {**options, "": [value, *options.get("", ())]}
