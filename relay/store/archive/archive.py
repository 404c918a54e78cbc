"""The archive: a folder with one file a day, `YYYY-MM-DD.jsonl.gz`, of the day on which its events were received.

A file is a series of gzip members, which zcat and jq read as one text. An event may be written twice, after a kill
between writing and forgetting, or after it was restored: the last copy counts. The operator may remove files; nothing
else depends on them. The record knows the folders in use, for pages and for an erasure.
"""

from __future__ import annotations

import fcntl
import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import nlargest
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from redis import Redis

from relay.core.errors import ArchiveError
from relay.core.folders import make_folder, sync_folder
from relay.core.ids import EVENT_PREFIX, from_ms, time_of, to_ms
from relay.store.archive.lines import id_in, line_of, row_of_line
from relay.store.record.search import Filter, Row
from relay.store.redis import keys
from relay.store.redis.scripts import guarded

ENDING = ".jsonl.gz"
FILES = f"[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]{ENDING}"
JOURNAL, REWRITTEN, LOCK = ".appending", ".rewriting", ".lock"
WHOLE = "\n"
"""The end of a journal that is complete."""

T = TypeVar("T")


class Archive:
    """The files in one folder. Writing needs the lock, reading does not. Every method raises ArchiveError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock among all processes of this machine. Repairs first what a killed process left."""
        with _saying(self.folder):
            make_folder(self.folder)
            lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with _saying(self.folder):
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._mend()
            yield
        finally:
            os.close(lock)

    def append(self, rows: Iterable[Row]) -> None:
        """Write events with their deliveries; returns once they are on disk. Needs the lock."""
        by_day = sorted(rows, key=lambda row: row.event.id)
        for name, of_day in groupby(by_day, key=lambda row: _name(row.event.id)):
            path = self.folder / name
            with _saying(path):
                try:
                    self._append(path, gzip.compress(b"".join(map(line_of, of_day)), mtime=0))
                except OSError:
                    with suppress(OSError):  # else the next writer repairs it
                        self._mend()
                    raise

    def files(self) -> list[Path]:
        """The files, the newest day first."""
        with _saying(self.folder):
            return sorted(self.folder.glob(FILES), reverse=True)

    def rows(self, path: Path) -> Iterator[Row]:
        """The events of one file, each in its last copy."""
        last: dict[str, int] = {}
        for number, line in enumerate(self._lines(path)):
            last[_checked(id_in, path, line)] = number
        counts = set(last.values())
        for number, line in enumerate(self._lines(path)):
            if number in counts:
                yield _checked(row_of_line, path, line)

    def every_row(self, path: Path) -> Iterator[Row]:
        """The events of one file, with every copy."""
        for line in self._lines(path):
            yield _checked(row_of_line, path, line)

    def search(self, wanted: Filter, limit: int) -> list[Row]:
        """The newest events that the filter wants, newest first; of deliveries, where it asks for them, only those."""
        found: list[Row] = []
        for path in self.files():
            ends = datetime.strptime(path.name[:10], "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
            if len(found) >= limit or (wanted.since and ends <= wanted.since):
                break
            rows = (row for row in map(_narrowed(wanted), self.rows(path)) if row)
            found += nlargest(limit - len(found), rows, key=lambda row: row.event.id)
        return found

    def find(self, wanted: str) -> Row | None:
        """The event with this id, or with the delivery of this id, and all of its deliveries; None: it is not here."""
        try:
            own, name, quoted = wanted.startswith(EVENT_PREFIX), _name(wanted), f'"{wanted}"'.encode()
        except (ValueError, OverflowError):  # no id of ours holds such a time
            return None
        for path in self.files():
            # A delivery is as old as its event, or younger where it is a replay.
            if path.name == name or (not own and path.name < name):
                holding = [line for line in self._lines(path) if quoted in line]
                rows = [_checked(row_of_line, path, line) for line in holding]
                found = [row for row in rows if wanted in {row.event.id, *row.event.deliveries}]
                if found:
                    return found[-1]
        return None

    def remove(self, path: Path, event_ids: Collection[str]) -> None:
        """Rewrite a file without these events, atomically. Needs the lock."""
        rewritten, is_empty = self.folder / REWRITTEN, True
        with _saying(path):
            descriptor = os.open(rewritten, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
                for line in self._lines(path):
                    if _checked(id_in, path, line) not in event_ids:
                        packed.write(line)
                        is_empty = False
                packed.close()
                raw.flush()
                os.fsync(raw.fileno())
            rewritten.replace(path)
            if is_empty:
                path.unlink()
            sync_folder(self.folder)

    def _append(self, path: Path, member: bytes) -> None:
        """Half a member would hide the next one, so the journal holds the old length until it is on disk."""
        size = path.stat().st_size if path.exists() else 0
        self._write(self.folder / JOURNAL, f"{path.name} {size}{WHOLE}".encode(), os.O_TRUNC)
        sync_folder(self.folder)
        self._write(path, member, os.O_APPEND)
        sync_folder(self.folder)
        (self.folder / JOURNAL).unlink()

    def _mend(self) -> None:
        """Remove what a killed process left: half a member, or a file being rewritten."""
        (self.folder / REWRITTEN).unlink(missing_ok=True)
        if journal := self._journal():
            name, size = journal
            path = self.folder / name
            if path.exists():
                os.truncate(path, size)
                if not size:
                    path.unlink()
        (self.folder / JOURNAL).unlink(missing_ok=True)

    def _journal(self) -> tuple[str, int] | None:
        try:
            text = (self.folder / JOURNAL).read_text("ascii")
        except FileNotFoundError:
            return None
        if not text.endswith(WHOLE):  # killed while writing the journal: nothing was written after it
            return None
        name, size = text.split()
        return name, int(size)

    def _lines(self, path: Path) -> Iterator[bytes]:
        with _saying(path):
            content, journal = path.read_bytes(), self._journal()
            if journal and journal[0] == path.name:
                content = content[: journal[1]]
        with _saying(path), gzip.GzipFile(fileobj=io.BytesIO(content)) as unpacked, suppress(EOFError):
            yield from unpacked  # a missing end is being written now

    def _write(self, path: Path, content: bytes, how: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _name(identifier: str) -> str:
    return f"{time_of(identifier):%Y-%m-%d}{ENDING}"


def _narrowed(wanted: Filter) -> Callable[[Row], Row | None]:
    """Reduces a row to the part that the filter wants; None: nothing."""

    def narrow(row: Row) -> Row | None:
        if not wanted.wants_event(row.event) or (wanted.since and row.event.received_at < wanted.since):
            return None
        if not wanted.is_of_deliveries:
            return row
        deliveries = tuple(filter(wanted.wants_delivery, row.deliveries))
        return Row(row.event, deliveries) if deliveries else None

    return narrow


def _checked(read: Callable[[bytes], T], path: Path, line: bytes) -> T:
    try:
        return read(line)
    except (ValueError, KeyError, TypeError):
        raise ArchiveError(f"{path} has a line that is no event of ours") from None


@contextmanager
def _saying(path: Path) -> Iterator[None]:
    """Turn errors of the file system into ArchiveError."""
    try:
        yield
    except (gzip.BadGzipFile, zlib.error):
        raise ArchiveError(f"{path} is damaged: it cannot be unpacked") from None
    except OSError as error:
        raise ArchiveError(f"{error.filename or path}: {error.strerror or type(error).__name__}") from None


CURRENT = timedelta(hours=1)
"""A host that writes an archive reports it more often."""


@dataclass(frozen=True, slots=True)
class KnownArchive:
    """A folder on a host. fault: why it cannot be written, or empty. at: time of the last report."""

    folder: str
    host: str
    fault: str
    at: datetime

    def is_faulty(self, now: datetime) -> bool:
        """Whether forgetting is stopped, because events could not be archived."""
        return bool(self.fault) and now - self.at < CURRENT


class KnownArchives:
    """The archives that the record knows. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def note(self, known: KnownArchive) -> None:
        """Report the state of a folder."""
        self._redis.hset(keys.ARCHIVES, known.folder, json.dumps([known.host, known.fault, to_ms(known.at)]))

    @guarded
    def all(self) -> list[KnownArchive]:
        """Every folder that was ever written."""
        kept: Any = self._redis.hgetall(keys.ARCHIVES)
        return [_known(folder.decode("utf-8", "replace"), *json.loads(text)) for folder, text in sorted(kept.items())]


def _known(folder: str, host: str, fault: str, at_ms: int) -> KnownArchive:
    return KnownArchive(folder, host, fault, from_ms(at_ms))
