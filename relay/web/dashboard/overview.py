"""The first page and the page of needs: what waits for a person now, and how it has been going, in charts.

Nothing is done here. Each button of a group leads to the page that says how many there are and asks (bulk.py). Charts
are numbers and words for SVG; the stylesheet has the colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from flask import redirect, render_template, request, url_for

from relay.core.events import CallbackState, Delivery, Event
from relay.core.ids import utc_now
from relay.core.labels import name_of_reason
from relay.core.lifecycle import EventState, State
from relay.core.reasons import explain_reason
from relay.health.assessment import IssueCode, OpenIssue, assess, take_snapshot
from relay.health.words import figure_of, label_of
from relay.operations.deciding import NOT_FILLED
from relay.store.record.open_issues import GROUPED, KINDS, Group
from relay.store.record.statistics import SPANS, Bar, Series
from relay.web.dashboard.frame import blueprint
from relay.web.dashboard.live import OVERVIEW
from relay.web.language import N_, _, say, say_fault
from relay.web.presenters.masking import masking_of
from relay.web.presenters.portals import portal_views
from relay.web.services import services
from relay.web.zone import local

DEAD_WORKER = timedelta(minutes=8)
"""RQ's workers beat at least every 420 s while they wait."""
LONGEST_ADVICE = 300
TITLES: dict[State | EventState, str] = {
    EventState.REJECTED: N_("rejected: a rule matched but could not be filled, or the event could not be read"),
    State.DEAD: N_("dead: given up, and neither replayed nor left"),
    State.UNCERTAIN: N_("uncertain: only a person can tell whether they started"),
}
WIDTH, HEIGHT = 600, 120
CLIPPED_ABOVE = 8
"""A bar higher than this many times the median is cut off; its title says its height."""
DAYS = (N_("Mon"), N_("Tue"), N_("Wed"), N_("Thu"), N_("Fri"), N_("Sat"), N_("Sun"))
SPAN_NAMES = {"hour": N_("in the last hour"), "day": N_("in the last day"), "week": N_("in the last week")}
Part = tuple[str, str, str]
"""A count, its name for people, its class."""
EVENTS: tuple[Part, ...] = (
    ("event:accepted", EventState.ACCEPTED, "good"),
    ("event:ignored", EventState.IGNORED, "calm"),
    ("event:duplicate", N_("duplicates"), "faint"),
    ("event:rejected", EventState.REJECTED, "doubt"),
    ("event:refused", EventState.REFUSED, "bad"),
)
OUTCOMES: tuple[Part, ...] = (
    ("delivery:started", State.STARTED, "good"),
    ("delivery:uncertain", State.UNCERTAIN, "doubt"),
    ("delivery:dead", State.DEAD, "bad"),
)


@dataclass(frozen=True, slots=True)
class Link:
    """One open issue as a tile. kind: its colour; url: where to fix it."""

    kind: str
    count: str
    what: str
    url: str


@blueprint.get("/")
def index() -> Any:
    """The first page: open issues, charts, gauges, workers."""
    if older := {name: text for name, text in request.args.items() if name in {"state", "source", "cursor"}}:
        # The list of events was here before it had a page of its own.
        return redirect(f"{url_for('dashboard.events')}?{urlencode(older)}", 303)
    store, now = services().store, utc_now()
    snapshot = take_snapshot(store, services().portals, services().sources, now, services().spooler.held())
    chosen = request.args.get("span", "hour")
    chosen = chosen if chosen in {span.name for span in SPANS} else "hour"
    series = store.statistics.series(now)
    return render_template(
        "front.html",
        fresh=OVERVIEW,
        needs=[
            _link(need) for need in assess(snapshot, services().thresholds, now) if need.code is not IssueCode.LEDGER
        ],
        ledger=snapshot.ledger,
        states=list(State),
        views=portal_views(),
        workers=[
            (worker, worker.heartbeat is None or now - worker.heartbeat > DEAD_WORKER) for worker in store.workers()
        ],
        spans=SPANS,
        series=series[chosen],
        chart=chart(series[chosen]),
        sources=sorted(services().sources),
    )


def _link(need: OpenIssue) -> Link:
    match need.code:
        case IssueCode.DEAD | IssueCode.REJECTED | IssueCode.UNCERTAIN:
            url = url_for("dashboard.needs", _anchor=need.code.value)
        case IssueCode.OVERDUE:
            url = url_for("dashboard.deliveries", watch=CallbackState.OVERDUE.value)
        case IssueCode.ORDER:
            url = url_for("dashboard.bulk")
        case IssueCode.WAITING:
            url = url_for("dashboard.deliveries", state=State.PENDING.value, portal=need.subject)
        case IssueCode.FAILOVER:
            url = url_for("dashboard.index")
        case IssueCode.FILES:
            url = url_for("dashboard.rules", _anchor="waiting-files")
        case IssueCode.PORTAL_REMOVED:
            url = url_for("dashboard.deliveries", portal=need.subject)
        case IssueCode.RULE_REMOVED:
            url = url_for("dashboard.deliveries", rule=need.subject)
        case IssueCode.SILENT | IssueCode.MEMORY | IssueCode.ARCHIVE | IssueCode.SPOOLED | IssueCode.CLOCK:
            url = url_for("dashboard.sources")
        case _:
            url = url_for("dashboard.portals", _anchor=need.subject)
    return Link(need.grade.value, say(figure_of(need)), say(label_of(need)), url)


@blueprint.get("/needs")
def needs() -> Any:
    """The groups of rejected, dead and uncertain ones, each kind's newest first."""
    groups, record = services().store.open_issues.groups(), services().record
    rejected = [group.newest for group in groups if group.state is EventState.REJECTED]
    unfilled = [group.newest for group in groups if group["reason"] == NOT_FILLED]
    samples: dict[str, Event | Delivery] = {event.id: event for event in record.events(rejected)}
    samples |= {delivery.id: delivery for delivery in record.deliveries(unfilled)}
    views = [view_of(group, samples.get(group.newest)) for group in groups]
    totals = {
        EventState.REJECTED: record.unresolved_rejected(),
        State.DEAD: record.unresolved_dead(),
        State.UNCERTAIN: record.unresolved_uncertain(),
    }
    sections = [
        (state, f"{totals[state]:,} {_(TITLES[state])}", [view for view in views if view.state == state])
        for state in KINDS
    ]
    return render_template(
        "needs.html",
        fresh=OVERVIEW,
        sections=[section for section in sections if section[2]],
        masking=masking_of(services().rules.all()),
        grouped=GROUPED,
    )


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group. what: reason or fields; where: rule, portal and template, or the source. sample: an id to look at."""

    state: State | EventState
    count: int
    what: str
    where: str
    advice: str
    first_seen: datetime
    last_seen: datetime
    sample: str
    query: dict[str, str]

    @property
    def is_of_events(self) -> bool:
        """Whether it holds events, else deliveries."""
        return isinstance(self.state, EventState)


def view_of(group: Group, sample: Event | Delivery | None = None) -> GroupView:
    """The group as a page shows it. sample: one event or delivery of it, for its errors."""
    where = group["source"] or f"{group['rule']} → {group['portal']}"
    if group["template_id"]:
        where += _(", template %(number)s", number=group["template_id"])
    return GroupView(
        state=group.state,
        count=group.count,
        what=say_fault(group["fault"]) or say(name_of_reason(group["reason"])) or _("no reason was kept"),
        where=where,
        advice=_errors_of(sample) or say(explain_reason(group.state, group["reason"])),
        first_seen=group.first_seen,
        last_seen=group.last_seen,
        sample=group.newest,
        query=group.filter.to_query(),
    )


def _errors_of(sample: Event | Delivery | None) -> str:
    """The errors of one event or delivery of the group; they hold no value."""
    errors = sample.errors.items() if sample else ()
    return "; ".join(f"{name}: {' '.join(map(say_fault, messages))}" for name, messages in errors)[:LONGEST_ADVICE]


@dataclass(frozen=True, slots=True)
class Box:
    """One rectangle. kind: its class."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One drawing, with a summary in words for people who cannot see it. page: the list that it leads to.

    cut: the height at which bars are cut off, in words; empty: none is.
    """

    name: str
    boxes: tuple[Box, ...]
    top: str
    ticks: tuple[tuple[float, str], ...]
    legend: tuple[tuple[str, str, str], ...]
    summary: str
    page: str
    cut: str = ""

    @property
    def is_clipped(self) -> bool:
        """Whether some bars are higher than the drawing."""
        return bool(self.cut)


def chart(series: Series) -> list[Chart]:
    """The drawings of one span: events, outcomes, latency."""
    return [
        _stacked(_("Events"), series, EVENTS),
        _stacked(_("Outcomes"), series, OUTCOMES),
        _latency(series),
    ]


def _stacked(name: str, series: Series, parts: Sequence[Part]) -> Chart:
    sums = [sum(bar.count(field) for field, _, _ in parts) for bar in series.bars]
    top, most = _ceiling(sums), max([*sums, 1])
    boxes = []
    for place, bar in enumerate(series.bars):
        y = float(HEIGHT)
        for field, label, kind in parts:
            count = bar.count(field)
            if count:
                height = min(count / top * HEIGHT, y)
                y -= height
                boxes.append(_box(series, place, (y, height), kind, f"{_at(series, bar.since)}: {count} {say(label)}"))
    totals = [(say(label), kind, str(series.total(field))) for field, label, kind in parts]
    summary = f"{name} {_(SPAN_NAMES[series.span.name])}: " + ", ".join(
        f"{count} {label}" for label, _, count in totals
    )
    page = "deliveries" if parts is OUTCOMES else "events"
    cut = f"{top:.0f}" if most > top else ""
    return Chart(name, tuple(boxes), str(most), _ticks(series), tuple(totals), summary, page, cut)


def _latency(series: Series) -> Chart:
    means = [_mean(bar) for bar in series.bars]
    known = [mean for mean in means if mean is not None]
    top, most_ms = _ceiling(known), max([*known, 1.0])
    boxes = []
    for place, (bar, mean) in enumerate(zip(series.bars, means, strict=True)):
        if mean is not None:
            height = min(HEIGHT, max(1.0, mean / top * HEIGHT))
            title = f"{_at(series, bar.since)}: {_on_average(mean)}"
            boxes.append(_box(series, place, (HEIGHT - height, height), "busy", title))
    mean, most = series.mean_latency_ms, series.within_ms(0.95)
    words = _("nothing was started")
    if mean is not None:
        within = _("95 %% within %(seconds)s s", seconds=most // 1000) if most else ""
        words = ", ".join(part for part in (_on_average(mean), within) if part)
    what = _("From the event to its workflow")
    summary = f"{what} {_(SPAN_NAMES[series.span.name])}: {words}"
    return Chart(
        _("Time to workflow"),
        tuple(boxes),
        _duration(most_ms),
        _ticks(series),
        ((_("latency"), "busy", words),),
        summary,
        "deliveries",
        _duration(top) if most_ms > top else "",
    )


def _ceiling(values: Sequence[float]) -> float:
    """The value of a full bar: the highest, unless that would flatten all others, as a backlog does."""
    some = sorted(value for value in values if value > 0)
    if not some:
        return 1
    return max(1, min(some[-1], CLIPPED_ABOVE * some[len(some) // 2]))


def _duration(milliseconds: float) -> str:
    if milliseconds < 1000:
        return _("%(count)s ms", count=f"{milliseconds:.0f}")
    return _("%(count)s s", count=f"{milliseconds / 1000:.1f}")


def _on_average(milliseconds: float) -> str:
    return _("%(time)s on average", time=_duration(milliseconds))


def _mean(bar: Bar) -> float | None:
    return bar.count("latency:ms") / bar.timed if bar.timed else None


def _box(series: Series, place: int, span: tuple[float, float], kind: str, title: str) -> Box:
    """A bar. span: its top and its height."""
    step = WIDTH / len(series.bars)
    return Box(round(place * step + 1, 2), round(span[0], 2), round(step - 2, 2), round(span[1], 2), kind, title)


def _ticks(series: Series) -> tuple[tuple[float, str], ...]:
    step = WIDTH / len(series.bars)
    every = len(series.bars) // 4
    return tuple(
        (round(place * step, 2), _at(series, series.bars[place].since)) for place in range(0, len(series.bars), every)
    )[:4]


def _at(series: Series, moment: datetime) -> str:
    at = local(moment)
    return f"{_(DAYS[at.weekday()])} {at:%H:%M}" if series.span.name == "week" else f"{at:%H:%M}"
