"""Whom an event is about, in a word for a list: the first value that its rule marks as a person's, or else what looks
like one. Masked, unless this session has asked to see the persons' values of this event. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from relay.configuration.expressions import Steps
from relay.core.errors import NotFoundError, RelayError
from relay.core.events import Event
from relay.operations.deciding import contexts_of, persons_in
from relay.rules import Rule
from relay.web.auth.guard import is_operator, is_revealed
from relay.web.presenters.masking import cover
from relay.web.services import services

LARGEST = 20_000
"""Bytes: a list reads fifty bodies, so it leaves a larger one for the page of its event."""
LONGEST = 100
"""Characters of a value: a name or an address is no longer."""


def person_in(event: Event, rule: str | None = None) -> str:
    """Whom the event is about to this rule, or to the rules that want it; empty where nobody can be told."""
    source = services().sources.get(event.source)
    if source is None or not (event.body or event.query) or len(event.body) + len(event.envelope) > LARGEST:
        return ""
    try:
        contexts = contexts_of(source, event)
    except RelayError:  # its source is configured otherwise now, and can read it no more
        return ""
    for context in contexts[:1]:
        marked = (text for one in _rules(event, rule) for text in _marked(one, context))
        found = next((text for text in marked if text), None) or next(iter(persons_in(context["body"])), "")
        return found if is_operator() and is_revealed(event.id) else cover(found) if found else ""
    return ""


def _rules(event: Event, rule: str | None) -> Iterable[Rule]:
    if rule is None:
        return services().rules.for_source(event.source)
    try:
        return [services().rules.get(rule)]
    except NotFoundError:
        return []


def _marked(rule: Rule, context: dict[str, object]) -> Iterable[str]:
    steps = Steps(grows=False)
    values = rule.extractor.find(context, steps) if rule.matches(context, steps) else {}
    return (text.strip()[:LONGEST] for text in rule.extractor.personal_texts(values))
