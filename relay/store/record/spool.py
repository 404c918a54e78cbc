"""The spool: requests that came while the record was away, on this machine's disk, one file a request.

For senders that never repeat. A file holds entries ready to be recorded, with ids and dedup keys, so recording them
twice has no effect. It is written under another name, synced and renamed, so there is never half a file. Any number of
processes may share the folder. The caller decides what is spooled.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from relay.core.errors import RecordUnavailableError
from relay.core.folders import make_folder, sync_folder
from relay.core.ids import time_of
from relay.store.record import codec
from relay.store.record.entries import Bounds, Claim, Entry

FORMAT = 1
KEPT, ASIDE, BEGUN = ".kept", ".aside", ".begun"
"""The suffixes of names: to be recorded; refused by the record; not acknowledged, of a process that died."""
BLOCK = 4096
"""The disk space of a small file."""
SHARE_OF_OPEN = 4
"""An open source may fill at most one part in this many of the spool."""
RECOUNT_S = 1.0
ABANDONED_S = 60.0


@dataclass(frozen=True, slots=True)
class Spooled:
    """The content of a spool. size: bytes of disk. aside: files that the record refused. oldest: time of the oldest."""

    requests: int = 0
    size: int = 0
    aside: int = 0
    oldest: datetime | None = None


EMPTY = Spooled()


class Spool:
    """The spool of one folder, which is made when it is needed. most: bytes."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most
        self._sizes: dict[str, int] = {}
        self._counted_at = -RECOUNT_S

    @classmethod
    def of(cls, state: Path, megabytes: int) -> Spool:
        """The spool in this machine's state folder."""
        return cls(state / "spool", megabytes * 1_000_000)

    def keep(self, entries: Sequence[Entry], *, is_open: bool) -> None:
        """Keep the entries of one request; returns once they are on disk.

        is_open: its source accepts unauthenticated senders. Raises RecordUnavailableError where the spool is full or
        cannot be written.
        """
        source, content = entries[0].event.source, _to_json(entries)
        size = -(-len(content) // BLOCK) * BLOCK
        try:
            self._make_room(source, size, self._most // (SHARE_OF_OPEN if is_open else 1))
            self._write(f"{entries[0].event.id}+{source}{KEPT}", content)
        except OSError as error:
            raise RecordUnavailableError(f"spool: {type(error).__name__}") from None
        self._sizes[source] = self._sizes.get(source, 0) + size

    def names(self) -> list[str]:
        """The files to be recorded, in the order they came."""
        return sorted(name for name in self._listed() if name.endswith(KEPT))

    def read(self, name: str) -> list[Entry] | None:
        """The entries of a file; None where it is gone. Raises ValueError where it is foreign or damaged."""
        try:
            return _from_json((self._folder / name).read_bytes())
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(type(error).__name__) from None

    def forget(self, name: str) -> None:
        """Remove a file whose entries are on record."""
        (self._folder / name).unlink(missing_ok=True)

    def set_aside(self, name: str) -> None:
        """Set aside a file that cannot be recorded now, though later ones can."""
        with suppress(FileNotFoundError):
            (self._folder / name).rename(self._folder / (name.removesuffix(KEPT) + ASIDE))

    def take_back(self) -> None:
        """Take back the files that were set aside, and remove those that were never acknowledged."""
        for name in self._listed():
            path = self._folder / name
            with suppress(OSError):
                if name.endswith(ASIDE):
                    path.rename(self._folder / (name.removesuffix(ASIDE) + KEPT))
                elif name.endswith(BEGUN) and time.time() - path.stat().st_mtime > ABANDONED_S:
                    path.unlink()

    @contextmanager
    def drained(self) -> Iterator[bool]:
        """Whether this process may drain the spool inside the `with`: one at a time, to keep the order."""
        if not self._folder.is_dir():
            yield False
            return
        with (self._folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True

    def held(self) -> Spooled:
        """The present content."""
        kept = self.names()
        aside = sum(name.endswith(ASIDE) for name in self._listed())
        return Spooled(len(kept), sum(self._count().values()), aside, time_of(kept[0]) if kept else None)

    def _make_room(self, source: str, size: int, share: int) -> None:
        if time.monotonic() - self._counted_at > RECOUNT_S:
            # Files of other processes are counted a second later, so the bound may be exceeded by that much.
            self._sizes, self._counted_at = self._count(), time.monotonic()
        if sum(self._sizes.values()) + size > self._most or self._sizes.get(source, 0) + size > share:
            raise RecordUnavailableError("the spool is full")

    def _count(self) -> dict[str, int]:
        """Bytes of disk by source."""
        sizes: dict[str, int] = {}
        for name in self._listed():
            with suppress(FileNotFoundError):
                source = name.rpartition(".")[0].partition("+")[2]
                sizes[source] = sizes.get(source, 0) + (self._folder / name).stat().st_blocks * 512
        return sizes

    def _listed(self) -> list[str]:
        with suppress(FileNotFoundError):
            return [path.name for path in self._folder.iterdir()]
        return []

    def _write(self, name: str, content: bytes) -> None:
        make_folder(self._folder)
        begun = self._folder / f"{name.removesuffix(KEPT)}.{secrets.token_hex(4)}{BEGUN}"
        try:
            with os.fdopen(os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            begun.rename(self._folder / name)
        except OSError:
            with suppress(OSError):
                begun.unlink()
            raise
        sync_folder(self._folder)


def _to_json(entries: Sequence[Entry]) -> bytes:
    text = json.dumps({"format": FORMAT, "entries": [_entry_to_wire(one) for one in entries]}, separators=(",", ":"))
    return text.encode()


def _from_json(content: bytes) -> list[Entry]:
    wire = json.loads(content)
    if wire["format"] != FORMAT:
        raise ValueError(f"format {wire['format']}")
    return [_entry_from_wire(one) for one in wire["entries"]]


def _entry_to_wire(entry: Entry) -> dict[str, Any]:
    return {
        "event": codec.event_to_hash(entry.event),
        "body": base64.b64encode(entry.event.body).decode(),
        "deliveries": [codec.delivery_to_hash(one) for one in entry.deliveries],
        "dedup": entry.dedup_digest,
        "window_s": entry.dedup_window.total_seconds(),
        "bounds": asdict(entry.bounds),
        "signature": [[one.digest, one.window.total_seconds(), one.more] for one in entry.further],
    }


def _entry_from_wire(wire: dict[str, Any]) -> Entry:
    event = codec.event_from_hash({**_hash(wire["event"]), b"body": base64.b64decode(wire["body"])})
    deliveries = tuple(codec.delivery_from_hash(_hash(one), ()) for one in wire["deliveries"])
    # It has been acknowledged, so the limits per minute no longer apply.
    bounds = replace(Bounds(**wire["bounds"]), events=0, bytes=0)
    # Files of an earlier version have none.
    claims = wire.get("signature", ())
    further = tuple(Claim(digest, timedelta(seconds=seconds), more) for digest, seconds, more in claims)
    return Entry(event, deliveries, wire["dedup"], timedelta(seconds=wire["window_s"]), bounds, further)


def _hash(fields: dict[str, Any]) -> dict[bytes, bytes]:
    return {name.encode(): str(value).encode() for name, value in fields.items()}
