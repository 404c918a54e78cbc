"""The face of the store: one connection, and everything that other rooms may ask of it, by name.

Whoever needs the record is given a Store; no key, script or connection is seen outside this room.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from redis import Redis

from relay.core.errors import ConfigError, RecordUnavailableError
from relay.core.events import Delivery, Event
from relay.core.ids import utc_now
from relay.core.requirements import Requirement
from relay.core.telemetry import get_logger
from relay.store.archive.known import KnownArchive, known_archives, note_archive
from relay.store.operators.kept_files import KeptFiles
from relay.store.operators.operators import Operators
from relay.store.portals.portal import PortalRecord
from relay.store.portals.questions import Questions
from relay.store.portals.requirements import publish_rules, published_rules, rules_digest
from relay.store.portals.setback import hold, notice, run_watch
from relay.store.portals.workers import Worker, read_workers
from relay.store.record.compaction import Compaction
from relay.store.record.endings import Endings
from relay.store.record.high_water import HighWater, Mark
from relay.store.record.joined_marks import one_key_for
from relay.store.record.left_behind import open_of_rules, waiting_of_other_portals
from relay.store.record.memory import Memory, read_memory
from relay.store.record.needs import Group, read_groups
from relay.store.record.numbers import forget_counts
from relay.store.record.places import Places
from relay.store.record.record import Record
from relay.store.record.relations import Relations
from relay.store.record.restoring import restore
from relay.store.record.statistics import Presence, Series, read_presence, read_series, read_started
from relay.store.record.topology import Misfit, read_misfits
from relay.store.record.traces import Traces
from relay.store.record.unproven import newest_unproven
from relay.store.record.upgrade import upgrade
from relay.store.redis import keys
from relay.store.redis.clock import SET_EVERY_S, forgetting_time, set_clock
from relay.store.redis.connection import connect, ensure_durable, prefer_compact
from relay.store.redis.lease import lease
from relay.store.redis.sentinel import follow_primary
from relay.store.redis.snapshot import read_snapshot, replace_record
from relay.store.senders.senders import Senders

CHECK_S = 60.0
"""How often a process looks whether the server still keeps what it acknowledges."""
MISFITS_S = 60.0
"""How often the servers are looked at. Whoever asks in between hears what was found."""

log = get_logger()


class Store:
    """What is kept, in one hand. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis, replicas: int = 0, *, state: Path | None = None) -> None:
        self._redis = redis
        self._clock_set_at = float("-inf")
        self._holder = secrets.token_hex(8)
        self.high_water = HighWater(redis, state / "high-water" if state else None, replicas)
        self.record = Record(redis, replicas)
        self.compaction = Compaction(redis)
        self.endings = Endings(redis)
        self.operators = Operators(redis)
        self.questions = Questions(redis)
        self.traces = Traces(redis)
        self.places = Places(redis)
        self.relations = Relations(redis)
        self.senders = Senders(redis)
        self.files = KeptFiles(redis)
        self._check_at = 0.0
        self._refused = ""
        self._misfits: list[Misfit] = []
        self._look_at = 0.0

    @classmethod
    def open(cls, url: str, replicas: int = 0, *, state: Path | None = None, is_copy: bool = False) -> Store:
        """A store behind a REDIS_URL. It connects when it is first asked.

        replicas: see Record. state: the folder for what this machine keeps beside the record; None for who only looks.
        is_copy: its server holds a backup for a while, and keeps nothing.
        """
        return cls(connect(url, is_copy=is_copy), replicas, state=state)

    def close(self) -> None:
        """Close its connections."""
        self._redis.close()

    def follow_primary(self, stop: threading.Event, *others: Redis) -> None:
        """Keep this store, and other clients, with the primary that the sentinels name, until told to stop."""
        follow_primary([self._redis, *others], stop)

    def set_clock(self) -> None:
        """Go by the record's clock from now on. Raises ConfigError where this machine's is wrong by a day."""
        set_clock(self._redis, is_start=True)

    def ensure_durable(self) -> str | None:
        """See to it that only what is on disk is acknowledged; a warning, if so. Raises ConfigError where it is not."""
        warning = ensure_durable(self._redis)
        prefer_compact(self._redis)
        return warning

    def begin(self, *, upgrades: bool = True) -> None:
        """See that the server can keep what is promised, and that the record is as this version reads it.

        From now on this process goes by the record's clock, and looks again once a minute. upgrades: an earlier
        version's record is laid out anew. Raises ConfigError where nothing may be promised, RecordUnavailableError.
        """
        if warning := self.ensure_durable():
            log.warning("record.not_durable", reason=warning)
        if upgrades and (moved := upgrade(self._redis)):
            log.info("record.upgraded", count=moved)
        self.set_clock()
        self._check_at = time.monotonic() + CHECK_S

    def begin_or_wait(self) -> None:
        """The same in a process that has a door: it stays, and nothing is taken until the server is fit (reached)."""
        self.record.is_open = False
        with suppress(RecordUnavailableError):
            self.reached(utc_now())

    def reached(self, now: datetime) -> Mark | None:
        """How far it is; None where it has gone back in time: then what may have been sent is held (setback.py).

        Raises RecordUnavailableError; also where the server is no longer fit to keep what is promised.
        """
        if not self.record.is_open or (self._check_at and time.monotonic() > self._check_at):
            self._look_again()
        if time.monotonic() > self._clock_set_at + SET_EVERY_S:
            self._clock_set_at = time.monotonic()
            set_clock(self._redis)
        try:
            return notice(self._redis, self.record, self.high_water, self._holder, now)
        except RecordUnavailableError:
            # Perhaps it comes back as another: it is looked at before anything is promised again.
            self._check_at = self._check_at and time.monotonic()
            raise

    def _look_again(self) -> None:
        # An open door stays so meanwhile: each new connection looks for itself whether its server keeps a file.
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
        """Look at how far it is, and keep that, until told to stop."""
        run_watch(lambda: self.reached(utc_now()), self.high_water, stop)

    def hold_what_may_have_been_sent(self, now: datetime) -> None:
        """It is known to have gone back in time, as after a restore (setback.py)."""
        _, highest = self.high_water.compare()
        hold(self._redis, self.record, self.high_water, highest, now)

    def snapshot(self) -> Iterator[bytes]:
        """All of it as of one moment, in pieces of an RDB. Raises SnapshotRefusedError."""
        return read_snapshot(self._redis)

    def replace_by(self, other: Store, tell: Callable[[int], None]) -> None:
        """Take over what another one holds instead of what is here. tell: how many keys have arrived.

        Raises RelayError where that cannot be, or where others are at work here: then this record is as it was.
        """
        replace_record(other._redis, self._redis, tell)

    def lease(self, task: str, holder: str, duration: timedelta) -> AbstractContextManager[bool]:
        """Whether this holder may do a task now, while the `with` lasts (store/redis/lease.py)."""
        return lease(self._redis, task, holder, duration)

    def portal(self, name: str) -> PortalRecord:
        """One portal."""
        return PortalRecord(self._redis, name, self.record.replicas)

    def workers(self) -> list[Worker]:
        """Every worker that is registered."""
        return read_workers(self._redis)

    def memory(self) -> Memory:
        """How full the server is."""
        return read_memory(self._redis)

    def misfits(self) -> list[Misfit]:
        """What of the servers does not fit what is promised, as it was at most a minute ago."""
        if time.monotonic() >= self._look_at:
            # Noted as looked at before it is: others need not wait for a server that does not answer.
            self._look_at = time.monotonic() + MISFITS_S
            self._misfits = read_misfits(self._redis, self.record.replicas)
        return self._misfits

    def publish_rules(self, digest: str, requirements: Iterable[Requirement], now: datetime) -> None:
        """Leave what the rules in force ask of the portals."""
        publish_rules(self._redis, digest, requirements, now)

    def published_rules(self) -> tuple[str, list[Requirement]] | None:
        """What was left last; None before the first."""
        return published_rules(self._redis)

    def rules_digest(self) -> str | None:
        """What tells the rules that were left last from others; None before the first."""
        return rules_digest(self._redis)

    def series(self, now: datetime) -> dict[str, Series]:
        """What happened in the last hour, day and week."""
        return read_series(self._redis, now)

    def forgetting_time(self) -> tuple[datetime, timedelta]:
        """The time by the record's server, and how long nothing may be forgotten, for its clock has jumped."""
        return forgetting_time(self._redis)

    def forget_counts(self, before: datetime) -> None:
        """Forget how deliveries went in the hours before this time."""
        forget_counts(self._redis, before)

    def started_a_minute(self, portals: Sequence[str], now: datetime) -> dict[str, float]:
        """How many deliveries of each portal have started a minute lately."""
        return read_started(self._redis, portals, now)

    def presence_of_sources(self, names: Sequence[str]) -> dict[str, Presence]:
        """How many events of each source there are, and when the newest came, though it be forgotten."""
        indexes = {name: keys.EVENTS_BY_SOURCE + name for name in names}
        return read_presence(self._redis, keys.EVENTS, "source", indexes, keys.LAST_HEARD)

    def presence_of_rules(self, names: Sequence[str]) -> dict[str, Presence]:
        """How many deliveries of each rule there are, and when the newest was made."""
        indexes = {name: f"{keys.DELIVERIES_BY}rule:{name}" for name in names}
        return read_presence(self._redis, keys.DELIVERIES, "rule", indexes)

    def left_behind(self, portals: Collection[str]) -> tuple[dict[str, int], dict[str, int]]:
        """How many deliveries are on their way for portals other than these, and for rules that were removed."""
        rules = open_of_rules(self.record, self.files.removed_rules())
        return waiting_of_other_portals(self._redis, portals), {name: count for name, count in rules.items() if count}

    def restore(self, event: Event, deliveries: Sequence[Delivery]) -> bool:
        """Put an event that was forgotten back on record, with its deliveries as they were; False: it is there."""
        return restore(self._redis, event, deliveries)

    def note_archive(self, known: KnownArchive) -> None:
        """Say how the folder is in which events are archived."""
        note_archive(self._redis, known)

    def known_archives(self) -> list[KnownArchive]:
        """Every folder in which events were ever archived."""
        return known_archives(self._redis)

    def failures(self) -> list[Group]:
        """What failed and waits for a person, in groups."""
        return read_groups(self._redis)

    def one_key_for(self, person_keys: Sequence[str]) -> str | None:
        """A key under which the events of all these keys of a person stand; None where there are none."""
        return one_key_for(self._redis, person_keys)

    def newest_unproven(self, source: str, count: int) -> list[str]:
        """Ids of the newest events of a source without proof."""
        return newest_unproven(self._redis, source, count)
