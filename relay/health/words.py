"""Open issues in words: a figure with a label on a page, a sentence in a message or a terminal. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from relay.core.faults import from_text
from relay.core.labels import name_of_reason
from relay.core.phrases import Moment, phrase, phrases, sentences
from relay.health.assessment import AHEAD, IssueCode, OpenIssue
from relay.store.portals.gate import BY_PERSON
from relay.store.portals.rollback import WENT_BACK
from relay.store.record.open_issues import Group

NO_TROUBLE = {BY_PERSON, WENT_BACK}
"""Reasons of a pause that is not the portal's fault: it is not backing off."""
UNTIL = "portal %(subject)s, until %(until)s"
MOST_DETAILS = 5
CLOCK_AHEAD = "this machine's clock is ahead of the record's, by which all goes: set the wrong one"


@dataclass(frozen=True, slots=True)
class Wording:
    """The words for a need. label: beside its figure, as the message of a phrase, in which a page translates it.

    told: as a sentence with what helps, for a message or a terminal; empty: the figure and the label.
    """

    label: str
    told: str = ""


NEEDS: Mapping[IssueCode, Wording] = {
    IssueCode.LEDGER: Wording("the ledger does not balance", "the ledger does not balance: %(all)s"),
    IssueCode.DEAD: Wording("dead: given up, and neither replayed nor left"),
    IssueCode.REJECTED: Wording("rejected: a rule wanted them, and neither replayed nor left"),
    IssueCode.UNCERTAIN: Wording(
        "uncertain: only a person can tell whether they started",
        "%(deliveries)s uncertain: somebody has to look whether it has started",
    ),
    IssueCode.OVERDUE: Wording(
        "overdue: the end of the workflow was not heard of in time",
        "%(deliveries)s overdue: no word of the workflow's end has come in time; look on the portal",
    ),
    IssueCode.ORDER: Wording(
        "orders on many: stopped when the record went back, until somebody lets them go on",
        "%(count)s orders on many were stopped when the record went back, and have forgotten how far they were: "
        "let each go on, or cancel it (%(names)s)",
    ),
    IssueCode.HELD: Wording(
        "portal %(subject)s", "portal %(subject)s is held (%(reason)s), nothing is sent: %(advice)s"
    ),
    IssueCode.PAUSED: Wording("portal %(subject)s"),
    IssueCode.METHOD: Wording(
        "%(method)s at portal %(subject)s", "portal %(subject)s refuses %(first)s (%(reason)s): %(further)s"
    ),
    IssueCode.WAITING: Wording(
        "the first in line waits for portal %(subject)s",
        "portal %(subject)s: %(deliveries)s waiting, the first in line for %(lasts)s",
    ),
    IssueCode.MEMORY: Wording("of the record's memory is used; when it is full, senders are sent away"),
    IssueCode.ARCHIVE: Wording(
        "archive that cannot be written: until it can, nothing old is forgotten",
        "the archive cannot be written (%(all)s): until it can, nothing old is forgotten",
    ),
    IssueCode.FAILOVER: Wording("what a failover may forget: %(what)s", "the servers of the record: %(few)s"),
    IssueCode.SPOOLED: Wording(
        "kept on this machine's disk: acknowledged while the record was away, and not recorded yet",
        "%(count)s requests wait on this machine's disk to be recorded, %(first)s of them were refused by the "
        "record: see the web process's log",
    ),
    IssueCode.CLOCK: Wording(
        "this machine's clock is behind the record's, by which all goes: set the wrong one",
        "this machine's clock is %(lasts)s %(way)s the one of the record's server, by which all goes: set the "
        "wrong one right",
    ),
    IssueCode.SILENT: Wording("no word from source %(subject)s", "source %(subject)s has said nothing for %(lasts)s"),
    IssueCode.FILES: Wording(
        "in changed files that %(process)s cannot use: those before stay in force",
        "%(process)s cannot use changed files for %(lasts)s, those before stay in force: %(many)s",
    ),
    IssueCode.PORTAL_REMOVED: Wording(
        "for portal %(subject)s, which portals.yaml no longer has: nobody sends them",
        "portal %(subject)s is no longer in portals.yaml, and %(deliveries)s waiting for it: put it back, or "
        "give them up",
    ),
    IssueCode.RULE_REMOVED: Wording("of rule %(subject)s, which was removed: sent as they were made"),
    IssueCode.DRIFT: Wording("", "portal %(subject)s: rules and templates do not fit: %(few)s"),
}
"""The words for each need. The label of drift depends on how many there are, the sentence of a pause on its reason."""


def figure_of(need: OpenIssue) -> str:
    """The figure of an issue: how many, how long, or which state."""
    match need.code:
        case IssueCode.HELD | IssueCode.METHOD:
            return phrase("held")
        case IssueCode.PAUSED:
            return phrase("paused") if need.reason in NO_TROUBLE else phrase("backing off")
        case IssueCode.MEMORY:
            return f"{need.count}%"
        case IssueCode.WAITING | IssueCode.SILENT | IssueCode.CLOCK:
            return span_of(need.lasts or timedelta(0))
        case IssueCode.FILES:
            return phrases("%(count)s mistake", "%(count)s mistakes", need.count)
        case IssueCode.LEDGER:
            return str(len(need.details))
        case _:
            return str(need.count)


def label_of(need: OpenIssue) -> str:
    """The label beside the figure."""
    if need.code is IssueCode.DRIFT:
        return phrases(
            "place where rules do not fit portal %(portal)s",
            "places where rules do not fit portal %(portal)s",
            need.count,
            portal=need.subject,
        )
    return phrase(
        _message_of(need),
        subject=need.subject,
        until=Moment(need.until) if need.until else "",
        process=_process(need.subject),
        method=_first(need),
        what=sentences(need.details[:MOST_DETAILS]) if need.details else "",
    )


def sentence_of(need: OpenIssue) -> str:
    """The same as one sentence, with what helps."""
    lasts, details = span_of(need.lasts or timedelta(0)), "; ".join(need.details)
    if need.code is IssueCode.PAUSED:
        return _of_pause(need, lasts)
    told = NEEDS[need.code].told
    if not told:
        return f"{figure_of(need)} {label_of(need)}"
    return told % {
        "subject": need.subject,
        "count": need.count,
        "deliveries": deliveries_are(need.count),
        "lasts": lasts,
        "reason": name_of_reason(need.reason),
        "process": _process(need.subject),
        "way": "ahead of" if need.reason == AHEAD else "behind",
        "all": details,
        "few": details[:500],
        "many": details[:1000],
        "names": ", ".join(need.details)[:200],
        "first": _first(need),
        "advice": " ".join(need.details),
        "further": " ".join(need.details[1:]),
    }


def name_of(group: Group) -> str:
    """The name of a group of failures, in one line."""
    if group["source"]:
        return f"{group['source']}: {from_text(group['fault'])}"
    template = f", template {group['template_id']}" if group["template_id"] else ""
    return f"{group['rule']} → {group['portal']}{template}: {name_of_reason(group['reason'])}"


def sentence_of_group(group: Group) -> str:
    """The same with how many they are."""
    counted = _events(group.count) if group["source"] else deliveries_are(group.count)
    return f"{counted} {group.state} ({name_of(group)})"


def _message_of(need: OpenIssue) -> str:
    if need.code is IssueCode.CLOCK and need.reason == AHEAD:
        return CLOCK_AHEAD
    return UNTIL if need.code is IssueCode.PAUSED and need.until else NEEDS[need.code].label


def _of_pause(need: OpenIssue, lasts: str) -> str:
    if need.reason == BY_PERSON:
        end = Moment(need.until) if need.until else "it is resumed"
        return f"portal {need.subject} is paused by a person for {lasts}: nothing is sent until {end}"
    if need.reason == WENT_BACK:
        return f"portal {need.subject} is paused for {lasts}: {' '.join(need.details)}"
    trouble = f"is in trouble ({name_of_reason(need.reason)}) for {lasts}, and is asked now and then"
    return f"portal {need.subject} {trouble}: {' '.join(need.details)}"


def span_of(span: timedelta) -> str:
    """A duration in its largest unit."""
    seconds = max(0, round(span.total_seconds()))
    if seconds >= 2 * 86_400:
        return phrase("%(count)s d", count=seconds // 86_400)
    if seconds >= 2 * 3_600:
        return phrase("%(count)s h", count=seconds // 3_600)
    if seconds >= 2 * 60:
        return phrase("%(count)s min", count=seconds // 60)
    return phrase("%(count)s s", count=seconds)


def _process(subject: str) -> str:
    side, _, host = subject.partition("@")
    if side == "web":
        return phrase("the web process on %(host)s", host=host)
    return phrase("the workers on %(host)s", host=host)


def _first(need: OpenIssue) -> str:
    return "".join(need.details[:1])


def _events(count: int) -> str:
    return f"{count} event was" if count == 1 else f"{count} events were"


def deliveries_are(count: int) -> str:
    """How many, as the beginning of a sentence."""
    return f"{count} delivery is" if count == 1 else f"{count} deliveries are"
