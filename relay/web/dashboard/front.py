"""The first page: what needs a person now, then how it has been going."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from flask import redirect, render_template, request, url_for

from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.store.portals.workers import read_crew
from relay.store.record.ledger import Ledger
from relay.store.record.statistics import SPANS, Presence, Series, read_presence, read_series
from relay.store.redis import keys
from relay.store.redis.memory import Memory, read_memory
from relay.web.dashboard.frame import blueprint, span_of
from relay.web.dashboard.live import OVERVIEW
from relay.web.presenters.charts import chart
from relay.web.presenters.portals import is_serious, portal_views
from relay.web.services import house

OLD = timedelta(minutes=10)
"""A delivery that has waited for longer than this is worth a look."""
SILENT = timedelta(days=1)
DEAD_WORKER = timedelta(minutes=8)
"""RQ's workers beat at least every 420 s while they wait."""


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that a person should look at. kind: how it is coloured; url: where it is put right."""

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
    record, now = house().record, utc_now()
    ledger, views = record.counts(), portal_views()
    waiting = (State.PENDING, State.RETRYING)
    sources = sorted(house().sources)
    indexes = [keys.DELIVERIES_BY_STATE + state for state in waiting] + [keys.EVENTS_BY_SOURCE + one for one in sources]
    presences = read_presence(record.redis, indexes)
    chosen = request.args.get("span", "hour")
    chosen = chosen if chosen in {span.name for span in SPANS} else "hour"
    series = read_series(record.redis, now)
    return render_template(
        "front.html",
        fresh=OVERVIEW,
        needs=[
            *_of_deliveries(ledger, dict(zip(waiting, presences, strict=False)), series["day"], now),
            *_of_portals(views),
            *_of_record(read_memory(record.redis)),
            *_of_sources(dict(zip(sources, presences[len(waiting) :], strict=True)), now),
        ],
        ledger=ledger,
        states=list(State),
        views=views,
        crew=[
            (worker, worker.heartbeat is None or now - worker.heartbeat > DEAD_WORKER)
            for worker in read_crew(record.redis)
        ],
        spans=SPANS,
        series=series[chosen],
        chart=chart(series[chosen]),
        sources=sources,
    )


def _of_deliveries(ledger: Ledger, waiting: dict[State, Presence], day: Series, now: datetime) -> list[Need]:
    needs = []
    if dead := ledger.deliveries[State.DEAD]:
        recent = day.total("delivery:dead")
        needs.append(Need("bad", str(dead), f"dead: given up ({recent} in the last day)", _list(State.DEAD)))
    if uncertain := ledger.deliveries[State.UNCERTAIN]:
        needs.append(Need("doubt", str(uncertain), "uncertain: may have started", _list(State.UNCERTAIN)))
    for state, presence in waiting.items():
        if presence.oldest and now - presence.oldest > OLD:
            needs.append(Need("doubt", span_of(now - presence.oldest), f"the oldest {state} waits", _list(state)))
    return needs


def _of_portals(views: list[dict[str, Any]]) -> list[Need]:
    needs = []
    for view in views:
        url = url_for("dashboard.portals", _anchor=view["name"])
        if view["gate"] != "open":
            needs.append(
                Need("bad" if view["gate"] == "held" else "doubt", view["gate"], f"portal {view['name']}", url)
            )
        if serious := [text for text in view["drift"] if is_serious(text)]:
            needs.append(Need("doubt", str(len(serious)), f"drift: rules do not fit portal {view['name']}", url))
    return needs


def _of_record(memory: Memory) -> list[Need]:
    if not memory.is_filling:
        return []
    kind = "bad" if memory.is_nearly_full else "doubt"
    what = "of the record's memory is used; when it is full, senders are sent away"
    return [Need(kind, f"{memory.share:.0%}", what, url_for("dashboard.sources"))]


def _of_sources(sources: dict[str, Presence], now: datetime) -> list[Need]:
    url = url_for("dashboard.sources")
    return [
        Need("calm", span_of(now - presence.newest), f"no word from source {name}", url)
        for name, presence in sources.items()
        if presence.newest and now - presence.newest > SILENT
    ]


def _list(state: State) -> str:
    return url_for("dashboard.deliveries", state=state.value)
