"""One event in detail: what today's rules make of it, how its call differs from that, its steps, its end, what follows.

Reads the record; changes nothing. Values come out masked (masking.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from relay.core.errors import NotFoundError, UnreadableError, UnsupportedTypeError
from relay.core.events import Attempt, CallbackState, Delivery, Event
from relay.core.lifecycle import FINAL, State
from relay.core.phrases import phrase
from relay.core.placeholders import shown
from relay.core.plan import (
    DYNAMIC,
    FORMS,
    TYPE_IDS,
    USER,
    Call,
    DocumentId,
    How,
    Many,
    Step,
    StepKind,
    StepResult,
    has_content,
)
from relay.health.words import span_of
from relay.operations.ingest import is_lost
from relay.operations.preview import RulePreview, try_book
from relay.rules import Rule
from relay.rules.compose import Template
from relay.sources.bodies import parse_body
from relay.store.portals.gate import GateState, View
from relay.web.auth import is_operator, is_revealed
from relay.web.language import N_, _, say
from relay.web.presenters.masking import (
    FEW_CHARACTERS,
    FEW_VALUES,
    Masking,
    excerpt,
    excerpt_of_text,
    masking_of,
    pretty,
)
from relay.web.services import services
from relay.web.zone import clock, stamp, typed

ABSENT = object()
PATHS: Mapping[str, str] = {
    "lead": "crm/lead/details/{id}/",
    "deal": "crm/deal/details/{id}/",
    "contact": "crm/contact/details/{id}/",
    "company": "crm/company/details/{id}/",
    USER: "company/personal/user/{id}/",
}
"""The page of a document on a portal, by kind; other kinds have a page by the number of their type."""
ENTITIES: Mapping[str, tuple[str, str]] = {
    "lead": (N_("a lead"), N_("lead")),
    "deal": (N_("a deal"), N_("deal")),
    "contact": (N_("a contact"), N_("contact")),
    "company": (N_("a company"), N_("company")),
    "quote": (N_("a quote"), N_("quote")),
    "invoice": (N_("an invoice"), N_("invoice")),
    USER: (N_("a user"), N_("user")),
}
"""One of each kind, and its name before a number."""
OTHER_PATH = "crm/type/{type_id}/details/{id}/"
CAME_TO = {
    How.FOUND: N_("Found"),
    How.SEVERAL: N_("Several were found; the newest is taken"),
    How.NOTHING: N_("Nothing was found"),
    How.MADE: N_("Made"),
    How.FOUND_AGAIN: N_("Made; the answer was lost, and its own id has proven it"),
    How.TAKEN: N_("Nothing was made: what was found is taken"),
    How.KEPT: N_("Remembered from the same question before"),
    How.CARRIED: N_("Made for the delivery that this one replays"),
    How.FIRED: N_("Fired. Bitrix24 does not say whether it had an effect"),
}
_NUMBERS = re.compile(r"(?<=_)[0-9]+")


@dataclass(frozen=True, slots=True)
class EventDetails:
    """An event and what today's rules make of it. unreadable: why they cannot be tried, or None."""

    event: Event
    tried: tuple[RulePreview, ...] = ()
    unreadable: str | None = None
    masking: Masking = field(default_factory=Masking)

    def tried_by(self, rule: str) -> RulePreview | None:
        """The result of today's rule of this name for the event."""
        return next((tried for tried in self.tried if tried.rule == rule), None)


@dataclass(frozen=True, slots=True)
class Line:
    """One part of a call: as it was sent, as the rule writes it, as today's rules would send it.

    A Phrase stands for a value that there is none of. differs: whether today's value is another. Cut and masked, both
    may look alike.
    """

    name: str
    sent: str
    written: str
    today: str | None
    differs: bool


def details_of(event: Event) -> EventDetails:
    """Ask today's rules about an event."""
    source, book = services().sources.get(event.source), services().rules
    tried: list[RulePreview] = []
    unreadable = None
    if source is None:
        unreadable = _("the source %(source)s is no longer configured", source=event.source)
    elif is_lost(event) or not (event.body or event.query or event.body_removed_at):
        unreadable = _("nothing of it was kept")
    else:
        try:
            tried = try_book(source, book, event)
        except (UnreadableError, UnsupportedTypeError) as error:
            unreadable = say(error.message)
    revealed = is_operator() and is_revealed(event.id)
    written = [rule for rule in book.all() if rule.source == event.source]  # a disabled rule names its persons still
    return EventDetails(event, tuple(tried), unreadable, masking_of(written, set(_known(tried)), revealed=revealed))


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
            _number(sent.template_id),
            _number(rule.composer.template_id) if rule else "",
            _number(today.template_id) if today else None,
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
    """Today's rule of this name, or None."""
    try:
        return services().rules.get(name)
    except NotFoundError:
        return None


def readable(event: Event, masking: Masking) -> tuple[str, bool]:
    """The body as text, and whether it was cut. A structured body is laid out in lines, as rules see it."""
    source = services().sources.get(event.source)
    try:
        content = source.read_again(event) if source else parse_body(event.content_type, event.body)
    except (UnreadableError, UnsupportedTypeError):
        text, is_cut = excerpt_of_text(event.body.decode("utf-8", "replace"))
        return masking.text(text), is_cut
    beginning, is_cut = excerpt(content)
    return pretty(masking.value(beginning)), is_cut


def readable_envelope(event: Event, masking: Masking) -> str:
    """The envelope of an entry of a batch, laid out in lines and cut where it is long."""
    return pretty(masking.value(excerpt(json.loads(event.envelope))[0])) if event.envelope else ""


def next_of(delivery: Delivery, gate: View, now: datetime) -> str:
    """The next thing that happens, and when, in a sentence or two."""
    portal = delivery.call.portal
    if delivery.state is State.STARTED and not delivery.call.starts_workflow:
        return _("Nothing more: the trigger was fired. Bitrix24 does not say whether it had an effect.")
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
        return f"{closed_in_words(portal, gate)} {say(gate.advice)}".strip()
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


def closed_in_words(portal: str, gate: View) -> str:
    """Why nothing is sent to a portal, and until when."""
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
            return _("Nothing happens by itself: check on the portal whether the trigger was fired, then settle it.")
        return _("Nothing happens by itself: check on the portal whether the workflow has started, then settle it.")
    when = _when(delivery.next_attempt_at, now)
    if fired:
        return _("The relay does what the rule says of a doubt, %(when)s.", when=when)
    return _("The relay asks the portal whether it has started, %(when)s.", when=when)


def _when(moment: datetime, now: datetime) -> str:
    seconds = round((moment - now).total_seconds())
    distance = _("in %(span)s", span=span_of(moment - now)) if seconds > 0 else _("now")
    return f"{distance} ({stamp(moment)})"


def _known(tried: Iterable[RulePreview]) -> Iterable[str]:
    """The values that belong to a person in this event, as the rules that match it say."""
    book = services().rules
    for one in tried:
        if not one.matches:
            continue
        yield from one.personal
        for name in book.get(one.rule).extractor.personal:
            found = one.found.get(name)
            for value in found if isinstance(found, list) else [found]:
                if isinstance(value, str | int | float) and not isinstance(value, bool):
                    yield str(value).strip()


def _shown(parameters: Mapping[str, Any], name: str, masking: Masking) -> str:
    if name not in parameters:
        return phrase("not sent")
    beginning = excerpt(parameters[name], FEW_VALUES, FEW_CHARACTERS)[0]
    value = masking.value(beginning, name)
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, default=str)


def _number(template_id: int) -> str:
    return str(template_id) if template_id else phrase("none")


def _written(parameter: Any) -> str:
    if isinstance(parameter, Template):
        return parameter.text
    if isinstance(parameter, Sequence) and not isinstance(parameter, str):
        return ", ".join(_written(part) for part in parameter)
    return str(parameter)


@dataclass(frozen=True, slots=True)
class StepStory:
    """One step. state: done, next, waiting, ended or skipped. fields: what was looked for or written, by name.

    came_to: its result in words; document: the document found or made, with a link to its page on the portal if known.
    """

    step: Step
    state: str
    title: str
    fields: Mapping[str, str]
    came_to: str
    document: str = ""
    link: str | None = None
    attempts: tuple[Attempt, ...] = field(default=())


def stories_of(delivery: Delivery, site: str | None, masking: Masking) -> list[StepStory]:
    """Every step of a delivery's plan, in order. site: the portal's address, `https://HOST`."""
    if delivery.plan is None:
        return []
    results = {result.name: result for result in delivery.results}
    return [_story_of(delivery, step, results.get(step.name), site, masking) for step in delivery.plan.steps]


def progress_of(delivery: Delivery) -> str:
    """Its progress while it waits at a step, such as `step 2 of 3`; else empty."""
    step = delivery.next_step
    if step is None or delivery.plan is None or delivery.state in FINAL:
        return ""
    return _("step %(number)s of %(count)s", number=delivery.plan.steps.index(step) + 1, count=len(delivery.plan.steps))


def link_of(site: str | None, result: StepResult) -> str | None:
    """The page of a step's result on the portal; None if there is no result, or no address is known."""
    if result.value is None or site is None or urlsplit(site).scheme not in {"http", "https"}:
        return None
    path = PATHS.get(result.entity, OTHER_PATH)
    return f"{site.rstrip('/')}/{path.format(id=result.value, type_id=result.type_id)}"


def link_of_document(site: str | None, document_id: DocumentId) -> str | None:
    """The page of a call's document on the portal; None if it has no page, or no address is known."""
    module, entity, name = document_id
    kind = next((form for form, (own, cls, _) in FORMS.items() if (own, cls) == (module, entity)), None)
    numbers = _NUMBERS.findall(name)
    if kind is None or not numbers or site is None or urlsplit(site).scheme not in {"http", "https"}:
        return None
    if kind == DYNAMIC and len(numbers) == 2:
        path = OTHER_PATH.format(type_id=numbers[0], id=numbers[1])
    elif kind in TYPE_IDS and len(numbers) == 1:
        path = PATHS.get(kind, OTHER_PATH).format(type_id=TYPE_IDS[kind], id=numbers[0])
    else:
        return None
    return f"{site.rstrip('/')}/{path}"


def _story_of(
    delivery: Delivery, step: Step, result: StepResult | None, site: str | None, masking: Masking
) -> StepStory:
    given = shown(step.values, delivery.values)
    document = _document(result) if result and result.value is not None else ""
    return StepStory(
        step=step,
        state=_state(delivery, step, result),
        title=title_of(step),
        fields={name: text_of_field(value, name, masking) for name, value in given.items()},
        came_to=_words(step, result) if result else _prospect(delivery, step),
        document=document,
        link=link_of(site, result) if result else None,
        attempts=tuple(attempt for attempt in delivery.attempts if attempt.step == step.name),
    )


def _state(delivery: Delivery, step: Step, result: StepResult | None) -> str:
    if result:
        return "done"
    if delivery.next_step is not step:
        return "waiting" if delivery.state not in FINAL else "skipped"
    return "ended" if delivery.state is State.DEAD else "next"


def title_of(step: Step) -> str:
    """The title of a step, such as `Find a contact`."""
    if step.kind is StepKind.TRIGGER:
        return _("Fire a trigger")
    what = _(ENTITIES[step.entity][0]) if step.entity in ENTITIES else step.entity
    if step.entity == DYNAMIC:
        what = _("an item of smart process %(type)s", type=step.type_id)
    return _("Find %(what)s", what=what) if step.kind is StepKind.FIND else _("Make %(what)s", what=what)


def _document(result: StepResult) -> str:
    if result.entity == DYNAMIC:
        return _("item %(number)s of smart process %(type)s", number=result.value, type=result.type_id)
    name = _(ENTITIES[result.entity][1]) if result.entity in ENTITIES else result.entity
    return f"{name} {result.value}"


def _words(step: Step, result: StepResult) -> str:
    if result.how is How.SEVERAL and step.many is Many.OLDEST:
        return _("Several were found; the oldest is taken")
    if result.how is How.NOTHING and result.value is not None:
        return _("Nothing was found; the rule says what stands for it")
    return _(CAME_TO[result.how])


def _prospect(delivery: Delivery, step: Step) -> str:
    if delivery.next_step is not step or delivery.state in FINAL:
        return ""
    return _("It may have been made: it is looked for by its own id first") if delivery.is_looked_for else ""


def text_of_field(value: object, name: str, masking: Masking) -> str:
    """A field of a step, masked; empty if it holds nothing."""
    if not has_content(value):
        return ""
    beginning, _ = excerpt(value, FEW_VALUES, FEW_CHARACTERS)
    masked = masking.value(beginning, name)
    return masked if isinstance(masked, str) else pretty(masked)


def end_of(delivery: Delivery) -> str:
    """Its workflow's end in a few words for a list: `finished after 3 min`, `overdue since 2026-06-01 12:00:00`."""
    watch, watched = delivery.policy.watch, delivery.watched
    if watch is None or watched is None:
        return ""
    if watched.finished_at:
        # The template may have ended before the answer to its start was on record.
        began = watched.until - timedelta(seconds=watch.within_s) if watched.until else watched.finished_at
        return _("finished after %(span)s", span=span_of(watched.finished_at - began))
    if watched.until is None:
        return ""
    if watched.state is CallbackState.WAITING:
        return _("its end is awaited until %(at)s", at=stamp(watched.until))
    if watched.state is CallbackState.LEFT:
        return _("overdue since %(at)s, left", at=stamp(watched.until))
    return _("overdue since %(at)s", at=stamp(watched.until))


def story_of_end(delivery: Delivery, masking: Masking) -> str:
    """The same with the callback's query, for the event's page; empty if no end is awaited."""
    watch, watched = delivery.policy.watch, delivery.watched
    if watch is None or watched is None:
        return ""
    if not watched.finished_at:
        within = span_of(timedelta(seconds=watch.within_s))
        return end_of(delivery) or _("its end is expected within %(span)s of its start", span=within)
    with_what = _(" with %(what)s", what=masking.query(watched.query)) if watched.query else ""
    where = masking.text(" · ".join(watched.document_id))
    return f"{end_of(delivery)}{with_what}" + (_(", on %(document)s", document=where) if where else "")


def next_of_end(delivery: Delivery, now: datetime) -> str:
    """The next thing that happens to a delivery that has started."""
    watched = delivery.watched
    if watched is None:
        return _("Nothing more: the workflow runs on the portal, and the relay does not watch it finish.")
    if watched.state is CallbackState.FINISHED:
        return _("Nothing more: the workflow has come to its end.")
    if watched.state is CallbackState.WAITING and watched.until and watched.until > now:
        return _(
            "The template calls a one-time address at its end. Without that, it is overdue from %(at)s on.",
            at=stamp(watched.until),
        )
    return _(
        "No word of its end has come in time. The call of the template is sent once and may be lost: look on the "
        "portal. Should it still come, it is noted."
    )
