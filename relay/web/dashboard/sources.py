"""The sources: the address for the sender's settings, its proof, its last events; samples to send and to embed.

No secret is shown, but one that the sender gave, once, on request. A sample command needs curl and openssl only; its
user sets the secret in a shell variable, SECRET or TOKEN (`name:password` for HTTP Basic).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import quote_plus

from flask import flash, redirect, render_template, request, url_for

from relay.core.errors import NotFoundError
from relay.core.events import Event
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState
from relay.core.phrases import phrase
from relay.operations.ingest import near_misses
from relay.sources import Form, Source
from relay.sources.proof.signatures import HmacVerifier
from relay.sources.proof.verifier import BasicVerifier, TokenVerifier, Way, words_of
from relay.sources.visitors import SENT, STARTED
from relay.store.record.search import Filter, list_events
from relay.store.record.statistics import Presence, Series
from relay.store.senders import GivenSecret, Probes
from relay.web.dashboard.frame import blueprint, who
from relay.web.dashboard.live import OVERVIEW
from relay.web.language import _
from relay.web.presenters.masking import Masking
from relay.web.services import services

NEWEST = 5
"""How many requests of a source are shown."""
COUNTED = (EventState.ACCEPTED, EventState.IGNORED, EventState.REJECTED, EventState.REFUSED)
BODY = '{"lead": {"id": 1}}'
HEX = "od -An -v -tx1 | tr -d ' \\n'"
"""Bytes as hexadecimal digits."""
CLOCKS = {"s": "TIME=$(date +%s)", "ms": "TIME=$(date +%s)000", "iso": "TIME=$(date -u +%Y-%m-%dT%H:%M:%SZ)"}
VARIABLES = {"body": "$BODY", "timestamp": "$TIME", "id": "$ID", "method": "$METHOD", "url": "$URL"}
FILL_TIMES = f"""\
  <input type="hidden" name="{STARTED}"><input type="hidden" name="{SENT}">
  <script>
    {{
      const form = document.currentScript.closest("form");
      const [visit] = performance.getEntriesByType("navigation");
      if (visit?.type !== "back_forward") form.{STARTED}.value = Date.now();
      form.addEventListener("submit", () => {{ form.{SENT}.value ||= Date.now(); }});
    }}
  </script>"""
"""Sets no start for a visitor who comes back to the form, who may be quick. Two clicks send the same second time."""


@dataclass(frozen=True, slots=True)
class SourceView:
    """One source as its page shows it.

    counts: events of the last week by state. given: the secret that its sender gave. secrets: where its other secrets
    are. newest: its last events, in any state. form: HTML for a page; None if browsers do not send to it.
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
    """Show the secret that a sender gave, once; the audit log says so."""
    return _page(name, services().operator_acts.reveal_secret(_known(name), who()))


@blueprint.post("/sources/<name>/secret/forget")
def forget_secret(name: str) -> Any:
    """Forget it, so that the sender gives another in its next handshake."""
    services().operator_acts.forget_secret(_known(name), who())
    flash(_("The secret of %(name)s is forgotten: let the sender set its webhook up again.", name=name))
    return redirect(url_for("dashboard.sources", _anchor=name), 303)


def _known(name: str) -> str:
    if name not in services().sources:
        raise NotFoundError(phrase("no source %(name)r", name=name))
    return name


def _page(shown: str | None = None, secret: str | None = None) -> Any:
    """The page. shown: the source whose given secret is shown this once. secret: that secret."""
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
    """The last requests, refused ones too, for a person who sets a sender up."""
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


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """One secret. file: the file that holds it, whose changes are followed; None: it is in the environment.

    changed_at: of the file; None if there is no file, or it cannot be read.
    """

    name: str
    file: str | None
    changed_at: datetime | None


def secret_places(source: Source, environ: Mapping[str, str] = os.environ) -> list[SecretPlace]:
    """The place of each secret that proves the source's sender."""
    return [_place(name, environ.get(f"{name}_FILE")) for name in source.secret_names]


def _place(name: str, file: str | None) -> SecretPlace:
    try:
        changed_at = datetime.fromtimestamp(Path(file).stat().st_mtime, UTC) if file else None
    except OSError:
        changed_at = None
    return SecretPlace(name, file, changed_at)


def snippet_of(source: Source, url: str) -> str:
    """The command, one step a line. If a shell cannot sign this way, the relay's own command that can."""
    way = next((way for way in source.verifier.ways if _can_be_shown(way)), None)
    if way is None and not source.is_open:
        return f"python -m relay sources test {source.name}"
    method = source.methods[0]
    address, headers, before = quote(url), ["-H 'Content-Type: application/json'"], [f"BODY={quote(BODY)}"]
    if isinstance(way, BasicVerifier):
        headers.append('-u "$TOKEN"')
    elif isinstance(way, TokenVerifier):
        if way.place.header:
            headers.append(_header(way.place.header, way.prefix, "$TOKEN"))
        else:
            before.append(f"ENCODED=$(printf %s \"$TOKEN\" | {HEX} | sed 's/../%&/g')")
            name = quote_plus(way.place.query or "")
            address = quote(f"{url}?{name}={quote_plus(way.prefix)}") + '"$ENCODED"'
    elif isinstance(way, HmacVerifier):
        before += _signing(way, method, url)
        headers += _proof(way)
    return "\n".join([*before, " \\\n  ".join([f"curl -X {method} {address}", *headers, '--data-binary "$BODY"'])])


def _can_be_shown(way: Way) -> bool:
    """Whether curl and openssl can produce this proof."""
    if isinstance(way, HmacVerifier):
        is_timed = way.clock is None or way.clock.place is None or bool(way.clock.place.header)
        return bool(way.place.header) and way.signed.kinds <= VARIABLES.keys() and is_timed and not way.body_digest
    return isinstance(way, BasicVerifier) or (isinstance(way, TokenVerifier) and way.place.field is None)


def _signing(verifier: HmacVerifier, method: str, url: str) -> list[str]:
    """The lines that set the signed values and SIGNATURE."""
    names = verifier.signed.kinds
    settings = {
        "timestamp": CLOCKS[verifier.clock.unit if verifier.clock else "s"],
        "id": "ID=sample-$(date +%s)",
        "method": f"METHOD={method}",
        "url": f"URL={quote(url)}",
    }
    pieces = [f'"{VARIABLES[part.kind]}"' if part.kind else quote(part.argument) for part in verifier.signed.parts]
    before, key = [], '-hmac "$SECRET"'
    if verifier.key == "hex":
        key = '-mac HMAC -macopt hexkey:"$SECRET"'
    elif verifier.key == "base64":
        key = '-mac HMAC -macopt hexkey:"$KEY"'
        before.append(f'KEY=$(printf %s "${{SECRET#whsec_}}" | openssl base64 -d -A | {HEX})')
    digest = f"printf %s {' '.join(pieces)} | openssl dgst -{verifier.algorithm} {key}"
    # In one line (-A): base64 alone breaks lines after 76 characters, in the middle of a SHA-512.
    end = {
        "hex": " -r | cut -d ' ' -f 1",
        "base64": " -binary | openssl base64 -A",
        "base64url": " -binary | openssl base64 -A | tr '+/' '-_' | tr -d =",
    }
    return [
        *before,
        *(settings[name] for name in settings if name in names),
        f"SIGNATURE=$({digest}{end[verifier.encoding]})",
    ]


def _proof(verifier: HmacVerifier) -> list[str]:
    """The headers with the signature, its time and its id."""
    headers = []
    if verifier.parts:
        signature, time = verifier.parts
        stamp = f'{quote(f"{time}=")}"$TIME"{quote(verifier.separator or ",")}' if time else ""
        field = f'{stamp}{quote(f"{signature}={verifier.prefix}")}"$SIGNATURE"'
        headers.append(f"-H {quote(f'{verifier.place.header}: ')}{field}")
    else:
        headers.append(_header(verifier.place.header or "", verifier.prefix, "$SIGNATURE"))
    if verifier.clock and verifier.clock.place and verifier.clock.place.header:
        headers.append(_header(verifier.clock.place.header, "", "$TIME"))
    if verifier.id_header:
        headers.append(_header(verifier.id_header, "", "$ID"))
    return headers


def _header(name: str, prefix: str, variable: str) -> str:
    return f'-H {quote(f"{name}: {prefix}")}"{variable}"'


def form_of(form: Form, url: str) -> str:
    """A form that sends to this address; its fields are examples."""
    lines = [
        f'<form action="{escape(url)}" method="post" accept-charset="utf-8">',
        '  <p><label>Name <input name="name" autocomplete="name"></label></p>',
        '  <p><label>E-mail <input name="email" autocomplete="email"></label></p>',
    ]
    if form.honeypot:
        field = f'<input name="{escape(form.honeypot)}" tabindex="-1" autocomplete="off">'
        lines.append(f"  <p hidden><label>Leave this empty {field}</label></p>")
    if form.min_fill_s:
        lines.append(FILL_TIMES)
    return "\n".join([*lines, "  <p><button>Send</button></p>", "</form>"])
