"""Writes the files of rules for people in a browser or a terminal, and remembers their history.

A file is replaced as a whole or not at all, and only if it is still what the person saw. Web processes notice changed
files and put them in force (relay/operations/in_force.py).
"""

from __future__ import annotations

import os
import re
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from relay.configuration.fields import NAME
from relay.configuration.files import FileSet, Mistakes, bytes_on_disk, instead_of_files, read_yaml, yaml_files
from relay.configuration.whole_files import alone, as_ended, not_writable, ready_to_replace, sync, text_of
from relay.core.errors import ChangedError, ConfigError, Mistake, NotFoundError
from relay.core.faults import fault
from relay.core.ids import utc_now
from relay.core.phrases import phrase
from relay.operations.configure import load_config
from relay.operations.rule_text import content_of, put
from relay.store import Store
from relay.store.operators.audit_log import Act
from relay.store.operators.kept_files import CHANGES_KEPT, RuleChange, digest_of

LARGEST = 64_000
"""Bytes of a file that is written here, because its old and new text are kept on record."""
FOLDER = "rules"
BY_HAND = phrase("by hand")
"""The author of changes by other means."""


@dataclass(frozen=True, slots=True)
class RuleText:
    """The current file of a rule. file: its name in the folder. digest: for `expected_digest`."""

    name: str
    file: str
    text: str = field(repr=False)

    @property
    def digest(self) -> str:
        return digest_of(self.text)


class RuleFiles:
    """The files of config/rules. base: see relay/rules/book.py, load_rules."""

    def __init__(self, store: Store, config: Path, base: str | None = None) -> None:
        self._operators = store.operators
        self._config, self._folder = config, config / FOLDER
        self._base = base

    def read(self, name: str) -> RuleText:
        """Read the file of a rule, even with mistakes. Raises NotFoundError."""
        path = self._path_of(name)
        text = text_of(path) if path else None
        if path is None or text is None:
            raise NotFoundError(phrase("no rule %(name)r in %(folder)s", name=name, folder=self._folder))
        return RuleText(name, path.name, text)

    def mistakes_in(self, name: str, text: str) -> list[Mistake]:
        """The mistakes of a draft of this rule, by line. Nothing is written."""
        return self._mistakes_in(self._path_of(name) or self._folder / f"{name}.yaml", name, text)

    @property
    def is_writable(self) -> bool:
        """Whether files can be written here."""
        return os.access(self._folder, os.W_OK)

    def write(self, name: str, text: str, who: str, expected_digest: str | None) -> RuleChange:
        """Write the file of a rule, and return the remembered change. expected_digest: None for a new rule.

        Raises ConfigError with every mistake of the text, ChangedError if the file is not as expected,
        NotWritableError, and RecordUnavailableError, because a change that cannot be remembered is not made.
        """
        with alone(self._folder):
            path = self._path_of(name) or self._folder / f"{name}.yaml"
            text = as_ended(text, text_of(path) or "")
            if wrong := self._mistakes_in(path, name, text):
                raise ConfigError(wrong)
            return self._put(path, name, text, who, expected_digest)

    def remove(self, name: str, who: str) -> RuleChange:
        """Remove the file of a rule. Its text is remembered, so `undo` brings it back.

        Raises NotFoundError, and the errors of `write` but for mistakes: a file that has some can be removed, too.
        """
        with alone(self._folder):
            path = self._path_of(name)
            text = text_of(path) if path else None
            if path is None or text is None:
                raise NotFoundError(phrase("no rule %(name)r in %(folder)s", name=name, folder=self._folder))
            return self._put(path, name, None, who, digest_of(text))

    def enable(self, name: str, who: str, *, on: bool) -> RuleChange:
        """Enable or disable a rule by its key `enabled`.

        Raises NotFoundError, UneditableError, and the errors of `write`.
        """
        file = self.read(name)
        text = put(file.text, ("enabled",), "true" if on else "false")
        return self.write(name, text, who, file.digest)

    def history(self, name: str | None, limit: int) -> list[RuleChange]:
        """The newest changes of one rule, or of all, newest first."""
        return self._operators.rule_changes.newest(limit, name)

    def undo(self, change_id: str, who: str) -> RuleChange:
        """Restore a file to its text before a change. This is a change, too, and can be undone.

        Raises NotFoundError, ChangedError if the file was changed since, and the errors of `write`.
        """
        change = self._operators.rule_changes.read(change_id)
        path = self._folder / Path(change.file).name
        with alone(self._folder):
            if change.before is not None and (wrong := self._mistakes_in(path, change.name, change.before)):
                raise ConfigError(wrong)
            return self._put(path, change.name, change.before, who, change.digest_after)

    def _put(self, path: Path, name: str, text: str | None, who: str, expected: str | None) -> RuleChange:
        before = text_of(path)
        if (None if before is None else digest_of(before)) != expected:
            raise ChangedError(phrase("%(path)s was changed since you read it: nothing was written", path=path))
        change = RuleChange(utc_now(), who, name, path.name, before, text)
        if text == before:
            return change
        with ready_to_replace(path, text) as draft:
            change = replace(change, id=self._operators.rule_changes.add(change))
            try:
                if draft:
                    draft.replace(path)
                else:
                    path.unlink()
                sync(self._folder)
            except OSError as error:
                self._operators.rule_changes.forget(change.id or "")
                raise not_writable(path, error) from None
        self._operators.log(Act(change.at, who, "remove rule" if text is None else "write rule", name, change.id or ""))
        return change

    def _mistakes_in(self, path: Path, name: str, text: str) -> list[Mistake]:
        raw = text.encode("utf-8", "replace")
        if not NAME.fullmatch(name):
            return [Mistake(str(path), 0, fault("not_a_rule_name", name=repr(name)))]
        if len(raw) > LARGEST:
            return [Mistake(str(path), 0, fault("rule_too_large", most=LARGEST))]
        found = Mistakes()
        with instead_of_files({path: raw}):
            load_config(self._config, None, found, rules=path, base=self._base)
            written = read_yaml(path, found)
            content = written.content if written else None
            if written and isinstance(content, dict) and content.get("name", name) != name:
                wrong = fault("renamed_rule", found=repr(content["name"]), name=repr(name))
                written.add_mistake(("name",), wrong)
        return [mistake for mistake in found if mistake.file == str(path)]

    def _path_of(self, name: str) -> Path | None:
        """The file with the rule of this name, usually its namesake; None if there is none."""
        if not NAME.fullmatch(name):
            return None
        files = yaml_files(self._folder)
        namesakes = [path for path in files if path.stem == name]
        for path in (*namesakes, *files):
            raw = _bytes_of(path) or b""
            if name.encode() in raw and _name_in(raw.decode("utf-8", "replace")) == name:
                return path
        return namesakes[0] if namesakes else None


def remember_by_hand(store: Store, before: FileSet, after: FileSet, now: datetime) -> None:
    """Remember changes of rules between two sets that are not remembered yet.

    Raises NotWritableError if another writer takes too long, and RecordUnavailableError.
    """
    folder = after.folder / FOLDER
    with alone(folder) if folder.is_dir() else nullcontext():
        _remember_by_hand(store, before, after, now)


def _remember_by_hand(store: Store, before: FileSet, after: FileSet, now: datetime) -> None:
    changes = store.operators.rule_changes
    newest = {change.file: change for change in reversed(changes.newest(CHANGES_KEPT))}
    for place in after.differences(before):
        folder, _, file = place.partition("/")
        old, new = (one.texts.get(place) for one in (before, after))
        if folder != FOLDER or max(len(old or b""), len(new or b"")) > LARGEST:
            continue
        path = after.folder / place
        if _bytes_of(path) != new:
            continue  # it has changed since the set was read: the next set contains that change
        texts = [None if raw is None else raw.decode("utf-8", "surrogateescape") for raw in (old, new)]
        change = RuleChange(now, BY_HAND, _name_in(texts[1] or texts[0] or "") or Path(file).stem, file, *texts)
        if file not in newest or newest[file].after != change.after:
            changes.add(change)


def _name_in(text: str) -> str | None:
    """The name of a rule in its text; if the text is broken above it, the text that looks like a name."""
    name = content_of(text).get("name")
    if isinstance(name, str) and NAME.fullmatch(name):
        return name
    found = re.search(r"^name:\s*[\"']?([a-z][a-z0-9_-]{0,63})\b", text, re.MULTILINE)
    return found[1] if found else None


def _bytes_of(path: Path) -> bytes | None:
    try:
        return bytes_on_disk(path)
    except OSError:
        return None
