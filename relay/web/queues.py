"""RQ's own view of the queues, mounted at /rq: for operators, and for reading unless RELAY_RQ_ACTIONS is 1.

The pages are a package's (rq-dashboard) and have neither a login nor a strict policy. So everything under /rq passes
our guard, and the policy is relaxed for the package's pages only: their scripts carry a nonce, and their templates,
which put data into the page as it is and need `eval`, get the data escaped. May not change another page's headers.
"""

from __future__ import annotations

import html
import secrets
from typing import Any

import rq_dashboard
from flask import Flask, Response, abort, current_app, json, jsonify, request
from redis import Redis
from rq import Worker
from rq.exceptions import NoSuchJobError
from rq.serializers import JSONSerializer
from rq.worker.base import BaseWorker
from rq_dashboard import web

from relay.web.dashboard.frame import SAFE, admit
from relay.web.problems import problem

NAME = rq_dashboard.blueprint.name
PREFIX = "/rq"
SCRIPT = b'<script type="text/javascript">'
POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self' 'nonce-{}' 'unsafe-eval'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
ESCAPED_THERE = frozenset({"description", "exc_info"})
"""What the list of jobs, alone of the package's pages, escapes by itself."""
CHANGES_BY_GET = f"{NAME}.requeue_all"


def mount(app: Flask, redis: Redis, *, allows_actions: bool) -> None:
    """Add the pages to the application."""
    web.config.serializer = JSONSerializer
    # What the pages name as the server: its address may hold a password.
    app.config.update(RQ_DASHBOARD_REDIS_URL=("the record",), RQ_DASHBOARD_DISABLE_DELETE=not allows_actions)
    app.redis_conn = redis  # type: ignore[attr-defined] # where the package looks for it
    app.register_blueprint(rq_dashboard.blueprint, url_prefix=PREFIX)

    def guard() -> Any:
        is_change = request.method not in SAFE
        if refused := admit("operator"):
            return refused
        if not is_change and request.endpoint == CHANGES_BY_GET:
            abort(405, "this changes something: it is posted")
        if is_change and not allows_actions:
            abort(403, "RQ's view is for reading: RELAY_RQ_ACTIONS=1 lets it act")
        return None

    # In the place of the package's own, which opens a connection for each request.
    app.before_request_funcs[NAME] = [guard]
    app.after_request_funcs.setdefault(NAME, []).append(contain)
    app.view_functions[f"{NAME}.list_workers"] = list_workers
    app.register_error_handler(NoSuchJobError, lambda _error: problem(404, "no such job"))


def contain(response: Response) -> Response:
    """Let the package's pages run their own scripts, and nothing that stands in a job."""
    if response.status_code != 200:
        return response
    if response.mimetype == "application/json":
        left = ESCAPED_THERE if request.endpoint == f"{NAME}.list_jobs" else frozenset()
        response.set_data(json.dumps(_escaped(response.get_json(), left)))
    elif response.mimetype == "text/html":
        nonce = secrets.token_urlsafe(16)
        marked = SCRIPT.replace(b"<script", f'<script nonce="{nonce}"'.encode())
        response.set_data(response.get_data().replace(SCRIPT, marked))
        response.headers["Content-Security-Policy"] = POLICY.format(nonce)
    return response


def list_workers(instance_number: int) -> Response:  # noqa: ARG001 - the package's route has it
    """The workers, as the package tells them; its own view reads a running job with another serializer than ours."""
    redis = current_app.redis_conn  # type: ignore[attr-defined] # see `mount`
    workers = [_worker(one) for one in Worker.all(connection=redis, serializer=JSONSerializer)]
    return jsonify(workers=sorted(workers, key=lambda one: (one["state"], one["queues"], one["name"])))


def _worker(worker: BaseWorker) -> dict[str, Any]:
    return {
        "name": worker.name,
        "pid": worker.pid,
        "queues": [queue.name for queue in worker.queues],
        "state": str(worker.get_state()),
        "current_job": web.serialize_current_job(worker.get_current_job()),
        "last_heartbeat": worker.last_heartbeat,
        "birth_date": worker.birth_date,
        "successful_job_count": worker.successful_job_count,
        "failed_job_count": worker.failed_job_count,
        "total_working_time": worker.total_working_time,
        "version": worker.version,
        "python_version": worker.python_version,
    }


def _escaped(value: Any, left: frozenset[str]) -> Any:
    if isinstance(value, str):
        return html.escape(value)
    if isinstance(value, list):
        return [_escaped(one, left) for one in value]
    if isinstance(value, dict):
        return {name: one if name in left else _escaped(one, left) for name, one in value.items()}
    return value
