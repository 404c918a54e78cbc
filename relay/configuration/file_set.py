"""All files of a configuration at one moment, and the look that notices that they have changed since.

It knows their names and bytes, not what they mean; secrets are not among them, only that the file of one has changed.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from relay.configuration.texts import bytes_on_disk, instead_of_files, yaml_files

FILES = ("portals.yaml", "sources.yaml", "alerts.yaml")
FOLDERS = ("rules", "profiles")
SECRETS = ("SOURCE_", "PORTAL_", "ALERT_")
"""How the variables begin whose `_FILE` may be changed while the relay runs."""

Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class FileSet:
    """The files below a folder, by their path in it, such as `rules/seed.yaml`."""

    folder: Path
    texts: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def read(cls, folder: Path) -> FileSet:
        """As they are on disk now, but for those that cannot be read. Whoever loads them says what is wrong."""
        texts = {}
        for path in _paths(folder):
            try:
                texts[path.relative_to(folder).as_posix()] = bytes_on_disk(path)
            except OSError:
                continue
        return cls(folder, texts)

    @property
    def digest(self) -> str:
        """What tells one set from another."""
        total = hashlib.sha256()
        for name, text in sorted(self.texts.items()):
            total.update(f"{name}\0{len(text)}\0".encode() + text)
        return total.hexdigest()

    def differences(self, before: FileSet) -> list[str]:
        """The names of the files in which it differs from another set."""
        names = before.texts.keys() | self.texts.keys()
        return sorted(name for name in names if before.texts.get(name) != self.texts.get(name))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, whatever reads this folder reads this set, whatever is on disk by now."""
        there = dict.fromkeys(_paths(self.folder))
        with instead_of_files({**there, **{self.folder / name: text for name, text in self.texts.items()}}):
            yield

    def packed(self) -> bytes:
        """For the record."""
        wire = {name: text.decode("utf-8", "surrogateescape") for name, text in self.texts.items()}
        return zlib.compress(json.dumps(wire).encode("utf-8"))

    @classmethod
    def unpacked(cls, folder: Path, packed: bytes) -> FileSet:
        """What `packed` has made."""
        wire: dict[str, str] = json.loads(zlib.decompress(packed))
        return cls(folder, {name: text.encode("utf-8", "surrogateescape") for name, text in wire.items()})


class FileWatch:
    """Notices that files have changed, by what the file system says of them: a look is a few system calls.

    What has changed is reported when it has been the same for two looks: nobody reads what is half written.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._secrets = [
            Path(path) for name, path in environ.items() if path and name.startswith(SECRETS) and name.endswith("_FILE")
        ]
        self._reported = self._last = self._stamp()

    def has_changed(self) -> bool:
        """Whether there is something new since this was last said."""
        now = self._stamp()
        is_still, self._last = now == self._last, now
        if now == self._reported or not is_still:
            return False
        self._reported = now
        return True

    def _stamp(self) -> Stamp:
        return tuple(_stamps([*_paths(self._folder), *self._secrets]))


def _paths(folder: Path) -> list[Path]:
    inner: list[Path] = []
    for name in FOLDERS:
        try:
            inner += yaml_files(folder / name)
        except OSError:
            continue
    return [folder / name for name in FILES if (folder / name).exists()] + inner


def _stamps(paths: Iterable[Path]) -> Iterator[tuple[str, int, int, int]]:
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            yield str(path), 0, 0, 0
        else:
            yield str(path), found.st_mtime_ns, found.st_size, found.st_ino
