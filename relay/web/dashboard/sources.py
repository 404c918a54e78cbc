"""The sources: the address for the sender's settings, how it proves itself, when it last did. Shows no secret."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from flask import render_template, request

from relay.core.ids import utc_now
from relay.core.lifecycle import EventState
from relay.operations.ingest import PROOF
from relay.sources import Source
from relay.sources.proof.verifier import Verifier
from relay.store.record.statistics import Presence, Series
from relay.web.dashboard.frame import blueprint
from relay.web.dashboard.snippets import snippet_of
from relay.web.services import services

COUNTED = (EventState.ACCEPTED, EventState.IGNORED, EventState.REJECTED, EventState.REFUSED)
LOOKED_AT, MOST_SHOWN = 50, 5
"""Of so many refused webhooks of a source the near misses are counted; so many kinds are shown."""


@dataclass(frozen=True, slots=True)
class SourceView:
    """One source as its page shows it. counts: events of the last week by state."""

    source: Source
    url: str
    proof: str
    snippet: str
    presence: Presence
    counts: dict[str, int]
    rules: int
    near_misses: dict[str, int]


@blueprint.get("/sources")
def sources() -> Any:
    """Every source."""
    found, store = sorted(services().sources.values(), key=lambda one: one.name), services().store
    presence = store.presence_of_sources([one.name for one in found])
    week = store.series(utc_now())["week"]
    misses = _near_misses()
    views = [_view(one, presence[one.name], week, misses.get(one.name, {})) for one in found]
    return render_template("sources.html", views=views, counted=COUNTED)


def proof_of(verifier: Verifier) -> str:
    """How a sender proves itself, in words."""
    return ", or ".join(dict.fromkeys(way.words for way in verifier.ways)) or "none: anybody may send"


def _near_misses() -> dict[str, dict[str, int]]:
    """What was almost right about the newest refused webhooks of each source, counted."""
    record, misses = services().record, {}
    for source in services().sources:
        counted: Counter[str] = Counter()
        for event in record.events(services().store.newest_unproven(source, LOOKED_AT)):
            counted.update(event.errors.get(PROOF, ()))
        misses[source] = dict(counted.most_common(MOST_SHOWN))
    return misses


def _view(source: Source, presence: Presence, week: Series, near_misses: dict[str, int]) -> SourceView:
    base = services().settings.public_url or request.host_url.rstrip("/")
    url = f"{base}/hooks/{source.name}"
    return SourceView(
        source=source,
        url=url,
        proof=proof_of(source.verifier),
        snippet=snippet_of(source, url),
        presence=presence,
        counts={state.value: week.total(f"source:{source.name}:{state}") for state in COUNTED},
        rules=len(services().rules.for_source(source.name)),
        near_misses=near_misses,
    )
