"""The card of a document: what came for it, in the words of the people who work with it, without a word of ours.

Deliveries of this very document alone are shown. Values of persons are masked as a viewer of the dashboard sees them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import parse_qsl

from babel.dates import format_date

from relay.core.errors import NotFoundError
from relay.core.events import CallbackState, Delivery, Event
from relay.core.lifecycle import State
from relay.core.plan import FORMS, DocumentId, StepKind
from relay.store.portals.gate import GateState, View
from relay.store.record.search import Filter, list_deliveries
from relay.web.language import N_, _, language_now, ngettext
from relay.web.presenters.event_details import details_of, stories_of
from relay.web.presenters.masking import Masking
from relay.web.presenters.titles import day_of, template_of, title_of
from relay.web.services import services
from relay.web.zone import local

MOST = 50
"""Entries of a card."""
THIS: Mapping[str, str] = {
    "lead": N_("this lead"),
    "deal": N_("this deal"),
    "contact": N_("this contact"),
    "company": N_("this company"),
    "quote": N_("this quote"),
    "invoice": N_("this invoice"),
    "dynamic": N_("this item"),
}
"""The document in a sentence. In Russian it is in the genitive everywhere."""
OTHER = N_("this document")
WHY: Mapping[str, str] = {
    "cancelled": N_("somebody has cancelled it."),
    "settled_by_person": N_("somebody has decided so."),
    "document_missing": N_("what it was meant for was not found."),
    "nothing_found": N_("what it was meant for was not found."),
    "several_found": N_("it fits several, and nobody could tell which one was meant."),
    "budget_spent": N_("Bitrix24 could not be reached for a day."),
    "rule_not_filled": N_("something needed was missing in it."),
}
"""Why nothing was started, by reason; any other was a refusal of Bitrix24."""
REFUSED = N_("Bitrix24 has refused it.")
GROUPS: Mapping[str, tuple[str, str, Callable[[int], str]]] = {
    "started": (
        "started",
        "good",
        lambda count: ngettext("%(count)s started a process", "%(count)s started a process", count),
    ),
    "nothing": (
        "rejected",
        "warn",
        lambda count: ngettext("%(count)s started nothing", "%(count)s started nothing", count),
    ),
    "doubt": (
        "uncertain",
        "warn",
        lambda count: ngettext("%(count)s is not certain", "%(count)s are not certain", count),
    ),
    "waiting": ("pending", "wait", lambda count: ngettext("%(count)s on its way", "%(count)s on their way", count)),
}
"""Shape, tone and words of what became of several."""
LONGEST_RESULT, MOST_SAID = 60, 5


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that came. shape, tone, label: its sign. lead: the first words, set off. lines: sentences about it.

    result, said: what the process has said at its end: in a word, and at length. steps: what was done before.
    """

    title: str
    source: str
    at: datetime
    group: str
    shape: str
    tone: str
    label: str
    lines: tuple[str, ...]
    lead: str = ""
    result: str = ""
    said: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()

    @property
    def clock(self) -> str:
        """Its time of the day."""
        return f"{local(self.at):%H:%M}"


@dataclass(frozen=True, slots=True)
class Card:
    """A document's page. days: its entries by day, each under its name, newest first. groups: shape, tone, words."""

    title: str
    this: str
    groups: tuple[tuple[str, str, str], ...]
    days: tuple[tuple[str, tuple[Entry, ...]], ...]
    is_cut: bool
    as_of: str


def card_of(portal: str, document: DocumentId, now: datetime) -> Card:
    """The card of a document. Raises RecordUnavailableError."""
    wanted = Filter(portal=portal, document_id=document[2])
    page = list_deliveries(services().record, wanted, limit=MOST)
    found = [one for one in page.rows if tuple(one.call.document_id) == document][:MOST]
    entries = list(_entries(portal, document, found, now))
    this = this_of(document)
    counts = Counter(entry.group for entry in entries)
    return Card(
        title=_title(len(entries), this, is_cut=page.cursor is not None),
        this=this,
        groups=tuple(
            (shape, tone, say(counts[group])) for group, (shape, tone, say) in GROUPS.items() if counts[group]
        ),
        days=_by_day(entries, local(now).date()),
        is_cut=page.cursor is not None,
        as_of=f"{local(now):%H:%M}",
    )


def this_of(document: DocumentId) -> str:
    """The document in a sentence, such as `this deal`."""
    kind = next((form for form, (module, entity, _prefix) in FORMS.items() if (module, entity) == document[:2]), "")
    return _(THIS.get(kind, OTHER))


def _title(count: int, this: str, *, is_cut: bool) -> str:
    if not count:
        return _("Nothing has come for %(document)s yet", document=this)
    if is_cut:
        return _("The latest %(count)s things that came for %(document)s", count=count, document=this)
    return ngettext(
        "%(count)s thing came for %(document)s", "%(count)s things came for %(document)s", count, document=this
    )


def _by_day(entries: list[Entry], today: date) -> tuple[tuple[str, tuple[Entry, ...]], ...]:
    days: dict[date, list[Entry]] = {}
    for entry in entries:
        days.setdefault(local(entry.at).date(), []).append(entry)
    return tuple((_day(day, today), tuple(some)) for day, some in days.items())


def _day(day: date, today: date) -> str:
    if (today - day).days < 2:
        return day_of(day)
    pattern = "EEEE, d MMMM" if day.year == today.year else "EEEE, d MMMM y"
    name = format_date(day, pattern, locale=language_now().replace("-", "_"))
    return name[:1].upper() + name[1:]


def _entries(portal: str, document: DocumentId, found: list[Delivery], now: datetime) -> Iterator[Entry]:
    record, gate = services().record, services().store.portal(portal).gate.look()
    events: dict[str, Event] = {}
    replays = services().store.record.replaced([one.id for one in found])
    for one in found:
        if one.event_id not in events:
            try:
                events[one.event_id] = record.event(one.event_id)
            except NotFoundError:  # it was forgotten between two looks
                continue
        event = events[one.event_id]
        yield _entry(document, event, one, gate, now, was_repeated=one.id in replays)


def _entry(
    document: DocumentId, event: Event, delivery: Delivery, gate: View, now: datetime, *, was_repeated: bool
) -> Entry:
    result, said = _words_of_end(delivery, event)
    return Entry(
        title=title_of(event, [delivery.rule]),
        source=event.source,
        at=event.received_at,
        result=result,
        said=said,
        steps=_steps(delivery),
        **_outcome(delivery, gate, now, document, result=result, was_repeated=was_repeated),
    )


def _outcome(
    delivery: Delivery, gate: View, now: datetime, document: DocumentId, *, result: str, was_repeated: bool
) -> dict[str, Any]:
    if delivery.state is State.STARTED:
        return _started(delivery, now, document, result)
    if delivery.state is State.DEAD:
        return _dead(delivery, was_repeated=was_repeated)
    process = _process(delivery)
    if delivery.state is State.UNCERTAIN:
        follows = _("Your operator decides.") if delivery.next_attempt_at is None else _("Bitrix24 is asked again.")
        lines = (
            _(
                "Bitrix24 may have started “%(process)s”: its answer was lost, so it is not sent again.",
                process=process,
            ),
            follows,
        )
        return {"group": "doubt", "shape": "uncertain", "tone": "warn", "label": _("Not certain"), "lines": lines}
    waiting = {"group": "waiting", "tone": "wait", "label": _("On its way")}
    if delivery.state is State.SENDING:
        return waiting | {"shape": "sending", "lines": (_("“%(process)s” is being started now.", process=process),)}
    if gate.state is not GateState.OPEN:
        return waiting | {"shape": "held", "lines": (_held(gate, process),)}
    if delivery.next_attempt_at:
        line = _(
            "“%(process)s” could not be started so far. It is tried again at %(at)s.",
            process=process,
            at=_short(delivery.next_attempt_at, now),
        )
        return waiting | {"shape": "retrying", "lines": (line,)}
    return waiting | {"shape": "pending", "lines": (_("Starts “%(process)s” when its turn comes.", process=process),)}


def _held(gate: View, process: str) -> str:
    if gate.by_person:
        return _("“%(process)s” waits: your operator lets nothing start at the moment.", process=process)
    return _("“%(process)s” waits until Bitrix24 can be called again.", process=process)


def _started(delivery: Delivery, now: datetime, document: DocumentId, result: str) -> dict[str, Any]:
    sign = {"group": "started", "shape": "started", "tone": "good", "label": _("Started")}
    if not delivery.call.starts_workflow:
        return sign | {"lines": (_("Told Bitrix24’s automation about it."),)}  # noqa: RUF001 - as it is printed
    process, this = _process(delivery), this_of(document)
    began = (
        _("Made %(document)s and started “%(process)s”.", document=this, process=process)
        if _has_made(delivery, document)
        else _("Started “%(process)s”.", process=process)
    )
    watched = delivery.watched
    if watched is None:
        return sign | {"lines": (began,)}
    if watched.finished_at:
        at = _short(watched.finished_at, now)
        ended = _("It ended at %(at)s:", at=at) if result else _("It ended at %(at)s.", at=at)
        return sign | {"shape": "finished", "label": _("Ended"), "lines": (began, ended)}
    if watched.until and (watched.until <= now or watched.state is not CallbackState.WAITING):
        late = _("It has not said by %(at)s that it has ended.", at=_short(watched.until, now))
        return sign | {"shape": "silent", "tone": "warn", "label": _("No word of its end"), "lines": (began, late)}
    return sign | {"label": _("Running"), "lines": (began, _("It is still running."))}


def _dead(delivery: Delivery, *, was_repeated: bool) -> dict[str, Any]:
    lines = [_(WHY.get(delivery.reason or "", REFUSED))]
    if was_repeated:
        lines.append(_("It was sent again later."))
    elif services().record.is_unresolved_dead(delivery.id):
        lines.append(_("Your operator can see it and send it again."))
    return {
        "group": "nothing", "shape": "rejected", "tone": "warn", "label": _("Started nothing"),
        "lead": _("Nothing was started:"), "lines": tuple(lines),
    }  # fmt: skip


def _process(delivery: Delivery) -> str:
    name = template_of(delivery.call.portal, delivery.call.template_id)
    return _("Process %(number)s", number=name) if name.isdecimal() else name


def _has_made(delivery: Delivery, document: DocumentId) -> bool:
    """Whether a step of this delivery has made the document."""
    form = next((form for form, (module, entity, _prefix) in FORMS.items() if (module, entity) == document[:2]), "")
    number = document[2].rpartition("_")[2]
    return any(
        result.kind is StepKind.MAKE and result.entity == form and str(result.value) == number
        for result in delivery.results
    )


def _steps(delivery: Delivery) -> tuple[str, ...]:
    """The documents that were found and made before; without the numbers of others."""
    stories = stories_of(delivery, None, Masking())
    return tuple(f"{one.title}: {one.came_to}" for one in stories if one.came_to)


def _words_of_end(delivery: Delivery, event: Event) -> tuple[str, tuple[str, ...]]:
    """The result in a word, and what else the process has said when it called the one-time address at its end."""
    if delivery.watched is None or not delivery.watched.finished_at or not delivery.watched.query:
        return "", ()
    masking = details_of(event).masking
    pairs = parse_qsl(delivery.watched.query, encoding="utf-8", errors="replace")
    values = [str(masking.value(value.strip(), name)) for name, value in pairs if value.strip()]
    short = values[0] if values and len(values[0]) <= LONGEST_RESULT else ""
    return short, tuple(values[1 if short else 0 :][:MOST_SAID])


def _short(at: datetime, now: datetime) -> str:
    """A time, with its day if that is another one."""
    here = local(at)
    if here.date() == local(now).date():
        return f"{here:%H:%M}"
    day = format_date(here.date(), "d MMMM", locale=language_now().replace("-", "_"))
    return _("%(time)s on %(day)s", time=f"{here:%H:%M}", day=day)
