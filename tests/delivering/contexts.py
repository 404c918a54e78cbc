"""Contexts of workers for tests: real parts, except that the clock stands still and chance gives nothing away."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import gevent
import requests

from relay.configuration.portals import OwnIds, Portal
from relay.core.events import Delivery, Event, Policy
from relay.core.ids import new_delivery_id, new_event_id, utc_now
from relay.core.lifecycle import EventState, State
from relay.core.plan import Call
from relay.queue.jobs import queue_key
from relay.sandbox.applications.registry import CLIENT_ID, CLIENT_SECRET
from relay.sandbox.applications.tokens import FIRST_ACCESS_TOKEN, FIRST_REFRESH_TOKEN
from relay.store import Store
from relay.store.record.entries import Entry
from relay.store.record.record import Record
from tests.support.making import write
from workers.bitrix24 import oauth
from workers.delivery import worker
from workers.delivery.deliver import deliver_next
from workers.delivery.reconcile import reconcile_next
from workers.portal.context import Context
from workers.portal.credentials import Address, OAuthApp

SECRET = "sandbox"
QUEUE = queue_key("main")
GATE = "relay:gate:main"
LEAD = ("crm", "CCrmDocumentLead", "LEAD_1")


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = utc_now()

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


class PortalTime:
    """The portal's clock. It may be moved; what the portal waits for passes at once, unless it is to wait really."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.offset_s, self.is_real = 0.0, False

    def __call__(self) -> float:
        return time.time() + self.offset_s

    def advance(self, seconds: float) -> None:
        self.offset_s += seconds

    def sleep(self, seconds: float) -> None:
        if self.is_real:
            gevent.sleep(seconds)
        else:
            self.advance(seconds)


def make_portal(**changes: Any) -> Portal:
    """As fast as one likes, so that nothing is worth a batch; `rate_per_s` and `burst` make it otherwise."""
    portal = Portal("main", "self_hosted", None, 1, own_id=OwnIds.OFF, batch=50, settle_after_s=60.0)
    if "own_id" in changes:
        changes["own_id"] = OwnIds(changes["own_id"])
    return replace(portal, **changes)


BATCHING = {"rate_per_s": 1000.0, "burst": 1}
"""Fast, but never two at once: what waits together goes as a batch."""


def use_webhook(url: str, user: int = 1, secret: str = SECRET, **changes: Any) -> Address:
    return Address(make_portal(**changes), f"{url}/rest/{user}/{secret}/")


def use_app(
    url: str,
    *,
    server: str | None = None,
    secret: str = CLIENT_SECRET,
    client: str = CLIENT_ID,
    refresh: str = FIRST_REFRESH_TOKEN,
) -> Address:
    endpoint = f"{url}/rest/"
    first = oauth.Tokens(FIRST_ACCESS_TOKEN, refresh, endpoint, server or url)
    return Address(make_portal(), endpoint, OAuthApp(client, secret, first))


def make_context(record: Record, address: Address, clock: Clock) -> Context:
    return replace(Context.open(Store(record.redis), address), clock=clock, chance=lambda: 0.0)


def add(
    record: Record,
    *,
    portal: str = "main",
    lead: int = 1,
    template: int = 1,
    document: tuple[str, str, str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    policy: Policy = Policy(),  # noqa: B008 - frozen
    at: datetime | None = None,
) -> Delivery:
    """Record an event with one delivery, which came a moment ago."""
    at = at or _a_moment_ago()
    call = Call(portal, template, document or (*LEAD[:2], f"LEAD_{lead}"), {"Note": "n"} | dict(parameters or {}))
    event_id, delivery_id = new_event_id(at), new_delivery_id(at)
    event = Event(event_id, "website", EventState.ACCEPTED, at, "POST", "", "", {}, b"{}", deliveries=(delivery_id,))
    delivery = Delivery(delivery_id, event_id, "a-rule", call, State.PENDING, at, at, policy=policy)
    write(record, Entry(event, [delivery]))
    return delivery


_arrivals = [utc_now() - timedelta(seconds=10)]


def _a_moment_ago() -> datetime:
    """Later than the one before: what comes in the same millisecond has no order."""
    _arrivals.append(max(_arrivals.pop() + timedelta(milliseconds=1), utc_now() - timedelta(seconds=10)))
    return _arrivals[0]


def send(context: Context, delivery: Delivery) -> Delivery:
    """Send what is next in line, which this delivery is or is sent with; how the delivery is then."""
    deliver_next(context, context.survey())
    return context.record.delivery(delivery.id)


def look_into(context: Context, delivery: Delivery) -> Delivery:
    """Look into the uncertain delivery whose time has come first, which is this one; how it is then."""
    reconcile_next(context)
    return context.record.delivery(delivery.id)


def work_off(context: Context) -> int:
    """Do what is to be done now, until there is nothing; how many steps that took."""
    count = 0
    while worker.step(context):
        count += 1
    return count


def started_documents(portal: Any) -> list[str]:
    """The documents of every workflow, oldest first."""
    return [workflow["document"][2] for workflow in reversed(portal.started())]


def methods(portal: Any) -> dict[str, int]:
    """How often each method was called."""
    return dict(portal.log.counters()["by_method"])


def batch_sizes(portal: Any) -> list[int]:
    """The sizes of the batches, in order; a plain call is 1."""
    rows = [row for row in portal.log.to_json()["requests"] if row["method"] in ("batch", "bizproc.workflow.start")]
    return [row["batch_size"] or 1 for row in reversed(rows)]


def start_by_hand(url: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A start that is none of ours."""
    answer = requests.post(f"{url}/rest/1/{SECRET}/bizproc.workflow.start", json=parameters, timeout=5)
    content: dict[str, Any] = answer.json()
    return content


def alerts(record: Record) -> list[str]:
    """The kinds of the alerts on record."""
    redis: Any = record.redis
    return [fields[b"kind"].decode() for _, fields in redis.xrange("relay:alerts")]
