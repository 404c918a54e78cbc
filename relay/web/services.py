"""What a request handler has at hand. Built once in app.py; handlers get it by `house()`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flask import current_app

from relay.configuration.portals import Portal
from relay.configuration.settings import Settings
from relay.operations.bulk_replay import BulkReplays
from relay.operations.ingest import Door
from relay.operations.operator_acts import Mending
from relay.rules import RuleBook
from relay.sources import Source
from relay.store.portals.questions import Questions
from relay.store.record.persons import Marker
from relay.store.record.record import Record
from relay.web.auth.guard import Guard


@dataclass(frozen=True, slots=True)
class House:
    """The parts of the web process."""

    settings: Settings
    sources: Mapping[str, Source]
    rules: RuleBook
    record: Record
    door: Door
    guard: Guard
    marker: Marker
    portals: Mapping[str, Portal]
    mending: Mending
    bulk: BulkReplays
    questions: Questions


def house() -> House:
    """The parts of the application that answers this request."""
    found = current_app.extensions["house"]
    assert isinstance(found, House)  # noqa: S101 - for the type checker
    return found
