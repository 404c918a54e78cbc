"""A portal as the dashboard and the API show it: its gate, its pace, what was learned of it. Reads the record only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from relay.configuration.portals import OwnIds
from relay.core.ids import iso, utc_now
from relay.core.reasons import explain
from relay.core.templates import Drift, read_drift
from relay.store.portals.gate import GateState, View
from relay.store.portals.learned import Learned, MethodState
from relay.web.services import services

OPERATING_TIME = "operating_time"
"""The reason of a method that waits without a refusal: its next call would use up its operating time."""


@dataclass(frozen=True, slots=True)
class MethodView:
    """One method of a portal. used_s: of its operating time. until, reason: the end and the cause of its wait, if any.

    calls_an_hour: how many its operating time allows; None: not known.
    """

    name: str
    used_s: float
    until: datetime | None
    reason: str | None
    advice: str | None
    calls_an_hour: int | None

    def to_wire(self) -> dict[str, Any]:
        """The form of the API."""
        return {
            "name": self.name,
            "operating_s": self.used_s,
            "until": iso(self.until) if self.until else None,
            "reason": self.reason,
            "advice": self.advice,
            "calls_an_hour": self.calls_an_hour,
        }


@dataclass(frozen=True, slots=True)
class WorkflowView:
    """One template that rules start. drift: where they do not fit it. is_checked: whether workers have looked."""

    template_id: int
    rules: tuple[str, ...]
    drift: tuple[Drift, ...]
    is_checked: bool


@dataclass(frozen=True, slots=True)
class PortalView:
    """One portal. drift: where the rules do not fit its templates. filled, factor: of its bucket.

    started_a_minute: deliveries, over the last minutes. methods: those that were called.
    operating_s: the operating time of the method that has used most.
    """

    name: str
    plan: str
    gate: View
    waiting: int
    due: int
    own_id: str | None
    operating_s: float
    operating_limit_s: float
    drift: tuple[Drift, ...]
    rate_per_s: float | None
    burst: int
    batch: int
    filled: float
    factor: float
    methods: tuple[MethodView, ...]
    started_a_minute: float = 0.0
    workflows: tuple[WorkflowView, ...] = ()

    @property
    def empty_in(self) -> timedelta | None:
        """When its line is empty at the rate of the last minutes; None: nothing waits, or nothing was started.

        None too while its gate is closed or one of its methods waits: then that rate says nothing.
        """
        is_held_up = self.gate.state is not GateState.OPEN or any(method.until for method in self.methods)
        if not self.waiting or not self.started_a_minute or is_held_up:
            return None
        return timedelta(minutes=self.waiting / self.started_a_minute)

    def to_wire(self) -> dict[str, Any]:
        """The form of the API."""
        return {
            "name": self.name,
            "plan": self.plan,
            "gate": self.gate.state.value,
            "reason": self.gate.reason,
            "advice": self.gate.advice,
            "since": iso(self.gate.since) if self.gate.since else None,
            "until": iso(self.gate.until) if self.gate.until else None,
            "waiting": self.waiting,
            "due": self.due,
            "own_id": self.own_id,
            "operating_s": self.operating_s,
            "operating_limit_s": self.operating_limit_s,
            "methods": [method.to_wire() for method in self.methods],
            "drift": [str(one) for one in self.drift],
        }


def portal_views() -> list[PortalView]:
    """Each portal. Raises RecordUnavailableError."""
    return [portal_view(name) for name in services().portals]


def portal_view(name: str) -> PortalView:
    """One portal, as it is now. Raises RecordUnavailableError."""
    kept, portal, now = services().store.portal(name), services().portals[name], utc_now()
    learned, bucket = kept.learned(), kept.bucket(portal.rate_per_s)
    return PortalView(
        name=name,
        plan=portal.plan,
        gate=kept.gate.look(),
        waiting=kept.in_line(),
        due=services().record.due(name, now),
        own_id=learned.own_id if portal.own_id is OwnIds.ECHO else OwnIds.OFF,
        operating_s=learned.operating_s(now),
        operating_limit_s=learned.operating_limit_s,
        drift=tuple(drift_of(name)),
        rate_per_s=portal.rate_per_s,
        burst=portal.burst,
        batch=portal.batch,
        filled=bucket.filled,
        factor=bucket.factor,
        started_a_minute=services().store.statistics.started_a_minute([name], now)[name],
        workflows=_workflows(name),
        methods=tuple(_method(learned, learned.methods[name], now) for name in sorted(learned.methods)),
    )


def _workflows(name: str) -> tuple[WorkflowView, ...]:
    """The templates that the rules in force start on a portal, with what does not fit first."""
    book, drift = services().rules, drift_of(name)
    is_checked = services().store.portal(name).checked_rules() == book.digest
    rules: dict[int, list[str]] = {}
    for rule in book.all():
        if rule.requirement.portal == name and rule.requirement.template_id:
            rules.setdefault(rule.requirement.template_id, []).append(rule.name)
    found = [
        WorkflowView(number, tuple(names), tuple(one for one in drift if one.rule in names), is_checked)
        for number, names in sorted(rules.items())
    ]
    return tuple(sorted(found, key=lambda one: not one.drift))


def _method(learned: Learned, method: MethodState, now: datetime) -> MethodView:
    until = method.waits_until(now, learned.granted_s)
    reason = method.block.reason if method.block else OPERATING_TIME if until else None
    return MethodView(
        name=method.name,
        used_s=method.used_s(now),
        until=until,
        reason=reason,
        advice=explain(reason),
        calls_an_hour=method.calls_an_hour(learned.granted_s),
    )


def drift_of(name: str) -> list[Drift]:
    """The places at which rules no longer fit a portal's templates, as the workers found."""
    return read_drift(services().store.portal(name).drift())
