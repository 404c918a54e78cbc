"""How far the record has come, kept outside of it: a record that has gone back in time does not know that it has.

A server that comes back with a file that was cut, an older copy, or a replica that lacked the last writes has
forgotten what was acknowledged and what was sent. Scripts count these promises (`count_promise` in lua/common.lua);
each process remembers the highest number it has seen, and a file on its machine outlives it. Where replicas are
waited for, a promise is one only when they have it: what a server that was cut off has counted by itself is not
remembered. Reads and remembers only; what follows is the business of setback.py.
"""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from relay.core.folders import make_folder
from relay.core.telemetry import get_logger
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.replicas import NotReplicatedError, confirm

log = get_logger()


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """How far. generation: how often it has gone back, as was noticed. promises: receipts and claims until now."""

    generation: int = 0
    promises: int = 0


class HighWater:
    """The mark of one record, as this process knows it. folder: None: it is not kept beyond the process.

    replicas: how many have what is promised.
    """

    def __init__(self, redis: Redis, folder: Path | None, replicas: int = 0) -> None:
        self._redis = redis
        self._replicas = replicas
        self._folder = folder
        self._guard = threading.Lock()
        self._record, self._is_met = "", False
        self._seen = Mark()
        self._kept = Mark()
        self._cannot_keep = False

    @guarded
    def read(self) -> Mark:
        """How far the record is now. Begins anew where it is another record than before, or an empty one."""
        kept: Any = self._redis.hmget(keys.HIGH_WATER, ["id", "generation", "promises"])
        record = kept[0].decode() if kept[0] else ""
        if record != self._record or not self._is_met:
            self._meet(record)
            return self.read()  # the file may be newer than what was read before it
        return Mark(int(kept[1] or 0), int(kept[2] or 0))

    def compare(self) -> tuple[Mark, Mark]:
        """How far the record is, and how far it ever was, which is further where it has gone back.

        Raises RecordUnavailableError.
        """
        with self._guard:
            now, seen = self.read(), self._seen
        if now <= seen or not self._is_promised():
            return now, seen  # as of one moment: others go on
        with self._guard:
            self._seen = max(self._seen, now)
        return now, now

    def note_promise_after(self, before: Mark) -> None:
        """We were promised one thing since it was as far as that. Should that be forgotten, it is known here."""
        with self._guard:
            self._seen = max(self._seen, Mark(before.generation, before.promises + 1))

    @guarded
    def begin_generation(self, passed: Mark) -> None:
        """The record is as far as it is: whoever knows a higher mark of before need not say so again."""
        now = self.read()
        generation = max(now.generation, passed.generation) + 1
        self._redis.hset(keys.HIGH_WATER, "generation", str(generation))
        with self._guard:
            self._seen = max(self._seen, Mark(generation, now.promises))
        self.keep()

    def keep(self) -> None:
        """Write the mark into the file, if it is higher than what stands there. A full disk keeps an older one."""
        if self._folder is None or not self._record or self._seen <= self._kept:
            return
        try:
            make_folder(self._folder)
            with (self._folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                before = self._read_file()
                if self._seen > before:
                    self._write_file(self._seen)
            self._kept = max(self._seen, before)
            self._cannot_keep = False
        except OSError as error:
            if not self._cannot_keep:
                log.warning("high_water.not_kept", folder=str(self._folder), reason=type(error).__name__)
            self._cannot_keep = True

    @guarded
    def _is_promised(self) -> bool:
        """Whether all that was written until now is where it outlives a failover."""
        with suppress(NotReplicatedError):
            if self._replicas:
                confirm(self._redis, self._replicas)
            return True
        return False

    def _meet(self, record: str) -> None:
        if record and self._record:
            log.warning("record.replaced", reason="another record answers than before: it is taken as it is")
        if not record and self._folder and any(self._folder.glob("[0-9a-f]*")):
            log.warning("record.empty", reason="on this machine it was not: if it should not be, restore a backup")
        self._record, self._is_met = record, True
        self._seen = self._kept = self._read_file()

    def _read_file(self) -> Mark:
        with suppress(OSError, ValueError):
            if self._folder and self._record:
                generation, promises = (self._folder / self._record).read_text("ascii").split()
                return Mark(int(generation), int(promises))
        return Mark()

    def _write_file(self, mark: Mark) -> None:
        assert self._folder is not None  # noqa: S101 - for the type checker: `keep` has looked
        path = self._folder / f"{self._record}.new"
        with path.open("w", encoding="ascii") as file:
            file.write(f"{mark.generation} {mark.promises}\n")
            file.flush()
            os.fsync(file.fileno())
        path.rename(self._folder / self._record)
