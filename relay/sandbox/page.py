"""The page: what was made and what was started, in a form that a template can write down. May not change anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from relay.sandbox import php
from relay.sandbox.crm.items import Item
from relay.sandbox.documents import document_of
from relay.sandbox.portal import Portal
from relay.sandbox.workflows import utc_time

SHOWN = 200
"""Documents and workflows on the page; /sandbox/documents and /sandbox/workflows have all of them."""
CLIENTS_SHOWN = 20
LONG = 160
"""Characters of a value; a file is longer than anybody reads."""

Workflows = Mapping[str, list[Mapping[str, object]]]
"""Element of a document, such as LEAD_1001 -> the workflows on it, newest first."""


@dataclass(frozen=True, slots=True)
class Card:
    """A document that a call has made.

    name: such as LEAD_1001. made_at: UTC, ISO 8601. times_made: how many have the same own id.
    workflows: those that run on it, as GET /sandbox/workflows shows them.
    """

    name: str
    heading: str
    title: str
    fields: Mapping[str, str]
    made_at: str
    made_by: int
    method: str
    times_made: int
    workflows: tuple[Mapping[str, object], ...]


@dataclass(frozen=True, slots=True)
class Client:
    """A contact or a company that no call has made, and how it is reached."""

    heading: str
    title: str
    reached: tuple[str, ...]


def cards_of(portal: Portal, started: list[dict[str, object]]) -> list[Card]:
    """The newest documents that calls have made. started: all workflows, newest first."""
    running: dict[str, list[Mapping[str, object]]] = {}
    for workflow in started:
        element = (php.as_map(workflow["document"]) or {}).get("2")
        running.setdefault(str(element), []).append(workflow)
    return [_card(portal, item, running) for item in reversed(portal.items.made[-SHOWN:])]


def known_clients(portal: Portal) -> list[Client]:
    """Whom a form may name, so that he is found."""
    clients = [item for item in portal.items.seeded if item.multifields][:CLIENTS_SHOWN]
    return [Client(_heading(item), _title(item), tuple(each.value for each in item.multifields)) for item in clients]


def _card(portal: Portal, item: Item, running: Workflows) -> Card:
    name = document_of(item.entity.name, item.id).element
    return Card(
        name=name,
        heading=_heading(item),
        title=_title(item),
        fields={
            field: _text(field, value)
            for field, value in item.given.items()
            if field != "title" and value not in (None, "", [])
        },
        made_at=utc_time(item.created_at),
        made_by=item.created_by,
        method=item.method or "",
        times_made=portal.items.times_made_of(item),
        workflows=tuple(running.get(name, ())),
    )


def _heading(item: Item) -> str:
    return f"{item.entity.title} {item.id}"


def _title(item: Item) -> str:
    """The title, or a person's names."""
    names = [item.values.get(name) for name in ("name", "lastName")]
    return str(item.values.get("title") or " ".join(str(name) for name in names if name))


def _text(field: str, value: object) -> str:
    """A value as one short text; phones and e-mails without the words around them."""
    members = php.as_map(value)
    if field == "fm" and members:
        entries = [php.as_map(member) or {} for member in members.values()]
        text = ", ".join(str(entry.get("value", "")) for entry in entries)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONG else f"{text[:LONG]}…"
