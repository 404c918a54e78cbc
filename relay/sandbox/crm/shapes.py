"""How an item is written into an answer, and how it is seen by a filter."""

from __future__ import annotations

from relay.sandbox import php
from relay.sandbox.crm.fields import Field
from relay.sandbox.crm.items import Item
from relay.sandbox.crm.types import DEAL
from relay.sandbox.rows import Kind, seconds_of

_FLAGS_OF_DEALS = ("isNew", "isReturnCustomer", "isRepeatedApproach")
_EMPTY_OF_DEALS = (
    "dateCreateShort", "dateModifyShort", "begindateShort", "closedateShort", "eventDate", "eventDateShort", "eventId",
    "eventDescription", "productId", "searchContent", "orderStage", "isWork", "isWon", "isLose", "receivedAmount",
    "lostAmount", "hasProducts",
)  # fmt: skip
"""What a deal shows beside its fields (crm-item-add.md): nothing, as the docs have it, or no."""
_NUMBERS = frozenset({"integer", "double", "user"})


def show_item(item: Item) -> dict[str, object]:
    """All of it, as crm.item.add and crm.item.get answer."""
    shown = item.values | {"entityTypeId": item.entity.id}
    if item.entity.id == DEAL:
        is_closed = item.values["stageId"] in ("WON", "LOSE", "APOLOGY")
        shown |= dict.fromkeys(_EMPTY_OF_DEALS) | dict.fromkeys(_FLAGS_OF_DEALS, "N") | {"closed": "NY"[is_closed]}
    if item.entity.has_multifields:
        shown["fm"] = [each.to_json() for each in item.multifields]
    return shown


def kind_of(field: Field) -> Kind:
    """How values of a field are compared."""
    if field.kind in ("date", "datetime"):
        return "date"
    is_reference = field.kind.startswith("crm_") and field.kind not in ("crm_status", "crm_currency")
    return "number" if field.kind in _NUMBERS or is_reference else "text"


def comparable(field: Field, value: object) -> list[str | int | float | None]:
    """The values of a field as a filter compares them: one, or those of a multiple field.

    Custom booleans are 1 and 0 there, though they are shown as Y and N (crm-item-list.md).
    """
    if isinstance(value, list):
        return [each for member in value for each in comparable(field, member)]
    if field.kind == "boolean" and field.is_custom:
        return ["1" if value == "Y" else "0"]
    if field.kind in ("date", "datetime"):
        return [seconds_of(value) if isinstance(value, str) else None]
    if isinstance(value, (int, float)) or value is None:
        return [value]
    return [php.to_string(value)]
