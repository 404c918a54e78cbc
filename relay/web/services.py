"""What a request handler has at hand. Built once in app.py; handlers get it by `services()`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flask import current_app

from relay.configuration.portals import Portal
from relay.configuration.settings import Settings
from relay.health.assessment import Thresholds
from relay.operations.bulk_replay import BulkReplays
from relay.operations.ingest import Ingest
from relay.operations.operator_acts import OperatorActs
from relay.operations.spooling import Spooler
from relay.rules import RuleBook
from relay.sources import Source
from relay.store import Store
from relay.store.portals.questions import Questions
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Record
from relay.web.auth.guard import Guard


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the web process."""

    settings: Settings
    sources: Mapping[str, Source]
    rules: RuleBook
    store: Store
    ingest: Ingest
    guard: Guard
    persons: PersonIndex
    spooler: Spooler
    portals: Mapping[str, Portal]
    operator_acts: OperatorActs
    bulk: BulkReplays
    thresholds: Thresholds

    @property
    def record(self) -> Record:
        """Events and deliveries."""
        return self.store.record

    @property
    def questions(self) -> Questions:
        """What is asked of portals."""
        return self.store.questions


def services() -> Services:
    """The parts of the application that answers this request."""
    found = current_app.extensions["services"]
    assert isinstance(found, Services)  # noqa: S101 - for the type checker
    return found
