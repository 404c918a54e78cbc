"""The configuration of the days: one source, three portals, and for each portal a rule of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.days.chances import PORTALS
from tests.support.configs import write_config

SOURCE = "site"
SOURCES = {SOURCE: {"verify": {"kind": "none"}, "limit": {"events": 100_000, "bytes": "100MB"}}}
WATCHED_TEMPLATE, SLOW_TEMPLATE = 11, 12
CALLBACK = "RelayCallback"
LEAD = ["crm", "CCrmDocumentLead", "LEAD"]
TEMPLATES = [
    {"id": WATCHED_TEMPLATE, "document_type": LEAD, "parameters": {"Note": {}, CALLBACK: {}}},
    {"id": SLOW_TEMPLATE, "document_type": LEAD, "parameters": {"Note": {}}, "first_leg_s": 20},
]
PHONE = "+79990000001"


def write_rules(folder: Path) -> Path:
    """The folder with all of it."""
    write_config(folder, SOURCES, [rule for portal in PORTALS for rule in _rules(portal)])
    portals = {"portals": {name: {"plan": "self_hosted"} for name in PORTALS}}
    (folder / "portals.yaml").write_text(yaml.safe_dump(portals), "utf-8")
    return folder


def _rules(portal: str) -> Iterator[dict[str, Any]]:
    yield _rule(portal, "hold")
    yield _rule(portal, "resend", on_uncertain="resend")
    yield _rule(portal, "give_up", on_uncertain="give_up")
    yield _rule(portal, "ordered", order_by="document")
    yield _rule(portal, "pair")
    needy = _rule(portal, "pair", name="needy")
    yield {**needy, "extract": needy["extract"] | {"extra": {"from": "body.extra", "required": True}}}
    yield _rule(portal, "watched", {"template_id": WATCHED_TEMPLATE, "watch": {"callback": CALLBACK, "within": "1d"}})
    yield _rule(portal, "slow", {"template_id": SLOW_TEMPLATE})
    fired = {"portal": portal, "document_id": {"lead": "{id}"}, "code": "nwly5"}
    yield _rule(portal, "fired", trigger=fired)
    find = {"client": {"contact": {"phone": PHONE}}}
    made = {"lead": {"lead": {"title": "{note}", "contactId": "{client}"}}}
    yield _rule(portal, "found", {"document_id": {"lead": "{lead}"}}, find=find, make=made)


def _rule(portal: str, kind: str, start: dict[str, Any] | None = None, name: str = "", **more: Any) -> dict[str, Any]:
    usual = {"portal": portal, "template_id": 1, "document_id": {"lead": "{id}"}, "parameters": {"Note": "{note}"}}
    return {
        "name": f"{name or kind}-{portal}".replace("_", "-"),
        "source": SOURCE,
        "when": f"body.kind == '{kind}' && body.portal == '{portal}'",
        "extract": {"id": {"from": "body.id", "type": "integer", "required": True}, "note": {"from": "body.note"}},
        "start": usual | (start or {}),
        **more,
    }
