"""The sources: a table of how each is, and one of them open, with its address, its last requests and samples to send.

No secret is shown, but one that the sender gave, once, on request. A sample command needs curl and openssl only; its
user sets the secret in a shell variable, SECRET or TOKEN (`name:password` for HTTP Basic).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import quote_plus

from flask import flash, redirect, render_template, request, url_for

from relay.configuration.files import kept_secret_file
from relay.core.errors import NotFoundError
from relay.core.events import Event
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState
from relay.core.phrases import Phrase, phrase
from relay.operations.ingest import near_misses
from relay.sources import Form, Source
from relay.sources.proof.signatures import HmacVerifier
from relay.sources.proof.verifier import BasicVerifier, TokenVerifier, Way, words_of
from relay.sources.visitors import SENT, STARTED
from relay.store.record.search import Filter, list_events
from relay.store.record.statistics import Bar, Presence, Series
from relay.store.senders import GivenSecret, Probes
from relay.web.dashboard.frame import blueprint, who
from relay.web.dashboard.live import AWAITED, OVERVIEW
from relay.web.dashboard.new_source import config_files, hook_url, profile_of
from relay.web.language import _
from relay.web.presenters.masking import Masking
from relay.web.services import services

NEWEST = 5
"""How many requests of a source are shown."""
TAKEN = (EventState.ACCEPTED, EventState.IGNORED, EventState.REJECTED)
COUNTED = (*TAKEN, EventState.REFUSED)
RECENT_BARS = 2
"""Hours whose refusals are compared: this one, which may just have begun, and the one before."""
PAUSES, SHORTEST_SILENCE = 10, timedelta(minutes=10)
"""A source is silent after so many of its usual pauses, and not before this time."""
FEWEST_KNOWN = 10
"""Requests from which a usual pause is known."""
SPARK_WIDTH, SPARK_HEIGHT = 120, 28
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
class Row:
    """One source in the table.

    state, word: its badge. taken, refused: requests of the last day. spark: the same by hour. last_refused: the newest
    refused event of the last week. newest: in any state. silent_for: since the last request. usual_pause: between two
    requests.
    """

    name: str
    profile: str | None
    rules: int
    state: str
    word: Phrase
    taken: int
    refused: int
    spark: tuple[SparkBar, ...]
    last_refused: Event | None
    newest: Event | None
    silent_for: timedelta | None
    usual_pause: timedelta | None


@dataclass(frozen=True, slots=True)
class SparkBar:
    """One hour: what was refused at the base, what was taken above. In units of the drawing."""

    x: float
    refused: float
    taken: float


@dataclass(frozen=True, slots=True)
class SourceView:
    """One source, opened.

    counts: events of the last week by state. given: the secret that its sender gave. secrets: where its other secrets
    are. newest: its last events, in any state. form: HTML for a page; None if browsers do not send to it.
    steps: what to enter at its sender. doubts: what nobody has confirmed of it.
    """

    source: Source
    url: str
    proof: str
    snippet: str
    form: str | None
    probes: Probes
    given: GivenSecret | None
    counts: dict[str, int]
    near_misses: dict[str, int]
    newest: tuple[Event, ...]
    secrets: list[SecretPlace]
    steps: list[str]
    doubts: list[str]

    @property
    def is_awaited(self) -> bool:
        """Whether no request of it has been accepted yet."""
        return not any(event.state in TAKEN for event in self.newest) and not any(self.counts[one] for one in TAKEN)


STATES: Mapping[str, tuple[str, Phrase]] = {
    "refusing": ("rejected", phrase("Refusing")),
    "silent": ("silent", phrase("Silent")),
    "new": ("pending", phrase("Waits for the first request")),
    "receiving": ("accepted", phrase("Receiving")),
}
"""The states of a source, the worst first: the badge and the word of each."""


@blueprint.get("/sources")
def sources() -> Any:
    """Every source; the one that is named in the query is open."""
    return _page(request.args.get("open", ""))


@blueprint.post("/sources/<name>/secret/show")
def show_secret(name: str) -> Any:
    """Show the secret that a sender gave, once; the audit log says so."""
    return _page(name, services().operator_acts.reveal_secret(_known(name), who()))


@blueprint.post("/sources/<name>/secret/forget")
def forget_secret(name: str) -> Any:
    """Forget it, so that the sender gives another in its next handshake."""
    services().operator_acts.forget_secret(_known(name), who())
    flash(_("The secret of %(name)s is forgotten: let the sender set its webhook up again.", name=name))
    return redirect(url_for("dashboard.sources", open=name, _anchor=name), 303)


def _known(name: str) -> str:
    if name not in services().sources:
        raise NotFoundError(phrase("no source %(name)r", name=name))
    return name


def _page(opened: str, secret: str | None = None) -> Any:
    """The page. opened: the source that is open; empty: none. secret: its given secret, which is shown this once."""
    found, store, now = services().sources, services().store, utc_now()
    presence, series = store.statistics.of_sources(list(found)), store.statistics.series(now)
    rows = [_row(source, presence[name], series, now) for name, source in found.items()]
    order = list(STATES)
    rows.sort(key=lambda row: (order.index(row.state), row.name))
    view = _view(found[opened], series["week"]) if opened in found else None
    is_coming = bool(opened) and view is None and opened in config_files().sources_written()
    if opened and view is None and not is_coming:
        raise NotFoundError(phrase("no source %(name)r", name=opened))
    return render_template(
        "sources.html",
        fresh=None if secret else AWAITED if is_coming or (view and view.is_awaited) else OVERVIEW,
        rows=rows,
        states=STATES,
        opened=opened,
        view=view,
        is_coming=is_coming,
        waiting=services().in_force.waiting if is_coming else None,
        counted=COUNTED,
        secret=secret,
        masking=Masking(),
    )


def _row(source: Source, presence: Presence, series: Mapping[str, Series], now: datetime) -> Row:
    name, day, week = source.name, series["day"], series["week"]
    taken, refused = _counts(day.bars, name)
    recent_taken, recent_refused = _counts(day.bars[-RECENT_BARS:], name)
    _, refused_in_week = _counts(week.bars, name)
    usual = _usual_pause(day.bars, name, now) or _usual_pause(week.bars, name, now)
    silent_for = now - presence.newest if presence.newest else None
    longest = services().thresholds.silent_after.get(name) or (max(PAUSES * usual, SHORTEST_SILENCE) if usual else None)
    if recent_refused > recent_taken:
        state = "refusing"
    elif silent_for is None:
        state = "new"
    else:
        state = "silent" if longest and silent_for > longest else "receiving"
    last_refused = _last(Filter(source=name, state=EventState.REFUSED)) if refused_in_week else None
    newest = _last(Filter(source=name)) if presence.size else None
    rules = len(services().rules.for_source(name))
    spark = _spark(day.bars, name)
    return Row(
        name,
        source.profile,
        rules,
        state,
        STATES[state][1],
        taken,
        refused,
        spark,
        last_refused,
        newest,
        silent_for,
        usual,
    )


def _last(wanted: Filter) -> Event | None:
    found = list_events(services().record, wanted, limit=1).rows
    return found[0].event if found else None


def _usual_pause(bars: Sequence[Bar], name: str, now: datetime) -> timedelta | None:
    """The mean time between two requests since the first bar that has any; None if there were too few to say."""
    heard = [(bar.since, sum(_counts([bar], name))) for bar in bars]
    total = sum(count for _, count in heard)
    return (now - next(since for since, count in heard if count)) / total if total >= FEWEST_KNOWN else None


def _counts(bars: Sequence[Bar], name: str) -> tuple[int, int]:
    """How many requests of a source were taken and refused."""
    taken = sum(bar.count(f"source:{name}:{state}") for bar in bars for state in TAKEN)
    return taken, sum(bar.count(f"source:{name}:{EventState.REFUSED}") for bar in bars)


def _spark(bars: Sequence[Bar], name: str) -> tuple[SparkBar, ...]:
    counts = [_counts([bar], name) for bar in bars]
    most = max((taken + refused for taken, refused in counts), default=0)
    if not most:
        return ()
    width = SPARK_WIDTH / len(bars)
    # A single one among thousands is seen, too.
    heights = [[max(SPARK_HEIGHT * one / most, 1.0) if one else 0.0 for one in pair] for pair in counts]
    return tuple(
        SparkBar(round(width * at, 1), round(pair[1], 1), round(pair[0], 1)) for at, pair in enumerate(heights)
    )


def _newest(name: str) -> tuple[Event, ...]:
    """The last requests, refused ones too, for a person who sets a sender up."""
    return tuple(row.event for row in list_events(services().record, Filter(source=name), limit=NEWEST).rows[:NEWEST])


def _view(source: Source, week: Series) -> SourceView:
    url, name, store = hook_url(source.name), source.name, services().store
    profile = profile_of(source.profile)
    return SourceView(
        source=source,
        url=url,
        proof=words_of(source.verifier, source.addresses),
        snippet=snippet_of(source, url),
        form=form_of(source.form, url) if source.form else None,
        probes=store.senders.probes([name])[name],
        given=store.senders.secret(name) if source.keeps_secret else None,
        counts={state.value: week.total(f"source:{name}:{state}") for state in COUNTED},
        near_misses=near_misses(store, name),
        newest=_newest(name),
        secrets=secret_places(source),
        steps=profile.filled_steps({"url": url, **source.variables}) if profile else [],
        doubts=profile.doubts if profile else [],
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
    return [_place(name, environ) for name in source.secret_names]


def _place(name: str, environ: Mapping[str, str]) -> SecretPlace:
    kept = kept_secret_file(environ, name)
    file = str(kept) if kept and kept.exists() else environ.get(f"{name}_FILE")
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
