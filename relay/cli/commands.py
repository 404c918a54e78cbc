"""The commands that change or add up the record, in a terminal, and what all commands share. Prints; logs nothing."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path

from relay.cli.terminal import busy, progress
from relay.configuration.settings import Settings, names_a_record
from relay.core.errors import InvalidEventError, RelayError
from relay.core.events import Delivery
from relay.core.ids import EVENT_PREFIX
from relay.core.lifecycle import State
from relay.core.printing import say
from relay.operations.configure import load_config
from relay.operations.erase import Eraser, Traces
from relay.operations.operator_acts import OperatorActs
from relay.operations.unarchive import find_archived, put_back
from relay.runtime.embedded import running_url
from relay.runtime.secret_file import kept_secrets
from relay.store import Store
from relay.store.archive.archive import Archive
from relay.store.operators.audit_log import who_in_terminal
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Record
from relay.store.record.spool import Spool


def replay(options: argparse.Namespace) -> int:
    """A new delivery. Starting a workflow a second time is asked first."""
    settings = settings_here()
    store = open_store(settings)
    archive = archive_here(settings) if options.archive else None
    if not options.id.startswith(EVENT_PREFIX) and not options.yes:
        old = _archived_delivery(archive, options.id) if archive else store.record.delivery(options.id)
        if old.state is State.STARTED and not _confirmed(old):
            say("nothing was done", error=True)
            return 1
    acts = acts_here(settings, store)
    try:
        with archive.locked() if archive else nullcontext():
            with busy("searching the archive"):
                is_back = archive is not None and put_back(archive, store, options.id, who_in_terminal())
            if is_back:
                say("it is on record again, as it was")
            made = acts.replay(options.id, who_in_terminal(), current_rules=options.rules == "current")
    except InvalidEventError as error:
        say(json.dumps({"errors": error.errors}, ensure_ascii=False, indent=2))
        return 1
    for delivery in made:
        say(f"{delivery.id}  {delivery.rule}  {delivery.state}")
    return 0


def _archived_delivery(archive: Archive, delivery_id: str) -> Delivery:
    return next(one for one in find_archived(archive, delivery_id).deliveries if one.id == delivery_id)


def secret_key_of(settings: Settings) -> str | None:
    """The environment's, or the one that `up` has made."""
    return settings.secret_key or kept_secrets(Path("var") / "secrets.env").get("RELAY_SECRET_KEY")


def audit(options: argparse.Namespace) -> int:
    """Add up the ledger. What was acknowledged and is not on record yet is no part of it, and is said beside it."""
    settings = settings_here()
    held = Spool.of(settings.state, settings.spool_mb).held()
    if waiting := held.requests + held.aside:
        say(f"{waiting} requests wait in {settings.state / 'spool'} to be recorded ({held.size:,} bytes)", error=True)
    with busy("adding up"):
        ledger = Store.open(settings.redis_url).record.counts()
    if options.json:
        say(json.dumps(ledger.to_wire() | {"spooled_requests": waiting}))
        return 1 if ledger.imbalances else 0
    for kind, total, counts in (
        ("deliveries", ledger.total, ledger.deliveries),
        ("events", ledger.total_events, ledger.events),
    ):
        say(f"{total} {kind} = " + " + ".join(f"{count} {state}" for state, count in counts.items()))
    if probes := ledger.since_start.get("event:probe"):
        say(f"{probes} probes were answered, which are no events")
    for imbalance in ledger.imbalances:
        say(f"does not balance: {imbalance}")
    if not ledger.imbalances:
        say("the ledger balances")
    return 1 if ledger.imbalances else 0


def erase(options: argparse.Namespace) -> int:
    """Remove a person, and prove it."""
    settings = settings_here()
    key = secret_key_of(settings)
    if not key:
        raise RelayError("RELAY_SECRET_KEY is needed: without it, what rules extracted is not found")
    archive = archive_here(settings) if settings.archive and settings.archive.exists() else None
    eraser = Eraser(Store.open(settings.redis_url), PersonIndex(key), archive)
    for folder in eraser.elsewhere():
        say(f"events were also archived in {folder}: there, erase it with RELAY_ARCHIVE as well", error=True)
    traces = _find(eraser, options.value)
    if not traces:
        say("found nowhere")
        return 0
    say(f"found in {traces}")
    say("\n".join([*traces.events[:10], *(["..."] if len(traces.events) > 10 else [])]))
    if traces.open and not options.cancel:
        say(f"{len(traces.open)} deliveries are not final yet: --cancel gives them up", error=True)
        return 1
    if not options.yes and not agreed("This cannot be undone. Erase it?"):
        say("nothing was done", error=True)
        return 1
    with busy("erasing"):
        eraser.erase(options.value, traces, who_in_terminal(), cancel=options.cancel)
    found = _find(eraser, options.value)
    if found or eraser.is_marked(options.value):
        say(f"still found in {found}: did something arrive meanwhile? Run it again", error=True)
        return 1
    say(f"erased {traces}\nsearched again: found nowhere")
    left = eraser.store.traces.rewrite_file()
    say("the append-only files are being written anew; backups of them, and the portal, are for you to see to")
    for server in left:
        say(f"but not yet by {server}: send it BGREWRITEAOF, its file still holds what was erased", error=True)
    return 0


def _find(eraser: Eraser, value: str) -> Traces:
    with progress() as begin:
        return eraser.find(value, begin("events"), begin("files"))


def open_record() -> Record:
    """The record that REDIS_URL names, or the embedded one that runs here. Raises ConfigError."""
    return open_store(settings_here()).record


def open_store(settings: Settings) -> Store:
    """The store, by whose clock this process goes from now on. Raises ConfigError and RecordUnavailableError."""
    store = Store.open(settings.redis_url)
    store.clock.set(is_start=True)
    return store


def acts_here(settings: Settings, store: Store) -> OperatorActs:
    """The operator's acts, by the configuration here. Raises ConfigError."""
    key = secret_key_of(settings)
    persons = PersonIndex(key) if key else None
    return OperatorActs.of(store, load_config(settings.config, None), persons, settings.public_url)


def archive_here(settings: Settings) -> Archive:
    """The archive that RELAY_ARCHIVE names. Raises RelayError where it names none."""
    if settings.archive is None or not settings.archive.is_dir():
        named = f"{str(settings.archive)!r} is no folder" if settings.archive else "it is not set"
        raise RelayError(f"RELAY_ARCHIVE: {named}: expected the folder in which the workers archive events")
    return Archive(settings.archive)


def settings_here(*, with_record: bool = True) -> Settings:
    """The settings, with the embedded record where one runs here. with_record: whether it is needed.

    Raises ConfigError.
    """
    environ = dict(os.environ)
    if not names_a_record(environ):
        environ["REDIS_URL"] = running_url() or ("" if with_record else "unix://")
    return Settings.from_environment(environ)


def _confirmed(delivery: Delivery) -> bool:
    say(f"{delivery.id} has started workflow {delivery.workflow_id}. Replaying it starts a second one.")
    return agreed("Start it again?")


def agreed(question: str) -> bool:
    """Whether the person at the terminal says yes; where nobody is there, no."""
    if not sys.stdin.isatty():
        say("say --yes to do it", error=True)
        return False
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}
