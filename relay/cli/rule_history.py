"""The commands that say how rules have changed, undo a change, and compare the files with what is in force."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterator

from relay.cli.commands import settings_here
from relay.configuration.files import FileSet
from relay.core.errors import RelayError
from relay.core.ids import utc_now
from relay.core.printing import say
from relay.operations.rule_files import RuleFiles
from relay.store import Store
from relay.store.operators.audit_log import who_in_terminal


def history(options: argparse.Namespace) -> int:
    """The newest changes, a line each; with --text what each has changed."""
    for change in _files(options.rule).history(options.rule, options.limit):
        what = "made" if change.before is None else "removed" if change.after is None else "changed"
        say(f"{change.id}  {change.at:%Y-%m-%d %H:%M:%S} UTC  {what} {change.name} ({change.file})  {change.who}")
        if options.text:
            _say_lines(_compared(change.file, change.before, change.after))
    return 0


def undo(options: argparse.Namespace) -> int:
    """Make a file what it was before a change."""
    change = _files(None).undo(options.change, who_in_terminal())
    _say_lines(_compared(change.file, change.before, change.after))
    say(f"{change.file} is as it was before {options.change}; running web processes take it within seconds")
    return 0


def diff(_options: argparse.Namespace) -> int:
    """What differs between the files here and those in force; 1 if anything does, and why they wait."""
    settings = settings_here()
    store = Store.open(settings.redis_url)
    last, here = store.files.in_force(), FileSet.read(settings.config)
    if last is None:
        raise RelayError("no web process has put files in force yet: nothing to compare with")
    in_force = FileSet.unpacked(settings.config, last.packed)
    names = here.differences(in_force)
    for name in names:
        _say_lines(_compared(name, _text_in(in_force, name), _text_in(here, name)))
    for waiting in store.files.waiting(utc_now()):
        say(f"{waiting.who} waits since {waiting.since:%Y-%m-%d %H:%M:%S} UTC:", error=True)
        for mistake in waiting.mistakes:
            say(f"  {mistake}", error=True)
    if not names:
        say(f"the {len(here.texts)} files are in force since {last.since:%Y-%m-%d %H:%M:%S} UTC")
    return 1 if names else 0


def _files(rule: str | None) -> RuleFiles:
    settings = settings_here()
    store = Store.open(settings.redis_url)
    files = RuleFiles(store, settings.config, settings.public_url)
    if rule and not files.history(rule, 1):
        files.read(rule)  # a wrong name is an error, and no empty answer
    return files


def _text_in(files: FileSet, name: str) -> str | None:
    text = files.texts.get(name)
    return None if text is None else text.decode("utf-8", "replace")


def _compared(name: str, before: str | None, after: str | None) -> Iterator[str]:
    old, new = ((text or "").splitlines() for text in (before, after))
    names = [name if text is not None else "nothing" for text in (before, after)]
    return difflib.unified_diff(old, new, f"{names[0]} (before)", f"{names[1]} (after)", lineterm="")


def _say_lines(lines: Iterator[str]) -> None:
    for line in lines:
        say(line)
