"""All that waits for a person, as rows of a page: open issues, and groups of like failures. Each says what helps.

A row has a title, a cause in words of its own, and one way to mend it. Nothing is read here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from flask import url_for

from relay.core.events import CallbackState, Delivery, Event
from relay.core.faults import code_of, from_text
from relay.core.ids import utc_now
from relay.core.labels import name_of_reason
from relay.core.lifecycle import EventState, State
from relay.core.phrases import Phrase
from relay.core.reasons import explain_reason, word_of
from relay.health.assessment import Grade, IssueCode, OpenIssue
from relay.health.words import cause_of, title_of
from relay.store.record.open_issues import Group, LookedInto
from relay.web.language import N_, _, ngettext, say, say_fault
from relay.web.presenters.masking import Masking
from relay.web.presenters.titles import template_with_number

GROWS = timedelta(minutes=5)
"""A group whose newest failure is younger than this still grows."""
LONGEST_ADVICE = 300
IN_GROUPS = frozenset({IssueCode.DEAD, IssueCode.REJECTED, IssueCode.UNCERTAIN})
"""Issues that are told by their groups, and not as one number."""
NAMES_OF_CODES: Mapping[str, str] = {
    "error_wrong_workflow_id": N_("no such template"),
    "wrong_document_id": N_("no such document"),
    "incorrect_document_type": N_("no such document"),
    "error_core": N_("no such document"),
    "target_is_not_found": N_("no such document"),
    "template_type_and_document_id_mismatch": N_("template and document do not match"),
    "error_argument": N_("a value was refused"),
    "invalid_arg_value": N_("a value was refused"),
    "access_denied": N_("access was denied"),
    "crm_field_error_required": N_("a required field is missing"),
    "crm_field_error_value_not_valid": N_("a field was refused"),
}
"""The meaning of a portal's code for dead deliveries, in a title; the code itself stands below it."""
TONES = {Grade.BAD: "bad", Grade.DOUBT: "warn", Grade.CALM: "idle"}


@dataclass(frozen=True, slots=True)
class Way:
    """The place where an issue is mended. shape: its sign. button, view: what leads there, with these arguments.

    subject: the argument that gets the issue's subject.
    """

    shape: str
    button: str
    view: str
    given: Mapping[str, str] = field(default_factory=dict)
    subject: str = ""


LISTS, PORTAL = N_("List them"), N_("See the portal")
AT_PORTAL = Way("held", PORTAL, "portals", subject="_anchor")
GAUGES = Way("numbers", N_("See more"), "sources")
WAYS: Mapping[IssueCode, Way] = {
    IssueCode.HELD: AT_PORTAL,
    IssueCode.PAUSED: AT_PORTAL,
    IssueCode.METHOD: AT_PORTAL,
    IssueCode.DRIFT: Way("rules", PORTAL, "portals", subject="_anchor"),
    IssueCode.WAITING: Way("pending", LISTS, "events", {"state": State.PENDING.value}, "portal"),
    IssueCode.PORTAL_REMOVED: Way("portals", LISTS, "events", subject="portal"),
    IssueCode.RULE_REMOVED: Way("rules", LISTS, "events", subject="rule"),
    IssueCode.OVERDUE: Way("silent", LISTS, "events", {"watch": CallbackState.OVERDUE.value}),
    IssueCode.REFUSED: Way(
        "refused", N_("List the refused ones"), "events", {"state": EventState.REFUSED.value}, "source"
    ),
    IssueCode.SILENT: Way("silent", N_("See the source"), "sources", subject="_anchor"),
    IssueCode.CHANNEL: Way("alerts", N_("See the channel"), "alerts", {"_anchor": "channels"}),
    IssueCode.ORDER: Way("bulk", N_("See the orders"), "bulk"),
    IssueCode.FILES: Way("rules", N_("See the mistakes"), "rules", {"_anchor": "waiting-files"}),
}
"""Others lead to the page of sources, where the machine's gauges are."""


@dataclass(frozen=True, slots=True)
class Need:
    """One row. key: its id on a page. shape, tone: of its sign. where: rule, portal and template, or the source.

    url, button: the one way to mend it. since, last: of the oldest and the newest in it; grows: whether more come.
    group: of failures, if it is one. sample: the id of its newest event or delivery.
    """

    key: str
    shape: str
    tone: str
    title: str
    cause: str
    url: str
    button: str
    where: str = ""
    since: datetime | None = None
    last: datetime | None = None
    grows: bool = False
    sample: str = ""
    group: Group | None = None
    is_calm: bool = False
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many failures a group holds."""
        return self.group.count if self.group else 0

    @property
    def is_of_events(self) -> bool:
        """Whether it is a group of events, else of deliveries."""
        return self.group is not None and isinstance(self.group.state, EventState)

    @property
    def is_uncertain(self) -> bool:
        """Whether only a person can decide it."""
        return self.group is not None and self.group.state is State.UNCERTAIN


def rows_of(
    issues: Iterable[OpenIssue], groups: Iterable[Group], samples: Mapping[str, Event | Delivery], masking: Masking
) -> list[Need]:
    """All rows: what still grows first, then the worst. samples: the newest of groups, for their errors."""
    rows = [_of_issue(issue) for issue in issues if issue.code not in IN_GROUPS | {IssueCode.LEDGER}]
    rows += [_of_group(group, samples.get(group.newest), masking) for group in groups]
    order = list(TONES.values())
    return sorted(rows, key=lambda row: (row.is_calm, not row.grows, order.index(row.tone)))


def row_of_looks(portal: str, looked_into: LookedInto) -> Need:
    """The uncertain ones of a portal about which the relay still asks: nobody is needed, and nothing is offered."""
    return Need(
        key=f"asks-{portal}",
        shape="uncertain",
        tone="wait",
        title=ngettext(
            "%(count)s start on %(portal)s is being looked into",
            "%(count)s starts on %(portal)s are being looked into",
            looked_into.count,
            portal=portal,
        ),
        cause=_(
            "Their answers were lost. The relay asks the portal by itself whether they run: nothing has to be done "
            "before that. What it cannot find out appears here then."
        ),
        url=url_for("dashboard.events", state=State.UNCERTAIN.value, portal=portal),
        button=_(LISTS),
        last=looked_into.until,
        is_calm=True,
    )


def _of_issue(issue: OpenIssue) -> Need:
    way = WAYS.get(issue.code, GAUGES)
    given: dict[str, Any] = {**way.given} | ({way.subject: issue.subject} if way.subject else {})
    return Need(
        key=f"{issue.code}-{issue.subject}".rstrip("-"),
        shape=way.shape,
        tone=TONES[issue.grade],
        title=say(title_of(issue)),
        cause=_said(cause_of(issue)),
        url=url_for(f"dashboard.{way.view}", **given),
        button=_(way.button),
        since=utc_now() - issue.lasts if issue.lasts else None,
        is_calm=issue.grade is Grade.CALM,
    )


def _said(words: str) -> str:
    return say(words) if isinstance(words, Phrase) else words


def _of_group(group: Group, sample: Event | Delivery | None, masking: Masking) -> Need:
    key, is_uncertain = key_of(group), group.state is State.UNCERTAIN
    return Need(
        key=key,
        shape=str(group.state.value),
        tone="warn" if is_uncertain else "bad",
        title=masking.text(_title_of(group)),
        cause=_errors_of(sample) or say(explain_reason(group.state, group["reason"])),
        url=url_of(group),
        button=_("Settle these") if is_uncertain else _("Mend this"),
        where=_where(group),
        since=group.first_seen,
        last=group.last_seen,
        grows=group.count > 1 and utc_now() - group.last_seen < GROWS,
        sample=group.newest,
        group=group,
        query=group.filter.to_query(),
    )


def url_of(group: Group) -> str:
    """The page of needs, with this group opened."""
    key = key_of(group)
    return url_for("dashboard.needs", open=key, _anchor=key)


def key_of(group: Group) -> str:
    """A name for a group that stays the same while it grows."""
    text = json.dumps([group.state.value, *group.common])
    return f"{group.state.value}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _title_of(group: Group) -> str:
    count, shown = group.count, f"{group.count:,}"
    if group.state is EventState.REJECTED:
        return _title_of_rejected(group, shown)
    named = NAMES_OF_CODES.get(word_of(group["reason"])) if group.state is State.DEAD else None
    why = (_(named) if named else say(name_of_reason(group["reason"]))) or _("no reason was kept")
    if group.state is State.UNCERTAIN:
        return ngettext(
            "%(shown)s start on %(portal)s is uncertain: %(why)s",
            "%(shown)s starts on %(portal)s are uncertain: %(why)s",
            count,
            shown=shown,
            portal=group["portal"],
            why=why,
        )
    return ngettext(
        "%(shown)s delivery of %(rule)s was given up: %(why)s",
        "%(shown)s deliveries of %(rule)s were given up: %(why)s",
        count,
        shown=shown,
        rule=group["rule"],
        why=why,
    )


def _title_of_rejected(group: Group, shown: str) -> str:
    fault = from_text(group["fault"])
    if code_of(fault) == "cannot_be_filled":
        return ngettext(
            "%(shown)s event of %(source)s cannot be filled: %(fields)s",
            "%(shown)s events of %(source)s cannot be filled: %(fields)s",
            group.count,
            shown=shown,
            source=group["source"],
            fields=", ".join(map(str, fault.values["fields"])) if isinstance(fault, Phrase) else "",
        )
    return ngettext(
        "%(shown)s event of %(source)s was rejected: %(why)s",
        "%(shown)s events of %(source)s were rejected: %(why)s",
        group.count,
        shown=shown,
        source=group["source"],
        why=say_fault(group["fault"]) or _("no reason was kept"),
    )


def _where(group: Group) -> str:
    if group["source"]:
        return _("source %(source)s", source=group["source"])
    where = f"{group['rule']} → {group['portal']}"
    if group["template_id"]:
        where += _(", template %(number)s", number=template_with_number(group["portal"], group["template_id"]))
    return f"{where} · {group['reason']}" if word_of(group["reason"]) in NAMES_OF_CODES else where


def _errors_of(sample: Event | Delivery | None) -> str:
    """The errors of one event or delivery of the group; they hold no value."""
    errors = sample.errors.items() if sample else ()
    return "; ".join(f"{name}: {' '.join(map(say_fault, messages))}" for name, messages in errors)[:LONGEST_ADVICE]
