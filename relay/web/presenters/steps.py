"""The steps before a call, as a page tells them: what was looked for or made, what came of it, where the portal has it.

Pure: it reads neither request nor record. Values come out masked (masking.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from relay.core.events import Attempt, Delivery
from relay.core.lifecycle import FINAL, State
from relay.core.placeholders import shown
from relay.core.plan import DYNAMIC, TYPE_IDS, USER, DocumentId, How, Many, Step, StepKind, StepResult, has_content
from relay.rules.schemas import FORMS
from relay.web.language import N_, _
from relay.web.presenters.excerpts import FEW_CHARACTERS, FEW_VALUES, excerpt
from relay.web.presenters.masking import Masking, pretty

PATHS: Mapping[str, str] = {
    "lead": "crm/lead/details/{id}/",
    "deal": "crm/deal/details/{id}/",
    "contact": "crm/contact/details/{id}/",
    "company": "crm/company/details/{id}/",
    USER: "company/personal/user/{id}/",
}
"""Where a portal shows a document; other kinds have a page by the number of their type."""
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
    How.FIRED: N_("Fired. Whether that has moved anything, Bitrix24 does not say"),
}
_NUMBERS = re.compile(r"(?<=_)[0-9]+")


@dataclass(frozen=True, slots=True)
class StepStory:
    """One step. state: done, next, waiting, ended or skipped. fields: what was looked for or written, by name.

    came_to: in words; document: what was found or made, with its page on the portal, where that is known.
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
    """How far it is, where it waits at a step: `step 2 of 3`; else empty."""
    step = delivery.next_step
    if step is None or delivery.plan is None or delivery.state in FINAL:
        return ""
    return _("step %(number)s of %(count)s", number=delivery.plan.steps.index(step) + 1, count=len(delivery.plan.steps))


def link_of(site: str | None, result: StepResult) -> str | None:
    """Where the portal shows what a step came to; None where there is nothing to show, or no address is known."""
    if result.value is None or site is None or urlsplit(site).scheme not in {"http", "https"}:
        return None
    path = PATHS.get(result.entity, OTHER_PATH)
    return f"{site.rstrip('/')}/{path.format(id=result.value, type_id=result.type_id)}"


def link_of_document(site: str | None, document_id: DocumentId) -> str | None:
    """Where the portal shows the document of a call; None where it has no page, or no address is known."""
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
        title=_title(step),
        fields={name: _text(value, name, masking) for name, value in given.items()},
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


def _title(step: Step) -> str:
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


def _text(value: object, name: str, masking: Masking) -> str:
    if not has_content(value):
        return ""
    beginning, _ = excerpt(value, FEW_VALUES, FEW_CHARACTERS)
    masked = masking.value(beginning, name)
    return masked if isinstance(masked, str) else pretty(masked)
