"""What people did and were told, in one hand: audit log, alerts, sessions, tries, bulk replays, repeated requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from redis import Redis

from relay.store.operators import audit_log, tries
from relay.store.operators import channels as of_channels
from relay.store.operators.alert_state import (
    AlertState,
    Deaths,
    keep_alert_state,
    keep_deaths,
    read_alert_state,
    read_deaths,
)
from relay.store.operators.alerts import Alert, read_alerts
from relay.store.operators.audit_log import Act
from relay.store.operators.bulk_replays import Bulks
from relay.store.operators.idempotency import Idempotency
from relay.store.operators.rule_changes import RuleChanges
from relay.store.operators.sessions import Sessions


class Operators:
    """Everything of persons on record. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.bulk_replays = Bulks(redis)
        self.idempotency = Idempotency(redis)
        self.rule_changes = RuleChanges(redis)

    def log(self, act: Act) -> None:
        """Write an act into the audit log."""
        audit_log.log_act(self._redis, act)

    def acts(self, limit: int = 100) -> list[Act]:
        """The newest acts."""
        return audit_log.read_acts(self._redis, limit)

    def alerts(self, limit: int = 100) -> list[Alert]:
        """The newest alerts."""
        return read_alerts(self._redis, limit)

    def sessions(self, roles: Iterable[str]) -> Sessions:
        """The sessions of these roles."""
        return Sessions(self._redis, roles)

    def count_try(self, counters: Sequence[tries.Counter], now: datetime) -> None:
        """Count one try, before it is looked at. Raises TooManyTriesError."""
        tries.count_try(self._redis, counters, now)

    def forgive_try(self, counters: Sequence[tries.Counter]) -> None:
        """Take a try back that was right."""
        tries.forgive_try(self._redis, counters)

    def alert_state(self, channel: str) -> tuple[dict[str, AlertState], int]:
        """What a channel of alerts knows, and how many messages it got."""
        return read_alert_state(self._redis, channel)

    def keep_alert_state(self, channel: str, told: Mapping[str, AlertState], sent: int) -> None:
        """Keep what it knows now."""
        keep_alert_state(self._redis, channel, told, sent)

    def note_channel(self, name: str, kind: str, where: str, now: datetime) -> None:
        """Say that a worker has this channel of alerts."""
        of_channels.note_channel(self._redis, name, kind, where, now)

    def note_told(self, told: of_channels.Told) -> None:
        """Keep a message that a channel has taken."""
        of_channels.note_told(self._redis, told)

    def note_untold(self, name: str, fault: str, now: datetime) -> None:
        """Keep why a channel did not take one."""
        of_channels.note_untold(self._redis, name, fault, now)

    def ask_test(self, name: str) -> None:
        """Wish for a test of a channel."""
        of_channels.ask_test(self._redis, name)

    def take_test(self, name: str) -> bool:
        """Whether somebody wishes for a test of a channel, said to one worker only."""
        return of_channels.take_test(self._redis, name)

    def channels(self, now: datetime) -> list[of_channels.KnownChannel]:
        """Every channel that a worker has lately had."""
        return of_channels.read_channels(self._redis, now)

    def told(self, limit: int = 100) -> list[of_channels.Told]:
        """The newest messages to all channels."""
        return of_channels.read_told(self._redis, limit)

    def deaths(self) -> Deaths | None:
        """How many deliveries had died when that was counted last."""
        return read_deaths(self._redis)

    def keep_deaths(self, deaths: Deaths) -> None:
        """Keep what was counted."""
        keep_deaths(self._redis, deaths)
