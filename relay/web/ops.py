"""What machines ask: is the process alive, can it take events, how is everything."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, json

from relay import __version__
from relay.core.errors import RecordUnavailableError
from relay.web.metrics import is_from_here, tell_metrics
from relay.web.services import services

blueprint = Blueprint("ops", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """The process answers."""
    return _json({"status": "ok"}, 200)


@blueprint.get("/readyz")
def readyz() -> Response:
    """It can take events: rules are loaded and Redis takes writes. 503 otherwise."""
    try:
        writable = services().record.is_writable()
    except RecordUnavailableError:
        writable = False
    body = {
        "status": "ready" if writable else "not_ready",
        "version": __version__,
        "redis_writable": writable,
        "rules": services().rules.digest,
        "spooled_requests": services().spooler.held().requests,
        "configuration": _configuration(),
    }
    return _json(body, 200 if writable else 503)


def _configuration() -> Mapping[str, object]:
    """What is in force here, and which changed files wait: to everybody by file and line, here with what is wrong."""
    in_force = services().in_force
    waiting = in_force.waiting
    told: dict[str, object] = {
        "digest": in_force.loaded.files.digest,
        "in_force_since": in_force.loaded.since.isoformat(),
        "waiting": None,
    }
    if waiting:
        shown = [str(one) if is_from_here() else one.place for one in waiting.mistakes]
        told["waiting"] = {"since": waiting.since.isoformat(), "mistakes": shown}
    return told


@blueprint.get("/metrics")
def metrics() -> Response:
    """For Prometheus; who may ask says relay/web/metrics.py."""
    return tell_metrics()


def _json(body: Mapping[str, object], status: int) -> Response:
    return Response(json.dumps(body), status, {"Cache-Control": "no-store"}, content_type="application/json")
