"""What a list calls an event, a document, a template and a day: the words that a person would use.

The title of an event comes from its rule's `title:`; without one, it is source, form and the first personal values.
Values are masked as everywhere (masking.py), unless this session has revealed the event. Reads rules, sources and what
workers have learned of portals; changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from babel.dates import format_date
from flask import g

from relay.configuration.expressions import Steps
from relay.core.errors import NotFoundError, RelayError
from relay.core.events import Event
from relay.core.ids import utc_now
from relay.core.plan import DYNAMIC, FORMS, Call
from relay.operations.deciding import contexts_of, persons_in
from relay.rules import Rule
from relay.web.auth import is_operator, is_revealed
from relay.web.language import N_, _, language_now
from relay.web.presenters.masking import Masking, cover
from relay.web.services import services
from relay.web.zone import local

LARGEST_READ = 20_000
"""Bytes. A list reads fifty bodies, so it leaves larger ones to the page of their event."""
LONGEST_PERSON = 100
"""Characters of a value; no name or address is longer."""
LONGEST_TITLE = 160
PERSONS = 2
"""Personal values in a title that no rule has written."""
FORM_KEYS = ("form", "formname", "form_name", "event", "type")
"""Keys of a body under which senders name their form or their kind of event, the likeliest first."""
_FORM = re.compile(r"[^\W\d][\w .:/-]{0,39}")
"""A name of a form: a few words. Anything else under such a key is content."""
DOCUMENTS: Mapping[str, tuple[str, str]] = {
    "lead": (N_("Lead %(number)s"), N_("a new lead")),
    "deal": (N_("Deal %(number)s"), N_("a new deal")),
    "contact": (N_("Contact %(number)s"), N_("a new contact")),
    "company": (N_("Company %(number)s"), N_("a new company")),
    "quote": (N_("Quote %(number)s"), N_("a new quote")),
    "invoice": (N_("Invoice %(number)s"), N_("a new invoice")),
    "feed": (N_("Feed item %(number)s"), N_("a new feed item")),
    "list": (N_("List element %(number)s"), N_("a new list element")),
    "file": (N_("File %(number)s"), N_("a new file")),
}
"""A document with its number, and one that a step has still to find or to make."""


def title_of(event: Event, rules: Sequence[str] = ()) -> str:
    """What a list calls this event. rules: the names of the rules of its deliveries; empty: every rule that matches."""
    source = services().sources.get(event.source)
    context = None
    if source and (event.body or event.query) and len(event.body) + len(event.envelope) <= LARGEST_READ:
        try:
            context = next(iter(contexts_of(source, event)), None)
        except RelayError:  # its source is configured otherwise now, and can read it no more
            context = None
    if context is None:
        return event.source
    revealed = is_operator() and is_revealed(event.id)
    persons: list[str] = []
    for rule, values in _matching(event, rules, context):
        texts = [text.strip()[:LONGEST_PERSON] for text in rule.extractor.personal_texts(values)]
        if title := _filled(rule, values, texts, revealed=revealed):
            return title
        persons = persons or [text for text in texts if text]
    persons = (persons or persons_in(context["body"]))[:PERSONS]
    shown = ", ".join(persons if revealed else map(cover, persons))
    return " · ".join(filter(None, [event.source, _form_in(context["body"]), shown]))


def _matching(
    event: Event, names: Sequence[str], context: Mapping[str, Any]
) -> Iterator[tuple[Rule, Mapping[str, Any]]]:
    """The rules of this event with the values that they find, as they came."""
    book, steps = services().rules, Steps(grows=False)
    for rule in _named(names) if names else book.candidates(event.source, context):
        if rule.matches(context, steps):
            yield rule, rule.extractor.find(context, steps)


def _named(names: Sequence[str]) -> Iterable[Rule]:
    for name in names:
        try:
            yield services().rules.get(name)
        except NotFoundError:  # it was removed since
            continue


def _filled(rule: Rule, values: Mapping[str, Any], persons: Iterable[str], *, revealed: bool) -> str:
    """The title that the rule has written; empty: it has none, or none of its values was found."""
    if rule.title is None:
        return ""
    if rule.title.names and all(values.get(name) in (None, "", []) for name in rule.title.names):
        return ""
    masking = Masking(known=frozenset(persons), revealed=revealed)
    pieces = [
        _value(values.get(part), masking, is_personal=part in rule.extractor.personal) if is_name else part
        for is_name, part in rule.title.parts
    ]
    return " ".join("".join(pieces).split())[:LONGEST_TITLE].strip(" ,;:·")


def _value(value: Any, masking: Masking, *, is_personal: bool) -> str:
    if value is None or isinstance(value, dict | list):
        return ""
    text = str(value)[:LONGEST_PERSON]
    return cover(text) if is_personal and not masking.revealed else masking.text(text)


def _form_in(body: Any) -> str:
    """The name of the form or of the kind of event in a body; empty if it has none."""
    if not isinstance(body, dict):
        return ""
    given = (body.get(key) for key in FORM_KEYS)
    return next((text for text in given if isinstance(text, str) and _FORM.fullmatch(text)), "")


def document_of(call: Call) -> str:
    """The document of a call in words: `Deal 1001`, or `a new deal` where a step has still to make it."""
    module, entity, name = call.document_id
    form = next((form for form, (own, kind, _prefix) in FORMS.items() if (own, kind) == (module, entity)), None)
    if form is None or not name:
        return name
    number = name.removeprefix(FORMS[form][2])
    if form == DYNAMIC:
        type_id, _line, number = number.partition("_")
        if "{" in number:
            return _("a new item of smart process %(type)s", type=type_id)
        return _("Item %(number)s of smart process %(type)s", number=number, type=type_id)
    known, unknown = DOCUMENTS[form]
    return _(unknown) if "{" in number else _(known, number=number)


def template_of(portal: str, number: int | str) -> str:
    """The name of a template, as workers have learned it of the portal; else its number."""
    if "template_names" not in g:
        g.template_names = {}
    names: dict[str, dict[int, str]] = g.template_names
    if portal not in names:
        names[portal] = services().store.portal(portal).template_names()
    return names[portal].get(int(number)) or str(number)


def day_of(day: date) -> str:
    """A day of the visitor's zone as a divider of a list names it: `Today, 29 November`, `28 November`."""
    today = local(utc_now()).date()
    name = format_date(day, "d MMMM" if day.year == today.year else "d MMMM y", locale=language_now().replace("-", "_"))
    if day == today:
        return _("Today, %(day)s", day=name)
    return _("Yesterday, %(day)s", day=name) if day == today - timedelta(days=1) else name


def weekday_of(day: date) -> str:
    """A day as a heading has it: `Sunday, 29 November 2026`."""
    name = format_date(day, "full", locale=language_now().replace("-", "_"))
    return name[:1].upper() + name[1:]
