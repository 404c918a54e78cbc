"""What became of a webhook, as the answer to its sender: our JSON, or what its source says instead.

And what every answer of the web process has, to a machine as to a browser: headers that keep it from being misused.
"""

from __future__ import annotations

import json
from typing import Any

from flask import Response

from relay.core.faults import codes_of
from relay.operations.ingest import Ingested, Probed
from relay.sources import Source
from relay.sources.answers import PLAIN, Rendered
from relay.web import visitors
from relay.web.problems import problem

CACHE = "Cache-Control"
PROTECTION = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    CACHE: "no-store",
}


def protect(response: Response, *, is_kept: bool = False) -> Response:
    """Headers for every answer: no framing, no inline code, nothing of a person cached. is_kept: it may be cached."""
    headers = response.headers
    present = {name.lower() for name, _ in headers}
    for name, value in PROTECTION.items():
        if name.lower() not in present and not (is_kept and name == CACHE):
            headers.add(name, value)
    return response


def answer_to(source: Source, outcome: Ingested | Probed) -> Response:
    """The answer to a request of this source."""
    if isinstance(outcome, Probed):
        return _rendered(outcome.answer)
    if outcome.is_rejected and source.on_invalid != "accept":
        if visitors.is_visit(source):
            return visitors.tell_faults(source, outcome.errors)
        detail = "no rule could use the event; it is kept and can be replayed"
        return problem(422, detail, errors=outcome.errors, codes=codes_of(outcome.errors), **_named(outcome))
    if visitors.is_visit(source):
        return visitors.thank(source)
    if outcome.answer:
        return _rendered(outcome.answer)
    return Response(
        json.dumps(outcome.to_wire(), sort_keys=True), source.success_status, content_type="application/json"
    )


def refusal_of(source: Source) -> Response:
    """The answer to who is not proven, which says nothing else; without a body where the sender wants none, as Xero."""
    if source.answer and source.answer.is_empty:
        return Response(b"", 401, content_type=PLAIN)
    return problem(401, "not verified")


def _named(outcome: Ingested) -> dict[str, Any]:
    wire = outcome.to_wire()
    return {name: wire[name] for name in ("event_id", "events") if name in wire}


def _rendered(answer: Rendered) -> Response:
    """What a source or a profile wrote. `protect` sees to it that no browser takes it for something else."""
    return Response(answer.body, answer.status, dict(answer.headers), content_type=answer.content_type)
