"""A server whose file lost its end, as after a disk that lied, or a copy that was cut."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.valkey import Valkey


def file_of(valkey: Valkey) -> Path:
    """The part of the append-only file that grows."""
    (found,) = (valkey.folder / "data" / "appendonlydir").glob("*.incr.aof")
    return found


def size_of(valkey: Valkey) -> int:
    return file_of(valkey).stat().st_size


def go_back_to(valkey: Valkey, size: int) -> None:
    """Kill the server, cut its file there, and start it again."""
    valkey.kill()
    with file_of(valkey).open("r+b") as file:
        file.truncate(size)
    valkey.start()


def copy_of(valkey: Valkey, to: Path) -> Path:
    """The files of a running server, as a backup that was taken now."""
    return Path(shutil.copytree(valkey.folder / "data", to))
