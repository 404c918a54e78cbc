"""What is asked of a large record: every page, every list of the API, and each kind of search, by name and address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from redis import Redis

from relay.core.ids import DELIVERY_PREFIX, EVENT_PREFIX, earliest_id, iso
from relay.core.lifecycle import EventState, State
from relay.store.redis import keys
from relay.web.dashboard.numbers import GROUPS
from relay.web.presenters.bulk_acts import STATES
from tests.bench.filling import FIRST, KINDS, SPREAD, Sample, workflow_of

MIDDLE = FIRST + SPREAD / 2
PLACE = 77
"""Which event, delivery and so on is opened."""
DRAFT = """name: trying
source: website
when: body.form == 'demo'
extract:
  lead_id: {from: body.lead.id, type: integer, required: true, min: 1}
  email: {from: body.email, type: email}
start:
  portal: main
  template_id: 3
  document_id: {lead: "{lead_id}"}
  parameters: {Email: "{email}"}
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One page or answer. form: what is posted."""

    name: str
    path: str
    form: Mapping[str, str] | None = None


def calls(redis: Redis) -> Iterator[Call]:
    """All of it, but the trial."""
    for place, kind in (("/api/v1", "events"), ("/api/v1", "deliveries"), ("", "events")):
        for name, query in (*_queries(), *_searches(redis), *_deep(kind)):
            yield Call(f"{place or 'page '}/{kind}  {name}", f"{place}/{kind}?{query}")
    for tab in ("person", "waiting"):
        for name, query in (("first page", ""), ("source", "&source=website"), *_deep("events")):
            yield Call(f"page /events  tab={tab}, {name}", f"/events?tab={tab}&{query.replace('&state=dead', '')}")
    yield Call("page /events  words of a body", "/events?q=person+of+no+name")
    for name in ("events", "deliveries", "needs", "audit", "rules", "portals"):
        yield Call(f"/api/v1/{name}", f"/api/v1/{name}")
    for path in ("events", "deliveries"):
        yield Call(f"/api/v1/{path}/<id>", f"/api/v1/{path}/{_one(redis, path)}")
        yield Call(f"page /{path}/<id>", f"/{path}/{_one(redis, path)}")
    yield Call("/metrics", "/metrics")
    yield Call("/readyz", "/readyz")
    yield from _pages(_one(redis, "events"))


def trial_call(redis: Redis) -> Call:
    """A draft, tried on what is on record."""
    return Call("of the studio", "/studio", {"event_id": _one(redis, "events"), "text": DRAFT, "act": "try"})


def _queries() -> Iterator[tuple[str, str]]:
    """Filters, alone and together, those with nothing in common too."""
    since, until = quote(iso(MIDDLE)), quote(iso(MIDDLE + timedelta(hours=6)))
    first, rare = KINDS[0], KINDS[-1]
    yield "first page", ""
    for state in (*EventState, *State):
        yield f"state={state}", f"state={state}"
    yield from (
        ("rule", f"rule={first.rule}"),
        ("portal", "portal=main"),
        ("code", f"code={first.code}"),
        ("document_id", "document_id=LEAD_4711"),
        ("template_id", f"template_id={first.template_id}"),
        ("source", "source=github"),
        ("source+state", "source=website&state=dead"),
        ("source+state, nothing", "source=github&state=pending"),
        ("rare source+state", f"source={rare.source}&state=dead"),
        ("rule+code, disjoint", f"rule={rare.rule}&code={first.code}"),
        ("rule+code+source, disjoint", f"rule={KINDS[1].rule}&code={first.code}&source=website"),
        ("portal+state+rule+time", f"portal=main&state=dead&rule={first.rule}&since={since}&until={until}"),
    )


def _searches(redis: Redis) -> Iterator[tuple[str, str]]:
    words = {
        "e-mail": "person4711@example.com", "e-mail, in capitals": "Person4711@Example.com",
        "number": "8 (912) 345-67-89",
        "workflow": workflow_of(Sample(1, 1, 0)), "event": _one(redis, "events"), "delivery": _one(redis, "deliveries"),
        "document": "lead_4711", "code": KINDS[0].code, "rule": KINDS[0].rule, "template": str(KINDS[0].template_id),
        "nothing": "nobody@example.com",
    }  # fmt: skip
    return ((f"q: {name}", urlencode({"q": word})) for name, word in words.items())


def _deep(kind: str) -> Iterator[tuple[str, str]]:
    """Pages in the middle of the record."""
    event, delivery = (earliest_id(prefix, MIDDLE) + "0" * 16 for prefix in (EVENT_PREFIX, DELIVERY_PREFIX))
    yield "deep cursor", f"cursor={event if kind == 'events' else delivery}"
    yield "deep, dead", f"cursor={delivery}&state=dead"


def _pages(event: str) -> Iterator[Call]:
    for path in (
        "/", "/needs", "/rules", "/rules/changes", "/rules/try", "/sources", "/portals", "/bulk", "/log",
        "/log?who=nobody", "/numbers", "/numbers?by=source", "/alerts",
        "/sessions", f"/events/{event}/replay", f"/studio?event_id={event}", "/studio?source=website",
        f"/studio?rule={KINDS[0].rule}",
    ):  # fmt: skip
        yield Call(f"page {path.replace(event, '<id>')}", path)
    for state in STATES:
        yield Call(f"page /bulk?state={state}", f"/bulk?state={state}")
    for by in GROUPS:
        yield Call(f"page /numbers by {by}", f"/numbers?by={by}&day={MIDDLE:%Y-%m-%d}")
    yield Call("page /numbers, nothing counted", "/numbers?day=2025-01-01")


def _one(redis: Any, kind: str) -> str:
    (found,) = redis.zrange(keys.PREFIX + kind, PLACE, PLACE)
    return str(found.decode())
