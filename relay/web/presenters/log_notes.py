"""Notes of the audit log as a page says them: the relay's words in the language of who looks, a person's as written."""

from __future__ import annotations

import re
from datetime import datetime

from relay.core.phrases import Moment
from relay.store.operators.audit_log import Act
from relay.store.operators.bulk_replays import BulkAct
from relay.web.language import _
from relay.web.presenters.bulk_acts import part_in_words
from relay.web.presenters.filters import LABELS

ORDERS = frozenset(f"bulk {act}" for act in BulkAct)
ENDED = re.compile(r"(?P<done>\d+) done, (?P<skipped>\d+) skipped")
_NAMES = "|".join(name.replace("_", " ") for name in LABELS)
ORDER = re.compile(rf"(?:(?P<note>.*); )?(?P<filter>(?:{_NAMES}) .*)", re.DOTALL)
PART = re.compile(rf"({_NAMES}) (.*?)(?:$|, (?=(?:{_NAMES}) ))", re.DOTALL)
"""A part of the filter of an order, as operations/bulk_replay.py writes it: up to the next name."""


def note_of(act: Act) -> str:
    """Why, or with what; as it is where it was cut off, or where a person's words only look like the relay's."""
    try:
        return _said(act)
    except ValueError:
        return act.note


def _said(act: Act) -> str:
    if act.what == "pause" and act.note:
        until = act.note.removeprefix("until ").replace(" UTC", "+00:00")
        return _("until %(until)s", until=Moment(datetime.fromisoformat(until)))
    if act.what in ORDERS and (order := ORDER.fullmatch(act.note)):
        return "; ".join(filter(None, [order["note"], _filter_in_words(order["filter"])]))
    if act.what.startswith("bulk ") and (ended := ENDED.fullmatch(act.note)):
        return _("%(done)s done, %(skipped)s skipped", **ended.groupdict())
    return act.note


def _filter_in_words(text: str) -> str:
    parts = (
        part_in_words(name.replace(" ", "_"), value.replace(" UTC", "+00:00")) for name, value in PART.findall(text)
    )
    return ", ".join(f"{label}: {value}" for label, value in parts)
