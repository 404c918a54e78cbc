"""The record of people: audit log, alerts, sessions, tries, bulk replays, repeated requests."""

from __future__ import annotations

from collections.abc import Iterable

from redis import Redis

from relay.store.operators import audit_log
from relay.store.operators.alerts import Alerts
from relay.store.operators.audit_log import Act
from relay.store.operators.bulk_replays import Bulks
from relay.store.operators.kept_files import RuleChanges
from relay.store.operators.outbox import Outbox
from relay.store.operators.sessions import Idempotency, Sessions, Tries


class Operators:
    """The parts of the record about people. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.bulk_replays = Bulks(redis)
        self.idempotency = Idempotency(redis)
        self.rule_changes = RuleChanges(redis)
        self.alerts = Alerts(redis)
        self.outbox = Outbox(redis)
        self.tries = Tries(redis)

    def log(self, act: Act) -> None:
        """Write an act into the audit log."""
        audit_log.log_act(self._redis, act)

    def acts(self, limit: int = 100) -> list[Act]:
        """The newest acts."""
        return audit_log.read_acts(self._redis, limit)

    def agent_calls(self, limit: int = 100) -> list[Act]:
        """The newest requests of agents."""
        return audit_log.read_agent_calls(self._redis, limit)

    def sessions(self, roles: Iterable[str]) -> Sessions:
        """The sessions of these roles."""
        return Sessions(self._redis, roles)
