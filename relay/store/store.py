"""The store: one connection, and the parts of the record that other rooms use.

No key, script or connection is seen outside this room.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from redis import Redis

from relay.core.errors import ConfigError, RecordUnavailableError
from relay.core.faults import fault
from relay.core.ids import utc_now
from relay.core.phrases import Moment
from relay.core.telemetry import get_logger
from relay.store.archive.archive import KnownArchives
from relay.store.operators.audit_log import Act
from relay.store.operators.kept_files import KeptFiles
from relay.store.operators.operators import Operators
from relay.store.portals.applications import Applications
from relay.store.portals.portal import PortalRecord, Worker, read_workers
from relay.store.portals.questions import PublishedRules, Questions
from relay.store.portals.rollback import HighWater, Mark, hold, notice, run_watch
from relay.store.record.compaction import Compaction
from relay.store.record.open_issues import OpenIssues
from relay.store.record.persons import Traces
from relay.store.record.record import Endings, Record
from relay.store.record.servers import Servers
from relay.store.record.statistics import Statistics
from relay.store.record.upgrade import upgrade
from relay.store.redis.clock import SET_EVERY_S, Clock
from relay.store.redis.connection import connect, ensure_durable, follow_primary, prefer_compact
from relay.store.redis.scripts import lease
from relay.store.redis.snapshot import read_snapshot, replace_record
from relay.store.senders import Senders, Slots

CHECK_S = 60.0
"""Interval at which a process checks that the server still keeps acknowledged writes."""

log = get_logger()


class Store:
    """The record and its parts. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis, replicas: int = 0, *, state: Path | None = None) -> None:
        self._redis = redis
        self._clock_set_at = float("-inf")
        self._holder = secrets.token_hex(8)
        self._check_at = 0.0
        self._refused = ""
        self.high_water = HighWater(redis, state / "high-water" if state else None, replicas)
        self.clock = Clock(redis)
        self.servers = Servers(redis, replicas)
        self.record = Record(redis, replicas)
        self.compaction = Compaction(redis)
        self.endings = Endings(redis)
        self.open_issues = OpenIssues(self.record)
        self.statistics = Statistics(redis)
        self.traces = Traces(redis)
        self.senders = Senders(redis)
        self.slots = Slots(redis)
        self.questions = Questions(redis)
        self.applications = Applications(redis, replicas)
        self.rules = PublishedRules(redis)
        self.operators = Operators(redis)
        self.files = KeptFiles(redis)
        self.archives = KnownArchives(redis)

    @classmethod
    def open(cls, url: str, replicas: int = 0, *, state: Path | None = None, is_copy: bool = False) -> Store:
        """A store behind a REDIS_URL. It connects with its first use.

        replicas: see Record. state: this machine's state folder; None for a process that only reads.
        is_copy: its server holds a backup for a while, and keeps nothing.
        """
        return cls(connect(url, is_copy=is_copy), replicas, state=state)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def follow_primary(self, stop: threading.Event, *others: Redis) -> None:
        """Keep this store, and other clients, connected to the primary that the sentinels name, until `stop` is set."""
        follow_primary([self._redis, *others], stop)

    def begin(self, *, upgrades: bool = True) -> None:
        """Check that the server can keep a promise, and that the record has this version's layout.

        From now on this process uses the record's clock, and checks again once a minute. upgrades: whether to upgrade a
        record of an earlier version. Raises ConfigError where nothing may be promised, RecordUnavailableError.
        """
        if warning := ensure_durable(self._redis):
            log.warning("record.not_durable", reason=warning)
        prefer_compact(self._redis)
        if upgrades and (moved := upgrade(self._redis)):
            log.info("record.upgraded", count=moved)
        self.clock.set(is_start=True)
        self._check_at = time.monotonic() + CHECK_S

    def begin_or_wait(self) -> None:
        """The same for the web process: it starts anyway, and accepts nothing until the server is fit (`reached`)."""
        self.record.is_open = False
        with suppress(RecordUnavailableError):
            self.reached(utc_now())

    def reached(self, now: datetime) -> Mark | None:
        """The mark of the record; None after a rollback: deliveries that may have been sent are held (rollback.py).

        Raises RecordUnavailableError, also where the server can no longer keep a promise.
        """
        if not self.record.is_open or (self._check_at and time.monotonic() > self._check_at):
            self._look_again()
        if time.monotonic() > self._clock_set_at + SET_EVERY_S:
            self._clock_set_at = time.monotonic()
            self.clock.set()
        try:
            return notice(self._redis, self.record, self.high_water, self._holder, now)
        except RecordUnavailableError:
            # It may come back as another server, so check it before the next promise.
            self._check_at = self._check_at and time.monotonic()
            raise

    def _look_again(self) -> None:
        # An open record stays open meanwhile: each new connection checks that its server keeps a file.
        try:
            self.begin()
        except (ConfigError, RecordUnavailableError) as error:
            said, self._refused = self._refused, str(error)
            self.record.is_open = False
            if self._refused != said:
                log.error("record.closed", reason=self._refused)  # noqa: TRY400 - the traceback says nothing more
            raise RecordUnavailableError(self._refused) from None
        self._refused = ""
        if not self.record.is_open:
            self.record.is_open = True
            log.info("record.opened")

    def watch_high_water(self, stop: threading.Event) -> None:
        """Read the mark and keep it, until `stop` is set."""
        run_watch(lambda: self.reached(utc_now()), self.high_water, stop)

    def hold_what_may_have_been_sent(self, now: datetime) -> None:
        """Hold deliveries that may have been sent, after a known rollback such as a restore (rollback.py)."""
        _, highest = self.high_water.compare()
        hold(self._redis, self.record, self.high_water, highest, now)

    def snapshot(self) -> Iterator[bytes]:
        """A snapshot of the record, in pieces of an RDB. Raises SnapshotRefusedError."""
        return read_snapshot(self._redis)

    def replace_by(self, other: Store, tell: Callable[[int], None]) -> None:
        """Replace this record by another one. tell: called with the number of keys copied so far.

        Raises RelayError where that fails, or where others use this record: then it is unchanged.
        """
        replace_record(other._redis, self._redis, tell)

    def lease(self, task: str, holder: str, duration: timedelta) -> AbstractContextManager[bool]:
        """Whether this holder may do a task inside the `with` (store/redis/scripts.py)."""
        return lease(self._redis, task, holder, duration)

    def portal(self, name: str) -> PortalRecord:
        """The record of one portal."""
        return PortalRecord(self._redis, name, self.record.replicas)

    def pause(self, portal: str, who: str, now: datetime, until: datetime | None = None) -> None:
        """Send nothing to a portal until a person resumes it, or until this time; that is in the audit log."""
        self.portal(portal).gate.pause_by_person(now, until)
        said = fault("paused_until", until=Moment(until)) if until else ""
        self.operators.log(Act(now, who, "pause", portal, "", said))

    def resume(self, portal: str, who: str, now: datetime) -> bool:
        """Open a portal, whatever closed it; that is in the audit log. Returns whether it was closed."""
        was_closed = self.portal(portal).gate.resume(now)
        self.operators.log(Act(now, who, "resume", portal, ""))
        return was_closed

    def workers(self) -> list[Worker]:
        """Every registered worker."""
        return read_workers(self._redis)

    def left_behind(self, portals: Collection[str]) -> tuple[dict[str, int], dict[str, int]]:
        """Number of open deliveries of portals other than these, and of rules that were removed."""
        rules = self.open_issues.of_rules(self.files.removed_rules())
        others = self.open_issues.of_other_portals(portals)
        return others, {name: count for name, count in rules.items() if count}
