"""Replaces a file of the configuration, or of a secret, as a whole or not at all, by one writer at a time.

This module knows nothing of what stands in a file.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from relay.configuration.files import bytes_on_disk
from relay.core.errors import NotWritableError
from relay.core.phrases import phrase

PATIENCE_S = 5.0
NEW_MODE = 0o644
"""Rules contain no secret, and workers, the terminal and a backup may run as other users."""


def as_ended(text: str, before: str) -> str:
    """The text with the line ends of the file, because browsers send text areas with CR LF."""
    text = text.replace("\r\n", "\n")
    is_crlf = "\r\n" in before and before.count("\n") == before.count("\r\n")
    return text.replace("\n", "\r\n") if is_crlf else text


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Allow one writer at a time among all processes. Raises NotWritableError."""
    try:
        opened = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise not_writable(folder, error) from None
    try:
        _lock(opened, folder)
        yield
    finally:
        os.close(opened)  # and with it the lock


def _lock(descriptor: int, folder: Path) -> None:
    # Never wait in the kernel: the holder may be another greenlet of this thread.
    late = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > late:
                raise NotWritableError(
                    phrase("%(folder)s: somebody else is writing there: try again", folder=folder)
                ) from None
            time.sleep(0.02)
        except OSError as error:
            raise not_writable(folder, error) from None
        else:
            return


@contextmanager
def ready_to_replace(path: Path, text: str | None, mode: int | None = None) -> Iterator[Path | None]:
    """A temporary file beside it, already on disk, that only needs renaming; None if there is nothing to write.

    mode: of the new file; by default, that of the file which it replaces. Renaming replaces a link, and follows none.
    """
    if text is None:
        yield None
        return
    if mode is None:
        mode = path.stat().st_mode & 0o777 if path.exists() else NEW_MODE
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    except OSError as error:
        raise not_writable(path, error) from None
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fchmod(descriptor, mode)
            if os.geteuid() == 0:  # root types it for the process that owns the folder, which has to read it
                owner = path.parent.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            os.fsync(descriptor)
        yield draft
    except OSError as error:
        raise not_writable(path, error) from None
    finally:
        with suppress(OSError):
            draft.unlink()


def sync(folder: Path) -> None:
    """Write the names in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def text_of(path: Path) -> str | None:
    """The text on disk; None if there is no file. Raises NotWritableError."""
    try:
        return bytes_on_disk(path).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise not_writable(path, error) from None


def not_writable(path: Path, error: OSError) -> NotWritableError:
    """The error for a file that cannot be written, with the system's reason."""
    return NotWritableError(phrase("%(path)s: %(why)s", path=path, why=error.strerror or type(error).__name__))
