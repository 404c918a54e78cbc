"""A filter as a form and as a URL, for the lists, their exports and the bulk replay. A mistake is a 400."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from flask import abort, request
from marshmallow import ValidationError

from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.operations.filters import read_filter
from relay.store.record.search import WAITING_FOR_A_PERSON, Filter
from relay.web.language import N_, _
from relay.web.presenters.typed_times import read_time
from relay.web.services import services
from relay.web.zone import zone_now

CURSOR = re.compile(r"(evt|dlv)_[0-9a-z]{26}")
LONGEST = 200
LABELS = {
    "state": N_("State"), "source": N_("Source"), "rule": N_("Rule"), "portal": N_("Portal"),
    "code": N_("Code or reason"), "template_id": N_("Template"), "document_id": N_("Document"), "fault": N_("Fault"),
    "watch": N_("End"), "bulk": N_("Made by"), "since": N_("Since"), "until": N_("Until"), "needs": N_("Only"),
}  # fmt: skip
"""Labels of the filters."""
NAMES = tuple(LABELS)
WRONG = {
    "state": N_("no such state"),
    "watch": N_("of the ends of workflows, only what is overdue is listed"),
    "template_id": N_("a template is a number"),
}
"""Messages for values that no filter can have."""


TABS: Mapping[str, tuple[str, tuple[State | EventState, ...]]] = {
    "": (N_("All"), ()),
    "person": (N_("Wait for a person"), (EventState.REJECTED, State.DEAD, State.UNCERTAIN)),
    "waiting": (N_("Waiting"), (State.PENDING, State.SENDING, State.RETRYING, State.UNCERTAIN)),
    "started": (N_("Started"), (State.STARTED,)),
    "ignored": (N_("Ignored"), (EventState.IGNORED,)),
    "refused": (N_("Refused"), (EventState.REFUSED,)),
}
"""The tabs of the list of events: their label and their states. Those of several states are asked with `tab`, of one
with `state`. An uncertain delivery waits for the relay, which looks into it, and then for a person.
"""


def tab_asked(wanted: Filter) -> str:
    """The tab of this request, by its name or by the state that is asked for; `all` for a state without a tab."""
    if wanted.state is not None:
        return next((name for name, (_label, states) in TABS.items() if states == (wanted.state,)), "all")
    name = request.args.get("tab", "")
    return name if name in TABS else ""


def tab_query(name: str, wanted: Filter, word: str | None = None) -> dict[str, str]:
    """The query of a tab that keeps all other filters."""
    states = TABS[name][1] if name in TABS else ()
    query = query_of(replace(wanted, state=None, needs=False), word)
    if len(states) == 1:
        return query | {"state": states[0].value}
    return query | ({"tab": name} if states else {})


def filter_asked(given: Mapping[str, str] | None = None) -> Filter:
    """The filter of this request's query, or of other fields."""
    given = request.args if given is None else given
    found = {name: text for name in NAMES if (text := given.get(name, "").strip()[:LONGEST])}
    for name in ("since", "until"):
        if name in found:
            found[name] = moment_asked(name, found[name]).isoformat()
    if "needs" in found:
        found["needs"] = "1"
    try:
        wanted = read_filter(found)
    except ValidationError as error:
        abort(400, _(next((text for name, text in WRONG.items() if name in error.messages_dict), WRONG["state"])))
    if wanted.needs and wanted.state not in WAITING_FOR_A_PERSON:
        abort(400, _("needs: expected with the state %(states)s", states=", ".join(WAITING_FOR_A_PERSON)))
    return wanted


def word_asked() -> str | None:
    """The search text of this request."""
    return request.args.get("q", "").strip()[:LONGEST] or None


def cursor_asked() -> str | None:
    """The cursor at which the page begins."""
    cursor = request.args.get("cursor") or None
    if cursor and not CURSOR.fullmatch(cursor):
        abort(400, _("no such page"))
    return cursor


def query_of(wanted: Filter, word: str | None = None, tab: str = "") -> dict[str, str]:
    """The filter as the arguments of a URL. tab: one of several states, which no state in the filter names."""
    several = len(TABS[tab][1]) > 1 if tab in TABS else False
    return wanted.to_query() | ({"q": word} if word else {}) | ({"tab": tab} if several else {})


def choices() -> dict[str, Any]:
    """The choices that the form offers."""
    found = services()
    return {
        "states": list(State),
        "event_states": list(EventState),
        "sources": sorted(found.sources),
        "rules": sorted(rule.name for rule in found.rules.all()),
        "portals": sorted(found.portals),
    }


def moment_asked(name: str, text: str, *, is_ahead: bool = False) -> datetime:
    """The time in a field, as a person typed it. name: of the field. is_ahead: the time lies in the future."""
    try:
        return read_time(text, utc_now(), zone_now(), is_ahead=is_ahead)
    except (ValueError, OverflowError):
        examples = _("“26.11.2026 14:00”, “2026-11-26”, “yesterday 9:00”, “2 hours ago” or “14:30”")
        abort(400, _("%(field)s: expected a time such as %(examples)s", field=_(LABELS[name]), examples=examples))
