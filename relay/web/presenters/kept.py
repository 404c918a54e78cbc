"""Words that the record keeps, in English, as a page says them. What is none of these stays as it is."""

from __future__ import annotations

import re
from functools import cache

from relay.web.language import N_, _

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
SENTENCES = MISTAKES
"""The first that fits is meant."""
SENTENCES_WITHIN = ("expected", "why")
"""Under these names a value is a sentence itself."""
PLACE = re.compile(r"[\w./:-]+")
MOST_PLACES = 4
"""Before a mistake: its file and line, and so many keys."""


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


@cache
def _pattern_of(sentence: str) -> re.Pattern[str]:
    """What the sentence is with any values."""
    return re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+?)", re.escape(sentence)), re.DOTALL)
