"""What tests of the record may ask for, beside the record itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.store import Store
from relay.store.archive.archive import Archive
from relay.store.record.record import Record


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An archive in a folder that is not there yet."""
    return Archive(tmp_path / "archive")


@pytest.fixture
def store(record: Record) -> Store:
    """The store of the record."""
    return Store(record.redis)
