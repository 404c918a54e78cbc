"""The configuration in force in this web process, and the watch that puts changed files in force without a restart.

A set of files is put in force as a whole, when it has no mistake. Until then the earlier set stays in force, and the
record says which files wait, since when, and why. This module knows no Flask: the application gets the new set.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.configuration.files import FileSet, FileWatch, Mistakes
from relay.configuration.settings import Settings
from relay.core.errors import ConfigError, Mistake, NotWritableError, RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.telemetry import get_logger
from relay.health.assessment import DEFAULT, Thresholds, load_thresholds
from relay.operations.configure import Config, load_config
from relay.operations.rule_files import remember_by_hand
from relay.store import Store
from relay.store.operators.kept_files import MOST_MISTAKES, FileReport

INTERVAL_S = 1.0
SETTLED_AFTER = timedelta(hours=1)
"""How long to watch a removed rule without deliveries: another process may still make some."""
KEPT = "in-force"
"""The file in RELAY_STATE with the last set in force, for a process that starts while the record is away."""

log = get_logger()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A set of files and its configuration. since: when it was put in force."""

    files: FileSet
    config: Config
    thresholds: Thresholds
    since: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """Changed files that are not in force, and their mistakes."""

    mistakes: tuple[Mistake, ...]
    since: datetime


def load(settings: Settings, environ: Mapping[str, str], files: FileSet | None = None) -> Loaded:
    """Load a set of files; by default, those on disk. Raises ConfigError with every mistake."""
    files = files or FileSet.read(settings.config)
    mistakes, thresholds = Mistakes(), DEFAULT
    with files.in_place():
        config = load_config(settings.config, environ, mistakes, base=settings.public_url or "")
        with mistakes.catching():
            thresholds = load_thresholds(settings.config)
    mistakes.raise_any()
    return Loaded(files, config, thresholds, utc_now())


def load_last(settings: Settings, environ: Mapping[str, str], store: Store) -> Loaded | None:
    """Load the set that any process put in force last; None if there is none. Raises ConfigError.

    While the record is away, the last set in force on this machine.
    """
    try:
        last = store.files.in_force()
        packed = last.packed if last else None
    except RecordUnavailableError:
        kept = settings.state / KEPT
        packed = kept.read_bytes() if kept.exists() else None
    return load(settings, environ, FileSet.unpacked(settings.config, packed)) if packed else None


class InForce:
    """The set in force in this process. put, in its methods: gives a set to the next requests."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], store: Store) -> None:
        self._settings, self._environ, self._store = settings, environ, store
        self._watch = FileWatch(settings.config, environ)
        self._report = FileReport(store.files, "web")
        self._holder = secrets.token_hex(8)
        self._is_published = False
        self.loaded: Loaded
        self.waiting: Waiting | None = None

    def begin(self, *, or_last: bool = False) -> Loaded:
        """Load the files on disk. or_last: if they have mistakes, load the last set in force; without it, raise
        ConfigError.
        """
        try:
            self.loaded = load(self._settings, self._environ)
        except ConfigError as error:
            last = load_last(self._settings, self._environ, self._store) if or_last else None
            if last is None:
                raise
            self.loaded = last
            self._wait(error)
        self.publish()
        return self.loaded

    def run(self, put: Callable[[Loaded], None], stop: threading.Event) -> None:
        """Look every second, until told to stop. Target of a thread."""
        while not stop.wait(INTERVAL_S):
            self.look(put)

    def look(self, put: Callable[[Loaded], None]) -> None:
        """Put changed files in force if they have no mistake."""
        if self._watch.has_changed():
            try:
                fresh = load(self._settings, self._environ)
            except ConfigError as error:
                self._wait(error)
            else:
                self._put_in_force(fresh, put)
        if not self._is_published:
            self.publish()
        self._report.tell()

    def publish(self) -> None:
        """Write the set in force to the record, for the workers and for processes that start later."""
        loaded = self.loaded
        rules = loaded.config.rules
        self._keep_here(loaded.files.packed())
        try:
            now = utc_now()
            self._note_removed(now)
            self._remember_changes(now)
            self._store.rules.publish(rules.digest, [rule.requirement for rule in rules.enabled()], now)
            self._store.files.put_in_force(loaded.files.digest, loaded.files.packed(), now)
            self._is_published = True
        except (NotWritableError, RecordUnavailableError) as error:
            self._is_published = False
            log.warning("rules.unpublished", reason=str(error))

    def _keep_here(self, packed: bytes) -> None:
        folder = self._settings.state
        begun = folder / f"{KEPT}.{self._holder}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            begun.write_bytes(packed)
            begun.rename(folder / KEPT)
        except OSError as error:  # such as a full disk; the record has the set, too
            log.warning("configuration.not_kept", folder=str(folder), reason=type(error).__name__)

    def _put_in_force(self, fresh: Loaded, put: Callable[[Loaded], None]) -> None:
        before, self.loaded, self.waiting = self.loaded, fresh, None
        put(fresh)
        self.publish()
        self._report.change(())
        changed = fresh.files.differences(before.files)
        log.info("configuration.swapped", digest=fresh.files.digest[:12], files=changed)

    def _wait(self, error: ConfigError) -> None:
        self.waiting = Waiting(error.mistakes[:MOST_MISTAKES], self.waiting.since if self.waiting else utc_now())
        self._report.change(self.waiting.mistakes)
        log.error("configuration.waiting", mistakes=[str(one) for one in self.waiting.mistakes])

    def _note_removed(self, now: datetime) -> None:
        """Note rules that are no longer in force.

        The earlier ones come from the record, because the process that removed a rule may be gone.
        """
        names = [rule.name for rule in self.loaded.config.rules.all()]
        published = self._store.rules.read()
        before = {requirement.rule for requirement in published[1]} if published else set()
        known, left = self._store.files.removed_rules(), self._store.left_behind(self.loaded.config.portals)[1]
        over = [name for name, at in known.items() if now - at > SETTLED_AFTER and name not in left]
        self._store.files.note_rules(sorted(before - {*names}), [*names, *over], now)

    def _remember_changes(self, now: datetime) -> None:
        """Remember changes made by other means, also while no web process ran."""
        last, files = self._store.files.in_force(), self.loaded.files
        if last is None or last.digest == files.digest:
            return
        with self._store.lease("rule-changes", self._holder, timedelta(seconds=10)) as is_ours:
            if is_ours:
                remember_by_hand(self._store, FileSet.unpacked(files.folder, last.packed), files, now)
