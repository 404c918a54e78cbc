"""Words that the record keeps, in English, as a page says them. What is none of these stays as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from relay.core.lifecycle import State
from relay.core.phrases import Phrase, phrase
from relay.store.operators.bulk_replays import BulkAct, BulkState
from relay.web.language import N_, _, say

SENTENCES = (
    N_("cannot be filled: %(fields)s"),
    N_("no rule of today wants it"),
    N_("the rule %(rule_name)s of today does not want its event"),
    N_("it has been replayed before"),
    N_("it has moved meanwhile: look again"),
    N_("it needs nobody: only a rejected event that nobody has dealt with is left"),
    N_("it needs nobody: only a delivery that is dead or overdue, and that nobody has dealt with, is left"),
    N_("it cannot be read: its body was not kept"),
    N_("for other reasons"),
)
"""What is wrong with a rejected event (core/faults.py), and why one of many was skipped (operations/bulk_replay.py)."""
DEEDS: Mapping[str, Phrase] = {
    str(one): one
    for one in (
        phrase("replay"), phrase("edit and replay"), phrase("cancel"), phrase("leave"),
        *(phrase("settle as %(state)s", state=state) for state in (State.STARTED, State.RETRYING, State.DEAD)),
        phrase("pause"), phrase("resume"), phrase("ping"), phrase("probe"), phrase("list templates"),
        phrase("terminate"), phrase("kill"), phrase("test alert"),
        phrase("reveal"), phrase("reveal secret"), phrase("forget secret"),
        phrase("write rule"), phrase("remove rule"), phrase("erase"), phrase("restore"),
        phrase("end a session"), phrase("end all other sessions"),
        *(phrase("bulk %(act)s", act=act) for act in BulkAct),
        *(phrase("cancel bulk %(act)s", act=act) for act in BulkAct),
        *(phrase("bulk %(act)s %(state)s", act=act, state=state) for act in BulkAct for state in BulkState),
    )
}  # fmt: skip
"""What people do, as the audit log has it."""


def kept(text: str) -> str:
    """What was wrong, or why something was skipped."""
    for sentence in SENTENCES:
        if match := _pattern_of(sentence).fullmatch(text):
            return _(sentence, **match.groupdict())
    return text


def deed(what: str) -> str:
    """What somebody did."""
    return say(DEEDS[what]) if what in DEEDS else what


@cache
def _pattern_of(sentence: str) -> re.Pattern[str]:
    """What the sentence is with any values."""
    return re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+)", re.escape(sentence)), re.DOTALL)
