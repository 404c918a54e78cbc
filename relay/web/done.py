"""`/done/<token>`: the completion callback, a one-time address that the workflow's template calls at its end.

The token is the only proof; a stranger without one costs one lookup in the record. No answer and no log line holds it.
Only GET and POST count: a link checker that sends HEAD ends nothing.
"""

from __future__ import annotations

from flask import Blueprint, Response, abort, request

from relay.core.events import PATH, TOKEN
from relay.core.ids import utc_now
from relay.core.telemetry import get_logger
from relay.web.problems import problem
from relay.web.services import services

blueprint = Blueprint("done", __name__)
log = get_logger()
METHODS = ["GET", "POST"]
MOST_PAIRS, LONGEST_QUERY = 50, 4_000
"""How much of a query is kept. The rest is cut: the end itself must not be lost over a long query."""
LONGEST_BODY, LONGEST_ID = 16_000, 255


@blueprint.route(f"{PATH}<token>", methods=METHODS, provide_automatic_options=False)
def done(token: str) -> Response:
    """Record the end of a workflow, once."""
    if request.method not in METHODS:
        return problem(405, f"call with {' or '.join(METHODS)}", {"Allow": ", ".join(METHODS)})
    endings = services().store.endings
    if not TOKEN.fullmatch(token) or not endings.is_known(token):
        abort(404, "not found")
    query = bounded(request.query_string.decode("ascii", "replace"))
    ending = endings.finish(token, utc_now(), query, _document_id())
    if ending is None:
        abort(404, "not found")
    log.info("delivery.finished", delivery_id=ending.delivery_id, first=ending.is_first)
    if ending.replayed_by:
        portal = services().record.delivery(ending.delivery_id).call.portal
        gate = services().store.portal(portal).gate
        gate.alert("started_after_all", utc_now(), delivery=ending.delivery_id, replay=ending.replayed_by)
    return Response("ok\n", content_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})


def bounded(query: str) -> str:
    """The first pairs of a query, still encoded, within the limits above."""
    kept, size = [], 0
    for pair in query.split("&", MOST_PAIRS)[:MOST_PAIRS]:
        size += len(pair) + 1
        if size > LONGEST_QUERY:
            break
        kept.append(pair)
    return "&".join(kept)


def _document_id() -> tuple[str, ...]:
    """The document on which the template ran: the activity "Webhook" posts `document_id[0]` to `[2]`.

    Source: bizproc/activities/bitrix/webhookactivity. Empty if it is missing: the call itself is enough.
    """
    request.max_content_length = LONGEST_BODY
    try:
        members = tuple(request.form.get(f"document_id[{index}]", "")[:LONGEST_ID] for index in range(3))
    except Exception:  # noqa: BLE001 - too long, cut off, or no form: the workflow has ended all the same
        return ()
    return members if all(members) else ()
