"""A folder that was made is there after a power cut: what holds its name was synced."""

from pathlib import Path

from relay.core import folders
from relay.core.folders import make_folder


def test_every_folder_that_is_made_is_synced_into_the_one_above_it(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(
        folders.os, "fsync", lambda number: synced.append(str(Path(f"/proc/self/fd/{number}").readlink()))
    )

    make_folder(tmp_path / "a" / "b" / "c")
    assert sorted(synced) == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")]

    synced.clear()
    make_folder(tmp_path / "a" / "b" / "c")
    assert synced == []
