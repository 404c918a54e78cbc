"""One event looked at closely: what today's rules make of it, how its call differs from that, what follows next.

Reads the record; changes nothing. Values come out shaded (relay/web/presenters/masking.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from relay.core.errors import NotFoundError, UnreadableError, UnsupportedTypeError
from relay.core.events import Delivery, Event
from relay.core.lifecycle import State
from relay.core.plan import Call, StepKind
from relay.health.words import span_of
from relay.operations.ingest import is_lost
from relay.operations.preview import RulePreview, try_event
from relay.rules import Rule
from relay.rules.compose import Template
from relay.sources.bodies import parse_body
from relay.store.portals.gate import GateState, View
from relay.web.auth.guard import is_operator, is_revealed
from relay.web.language import _, say
from relay.web.presenters.ends import next_of_end
from relay.web.presenters.excerpts import FEW_CHARACTERS, FEW_VALUES, excerpt, excerpt_of_text
from relay.web.presenters.masking import Masking, masking_of, pretty
from relay.web.services import services
from relay.web.zone import clock, stamp, typed

ABSENT = object()


@dataclass(frozen=True, slots=True)
class EventDetails:
    """An event before today's rules. unreadable: why they cannot be asked, where they cannot."""

    event: Event
    tried: tuple[RulePreview, ...] = ()
    unreadable: str | None = None
    masking: Masking = field(default_factory=Masking)

    def tried_by(self, rule: str) -> RulePreview | None:
        """What today's rule of this name makes of the event."""
        return next((tried for tried in self.tried if tried.rule == rule), None)


@dataclass(frozen=True, slots=True)
class Line:
    """One part of a call: as it was sent, as the rule writes it, as today's rules would send it.

    differs: whether today's is another; what is shown of both, the beginning and masked, may look alike.
    """

    name: str
    sent: str
    written: str
    today: str | None
    differs: bool


def details_of(event: Event) -> EventDetails:
    """Ask today's rules about an event."""
    source, book = services().sources.get(event.source), services().rules
    rules = book.for_source(event.source)
    tried: list[RulePreview] = []
    unreadable = None
    if source is None:
        unreadable = _("the source %(source)s is no longer configured", source=event.source)
    elif is_lost(event) or not (event.body or event.query or event.body_removed_at):
        unreadable = _("nothing of it was kept")
    else:
        try:
            tried = try_event(source, rules, event)
        except (UnreadableError, UnsupportedTypeError) as error:
            unreadable = say(error.message)
    revealed = is_operator() and is_revealed(event.id)
    return EventDetails(event, tuple(tried), unreadable, masking_of(rules, set(_known(tried)), revealed=revealed))


def lines_of(sent: Call, rule: Rule | None, today: Call | None, masking: Masking) -> list[Line]:
    """A call beside what its rule says, and beside what today's rule would ask."""
    written = rule.composer.parameters if rule else {}
    lines = [
        Line(
            _("portal"),
            sent.portal,
            rule.composer.portal if rule else "",
            today.portal if today else None,
            today is not None and today.portal != sent.portal,
        ),
        Line(
            _("template"),
            str(sent.template_id or _("none")),
            str(rule.composer.template_id or _("none")) if rule else "",
            str(today.template_id or _("none")) if today else None,
            today is not None and today.template_id != sent.template_id,
        ),
        Line(
            _("document"),
            masking.text(" · ".join(sent.document_id)),
            " · ".join(member.text for member in rule.composer.document_id.members) if rule else "",
            masking.text(" · ".join(today.document_id)) if today else None,
            today is not None and tuple(today.document_id) != tuple(sent.document_id),
        ),
    ]
    names = dict.fromkeys([*sent.parameters, *(today.parameters if today else ())])
    return lines + [
        Line(
            name,
            _shown(sent.parameters, name, masking),
            _written(written.get(name, "")),
            _shown(today.parameters, name, masking) if today else None,
            today is not None and today.parameters.get(name, ABSENT) != sent.parameters.get(name, ABSENT),
        )
        for name in names
    ]


def rule_named(name: str) -> Rule | None:
    """The rule of today, if there is one."""
    try:
        return services().rules.get(name)
    except NotFoundError:
        return None


def readable(event: Event, masking: Masking) -> tuple[str, bool]:
    """The body as text, and whether it was cut. Where it has a structure, that is set out in lines, as rules see it."""
    source = services().sources.get(event.source)
    try:
        content = source.read_again(event) if source else parse_body(event.content_type, event.body)
    except (UnreadableError, UnsupportedTypeError):
        text, is_cut = excerpt_of_text(event.body.decode("utf-8", "replace"))
        return masking.text(text), is_cut
    beginning, is_cut = excerpt(content)
    return pretty(masking.value(beginning)), is_cut


def readable_envelope(event: Event, masking: Masking) -> str:
    """What stood around an entry of a batch, set out in lines; its beginning, where it is long."""
    return pretty(masking.value(excerpt(json.loads(event.envelope))[0])) if event.envelope else ""


def next_of(delivery: Delivery, gate: View, now: datetime) -> str:
    """What happens next, and when, in a sentence or two."""
    portal = delivery.call.portal
    if delivery.state is State.STARTED and not delivery.call.starts_workflow:
        return _("Nothing more: the trigger was fired. Whether it has moved anything, Bitrix24 does not say.")
    if delivery.state is State.STARTED:
        return next_of_end(delivery, now)
    if delivery.state is State.DEAD:
        return _after_death(delivery)
    if delivery.state is State.SENDING:
        if delivery.next_step and delivery.next_step.kind is not StepKind.TRIGGER:
            return _("A worker is calling the portal now. If it dies, the step is taken up again after two minutes.")
        return _("A worker is calling the portal now. If it dies, the delivery becomes uncertain after two minutes.")
    if delivery.state is State.UNCERTAIN:
        return _doubt(delivery, now)
    if gate.state is not GateState.OPEN:
        return f"{_closed(portal, gate)} {say(gate.advice)}".strip()
    return _next_try(delivery, now)


def _next_try(delivery: Delivery, now: datetime) -> str:
    if not delivery.next_attempt_at:
        return _(
            "It is sent as soon as a worker of the portal %(portal)s is free and the portal's pace allows it.",
            portal=delivery.call.portal,
        )
    when = _when(delivery.next_attempt_at, now)
    if delivery.next_step:
        return _("Step %(name)s follows, %(when)s.", name=delivery.next_step.name, when=when)
    return _("Attempt %(number)s follows, %(when)s.", number=delivery.next_number, when=when)


def _closed(portal: str, gate: View) -> str:
    if gate.state is GateState.HELD:
        return _("It waits: the portal %(portal)s is held until its trouble is mended.", portal=portal)
    if gate.by_person and gate.until:
        return _("It waits: the portal %(portal)s is paused until %(until)s.", portal=portal, until=typed(gate.until))
    if gate.by_person:
        return _("It waits: the portal %(portal)s is paused until a person resumes it.", portal=portal)
    if gate.until:
        again = clock(gate.until)
        return _(
            "It waits: the portal %(portal)s is in trouble, and is asked again at %(at)s.", portal=portal, at=again
        )
    return _("It waits: the portal %(portal)s is in trouble, and is asked again.", portal=portal)


def _after_death(delivery: Delivery) -> str:
    if delivery.errors:
        return _("Nothing happens by itself: there is no call. Mend the rule, then replay it with today's rules.")
    if delivery.watched and delivery.watched.finished_at:
        return _(
            "Nothing. It was given up, and its workflow has ended all the same: a replay would start it once more."
        )
    if any(result.kind is StepKind.MAKE for result in delivery.results):
        return _(
            "Nothing happens by itself. Fix the cause, then replay it; a replay is a new delivery, which goes on with "
            "what was made."
        )
    return _("Nothing happens by itself. Fix the cause, then replay it; a replay is a new delivery.")


def _doubt(delivery: Delivery, now: datetime) -> str:
    fired = delivery.next_step is not None
    if not delivery.next_attempt_at:
        if fired:
            return _(
                "Nothing happens by itself: check on the portal whether the trigger was fired, then settle it below."
            )
        return _(
            "Nothing happens by itself: check on the portal whether the workflow has started, then settle it below."
        )
    when = _when(delivery.next_attempt_at, now)
    if fired:
        return _("The relay does what the rule says of a doubt, %(when)s.", when=when)
    return _("The relay asks the portal whether it has started, %(when)s.", when=when)


def _when(moment: datetime, now: datetime) -> str:
    seconds = round((moment - now).total_seconds())
    distance = _("in %(span)s", span=span_of(moment - now)) if seconds > 0 else _("now")
    return f"{distance} ({stamp(moment)})"


def _known(tried: Iterable[RulePreview]) -> Iterable[str]:
    for one in tried:
        yield from one.personal
        for name in services().rules.get(one.rule).extractor.personal:
            found = one.found.get(name)
            for value in found if isinstance(found, list) else [found]:
                if isinstance(value, str | int | float) and not isinstance(value, bool):
                    yield str(value).strip()


def _shown(parameters: Mapping[str, Any], name: str, masking: Masking) -> str:
    if name not in parameters:
        return _("not sent")
    beginning = excerpt(parameters[name], FEW_VALUES, FEW_CHARACTERS)[0]
    value = masking.value(beginning, name)
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, default=str)


def _written(parameter: Any) -> str:
    if isinstance(parameter, Template):
        return parameter.text
    if isinstance(parameter, Sequence) and not isinstance(parameter, str):
        return ", ".join(_written(part) for part in parameter)
    return str(parameter)
