"""Where the text of a file comes from: the disk, or what stands for it while something is tried.

So a draft is checked before it is written, and a set of files is read whole though the disk has moved on. It parses
nothing and writes nothing.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType

SUFFIXES = (".yaml", ".yml")
MAX_BYTES = 1_000_000
"""A larger one is not read: nobody has written it."""

_NOTHING: Mapping[Path, bytes | None] = MappingProxyType({})
_INSTEAD: ContextVar[Mapping[Path, bytes | None]] = ContextVar("instead", default=_NOTHING)


class NotAFileError(OSError):
    """What has the name of a file is a pipe, a device or a folder."""


@contextmanager
def instead_of_files(texts: Mapping[Path, bytes | None]) -> Iterator[None]:
    """Within, these stand for the files of these paths, for this thread or greenlet alone. None: there is no such file.

    A path has to be written as the loaders write it: the folder of the configuration, and what lies under it.
    """
    token = _INSTEAD.set({**_INSTEAD.get(), **texts})
    try:
        yield
    finally:
        _INSTEAD.reset(token)


def read_text_of(path: Path) -> bytes:
    """The bytes of a file; of one that is too large, the beginning. Raises FileNotFoundError, or another OSError."""
    instead = _INSTEAD.get()
    if path not in instead:
        return bytes_on_disk(path)
    text = instead[path]
    if text is None:
        raise FileNotFoundError(path)
    time.sleep(0)  # a large set takes a second to load: in a web process whoever sends has a turn between two files
    return text


def bytes_on_disk(path: Path) -> bytes:
    """The same, whatever stands for it. A pipe, at which one would wait, and a device, which has no end, are no files.

    Raises FileNotFoundError, NotAFileError, or another OSError.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # some devices do something when they are opened
        raise NotAFileError(path)
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise NotAFileError(path)
        return stream.read(MAX_BYTES + 1)


def yaml_files(folder: Path) -> list[Path]:
    """The *.yaml and *.yml of a folder by name; none where there is no such folder. Raises OSError."""
    instead = {path: text for path, text in _INSTEAD.get().items() if path.parent == folder}
    there = {*folder.iterdir()} if folder.is_dir() else set()
    found = (there | instead.keys()) - {path for path, text in instead.items() if text is None}
    return sorted(path for path in found if path.suffix in SUFFIXES)


def is_file(path: Path) -> bool:
    """Whether there is such a file."""
    instead = _INSTEAD.get()
    return instead[path] is not None if path in instead else path.is_file()
