"""The parts that request handlers use. app.py builds them, and builds them anew when files change.

They are replaced as a whole and never changed. Handlers call `services()`; a request ends with the parts it began with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flask import Flask, current_app, g

from relay.configuration.portals import Portal
from relay.configuration.settings import Settings
from relay.health.assessment import Thresholds
from relay.operations.bulk_replay import BulkReplays
from relay.operations.in_force import InForce
from relay.operations.ingest import Ingest, Spooler
from relay.operations.operator_acts import OperatorActs
from relay.rules import RuleBook
from relay.sources import Source
from relay.store import Store
from relay.store.portals.questions import Questions
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Record
from relay.web.auth import Guard


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
    in_force: InForce

    @property
    def record(self) -> Record:
        """Events and deliveries."""
        return self.store.record

    @property
    def questions(self) -> Questions:
        """The questions that portals are asked."""
        return self.store.questions


SERVICES = "services"
"""Its key in the application's extensions."""


def services() -> Services:
    """The parts of the application that this request has begun with."""
    if "services" not in g:
        g.services = services_of(current_app)
    found = g.services
    assert isinstance(found, Services)  # noqa: S101 - for the type checker
    return found


def services_of(app: Flask) -> Services:
    """The parts of the application that a request would begin with now."""
    found = app.extensions[SERVICES]
    assert isinstance(found, Services)  # noqa: S101 - for the type checker
    return found
