"""The commands that save a record in a file and put it back. They print; relay/runtime/backup.py does the work."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relay.cli.commands import agreed, settings_here
from relay.cli.terminal import progress
from relay.configuration.settings import Settings, names_a_record
from relay.core.ids import utc_now
from relay.core.printing import say
from relay.runtime.backup import About, put_back, read_about, take
from relay.runtime.embedded import running_url, serve_record
from relay.store import Store


def backup(options: argparse.Namespace) -> int:
    """Save the record in a file, while all goes on."""
    file = Path(options.file)
    if file.exists() and not options.yes and not agreed(f"{file} is there already. Replace it?"):
        return 1
    store = Store.open(settings_here().redis_url)
    with progress() as begin:
        about = take(store, file, utc_now(), begin)
    say(f"{file}: {_words(about)}; it was loaded once, and its books balance")
    say("it holds persons' data and the tokens of portals: keep it where the record may be kept", error=True)
    return 0


def restore(options: argparse.Namespace) -> int:
    """Put the record of a file into the server, while no web process and no worker runs."""
    file = Path(options.file)
    about = read_about(file)
    say(f"{file}: {_words(about)}, of {about.taken_at}")
    with _settings() as settings:
        store = Store.open(settings.redis_url, state=settings.state)
        store.begin(upgrades=False)
        if (before := store.record.event_count()) and not options.yes:
            question = f"The record holds {before} events, which will be gone. Replace it?"
            if not agreed(question):
                return 1
        with progress() as begin:
            put_back(store, file, utc_now(), begin, is_moved=options.moved)
        store.close()
    say("restored; the books balance")
    if not options.moved:
        say("what waits in it may have been sent since: it is uncertain now, and portals wait until you resume them")
    return 0


@contextmanager
def _settings() -> Iterator[Settings]:
    """The server that REDIS_URL names; else the embedded one, started for this if it does not run."""
    if names_a_record(os.environ) or running_url():
        yield settings_here()
        return
    with serve_record(Path("var") / "record") as url:
        yield Settings.from_environment({**os.environ, "REDIS_URL": url})


def _words(about: About) -> str:
    return f"{about.events} events, {about.deliveries} deliveries, {about.bytes:,} bytes"
