"""Reading items: crm.item.list, crm.item.get, crm.item.fields, crm.type.list and crm.settings.mode.get.

Facts: crm/universal/*.md, user-defined-object-types/crm-type-list.md, crm-settings-mode-get.md (docs), listAction and
getAction in crm/lib/controller/item.php, crm/lib/controller/validator/filter.php (source). Unlike the older lists,
these refuse a field that they do not know, and a list of values under an operator that takes one value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from relay.sandbox import php
from relay.sandbox.answers import RestError, Result
from relay.sandbox.calls import RestCall
from relay.sandbox.crm.arguments import optional_table, whole
from relay.sandbox.crm.fields import Field, fields_of, name_in
from relay.sandbox.crm.items import Item
from relay.sandbox.crm.shapes import comparable, kind_of, show_item
from relay.sandbox.crm.types import EntityType, find_type
from relay.sandbox.filters import Look, read_filter, split
from relay.sandbox.listing import MADE_AT
from relay.sandbox.portal import Portal
from relay.sandbox.rows import PAGE_SIZE, Kind, rank
from relay.sandbox.workflows import iso_time

_SWITCHES = (
    "isCategoriesEnabled", "isStagesEnabled", "isBeginCloseDatesEnabled", "isClientEnabled", "isUseInUserfieldEnabled",
    "isLinkWithProductsEnabled", "isMycompanyEnabled", "isDocumentsEnabled", "isSourceEnabled", "isObserversEnabled",
    "isRecyclebinEnabled", "isAutomationEnabled", "isBizProcEnabled",
)  # fmt: skip
_DIRECTIONS = ("ASC", "DESC")
_OPERATORS_OF_LISTS = ("@", "!@", "!=", "=", "")


def list_items(portal: Portal, call: RestCall) -> Result:
    """`crm.item.list`: fifty a page; items that the caller may not read are not there.

    With `start: -1` nothing is counted, and neither total nor next are there.
    """
    entity = find_type(whole(call, "entityTypeId"), portal.settings)
    fields = fields_of(entity, portal.settings)
    found = _sorted(_found(portal, call, entity, fields), call, fields)
    wanted = [name_in(fields, str(name)) for name in optional_table(call, "select").values()] or ["*"]
    return _page(call, "items", [_selected(item, wanted) for item in found])


def get_item(portal: Portal, call: RestCall) -> Result:
    """`crm.item.get`. Of documents that nobody has made or seeded there is nothing to read."""
    entity = find_type(whole(call, "entityTypeId"), portal.settings)
    item = portal.items.find(entity, whole(call, "id"))
    if item is None:
        raise RestError("NOT_FOUND", "Element not found")
    if not _may_read(portal, call, item):
        raise RestError("ACCESS_DENIED", "You do not have permission to view this item", 400)
    return Result({"item": show_item(item)})


def describe_fields(portal: Portal, call: RestCall) -> Result:
    """`crm.item.fields`."""
    entity = find_type(whole(call, "entityTypeId"), portal.settings)
    return Result({"fields": {name: field.to_json() for name, field in fields_of(entity, portal.settings).items()}})


def list_types(portal: Portal, call: RestCall) -> Result:
    """`crm.type.list`: the smart processes, for administrators of the CRM."""
    if not call.caller.user.is_admin:
        raise RestError("ACCESS_DENIED", "Access denied", 400)
    at = iso_time(MADE_AT, portal.settings.utc_offset_h)
    types = [
        {"id": number, "title": f"Smart process {entity_type}", "code": "", "entityTypeId": entity_type,
         "createdBy": 1, "updatedBy": 1, "createdTime": at, "updatedTime": at, **dict.fromkeys(_SWITCHES, "Y")}
        for number, entity_type in enumerate(portal.settings.smart_processes, start=1)
    ]  # fmt: skip
    kinds: Mapping[str, Kind] = {"id": "number", "title": "text", "code": "text", "entityTypeId": "number"}
    wanted = optional_table(call, "filter")
    _refuse_unusable(wanted, kinds)
    holds = read_filter(wanted, kinds.get)

    def look(row: Mapping[str, object]) -> Look:
        return lambda name: [number if isinstance(number := row[name], int) else str(number)]

    return _page(call, "types", [row for row in types if holds(look(row))])


def show_mode(portal: Portal, _call: RestCall) -> Result:
    """`crm.settings.mode.get`: 1 with leads, 2 without."""
    return Result(portal.settings.crm_mode)


def _found(portal: Portal, call: RestCall, entity: EntityType, fields: Mapping[str, Field]) -> list[Item]:
    wanted = optional_table(call, "filter")
    _refuse_unusable(wanted, {*fields, *(field.upper_name for field in fields.values() if not field.is_custom)})
    holds = read_filter(wanted, lambda written: kind_of(fields[name_in(fields, written)]))

    def look(item: Item) -> Look:
        return lambda written: comparable(fields[name := name_in(fields, written)], item.values[name])

    return [item for item in portal.items.of_type(entity) if holds(look(item)) and _may_read(portal, call, item)]


def _may_read(portal: Portal, call: RestCall, item: Item) -> bool:
    user, right = call.caller.user, portal.settings.crm_reads
    return user.is_admin or right == "all" or (right == "own" and item.values["assignedById"] == user.id)


def _refuse_unusable(wanted: Mapping[str, object], names: Collection[str]) -> None:
    """Refuse a filter with a field of another name, or with several values where an operator takes one."""
    for key, value in wanted.items():
        members = php.as_map(value)
        if members is not None:
            _refuse_unusable(members, names)
        if key.isdecimal() or key.lower() == "logic":
            continue
        operator, name = split(key)
        shown = f"Invalid filter: field '{operator}{Field(name, '').upper_name}'"
        if name not in names:
            raise RestError("INVALID_ARG_VALUE", f"{shown} is not allowed in filter")
        if members is not None and operator not in _OPERATORS_OF_LISTS:
            raise RestError("INVALID_ARG_VALUE", f"{shown} has invalid value")


def _sorted(items: list[Item], call: RestCall, fields: Mapping[str, Field]) -> list[Item]:
    for written, direction in reversed(optional_table(call, "order").items()):
        name, way = name_in(fields, written), str(direction).upper()
        upper_name = Field(name, "").upper_name
        if name not in fields or name == "contactIds":
            raise RestError("INVALID_ARG_VALUE", f"Invalid order: field '{upper_name}' is not allowed in order")
        if way not in _DIRECTIONS:
            text = f"allowed sort directions are {', '.join(_DIRECTIONS)}. But got '{way}' for field '{upper_name}'"
            raise RestError("INVALID_ARG_VALUE", f"Invalid order: {text}")
        field = fields[name]
        items.sort(key=lambda item, field=field: rank(_first(field, item)), reverse=way == "DESC")  # type: ignore[misc] # mypy cannot infer a lambda with a default
    return items


def _first(field: Field, item: Item) -> str | int | float | None:
    return next(iter(comparable(field, item.values[field.name])), None)


def _selected(item: Item, wanted: list[str]) -> dict[str, object]:
    """The fields asked for; `fm` comes with `*` only."""
    shown = show_item(item)
    if "*" in wanted:
        return shown
    return {name: value for name, value in shown.items() if name in wanted and name not in ("fm", "entityTypeId")}


def _page(call: RestCall, name: str, rows: list[dict[str, object]]) -> Result:
    start = php.to_int(call.get("START"))
    first = max(0, start)
    shown = {name: rows[first : first + PAGE_SIZE]}
    if start < 0:
        return Result(shown)
    following = first + PAGE_SIZE
    return Result(shown, total=len(rows), next=following if following < len(rows) else None)
