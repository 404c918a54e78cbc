"""Open issues in words: a title and a cause on a page, a sentence in a message or a terminal. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from relay.core.faults import from_text
from relay.core.labels import name_of_reason
from relay.core.phrases import Moment, Phrase, phrase, phrases, sentences
from relay.core.reasons import explain
from relay.health.assessment import AHEAD, IssueCode, OpenIssue
from relay.store.portals.gate import BY_PERSON
from relay.store.portals.rollback import WENT_BACK
from relay.store.record.open_issues import Group

NO_TROUBLE = {BY_PERSON, WENT_BACK}
"""Reasons of a pause that is not the portal's fault: it is not backing off."""


@dataclass(frozen=True, slots=True)
class Wording:
    """The words for an issue. title: on a page, as a sentence, and titles for several, where they are counted.

    cause: what follows from it and what helps; empty: see `cause_of`. told: all of it in one sentence for a message or
    a terminal; empty: the title. well: what is well again once it is over. All are messages of phrases.
    """

    title: str
    titles: str = ""
    cause: str = ""
    told: str = ""
    well: str = ""


ISSUES: Mapping[IssueCode, Wording] = {
    IssueCode.LEDGER: Wording(
        "The ledger does not balance",
        cause="Run `python -m relay audit`: %(all)s",
        told="the ledger does not balance: %(all)s",
        well="the ledger balances again",
    ),
    IssueCode.DEAD: Wording(
        "%(count)s delivery was given up",
        "%(count)s deliveries were given up",
        "They are neither replayed nor left.",
        well="no delivery has died for a while",
    ),
    IssueCode.REJECTED: Wording(
        "%(count)s event could not be used by a rule that wanted it",
        "%(count)s events could not be used by a rule that wanted them",
        "They are neither replayed nor left.",
    ),
    IssueCode.UNCERTAIN: Wording(
        "%(count)s start is uncertain",
        "%(count)s starts are uncertain",
        "Only a person can tell on the portal whether they run.",
        "%(deliveries)s uncertain: somebody has to look whether it has started",
        "no uncertain delivery waits for a person any more",
    ),
    IssueCode.OVERDUE: Wording(
        "%(count)s workflow has not told of its end",
        "%(count)s workflows have not told of their end",
        "No word of it has come in time. Look on the portal, then leave it.",
        "%(deliveries)s overdue: no word of the workflow's end has come in time; look on the portal",
        "no workflow's end is overdue any more",
    ),
    IssueCode.ORDER: Wording(
        "%(count)s bulk order was stopped when the record went back",
        "%(count)s bulk orders were stopped when the record went back",
        "What they had done since then is forgotten. Let each go on, or cancel it.",
        "%(count)s orders on many were stopped when the record went back, and have forgotten how far they were: "
        "let each go on, or cancel it (%(names)s)",
        "no order on many is stopped any more",
    ),
    IssueCode.HELD: Wording(
        "Portal %(subject)s is held: %(reason)s",
        cause="Nothing is sent, and nothing is lost. %(advice)s",
        told="portal %(subject)s is held (%(reason)s), nothing is sent: %(advice)s",
        well="portal %(subject)s is no longer held",
    ),
    IssueCode.PAUSED: Wording(
        "Portal %(subject)s is in trouble: %(reason)s",
        cause="It is asked now and then. %(advice)s",
        well="portal %(subject)s is called again",
    ),
    IssueCode.METHOD: Wording(
        "Portal %(subject)s refuses %(first)s",
        told="portal %(subject)s refuses %(first)s (%(reason)s): %(further)s",
        well="portal %(subject)s refuses no method any more",
    ),
    IssueCode.WAITING: Wording(
        "%(count)s delivery waits for portal %(subject)s",
        "%(count)s deliveries wait for portal %(subject)s",
        "The first in line has waited for %(lasts)s.",
        "portal %(subject)s: %(deliveries)s waiting, the first in line for %(lasts)s",
        "portal %(subject)s: nothing waits too long any more",
    ),
    IssueCode.MEMORY: Wording(
        "%(count)s %% of the record's memory is used",
        cause="When it is full, senders are sent away.",
        well="the record's memory has room again",
    ),
    IssueCode.ARCHIVE: Wording(
        "The archive cannot be written",
        cause="Until it can, nothing old is forgotten: %(all)s",
        told="the archive cannot be written (%(all)s): until it can, nothing old is forgotten",
        well="the archive can be written again",
    ),
    IssueCode.FAILOVER: Wording(
        "A failover may forget what was acknowledged",
        told="the servers of the record: %(few)s",
        well="the servers of the record are set as they should be",
    ),
    IssueCode.SPOOLED: Wording(
        "%(count)s request waits on this machine's disk",
        "%(count)s requests wait on this machine's disk",
        "They were acknowledged while the record was away, and are not recorded yet.",
        "%(count)s requests wait on this machine's disk to be recorded, %(first)s of them were refused by the "
        "record: see the web process's log",
        "nothing waits on this machine's disk any more",
    ),
    IssueCode.CLOCK: Wording(
        "This machine's clock is %(lasts)s behind the record's",
        cause="All goes by the record's clock: set the wrong one right.",
        told="this machine's clock is %(lasts)s %(way)s the one of the record's server, by which all goes: set the "
        "wrong one right",
        well="this machine's clock is right again",
    ),
    IssueCode.SILENT: Wording(
        "No word from source %(subject)s for %(lasts)s",
        cause="Look whether its sender still works.",
        told="source %(subject)s has said nothing for %(lasts)s",
        well="source %(subject)s is heard again",
    ),
    IssueCode.REFUSED: Wording(
        "%(count)s of %(total)s requests from %(subject)s were refused",
        told="%(count)s of %(total)s requests from source %(subject)s were refused in the last hour (%(reason)s): "
        "%(cause)s",
        well="source %(subject)s: no request is refused any more",
    ),
    IssueCode.CHANNEL: Wording(
        "Alerts do not get through to %(subject)s",
        cause="%(reason)s. It is tried again, and gets then what it has missed.",
        told="alerts do not get through to the channel %(subject)s: %(reason)s",
        well="alerts get through to the channel %(subject)s again",
    ),
    IssueCode.FILES: Wording(
        "Changed files cannot be used by %(process)s",
        cause="Those before stay in force.",
        told="%(process)s cannot use changed files for %(lasts)s, those before stay in force: %(mistakes)s",
        well="%(process)s uses the files as they are now",
    ),
    IssueCode.PORTAL_REMOVED: Wording(
        "%(count)s delivery waits for portal %(subject)s, which portals.yaml no longer has",
        "%(count)s deliveries wait for portal %(subject)s, which portals.yaml no longer has",
        "Nobody sends them. Put the portal back, or give them up.",
        "portal %(subject)s is no longer in portals.yaml, and %(deliveries)s waiting for it: put it back, or "
        "give them up",
        "nothing waits for the removed portal %(subject)s any more",
    ),
    IssueCode.RULE_REMOVED: Wording(
        "%(count)s delivery of the removed rule %(subject)s is on its way",
        "%(count)s deliveries of the removed rule %(subject)s are on their way",
        "They are sent as they were made.",
    ),
    IssueCode.DRIFT: Wording(
        "Rules and templates of portal %(subject)s do not fit",
        cause="The workflows they start would fail, or miss a value: the page of the portal names them.",
        told="portal %(subject)s: rules and templates do not fit: %(few)s",
        well="portal %(subject)s: rules and templates fit again",
    ),
}
"""The words for each issue."""
CLOCK_AHEAD = "This machine's clock is %(lasts)s ahead of the record's"
PAUSED_BY_PERSON = "Portal %(subject)s is paused by a person"
PAUSED_UNTIL = "Portal %(subject)s is paused until %(until)s"
PAUSED_WENT_BACK = "Portal %(subject)s is paused: the record has gone back in time"
UNTIL_RESUMED = "Nothing is sent until somebody resumes it. Deliveries wait."
UNTIL_THEN = "Deliveries wait until then."
BODY_CHANGED = "The signature is right and the body is not the one that was signed: it was changed on its way."
BODY_OR_STRANGER = (
    "Other requests of this source are right, so its secret is: the body of these was changed on its way, or somebody "
    "else has sent them."
)
OTHER_SECRET = "The sender has another secret than the one configured here: not one request was right in this hour."  # noqa: S105
ALMOST = "Almost right: %(what)s."
MORE_WORDS = (
    CLOCK_AHEAD, PAUSED_BY_PERSON, PAUSED_UNTIL, PAUSED_WENT_BACK, UNTIL_RESUMED, UNTIL_THEN, BODY_CHANGED,
    BODY_OR_STRANGER, OTHER_SECRET, ALMOST,
)  # fmt: skip
"""Further messages of phrases, which the catalogues hold."""
MOST_DETAILS = 5
GATES = frozenset({IssueCode.HELD, IssueCode.PAUSED})
"""Issues whose detail is an explanation of a code."""
UNSIGNED = frozenset({"signature_mismatch", "token_mismatch"})
"""Reasons of a refusal behind which there may be another secret."""


def title_of(need: OpenIssue) -> Phrase:
    """The trouble, as a sentence of a page."""
    wording, message = ISSUES[need.code], ISSUES[need.code].title
    if need.code is IssueCode.CLOCK and need.reason == AHEAD:
        message = CLOCK_AHEAD
    if need.code is IssueCode.PAUSED and need.reason == WENT_BACK:
        message = PAUSED_WENT_BACK
    if need.code is IssueCode.PAUSED and need.reason == BY_PERSON:
        message = PAUSED_UNTIL if need.until else PAUSED_BY_PERSON
    values = _values_of(need)
    if wording.titles:
        return phrases(message, wording.titles, **values)
    return phrase(message, **values)


def cause_of(need: OpenIssue) -> str:
    """Why, what follows from it, and what helps."""
    if need.code is IssueCode.REFUSED:
        return _cause_of_refusals(need)
    if need.code is IssueCode.PAUSED and need.reason == BY_PERSON:
        return phrase(UNTIL_THEN if need.until else UNTIL_RESUMED)
    if need.code is IssueCode.PAUSED and need.reason == WENT_BACK:
        return _phrased(_first(need))
    if need.code is IssueCode.METHOD:
        return _phrased("".join(need.details[1:2]))
    if need.code is IssueCode.FAILOVER:
        return sentences(need.details[:MOST_DETAILS])
    return phrase(ISSUES[need.code].cause, **_values_of(need))


def _cause_of_refusals(need: OpenIssue) -> str:
    """Whether the body was changed or the secret is another one, where that can be told apart."""
    if need.details:
        return phrase(ALMOST, what=_first(need))
    if need.reason == "digest_mismatch":
        return phrase(BODY_CHANGED)
    if need.reason in UNSIGNED and need.count == need.total:
        return phrase(OTHER_SECRET)
    if need.reason == "signature_mismatch":
        return phrase(BODY_OR_STRANGER)
    words = explain(need.reason)
    return phrase(words) if words else name_of_reason(need.reason)


def well_again(kind: str, subject: str) -> str:
    """The part that is well again, of an issue, or of a group of failures that was the subject, that is over."""
    if subject and kind in {IssueCode.DEAD, IssueCode.REJECTED}:
        return phrase("nothing of this waits for a person any more: %(group)s", group=subject)
    well = next((one.well for code, one in ISSUES.items() if code == kind), "") or "over: %(subject)s"
    return phrase(well, subject=subject, process=_process(subject))


def sentence_of(need: OpenIssue) -> str:
    """The same as one sentence, with what helps."""
    if need.code is IssueCode.PAUSED:
        return _of_pause(need, span_of(need.lasts or timedelta(0)))
    if not (told := ISSUES[need.code].told):
        return title_of(need)
    return told % (_values_of(need) | {"cause": cause_of(need)})


def _values_of(need: OpenIssue) -> dict[str, Any]:
    details = "; ".join(need.details)
    return {
        "subject": need.subject,
        "count": need.count,
        "total": need.total,
        "deliveries": deliveries_are(need.count),
        "lasts": span_of(need.lasts or timedelta(0)),
        "until": Moment(need.until) if need.until else "",
        "reason": name_of_reason(need.reason),
        "process": _process(need.subject),
        "way": "ahead of" if need.reason == AHEAD else "behind",
        "all": details,
        "few": details[:500],
        "mistakes": details[:1000],
        "names": ", ".join(need.details)[:200],
        "first": _first(need),
        "advice": _phrased(_first(need)) if need.code in GATES else "",
        "further": "".join(need.details[1:2]),
    }


def _phrased(advice: str) -> str:
    """An explanation of a code (core/reasons.py) as a phrase, so that a page translates it."""
    return advice if isinstance(advice, Phrase) or not advice else phrase(advice)


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
    return next(iter(need.details), "")


def _events(count: int) -> str:
    return f"{count} event was" if count == 1 else f"{count} events were"


def deliveries_are(count: int) -> str:
    """How many, as the beginning of a sentence."""
    return f"{count} delivery is" if count == 1 else f"{count} deliveries are"
