"""What has the name of a file in config/ and is a pipe, a device or too large is a mistake; nobody waits for it."""

from __future__ import annotations

import os
import tracemalloc

import pytest

from relay.configuration.alerts import load_alerting
from relay.configuration.files import MAX_BYTES, FileSet, Mistakes, read_text_of
from relay.operations.configure import load_config
from relay.operations.rule_files import RuleFiles
from relay.runtime.secret_file import source_secrets
from relay.store import Store
from tests.support.folders import SECRETS, copy_config

MAKE = {
    "a pipe": os.mkfifo,
    "a link to a pipe": lambda path: (os.mkfifo(path.with_suffix(".pipe")), path.symlink_to(path.with_suffix(".pipe"))),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": lambda path: path.mkdir(),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "zeros": lambda path: (path.touch(), os.truncate(path, 50_000_000)),
}
MUST_BE_FILES = ("rules/odd.yaml", "sources.yaml", "portals.yaml")
PLACES = [*MUST_BE_FILES, "profiles/odd.yaml", "alerts.yaml"]

pytestmark = pytest.mark.timeout(20)


@pytest.fixture
def folder(tmp_path):
    found = copy_config(tmp_path)
    (found / "profiles").mkdir(exist_ok=True)
    return found


def put(folder, place, kind):
    path = folder / place
    path.unlink(missing_ok=True)
    MAKE[kind](path)
    return path


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("place", PLACES)
def test_nobody_waits_for_what_is_no_file(folder, place, kind):
    put(folder, place, kind)

    there, found = FileSet.read(folder), Mistakes()
    load_config(folder, SECRETS, found)
    load_alerting(folder, SECRETS, mistakes=found)

    assert len(there.texts.get(place, b"")) <= MAX_BYTES + 1
    if place in MUST_BE_FILES:
        assert [mistake for mistake in found if mistake.file == str(folder / place)]


@pytest.mark.parametrize("kind", ["a pipe", "a device", "a folder"])
def test_the_studio_writes_beside_what_is_no_file(redis, folder, kind):
    put(folder, "rules/odd.yaml", kind)
    files = RuleFiles(Store(redis), folder)
    text = files.read("callback").text

    change = files.write("callback", text + "# seen\n", "ada", files.read("callback").digest)

    assert change.after.endswith("# seen\n")


@pytest.mark.parametrize("kind", ["a pipe", "a device", "zeros"])
def test_no_secret_is_made_up_from_what_is_no_file(folder, kind):
    assert source_secrets(put(folder, "sources.yaml", kind)) == []


def test_of_a_file_that_is_too_large_the_beginning_is_read(tmp_path):
    path = tmp_path / "large.yaml"
    path.touch()
    os.truncate(path, 500_000_000)
    tracemalloc.start()

    assert len(read_text_of(path)) == MAX_BYTES + 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 5_000_000
