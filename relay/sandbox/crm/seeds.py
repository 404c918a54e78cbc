"""Items that are there before any call: two clients, and what POST /sandbox/documents adds.

They are found as if people had made them, and are not among what calls have made.
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.sandbox import php
from relay.sandbox.answers import RestError
from relay.sandbox.crm.drafts import Draft, form_item
from relay.sandbox.crm.items import Items
from relay.sandbox.crm.multifields import read_added
from relay.sandbox.crm.types import COMPANY, CONTACT, find_type
from relay.sandbox.settings import Settings
from relay.sandbox.usage import UsageError

KNOWN_CLIENTS = (
    {
        "entityTypeId": CONTACT,
        "id": 17,
        "fields": {
            "name": "Clara",
            "lastName": "Known",
            "fm": [
                {"typeId": "PHONE", "valueType": "MOBILE", "value": "8 (900) 000-00-17"},
                {"typeId": "EMAIL", "valueType": "WORK", "value": "clara@example.com"},
            ],
        },
    },
    {
        "entityTypeId": COMPANY,
        "id": 5,
        "fields": {
            "title": "Example Ltd",
            "fm": [
                {"typeId": "PHONE", "valueType": "WORK", "value": "+49 30 5550005"},
                {"typeId": "EMAIL", "valueType": "WORK", "value": "office@example.com"},
            ],
        },
    },
)


def seed_items(items: Items, settings: Settings, now: float, given: object) -> list[dict[str, int]]:
    """Add items: a list of {entityTypeId, fields} with perhaps an id, or one. Returns their types and numbers.

    Raises UsageError with one sentence that says what was expected.
    """
    orders = given if isinstance(given, list | tuple) else [given]
    return [_seed(items, settings, now, order) for order in orders]


def _seed(items: Items, settings: Settings, now: float, order: object) -> dict[str, int]:
    if not isinstance(order, Mapping) or not set(order) <= {"entityTypeId", "id", "fields"}:
        raise UsageError("a document is an object with entityTypeId and fields, and perhaps an id")
    number, fields = order.get("id"), php.as_map(order.get("fields", {}))
    if type(order.get("entityTypeId")) is not int or fields is None:
        raise UsageError('"entityTypeId" must be a whole number and "fields" an object')
    if number is not None and (type(number) is not int or number <= 0):
        raise UsageError('"id" must be a whole number above 0')
    try:
        entity = find_type(order["entityTypeId"], settings)
        multifields = read_added(fields.get("fm")) if entity.has_multifields else ()
        item = form_item(Draft(entity, fields, multifields, number=number), items, settings, now)
    except RestError as error:
        raise UsageError(error.description) from None
    items.add(item)
    return {"entityTypeId": entity.id, "id": item.id}
