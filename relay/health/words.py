"""Open issues in words: a figure with a label on a page, a sentence in a message or a terminal. Pure."""

from __future__ import annotations

from collections.abc import Mapping
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
LABELS: Mapping[IssueCode, str] = {
    IssueCode.LEDGER: "the ledger does not balance",
    IssueCode.DEAD: "dead: given up, and neither replayed nor left",
    IssueCode.REJECTED: "rejected: a rule wanted them, and neither replayed nor left",
    IssueCode.UNCERTAIN: "uncertain: only a person can tell whether they started",
    IssueCode.OVERDUE: "overdue: the end of the workflow was not heard of in time",
    IssueCode.ORDER: "orders on many: stopped when the record went back, until somebody lets them go on",
    IssueCode.HELD: "portal %(subject)s",
    IssueCode.PAUSED: "portal %(subject)s",
    IssueCode.METHOD: "%(method)s at portal %(subject)s",
    IssueCode.WAITING: "the first in line waits for portal %(subject)s",
    IssueCode.MEMORY: "of the record's memory is used; when it is full, senders are sent away",
    IssueCode.ARCHIVE: "archive that cannot be written: until it can, nothing old is forgotten",
    IssueCode.FAILOVER: "what a failover may forget: %(what)s",
    IssueCode.SPOOLED: "kept on this machine's disk: acknowledged while the record was away, and not recorded yet",
    IssueCode.CLOCK: "this machine's clock is behind the record's, by which all goes: set the wrong one",
    IssueCode.SILENT: "no word from source %(subject)s",
    IssueCode.FILES: "in changed files that %(process)s cannot use: those before stay in force",
    IssueCode.PORTAL_REMOVED: "for portal %(subject)s, which portals.yaml no longer has: nobody sends them",
    IssueCode.RULE_REMOVED: "of rule %(subject)s, which was removed: sent as they were made",
}
"""Labels beside the figures of issues, as messages of phrases."""


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
    """The issue as one sentence, with a remedy."""
    lasts, reason = span_of(need.lasts or timedelta(0)), name_of_reason(need.reason)
    return {
        IssueCode.LEDGER: "the ledger does not balance: " + "; ".join(need.details),
        IssueCode.DEAD: f"{_deliveries(need.count)} dead, and nobody has dealt with it",
        IssueCode.REJECTED: f"{_events(need.count)} rejected, and nobody has dealt with it",
        IssueCode.UNCERTAIN: f"{_deliveries(need.count)} uncertain: somebody has to look whether it has started",
        IssueCode.OVERDUE: f"{_deliveries(need.count)} overdue: no word of the workflow's end has come in "
        "time; look on the portal",
        IssueCode.ORDER: f"{need.count} orders on many were stopped when the record went back, and have forgotten how "
        f"far they were: let each go on, or cancel it ({', '.join(need.details)[:200]})",
        IssueCode.HELD: f"portal {need.subject} is held ({reason}), nothing is sent: {' '.join(need.details)}",
        IssueCode.PAUSED: _of_pause(need, lasts),
        IssueCode.METHOD: f"portal {need.subject} refuses {_first(need)} ({reason}): {' '.join(need.details[1:])}",
        IssueCode.WAITING: f"portal {need.subject}: {_deliveries(need.count)} waiting, the first in line for {lasts}",
        IssueCode.DRIFT: f"portal {need.subject}: rules and templates do not fit: {'; '.join(need.details)[:500]}",
        IssueCode.MEMORY: f"{need.count}% of the record's memory is used; when it is full, senders are sent away",
        IssueCode.ARCHIVE: f"the archive cannot be written ({'; '.join(need.details)}): until it can, nothing old is "
        "forgotten",
        IssueCode.FAILOVER: "the servers of the record: " + "; ".join(need.details)[:500],
        IssueCode.SPOOLED: f"{need.count} requests wait on this machine's disk to be recorded, {_first(need)} of them "
        "were refused by the record: see the web process's log",
        IssueCode.CLOCK: f"this machine's clock is {lasts} {_way(need)} the one of the record's server, by which all "
        "goes: set the wrong one right",
        IssueCode.SILENT: f"source {need.subject} has said nothing for {lasts}",
        IssueCode.FILES: f"{_process(need.subject)} cannot use changed files for {lasts}, those before stay in force: "
        f"{'; '.join(need.details)[:1000]}",
        IssueCode.PORTAL_REMOVED: f"portal {need.subject} is no longer in portals.yaml, and {_deliveries(need.count)} "
        "waiting for it: put it back, or give them up",
        IssueCode.RULE_REMOVED: f"rule {need.subject} was removed, and {_deliveries(need.count)} on the way as made",
    }[need.code]


def name_of(group: Group) -> str:
    """The name of a group of failures, in one line."""
    if group["source"]:
        return f"{group['source']}: {from_text(group['fault'])}"
    template = f", template {group['template_id']}" if group["template_id"] else ""
    return f"{group['rule']} → {group['portal']}{template}: {name_of_reason(group['reason'])}"


def sentence_of_group(group: Group) -> str:
    """The name of a group with its size."""
    counted = _events(group.count) if group["source"] else _deliveries(group.count)
    return f"{counted} {group.state} ({name_of(group)})"


def _message_of(need: OpenIssue) -> str:
    if need.code is IssueCode.CLOCK and need.reason == AHEAD:
        return CLOCK_AHEAD
    return UNTIL if need.code is IssueCode.PAUSED and need.until else LABELS[need.code]


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
    return phrase("the %(side)s on %(host)s", side=side, host=host)


def _way(need: OpenIssue) -> str:
    return "ahead of" if need.reason == AHEAD else "behind"


def _first(need: OpenIssue) -> str:
    return "".join(need.details[:1])


def _events(count: int) -> str:
    return f"{count} event was" if count == 1 else f"{count} events were"


def _deliveries(count: int) -> str:
    return f"{count} delivery is" if count == 1 else f"{count} deliveries are"
