"""Entries of the audit log as a page shows them: the person, the act and the note."""

from __future__ import annotations

from collections.abc import Mapping

from relay.core.lifecycle import BulkAct
from relay.core.phrases import Phrase, phrase
from relay.operations.operator_acts import ACTS
from relay.operations.rule_files import BY_HAND
from relay.store.operators.audit_log import Act
from relay.store.operators.bulk_replays import BulkState
from relay.web.auth import Role
from relay.web.language import say, say_fault
from relay.web.presenters.bulk_acts import part_in_words

ACTORS = {role.value: role for role in Role} | {str(BY_HAND): BY_HAND}
DEEDS: Mapping[str, Phrase] = {
    str(one): one
    for one in (
        *(act.deed for act in ACTS),
        phrase("edit and replay"), phrase("ping"), phrase("probe"), phrase("list templates"), phrase("test alert"),
        phrase("reveal"), phrase("reveal secret"), phrase("forget secret"),
        phrase("write rule"), phrase("remove rule"), phrase("erase"), phrase("restore"),
        phrase("add source"), phrase("add secret"), phrase("end secret"),
        phrase("add portal"), phrase("connect portal"),
        phrase("end a session"), phrase("end all other sessions"),
        *(phrase("bulk %(act)s", act=act) for act in BulkAct),
        *(phrase("cancel bulk %(act)s", act=act) for act in BulkAct),
        *(phrase("resume bulk %(act)s", act=act) for act in BulkAct),
        *(phrase("bulk %(act)s %(state)s", act=act, state=state) for act in BulkAct for state in BulkState),
    )
}  # fmt: skip
"""Everything that people do, by the word for it in the audit log."""


def actor(who: str) -> str:
    """The person of an entry: a role, or an edit on disk, in the page's language, or a name as it is."""
    return say(ACTORS.get(who)) or who


def deed(what: str) -> str:
    """The act of an entry, in the page's language."""
    return say(DEEDS[what]) if what in DEEDS else what


def note_of(act: Act) -> str:
    """The program's own note, with the filter of a bulk order. The person's own note stands beside it."""
    parts = (part_in_words(name, value) for name, value in act.wanted.items() if name != "needs")
    wanted = ", ".join(f"{label}: {value}" for label, value in parts)
    return "; ".join(filter(None, [say_fault(act.said), wanted]))
