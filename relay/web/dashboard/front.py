"""The first page: what needs a person now, then how it has been going."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from flask import redirect, render_template, request, url_for

from relay.core.events import CallbackState
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.health.assessment import IssueCode, OpenIssue, assess, take_snapshot
from relay.health.words import figure_of, label_of
from relay.store.record.statistics import SPANS
from relay.web.dashboard.frame import blueprint
from relay.web.dashboard.live import OVERVIEW
from relay.web.language import say
from relay.web.presenters.charts import chart
from relay.web.presenters.portals import portal_views
from relay.web.services import services

DEAD_WORKER = timedelta(minutes=8)
"""RQ's workers beat at least every 420 s while they wait."""


@dataclass(frozen=True, slots=True)
class Link:
    """One need as a tile. kind: how it is coloured; url: where it is put right."""

    kind: str
    count: str
    what: str
    url: str


@blueprint.get("/")
def index() -> Any:
    """What needs a person now, charts, gauges, workers."""
    if older := {name: text for name, text in request.args.items() if name in {"state", "source", "cursor"}}:
        # Where the list was before it had a page of its own.
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
