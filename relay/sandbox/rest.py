"""The REST addresses: the front end's bucket first, then a fault if one is due, then the call.

Waiting happens here, after the portal's lock is given back. May not know any single method.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from relay.sandbox.answers import (
    PhpError,
    Reply,
    RestError,
    as_xml,
    error_reply,
    html_reply,
    json_reply,
)
from relay.sandbox.batch import count_commands
from relay.sandbox.dispatch import answer_call
from relay.sandbox.faults import Fault, spoil
from relay.sandbox.methods import BATCH
from relay.sandbox.portal import Portal
from relay.sandbox.reading import Incoming, read_request
from relay.sandbox.request_log import Entry
from relay.sandbox.workflows import utc_time

CONNECTION = "relay.sandbox.connection"
"""Name in the WSGI environment under which the server learns what to do to the connection."""
_HEADERS = {"X-Content-Type-Options": "nosniff", "Access-Control-Allow-Origin": "*"}


def rest_blueprint(portal: Portal) -> Blueprint:
    """/rest/<user>/<secret>/<method> and /rest/<method>, by GET or POST."""
    blueprint = Blueprint("rest", __name__)

    @blueprint.route("/rest/", defaults={"tail": ""}, methods=["GET", "POST"])
    @blueprint.route("/rest/<path:tail>", methods=["GET", "POST"])
    def rest(tail: str) -> Response:
        incoming = read_request(request, tail)
        reply = _answer(portal, incoming)
        request.environ[CONNECTION] = reply.connection
        headers = {**_HEADERS, **reply.headers, "Content-Type": reply.content_type}
        return Response(reply.body, reply.status, headers)

    return blueprint


def _answer(portal: Portal, incoming: Incoming) -> Reply:
    fits, fault = _enter(portal, incoming)
    if not fits:
        reply, seconds = error_reply(RestError("QUERY_LIMIT_EXCEEDED"), portal.settings.statuses), 0.0
    elif fault is not None:
        reply, seconds = _misbehave(portal, incoming, fault)
    else:
        reply, seconds = _execute(portal, incoming)
    portal.record(_entry(portal, incoming, reply, fault))
    seconds += portal.settings.latency_ms / 1000
    if seconds > 0 and reply.connection != "reset":
        portal.sleep(seconds)
    return reply


def _enter(portal: Portal, incoming: Incoming) -> tuple[bool, Fault | None]:
    """Whether the request fits into its client's bucket, and the fault that hits it. A refused one uses up no fault."""
    with portal.lock:
        settings = portal.settings
        if not portal.buckets.take(incoming.client, portal.clock(), settings.rate, settings.burst):
            return False, None
        return True, portal.faults.take(incoming.method)


def _misbehave(portal: Portal, incoming: Incoming, fault: Fault) -> tuple[Reply, float]:
    reply, seconds = _execute(portal, incoming) if fault.executed else (html_reply(500, "Not executed"), 0.0)
    return spoil(fault, reply, portal.settings.statuses), seconds + fault.delay_s()


def _execute(portal: Portal, incoming: Incoming) -> tuple[Reply, float]:
    """The reply and the seconds until it is due; the front end cuts what takes too long, though it has run."""
    shape = as_xml if incoming.wants_xml else lambda reply: reply
    try:
        answer, seconds = answer_call(portal, incoming.method, incoming.parameters, lambda: incoming.recognise(portal))
    except RestError as error:
        return shape(error_reply(error, portal.settings.statuses)), 0.0
    except PhpError:
        return html_reply(500, "Internal Server Error"), 0.0
    if seconds > portal.settings.cut_after_s:
        return html_reply(504, "Gateway Time-out"), portal.settings.cut_after_s
    return shape(json_reply(200, answer)), seconds


def _entry(portal: Portal, incoming: Incoming, reply: Reply, fault: Fault | None) -> Entry:
    return Entry(
        at=utc_time(portal.clock()),
        method=incoming.method or "(no method)",
        user=incoming.known_user(portal),
        status=None if reply.connection == "reset" else reply.status,
        code=reply.code,
        batch_size=count_commands(incoming.parameters) if incoming.method == BATCH else None,
        fault=None if fault is None else fault.kind,
    )
