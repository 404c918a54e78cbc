"""Findings of a portal's check: a kind with values on record, worded for the one who reads it. Standard library.

A worker leaves findings in the answer to a question, one a line. A page words them in the language of its reader, a
terminal and the API in English. A line that is no finding is the portal's own words, or of an earlier version.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from relay.core.lifecycle import Verdict
from relay.core.phrases import Phrase, phrase, verbatim
from relay.core.reasons import explain
from relay.core.templates import read_drift

KIND = "finding"
"""The key that tells a finding's line from any other JSON."""
WORDS: Mapping[str, str] = {
    "accepted": "the credential is accepted by %(host)s",
    "application_not_connected": "the application is not connected yet: Portals, Connect says how",
    "administrators": "the application has the tokens of %(count)s administrators",
    "one_administrator": "only one administrator has opened the application, whose tokens end with their account: let "
    "another one open it too",
    "webhook_calls": "calls go by the webhook; the application has the pages only",
    "shown": "the application is shown in %(places)s",
    "not_shown": "the portal does not show the application in %(places)s: it has no such kind of document, or the "
    "application lacks the scope placement or crm",
    "no_handler": "RELAY_PUBLIC_URL is not set for the workers, so nothing can be shown in cards and menu",
    "scope_missing": "the credential lacks the scope %(scope)s: add it on the portal",
    "scopes": "the rules need %(scopes)s, which it may use",
    "no_administrator": "the credential's owner is no administrator: starts will be denied",
    "templates": "%(count)s templates can be started",
    "no_rules": "no rules are on record yet: start the web process once, then ping again",
    "rules": "%(count)s rules, %(misfits)s that do not fit",
    "trouble": "%(why)s [status %(status)s, code %(code)s]",
    "done": "done",
}
"""The message of each kind; a drift has those of core/templates.py."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. kind: a key of WORDS, or "drift"; values: JSON values for it."""

    kind: str
    values: Mapping[str, Any]

    @property
    def words(self) -> Phrase:
        """The finding as a sentence. Raises LookupError or ValueError if it is of a later version."""
        if self.kind == "drift":
            return read_drift([self.values])[0].sentence
        return phrase(WORDS[self.kind], **{name: _value(value) for name, value in self.values.items()}, **self._why())

    def _why(self) -> dict[str, Phrase]:
        if self.kind != "trouble":
            return {}
        reason = self.values["reason"]
        why = explain(reason, Verdict(self.values["verdict"]))
        return {"why": phrase(why) if why else verbatim(reason)}

    def __str__(self) -> str:
        return self.words


def finding(kind: str, **values: Any) -> Finding:
    """A finding of this kind."""
    return Finding(kind, values)


def as_lines(findings: Iterable[Finding]) -> str:
    """Findings as the text of an answer."""
    return "\n".join(json.dumps({KIND: one.kind, **one.values}, ensure_ascii=False) for one in findings)


def read_lines(text: str) -> list[str]:
    """The lines of an answer: a Phrase for each finding, any other line as it is."""
    return [_read(line) for line in text.split("\n")] if text else []


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _read(line: str) -> str:
    if not line.startswith("{"):
        return line
    try:
        values = json.loads(line)
        return Finding(values.pop(KIND), values).words
    except (LookupError, TypeError, ValueError, RecursionError):
        return line
