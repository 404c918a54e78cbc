"""The sources: the address for the sender's settings, how it proves itself, when it last did. Shows no secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import flash, redirect, render_template, request, url_for

from relay.core.errors import NotFoundError
from relay.core.events import Event
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState
from relay.core.phrases import phrase
from relay.operations.ingest import near_misses
from relay.sources import Source
from relay.sources.proof.verifier import words_of
from relay.store.record.search import Filter, list_events
from relay.store.record.statistics import Presence, Series
from relay.store.senders import GivenSecret, Probes
from relay.web.dashboard.form_snippets import form_of
from relay.web.dashboard.frame import blueprint, who
from relay.web.dashboard.live import OVERVIEW
from relay.web.dashboard.snippets import snippet_of
from relay.web.language import _
from relay.web.presenters.masking import Masking
from relay.web.presenters.secret_places import SecretPlace, secret_places
from relay.web.services import services

NEWEST = 5
"""Of the requests of a source, so many are shown."""
COUNTED = (EventState.ACCEPTED, EventState.IGNORED, EventState.REJECTED, EventState.REFUSED)


@dataclass(frozen=True, slots=True)
class SourceView:
    """One source as its page shows it. counts: events of the last week by state. given: what its sender gave.
    secrets: where those are that its sender was given.

    newest: its last events, whatever became of them.
    form: what its owner may put on a page; None where no browsers come.
    """

    source: Source
    url: str
    proof: str
    snippet: str
    form: str | None
    presence: Presence
    probes: Probes
    given: GivenSecret | None
    counts: dict[str, int]
    rules: int
    near_misses: dict[str, int]
    newest: tuple[Event, ...]
    secrets: list[SecretPlace]


@blueprint.get("/sources")
def sources() -> Any:
    """Every source."""
    return _page()


@blueprint.post("/sources/<name>/secret/show")
def show_secret(name: str) -> Any:
    """Show the secret that a sender gave, once; that it was shown is in the audit log."""
    return _page(name, services().operator_acts.reveal_secret(_known(name), who()))


@blueprint.post("/sources/<name>/secret/forget")
def forget_secret(name: str) -> Any:
    """Forget it, so that the sender's next handshake gives another."""
    services().operator_acts.forget_secret(_known(name), who())
    flash(_("The secret of %(name)s is forgotten: let the sender set its webhook up again.", name=name))
    return redirect(url_for("dashboard.sources", _anchor=name), 303)


def _known(name: str) -> str:
    if name not in services().sources:
        raise NotFoundError(phrase("no source %(name)r", name=name))
    return name


def _page(shown: str | None = None, secret: str | None = None) -> Any:
    """The page. shown, secret: the source whose given secret is shown this once."""
    found, store = sorted(services().sources.values(), key=lambda one: one.name), services().store
    names = [one.name for one in found]
    presence, probes = store.statistics.of_sources(names), store.senders.probes(names)
    week = store.statistics.series(utc_now())["week"]
    views = [_view(one, presence[one.name], probes[one.name], week) for one in found]
    return render_template(
        "sources.html",
        fresh=None if secret else OVERVIEW,
        views=views,
        counted=COUNTED,
        shown=shown,
        secret=secret,
        masking=Masking(),
    )


def _newest(name: str) -> tuple[Event, ...]:
    """The last requests, refused ones among them: what somebody looks at who sets a sender up."""
    return tuple(row.event for row in list_events(services().record, Filter(source=name), limit=NEWEST).rows[:NEWEST])


def _view(source: Source, presence: Presence, probes: Probes, week: Series) -> SourceView:
    base = services().settings.public_url or request.host_url.rstrip("/")
    url = f"{base}/hooks/{source.name}"
    return SourceView(
        source=source,
        url=url,
        proof=words_of(source.verifier),
        snippet=snippet_of(source, url),
        form=form_of(source.form, url) if source.form else None,
        presence=presence,
        probes=probes,
        given=services().store.senders.secret(source.name) if source.keeps_secret else None,
        counts={state.value: week.total(f"source:{source.name}:{state}") for state in COUNTED},
        rules=len(services().rules.for_source(source.name)),
        near_misses=near_misses(services().store, source.name),
        newest=_newest(source.name),
        secrets=secret_places(source),
    )
