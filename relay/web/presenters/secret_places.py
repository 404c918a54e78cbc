"""Where the secrets of a source are, and when each was last changed, for a person who changes one. Reads none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from relay.sources import Source


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """One secret. file: that holds it, whose changes are followed; None: the environment of the web process.

    changed_at: of the file; None where it has none, or it cannot be looked at.
    """

    name: str
    file: str | None
    changed_at: datetime | None


def secret_places(source: Source, environ: Mapping[str, str] = os.environ) -> list[SecretPlace]:
    """Of each secret that proves the source's sender."""
    return [_place(name, environ.get(f"{name}_FILE")) for name in source.secret_names]


def _place(name: str, file: str | None) -> SecretPlace:
    try:
        changed_at = datetime.fromtimestamp(Path(file).stat().st_mtime, UTC) if file else None
    except OSError:
        changed_at = None
    return SecretPlace(name, file, changed_at)
