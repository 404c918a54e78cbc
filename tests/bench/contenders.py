"""What the relay is measured against: at the door `contenders:bare` and `contenders:by_hand`, as gunicorn serves them,
and at the other end of the queue `contenders.start_workflow`, as RQ's worker runs it.

by_hand is what people write: Flask, a marshmallow schema, a job of RQ for each post. Nothing is kept but the job.
Needs BENCH_REDIS_URL for by_hand.
"""

from __future__ import annotations

import os
from typing import Any

import requests
from flask import Flask, Response, jsonify, request
from marshmallow import INCLUDE, Schema, ValidationError, fields
from redis import Redis
from rq import Queue

bare = Flask("bare")
by_hand = Flask("by_hand")


@bare.post("/hooks/website")
def parse() -> Response:
    """Read the JSON, and say so."""
    request.get_json()
    return jsonify({"state": "accepted"})


class LeadSchema(Schema):
    id = fields.Integer(required=True)


class PostSchema(Schema):
    class Meta:
        unknown = INCLUDE

    lead = fields.Nested(LeadSchema, required=True)
    user = fields.Integer(required=True)


SCHEMA = PostSchema()


@by_hand.post("/hooks/website")
def enqueue() -> Any:
    """Check a token, validate, enqueue."""
    if request.headers.get("X-Relay-Token") != os.environ["BENCH_TOKEN"]:
        return jsonify({"error": "not verified"}), 401
    try:
        content = SCHEMA.load(request.get_json())
    except ValidationError as error:
        return jsonify(error.messages), 422
    parameters = {"Parameter1": f"user_{content['user']}"}
    job = _queue().enqueue("workers.start", 1, f"LEAD_{content['lead']['id']}", parameters)
    return jsonify({"job": job.id})


def _queue() -> Queue:
    # Made at the first post: after gunicorn has forked.
    queue: Queue | None = by_hand.extensions.get("queue")
    if queue is None:
        # A connection for each request: with the hundred that redis-py allows, many would be answered with a 500.
        redis = Redis.from_url(os.environ["BENCH_REDIS_URL"], max_connections=1_000)
        queue = by_hand.extensions["queue"] = Queue("by-hand", connection=redis)
    return queue


SESSION = requests.Session()


def start_workflow(portal: str, lead: int) -> str:
    """A job of RQ: start a workflow at this address, which ends with a slash; its id."""
    call = {"TEMPLATE_ID": 1, "DOCUMENT_ID": ["crm", "CCrmDocumentLead", f"LEAD_{lead}"], "PARAMETERS": {}}
    answer = SESSION.post(f"{portal}bizproc.workflow.start", json=call, timeout=10)
    answer.raise_for_status()
    return str(answer.json()["result"])
