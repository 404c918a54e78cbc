"""Backups: the record as of one moment, in a file, taken while the relay runs, verified at once, and restored.

The file is a tar of two members: `about.json`, a description with a digest, and `dump.rdb`, the server's snapshot. It
contains the whole record, including people's data and tokens of portals, so only its owner may read it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from relay.core.errors import RelayError
from relay.core.ids import iso
from relay.runtime.embedded import serve_dump
from relay.store import Store

VERSION = 1
LONGEST_ABOUT, LARGEST = 10_000, 2**63
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}")
ABOUT, DUMP = "about.json", "dump.rdb"
PIECE = 1 << 20
Begin = Callable[[str], Callable[[int, int | None], None]]
"""Begins to report progress of something; what it returns is told how much is done, and of how much, if known."""


@dataclass(frozen=True, slots=True)
class About:
    """The description of a backup. bytes, sha256: of the snapshot."""

    version: int
    taken_at: str
    events: int
    deliveries: int
    bytes: int
    sha256: str


def take(store: Store, file: Path, now: datetime, begin: Begin) -> About:
    """Write a backup. The snapshot is loaded into a separate server before the file gets its name.

    Raises RelayError, RecordUnavailableError and OSError. Then there is no file of this name, or still the old one.
    """
    with _workshop(file) as folder:
        digest, size = _save(store, folder / DUMP, begin("bytes saved"))
        begin("loading it once, as a proof")(0, None)
        events, deliveries = _try_out(folder)
        about = About(VERSION, iso(now), events, deliveries, size, digest)
        (folder / ABOUT).write_text(json.dumps(asdict(about)), "utf-8")
        made = folder / "backup.tar"
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            with tarfile.open(fileobj=stream, mode="w") as tar:
                for name in (ABOUT, DUMP):
                    tar.add(folder / name, name)
            stream.flush()
            os.fsync(stream.fileno())
        made.replace(file)
    return about


def put_back(store: Store, file: Path, now: datetime, begin: Begin, *, is_moved: bool) -> About:
    """Restore a backup into a server whose record is empty or may be replaced.

    is_moved: nothing was received or sent since it was taken. Otherwise, waiting deliveries may have been sent since,
    and are held. Raises RelayError, before any change, if the file is not a backup or is damaged.
    """
    with _workshop(file) as folder:
        begin("reading the file")(0, None)
        about = _unpack(file, folder)
        with serve_dump(folder) as url:
            copy, told = Store.open(url, is_copy=True), begin("keys put back")
            store.replace_by(copy, lambda count: told(count, None))
            copy.close()
    store.begin()
    if not is_moved:
        store.hold_what_may_have_been_sent(now)
    ledger = store.record.counts()
    if (ledger.total_events, ledger.total) != (about.events, about.deliveries) or ledger.imbalances:
        raise RelayError(f"{ledger.total_events} events and {ledger.total} deliveries came of it: restore it again")
    return about


def read_about(file: Path) -> About:
    """Read the description of a backup. Raises RelayError if this version cannot read the file."""
    with _reading(file), tarfile.open(file, "r:") as tar:
        wire = _wire_in(_member(tar, ABOUT)[1].read(LONGEST_ABOUT + 1))
        size, _ = _member(tar, DUMP)
    if wire.get("version") != VERSION:
        raise RelayError(f"{file} is of version {_shown(wire.get('version'))}: expected {VERSION}")
    if set(wire) != {one.name for one in fields(About)} or not _is_right(wire) or wire["bytes"] != size:
        raise RelayError(f"{file} is no backup: what it says of itself is not what a backup says")
    return About(**wire)


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RelayError(f"{file}: {error.strerror or type(error).__name__}") from None
    except (EOFError, tarfile.TarError, KeyError, ValueError, RecursionError) as error:
        raise RelayError(f"{file} is no backup: {type(error).__name__}") from None


def _member(tar: tarfile.TarFile, name: str) -> tuple[int, IO[bytes]]:
    """The size and the content of a member, which must be a file without holes. Raises KeyError."""
    found = tar.getmember(name)
    stream = tar.extractfile(found) if found.isreg() and not found.issparse() else None
    if stream is None:
        raise KeyError(name)
    return found.size, stream


def _wire_in(text: bytes) -> dict[str, Any]:
    wire = json.loads(text) if len(text) <= LONGEST_ABOUT else None
    if not isinstance(wire, dict):
        raise ValueError  # noqa: TRY004 - as what json raises
    return wire


def _is_right(wire: Mapping[str, Any]) -> bool:
    counts = [wire[name] for name in ("events", "deliveries", "bytes")]
    texts = [(wire["taken_at"], _MOMENT), (wire["sha256"], _DIGEST)]
    return all(type(count) is int and 0 <= count < LARGEST for count in counts) and all(
        isinstance(text, str) and shape.fullmatch(text) for text, shape in texts
    )


def _shown(version: Any) -> str:
    return str(version) if type(version) is int and abs(version) < LARGEST else "that is no number"


def _save(store: Store, path: Path, told: Callable[[int, int | None], None]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        for piece in store.snapshot():
            stream.write(piece)
            digest.update(piece)
            size += len(piece)
            told(size, None)
    return digest.hexdigest(), size


def _try_out(folder: Path) -> tuple[int, int]:
    """Load the snapshot and check its ledger. Returns the number of its events and deliveries."""
    with serve_dump(folder) as url:
        copy = Store.open(url, is_copy=True)
        ledger = copy.record.counts()
        copy.close()
    if ledger.imbalances:
        raise RelayError("the books of the snapshot do not balance: " + "; ".join(ledger.imbalances))
    return ledger.total_events, ledger.total


def _unpack(file: Path, folder: Path) -> About:
    about, digest = read_about(file), hashlib.sha256()
    with (folder / DUMP).open("wb") as stream:
        for piece in _pieces(file):
            stream.write(piece)
            digest.update(piece)
    if digest.hexdigest() != about.sha256:
        raise RelayError(f"{file} has changed since it was written: its digest is another")
    return about


def _pieces(file: Path) -> Iterator[bytes]:
    with _reading(file), tarfile.open(file, "r:") as tar:
        _, content = _member(tar, DUMP)
        while piece := content.read(PIECE):
            yield piece


@contextmanager
def _workshop(file: Path) -> Iterator[Path]:
    """A temporary folder beside the file, on the same disk, for its owner only. Raises RelayError."""
    beside = file.resolve().parent
    try:
        folder = Path(tempfile.mkdtemp(prefix=".relay-", dir=beside))
    except OSError as error:
        raise RelayError(f"{beside}: {error.strerror}: expected a folder that can be written") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
