"""The items of the CRM: how one is made, where all of them are kept, and how one is shown and compared.

An item that nobody has made or seeded is not here, although a workflow can be started on it. The portal begins with two
known clients; POST /sandbox/documents adds more, as if people had made them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from relay.sandbox import php
from relay.sandbox.answers import RestError
from relay.sandbox.crm.contents import MultiField, code_of, read_added, read_contents
from relay.sandbox.crm.fields import COMPANY, CONTACT, DEAL, LEAD, EntityType, Field, fields_of, find_type, name_in
from relay.sandbox.lists import Kind, seconds_of
from relay.sandbox.settings import Settings, UsageError
from relay.sandbox.workflows import iso_time, utc_time

FIRST_ID = 1001
"""The first id of an item that a call makes; documents that were always there have smaller ones."""


@dataclass(slots=True, eq=False)
class Item:
    """One item; equal to itself only.

    values: by field name, in the form in which they are shown. given: the fields as the caller gave them.
    created_at: seconds since 1970. method: the REST method that made it; None where the portal did.
    """

    entity: EntityType
    id: int
    values: dict[str, object]
    multifields: tuple[MultiField, ...]
    given: Mapping[str, object]
    created_at: float
    created_by: int
    method: str | None

    @property
    def own_id(self) -> tuple[object, ...] | None:
        """The id that an outside system has written into it; None without."""
        names = ("xmlId",) if "xmlId" in self.values else ("originatorId", "originId")
        own = tuple(self.values.get(name) for name in names)
        return (self.entity.id, *own) if own[-1] else None


@dataclass(slots=True)
class Items:
    """All items.

    made: those that calls have made, oldest first. seeded: the others.
    """

    made: list[Item] = field(default_factory=list)
    seeded: list[Item] = field(default_factory=list)
    _times_made: Counter[tuple[object, ...]] = field(default_factory=Counter)
    _by_type: dict[int, dict[int, Item]] = field(default_factory=dict)
    _by_code: dict[tuple[str, str], list[Item]] = field(default_factory=dict)

    def next_id(self, entity: EntityType, missing: Collection[int]) -> int:
        """A number for a new item; never one of those that are said not to exist."""
        taken = self._by_type.get(entity.id, {})
        number = max(FIRST_ID, *(each + 1 for each in taken)) if taken else FIRST_ID
        while number in missing:
            number += 1
        return number

    def add(self, item: Item) -> None:
        """Store an item; a seeded one of the same type and number is replaced."""
        self._forget(self.find(item.entity, item.id))
        self._by_type.setdefault(item.entity.id, {})[item.id] = item
        for code in {(each.type_id, code_of(each.type_id, each.value)) for each in item.multifields}:
            self._by_code.setdefault(code, []).append(item)
        (self.seeded if item.method is None else self.made).append(item)
        if item.method is not None and item.own_id is not None:
            self._times_made[item.own_id] += 1

    def find(self, entity: EntityType, number: int) -> Item | None:
        """The item of this type and number."""
        return self._by_type.get(entity.id, {}).get(number)

    def of_type(self, entity: EntityType) -> list[Item]:
        """All items of a type, by number."""
        return [item for _, item in sorted(self._by_type.get(entity.id, {}).items())]

    def reached_by(self, kind: str, value: str) -> list[Item]:
        """The items with this PHONE or EMAIL, in whatever form either is written."""
        return list(self._by_code.get((kind, code_of(kind, value)), ()))

    def times_made_of(self, item: Item) -> int:
        """Number of items that calls have made with its own id. More than one is the caller's mistake."""
        return self._times_made[item.own_id] if item.own_id else 1

    def to_json(self) -> list[dict[str, object]]:
        """The items that calls have made, newest first, as GET /sandbox/documents shows them."""
        return [
            {
                "entityTypeId": item.entity.id,
                "id": item.id,
                "fields": dict(item.given),
                "created_at": utc_time(item.created_at),
                "created_by": item.created_by,
                "method": item.method,
                "times_made": self.times_made_of(item),
            }
            for item in reversed(self.made)
        ]

    def _forget(self, replaced: Item | None) -> None:
        if replaced is None:
            return
        self.seeded = [item for item in self.seeded if item is not replaced]
        for items in self._by_code.values():
            items[:] = [item for item in items if item is not replaced]


@dataclass(frozen=True, slots=True)
class Draft:
    """An item to be made.

    given: the fields as they were given. by: its author, a user. method: see Item. number: its id, None for the next.
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
    """The fields that only the portal writes."""
    kinds = {each.type_id for each in draft.multifields}
    written: dict[str, object] = {"id": number, "stageSemanticId": "P"}
    written |= dict.fromkeys(("createdTime", "updatedTime", "movedTime", "lastActivityTime"), at)
    written |= dict.fromkeys(("createdBy", "updatedBy", "movedBy", "lastActivityBy"), draft.by)
    return written | {"hasPhone": "Y" if "PHONE" in kinds else "N", "hasEmail": "Y" if "EMAIL" in kinds else "N"}


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


_FLAGS_OF_DEALS = ("isNew", "isReturnCustomer", "isRepeatedApproach")
_EMPTY_OF_DEALS = (
    "dateCreateShort", "dateModifyShort", "begindateShort", "closedateShort", "eventDate", "eventDateShort", "eventId",
    "eventDescription", "productId", "searchContent", "orderStage", "isWork", "isWon", "isLose", "receivedAmount",
    "lostAmount", "hasProducts",
)  # fmt: skip
"""Further members of a deal (crm-item-add.md): null, as in the docs, or "N"."""
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
    """The kind of comparison for a field's values."""
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
