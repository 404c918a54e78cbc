"""Words that the record keeps, in English, as a page says them. What is none of these stays as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from relay.core.lifecycle import State
from relay.core.phrases import Phrase, phrase
from relay.store.operators.bulk_replays import BulkAct, BulkState
from relay.web.auth.guard import Role
from relay.web.language import N_, _, say

FIELDS = (
    N_("missing: document_id needs it"),
    N_("expected a whole number above 0: document_id needs it"),
    N_("expected a short text or number: document_id needs it"),
    N_("missing: %(expected)s"),
    N_("expected text"),
    N_("expected a whole number"),
    N_("expected a number"),
    N_("expected true or false"),
    N_("expected an e-mail address"),
    N_("expected an http or https address"),
    N_("expected a telephone number of 7 to 15 digits"),
    N_("expected a telephone number with its area code, as in %(region)s or with a +"),
    N_("expected a date such as 2026-01-31"),
    N_("expected a date and time with its offset, such as 2026-01-31T10:00:00+03:00"),
    N_("expected a list"),
    N_("expected one of %(names)s"),
    N_("expected from %(least)s to %(most)s"),
    N_("expected at least %(least)s"),
    N_("expected at most %(most)s characters"),
    N_("expected at most %(most)s entries"),
    N_("expected at most %(most)s"),
    N_("the rule's expressions need too many steps for an event of this size"),
    N_("too long to be written %(count)s times"),
)
"""What is wrong with a value of an event (rules/values.py, extract.py), or with the call (rules/compose.py)."""
BODIES = (
    N_("%(why)s; its %(size)s bytes were not kept"),
    N_("no body"),
    N_("its body was removed on %(day)s (RELAY_BODY_DAYS)"),
    N_("the form field %(name)s is %(why)s"),
    N_("the form field %(name)s does not hold a JSON map"),
    N_("not valid JSON: a number of too many digits"),
    N_(
        "not valid JSON: more comes after its end, at line %(line)s, column %(column)s; "
        "several values are sent as one list"
    ),
    N_("not valid JSON: more comes after its end, at line # column #"),
    N_("not valid JSON at line %(line)s, column %(column)s"),
    N_("not valid JSON at line # column #"),
    N_("a number that is too large"),
    N_("NaN and Infinity are not JSON"),
    N_("deeper than %(max_depth)s levels or more than %(most_values)s values"),
    N_("deeper than %(max_depth)s levels"),
    N_("more than %(most_values)s values"),
    N_("half a surrogate pair"),
    N_("a NUL character"),
    N_("unknown charset"),
    N_("bytes that are not of their charset"),
    N_("multipart without a usable boundary"),
    N_("multipart that does not end with its boundary"),
    N_("a part without a readable head"),
    N_("a part without a name"),
    N_("a broken packed body"),
    N_("a packed body that ends early"),
    N_("a packed body with something after its end"),
    N_("unknown content encoding: expected gzip, deflate or none, once"),
    N_("no content type: %(expected)s"),
    N_("expected JSON, a urlencoded form or multipart/form-data; %(why)s"),
    N_("expected JSON, a urlencoded form or multipart/form-data"),
    N_("SOAP is not read: have something in front of the relay post its fields as JSON"),
    N_("XML is not read: set the sender to JSON or a form, or have something in front post JSON"),
    N_("a page is not read: set the sender to JSON or a form"),
    N_("values in a row are not read: send them as one list"),
    N_("set the sender to JSON"),
    N_("a file is read only as a part of a form"),
    N_("of multipart bodies only forms are read"),
)
"""Why a body cannot be read (sources/: parsers, forms, charsets, unpacking); with `#`, as many have it in common."""
MISTAKES = (
    N_("found a map, %(expected)s"),
    N_("found a list, %(expected)s"),
    N_("found nothing, %(expected)s"),
    N_("found %(what)s, %(expected)s"),
    N_("expected a map of keys and values"),
    N_("expected a map with portal, template_id and document_id, or a trigger"),
    N_("expected a map with portal, template_id and document_id"),
    N_("expected a map with portal, document_id and code"),
    N_("expected a map from parameters to text, numbers, true, false, or lists of them"),
    N_("expected text, numbers, true, false, or lists of them"),
    N_("expected a name of a-z, 0-9, - and _, beginning with a letter"),
    N_("expected the name of a portal"),
    N_("expected the name of a source"),
    N_("expected a whole number from %(least)s to %(most)s"),
    N_("expected a number from %(least)s to %(most)s"),
    N_("expected a whole number with one of %(units)s, at most %(most)s"),
    N_("expected a JMESPath expression, but %(found)s breaks at column %(column)s"),
    N_("expected a JMESPath expression, such as body.form"),
    N_("expected a JMESPath expression or a list of them, such as body.email"),
    N_("expected one short form (%(forms)s), or in full [module, entity class, id]"),
    N_("expected a number above 0 or a {name}"),
    N_("unknown source %(name)s; did you mean %(known)s?"),
    N_("unknown source %(name)s; expected one of %(known)s"),
    N_("unknown portal %(name)s; did you mean %(known)s?"),
    N_("unknown portal %(name)s; expected one of %(known)s"),
    N_("unknown type %(name)s; did you mean %(known)s?"),
    N_("unknown type %(name)s; expected one of %(known)s"),
    N_("unknown key; did you mean %(known)s?"),
    N_("unknown key; expected one of %(known)s"),
    N_("%(name)s is not among the values of this rule; did you mean %(known)s?"),
    N_("%(name)s is not among the values of this rule; expected one of %(known)s"),
    N_("%(name)s is not among the values of this rule"),
    N_("%(key)s is here twice, first in line %(line)s"),
    N_("expected an expression of at most %(most)s characters"),
    N_("expected an expression of at most %(most)s levels: each || and each bracket is one"),
    N_("expected a JMESPath expression, but a number in it has too many digits"),
    N_("not valid YAML: a character that nobody sees, and that turns the text around it"),
    N_("not valid YAML: more than %(most)s levels"),
    N_("not valid YAML: more than %(most)s words and signs"),
    N_("not valid YAML: half a character"),
    N_("not valid YAML: %(problem)s"),
)
"""The commonest mistakes in the text of a rule (configuration/files.py, rules/schemas.py); rarer ones stay English."""
OTHERS = (
    N_("cannot be filled: %(fields)s"),
    N_("no rule of today wants it"),
    N_("the rule %(rule_name)s of today does not want its event"),
    N_("it has been replayed before"),
    N_("it has moved meanwhile: look again"),
    N_("it has changed since it was ordered"),
    N_("it has no call to repeat, for its rule could not be filled: use today's rules"),
    N_("it needs nobody: only a rejected event that nobody has dealt with is left"),
    N_("it needs nobody: only a delivery that is dead or overdue, and that nobody has dealt with, is left"),
    N_("it cannot be read: its body was not kept"),
    N_("for other reasons"),
    N_("no reason was kept"),
)
"""What is wrong with a rejected event (core/faults.py), and why one of many was skipped (operations/bulk_replay.py)."""
SENTENCES = (*BODIES, *FIELDS, *OTHERS, *MISTAKES)
"""The first that fits is meant."""
SENTENCES_WITHIN = ("expected", "why")
"""Under these names a value is a sentence itself."""
PLACE = re.compile(r"[\w./:-]+")
MOST_PLACES = 4
"""Before a mistake: its file and line, and so many keys."""
NAMES_OF_ROLES = {role.value: role for role in Role}
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
        *(phrase("resume bulk %(act)s", act=act) for act in BulkAct),
        *(phrase("bulk %(act)s %(state)s", act=act, state=state) for act in BulkAct for state in BulkState),
    )
}  # fmt: skip
"""What people do, as the audit log has it."""


def kept(text: str) -> str:
    """What was wrong, or why something was skipped."""
    for sentence in SENTENCES:
        if match := _pattern_of(sentence).fullmatch(text):
            values = match.groupdict()
            return _(sentence, **values | {name: kept(values[name]) for name in SENTENCES_WITHIN if name in values})
    return text


def mistake(text: str) -> str:
    """What is wrong with the text of a rule, after its file, line and place where they are named: `start.portal: …`."""
    before, wrong = "", text
    for _part in range(MOST_PLACES):
        place, colon, rest = wrong.partition(": ")
        if not (colon and PLACE.fullmatch(place)) or kept(wrong) != wrong:
            break
        before, wrong = before + place + colon, rest
    return before + kept(wrong)


def actor(who: str) -> str:
    """Who did it: a role, else a name as it is."""
    return say(NAMES_OF_ROLES.get(who)) or who


def deed(what: str) -> str:
    """What somebody did."""
    return say(DEEDS[what]) if what in DEEDS else what


@cache
def _pattern_of(sentence: str) -> re.Pattern[str]:
    """What the sentence is with any values."""
    return re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+?)", re.escape(sentence)), re.DOTALL)
