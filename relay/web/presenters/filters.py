"""A filter as a form and as a URL, for the lists, their exports and the bulk replay. A mistake is a 400."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import abort, request

from relay.core.events import CallbackState
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.store.record.search import WAITING_FOR_A_PERSON, Filter, parse_state
from relay.web.language import N_, _
from relay.web.presenters.typed_times import read_time
from relay.web.services import services
from relay.web.zone import zone_now

OF_CRM = re.compile(r"[a-z]+(_[a-z]+)*(_[0-9]+)+", re.IGNORECASE | re.ASCII)
CURSOR = re.compile(r"(evt|dlv)_[0-9a-z]{26}")
WORDS = ("source", "rule", "portal", "code", "document_id", "fault", "bulk")
NAMES = ("state", *WORDS, "template_id", "watch", "since", "until", "needs")
LONGEST = 200
LABELS = {
    "state": N_("State"), "source": N_("Source"), "rule": N_("Rule"), "portal": N_("Portal"),
    "code": N_("Code or reason"), "template_id": N_("Template"), "document_id": N_("Document"), "fault": N_("Fault"),
    "watch": N_("End"), "bulk": N_("Made by"), "since": N_("Since"), "until": N_("Until"), "needs": N_("Only"),
}  # fmt: skip
"""What each filter is called."""


def filter_asked(given: Mapping[str, str] | None = None) -> Filter:
    """The filter of this request's query, or of other fields."""
    given = request.args if given is None else given
    found = {name: text for name in NAMES if (text := given.get(name, "").strip()[:LONGEST])}
    wanted: dict[str, Any] = {name: found[name] for name in WORDS if name in found}
    if "code" in wanted:
        wanted["code"] = wanted["code"].lower()
    if "document_id" in wanted:
        wanted["document_id"] = document_named(wanted["document_id"])
    if "state" in found:
        wanted["state"] = _state(found["state"])
    if "watch" in found:
        if found["watch"] != CallbackState.OVERDUE:
            abort(400, _("of the ends of workflows, only what is overdue is listed"))
        wanted["watch"] = CallbackState.OVERDUE
    if "needs" in found:
        wanted["needs"] = _needs(wanted.get("state"))
    if "template_id" in found:
        wanted["template_id"] = _number(found["template_id"])
    for name in ("since", "until"):
        if name in found:
            wanted[name] = moment_asked(name, found[name])
    return Filter(**wanted)


def document_named(text: str) -> str:
    """A document's id as it was typed, alone or as its whole triple: one of the CRM is in capitals, such as LEAD_12."""
    name = text.rpartition(",")[2].strip()
    return name.upper() if OF_CRM.fullmatch(name) else name


def word_asked() -> str | None:
    """What is searched for."""
    return request.args.get("q", "").strip()[:LONGEST] or None


def cursor_asked() -> str | None:
    """Where the page begins."""
    cursor = request.args.get("cursor") or None
    if cursor and not CURSOR.fullmatch(cursor):
        abort(400, _("no such page"))
    return cursor


def query_of(wanted: Filter, word: str | None = None) -> dict[str, str]:
    """The filter as the arguments of a URL."""
    return wanted.to_query() | ({"q": word} if word else {})


def choices() -> dict[str, Any]:
    """What the form offers."""
    found = services()
    return {
        "states": list(State),
        "event_states": list(EventState),
        "sources": sorted(found.sources),
        "rules": sorted(rule.name for rule in found.rules.all()),
        "portals": sorted(found.portals),
    }


def _state(text: str) -> State | EventState:
    state = parse_state(text)
    if state is None:
        abort(400, _("no such state"))
    return state


def _needs(state: State | EventState | None) -> bool:
    if state not in WAITING_FOR_A_PERSON:
        abort(400, _("needs: expected with the state %(states)s", states=", ".join(WAITING_FOR_A_PERSON)))
    return True


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**31):
        abort(400, _("a template is a number"))
    return int(text)


def moment_asked(name: str, text: str, *, is_ahead: bool = False) -> datetime:
    """A time that was typed. name: of its field. is_ahead: it is to come."""
    try:
        return read_time(text, utc_now(), zone_now(), is_ahead=is_ahead)
    except (ValueError, OverflowError):
        examples = _("“26.11.2026 14:00”, “2026-11-26”, “yesterday 9:00”, “2 hours ago” or “14:30”")
        abort(400, _("%(field)s: expected a time such as %(examples)s", field=_(LABELS[name]), examples=examples))
