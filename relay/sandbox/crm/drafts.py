"""From what somebody gives to an item with everything that the portal writes itself. May not store it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relay.sandbox.crm.contents import read_contents
from relay.sandbox.crm.fields import fields_of, name_in
from relay.sandbox.crm.items import Item, Items
from relay.sandbox.crm.multifields import MultiField
from relay.sandbox.crm.types import LEAD, EntityType
from relay.sandbox.settings import Settings
from relay.sandbox.workflows import iso_time


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to become an item.

    given: the fields as they were given. by: a user. method: see Item. number: its id; None for the next one.
    """

    entity: EntityType
    given: Mapping[str, object]
    multifields: tuple[MultiField, ...] = ()
    by: int = 1
    method: str | None = None
    number: int | None = None


def form_item(draft: Draft, items: Items, settings: Settings, now: float) -> Item:
    """The item. now: seconds since 1970. Raises what read_contents raises."""
    entity, fields = draft.entity, fields_of(draft.entity, settings)
    given = {name_in(fields, written): value for written, value in draft.given.items()}
    values = read_contents(entity, fields, given, settings.utc_offset_h)
    number = draft.number or items.next_id(entity, settings.missing_documents)
    written = _written(draft, number, iso_time(now, settings.utc_offset_h))
    values |= {name: value for name, value in written.items() if name in fields}
    defaults: dict[str, object] = {"title": f"{entity.title} #{number}", "assignedById": draft.by, "opened": "Y"}
    if not values.get("lastName") and entity.id != LEAD:
        defaults["name"] = "Unnamed"
    for name, default in defaults.items():
        if name in fields and values[name] is None:
            values[name] = default
    return Item(entity, number, values, draft.multifields, dict(draft.given), now, draft.by, draft.method)


def _written(draft: Draft, number: int, at: str) -> dict[str, object]:
    """What nobody can give."""
    kinds = {each.type_id for each in draft.multifields}
    written: dict[str, object] = {"id": number, "stageSemanticId": "P"}
    written |= dict.fromkeys(("createdTime", "updatedTime", "movedTime", "lastActivityTime"), at)
    written |= dict.fromkeys(("createdBy", "updatedBy", "movedBy", "lastActivityBy"), draft.by)
    return written | {"hasPhone": "Y" if "PHONE" in kinds else "N", "hasEmail": "Y" if "EMAIL" in kinds else "N"}
