"""A delivery whose end is watched for, as the door makes it of `folders.WATCHED_RULE`, and its one-time address."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Flask

from relay.core.events import Delivery
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.store.record.record import Record
from tests.support.making import claim_one
from tests.support.senders import dump, website

BASE = "https://relay.example.com"
FORM = {"form": "watched", "id": 1, "email": "ada@example.com"}


def post_watched(app: Flask, record: Record, **more: Any) -> Delivery:
    """A delivery of the rule, waiting to be sent."""
    answer = app.test_client().post("/hooks/website", data=dump(FORM | more), headers=website())
    assert answer.json
    return record.delivery(answer.json["deliveries"][0])


def start(record: Record, delivery: Delivery, ago: timedelta = timedelta(0)) -> Delivery:
    """The same, started so long ago."""
    at = utc_now() - ago
    record.settle(claim_one(record, delivery, at), State.STARTED, at, workflow_id=f"wf-{delivery.id}"[:32])
    return record.delivery(delivery.id)


def path_of(delivery: Delivery) -> str:
    """Of its address: what comes after the host."""
    assert delivery.watched
    return delivery.watched.address.removeprefix(BASE)
