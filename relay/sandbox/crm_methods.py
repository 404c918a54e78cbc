"""The methods of the CRM: read items, make them, find duplicates, fire triggers.

Facts: crm/universal/*.md, import/crm-item-import.md, user-defined-object-types/crm-type-list.md,
crm-settings-mode-get.md, status/crm-status-list.md, crm/duplicates/crm-duplicate-find-by-comm.md,
crm/automation/crm-automation-trigger.md, tutorials about adding leads (docs); listAction, getAction, addAction and
importAction in crm/lib/controller/item.php, crm/lib/controller/validator/filter.php, CCrmDuplicateRestProxy in
crm_rest.php, find in DuplicateCommunicationCriterion, main/lib/engine/autowire (source).

PHP binds a method's arguments by name and type before it runs, and refuses with code 100 what it cannot bind. Unlike
the older lists, these refuse a field that they do not know. Adding is not idempotent: the same fields twice are two
items.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from relay.sandbox import php
from relay.sandbox.answers import RestError, Result
from relay.sandbox.bizproc import MADE_AT, start_by_itself
from relay.sandbox.callers import RestCall
from relay.sandbox.crm.contents import STAGES, code_of, invalid, read_added, read_imported
from relay.sandbox.crm.fields import (
    COMPANY,
    CONTACT,
    DEAL,
    INVOICE,
    LEAD,
    QUOTE,
    SYSTEM_TYPES,
    EntityType,
    Field,
    fields_of,
    find_type,
    name_in,
)
from relay.sandbox.crm.items import Draft, Item, comparable, form_item, kind_of, show_item
from relay.sandbox.lists import Kind, Look, page_of, rank, read_filter, seconds_of, split_operator
from relay.sandbox.portal import Fired, Portal
from relay.sandbox.workflows import iso_time, utc_time


def whole(call: RestCall, name: str) -> int:
    """An argument of type int."""
    given = call.get(name.upper())
    if given is None:
        raise _missing_argument(name)
    text = php.to_string(given)
    if text is None or not text.strip().lstrip("+-").isdecimal():
        raise _unfit_argument(name, text, "int")
    return php.to_int(text)


def table(call: RestCall, name: str) -> dict[str, object]:
    """An argument of type array, by its keys."""
    if call.get(name.upper()) is None:
        raise _missing_argument(name)
    return optional_table(call, name)


def optional_table(call: RestCall, name: str) -> dict[str, object]:
    """The same, which may be left out."""
    given = call.get(name.upper())
    members = {} if given is None else php.as_map(given)
    if members is None:
        raise _unfit_argument(name, php.to_string(given), "array")
    return members


def _missing_argument(name: str) -> RestError:
    return RestError("100", f"Could not find value for parameter {{{name}}}")


def _unfit_argument(name: str, given: str | None, kind: str) -> RestError:
    shown = "Array" if given is None else given
    return RestError(
        "100", f"Invalid value {{{shown}}} to match with parameter {{{name}}}. Should be value of type {kind}."
    )


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
    """`crm.item.get`. Only items that were made or seeded can be read."""
    entity = find_type(whole(call, "entityTypeId"), portal.settings)
    item = portal.items.find(entity, whole(call, "id"))
    if item is None:
        raise RestError("NOT_FOUND", "Element not found")
    if not may_read(portal, call, item):
        raise RestError("ACCESS_DENIED", "You do not have permission to view this item", 400)
    return Result({"item": show_item(item)})


def describe_fields(portal: Portal, call: RestCall) -> Result:
    """`crm.item.fields`."""
    entity = find_type(whole(call, "entityTypeId"), portal.settings)
    fields = {name: field.to_json() for name, field in fields_of(entity, portal.settings).items()}
    for name, kind in (("stageId", _stage_list(entity)), ("sourceId", SOURCE)):
        if name in fields:
            fields[name]["statusType"] = kind
    return Result({"fields": fields})


SOURCE = "SOURCE"
_STAGE_LISTS = {LEAD: "STATUS", DEAL: "DEAL_STAGE", QUOTE: "QUOTE_STATUS", INVOICE: "SMART_INVOICE_STAGE_2"}
_SOURCES = {"CALL": "Call", "EMAIL": "E-mail", "WEB": "Website", "ADVERTISING": "Advertising", "OTHER": "Other"}


def _stage_list(entity: EntityType) -> str:
    """The list with the stages of a type; of smart processes, that of their only pipeline."""
    return _STAGE_LISTS.get(entity.id, f"{entity.name}_STAGE_1")


def list_statuses(portal: Portal, call: RestCall) -> Result:
    """`crm.status.list`: the entries of the CRM's lists, here always by SORT; filtered by ENTITY_ID only."""
    wanted = optional_table(call, "filter").get("ENTITY_ID")
    entities = [
        *SYSTEM_TYPES.values(),
        *(find_type(number, portal.settings) for number in portal.settings.smart_processes),
    ]
    lists = {SOURCE: _SOURCES}
    for entity in entities:
        if entity.id in STAGES or entity.is_dynamic:
            codes = STAGES.get(entity.id, (f"DT{entity.id}_1:NEW",))
            lists[_stage_list(entity)] = {
                code: code.rpartition(":")[2].replace("_", " ").capitalize() for code in codes
            }
    rows = [
        {"ENTITY_ID": kind, "STATUS_ID": code, "NAME": name, "NAME_INIT": name, "SORT": str(place * 10), "SYSTEM": "Y",
         "CATEGORY_ID": None, "COLOR": "", "SEMANTICS": None}
        for kind, entries in lists.items()
        for place, (code, name) in enumerate(entries.items(), 1)
        if wanted in {None, kind}
    ]  # fmt: skip
    return page_of([{"ID": str(number), **row} for number, row in enumerate(rows, 1)], call.get("START"), dict)


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

    return [item for item in portal.items.of_type(entity) if holds(look(item)) and may_read(portal, call, item)]


def may_read(portal: Portal, call: RestCall, item: Item) -> bool:
    """Whether the caller may read this item."""
    user, right = call.caller.user, _right_of(portal, call)
    return user.is_admin or right == "all" or (right == "own" and item.values["assignedById"] == user.id)


def may_write_about(portal: Portal, call: RestCall, entity: EntityType, number: int) -> bool:
    """Whether the caller may write into the timeline of a document, which need not be one of the CRM's items here."""
    item = portal.items.find(entity, number)
    if item is None:
        return call.caller.user.is_admin or _right_of(portal, call) == "all"
    return may_read(portal, call, item)


def _right_of(portal: Portal, call: RestCall) -> str:
    """The items that the caller may read, unless he is an administrator: "all", "own" or "none"."""
    return portal.settings.crm_reads_of.get(str(call.caller.user.id), portal.settings.crm_reads)


def _refuse_unusable(wanted: Mapping[str, object], names: Collection[str]) -> None:
    """Refuse a filter with a field of another name, or with several values where an operator takes one."""
    for key, value in wanted.items():
        members = php.as_map(value)
        if members is not None:
            _refuse_unusable(members, names)
        if key.isdecimal() or key.lower() == "logic":
            continue
        operator, name = split_operator(key)
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
    page = page_of(rows, call.get("START"), dict)
    return replace(page, value={name: page.value})


SIMPLE_MODE = 2
"""crm.settings.mode.get of a portal without leads."""


def add_item(portal: Portal, call: RestCall) -> Result:
    """`crm.item.add`: like a person who presses Save, so automation runs and templates start by themselves."""
    entity, given = _asked(portal, call)
    multifields = read_added(given.get("fm")) if entity.has_multifields else ()
    item = _make(portal, Draft(entity, given, multifields, call.caller.user.id, call.method))
    _convert_lead(portal, item)
    start_by_itself(portal, entity.name, item.id, call.caller.user.id)
    return Result({"item": show_item(item)}, billed_s=portal.settings.operating_add_s)


def import_item(portal: Portal, call: RestCall) -> Result:
    """`crm.item.import`: without automation. An administrator may say when the item was created, but not before others.

    The docs do not say whether it converts a lead in simple mode; here it does.
    """
    entity, given = _asked(portal, call)
    multifields = read_imported(given) if entity.has_multifields else ()
    created_at = _created_at(portal, call, entity, given)
    item = _make(portal, Draft(entity, given, multifields, call.caller.user.id, call.method))
    if created_at is not None:
        item.created_at = created_at
        item.values["createdTime"] = iso_time(created_at, portal.settings.utc_offset_h)
    _convert_lead(portal, item)
    return Result({"item": {"id": item.id}}, billed_s=portal.settings.operating_add_s)


def _asked(portal: Portal, call: RestCall) -> tuple[EntityType, dict[str, object]]:
    """The type and the fields of a call that may make an item."""
    number, given = whole(call, "entityTypeId"), table(call, "fields")
    entity = find_type(number, portal.settings)
    if not portal.settings.crm_may_add:
        raise RestError("ACCESS_DENIED", "Access denied", 400)
    if entity.is_dynamic and not portal.settings.smart_items_allowed:
        raise RestError("CREATE_DYNAMIC_ITEM_RESTRICTED")
    return entity, given


def _make(portal: Portal, draft: Draft) -> Item:
    item = form_item(draft, portal.items, portal.settings, portal.clock())
    portal.items.add(item)
    return item


def _created_at(portal: Portal, call: RestCall, entity: EntityType, given: Mapping[str, object]) -> float | None:
    """The createdTime of an import, None without one. Only administrators may give it, and only in order."""
    text = php.to_string(given.get("createdTime"))
    if not text:
        return None
    moment = seconds_of(text)
    newest = max((item.created_at for item in portal.items.of_type(entity)), default=0.0)
    if moment is None or not call.caller.user.is_admin or not newest <= moment <= portal.clock():
        raise invalid(fields_of(entity, portal.settings)["createdTime"])
    return moment


def _convert_lead(portal: Portal, lead: Item) -> None:
    """In simple mode there are no leads: a new one is converted into a deal at once."""
    if lead.entity.id != LEAD or portal.settings.crm_mode != SIMPLE_MODE:
        return
    lead.values |= {"stageId": STAGES[LEAD][3], "stageSemanticId": "S"}
    carried = ("title", "contactId", "companyId", "assignedById", "opportunity", "currencyId", "sourceId")
    given = {name: lead.values[name] for name in carried} | {"leadId": lead.id}
    _make(portal, Draft(SYSTEM_TYPES[DEAL], given, by=lead.created_by))


MAX_VALUES = 20
"""Different values of a call; further ones are ignored."""
MAX_FOUND = 20
"""Items of one value."""
_DUPLICATE_TYPES = {SYSTEM_TYPES[number].name: number for number in (LEAD, CONTACT, COMPANY)}


def find_duplicates(portal: Portal, call: RestCall) -> Result:
    """Numbers by type; `[]` where there is nothing, for an empty PHP array has no keys."""
    if _right_of(portal, call) == "none" and not call.caller.user.is_admin:
        raise RestError("Access denied")
    kind = (php.to_string(call.get("TYPE")) or "").upper()
    if not kind:
        raise _duplicate_refusal(portal, "Communication type is not defined", "Parameter 'type' is required.")
    if kind not in ("PHONE", "EMAIL"):
        text = f"Communication type '{kind}' is not supported in current context"
        raise _duplicate_refusal(portal, text, "Unsupported communication type.")
    values = php.as_map(call.get("VALUES"))
    if not values:
        raise _duplicate_refusal(portal, "Communication values is not defined", "Parameter 'values' is required.")
    wanted = (php.to_string(call.get("ENTITY_TYPE")) or "").upper()
    if wanted == "DEAL":
        raise RestError("", "Deal is not supported in current context.")
    found: dict[str, list[int]] = {}
    for value in _different(kind, list(values.values())):
        for type_name, number in _find_duplicates(portal, kind, value, _DUPLICATE_TYPES.get(wanted)):
            numbers = found.setdefault(type_name, [])
            if number not in numbers:
                numbers.append(number)
    return Result(found or [])


def _different(kind: str, values: list[object]) -> list[str]:
    """The texts among the values, each once. A number is no text to PHP and is ignored.

    Phones are the same where their forms are; e-mails only where they are written the same.
    """
    texts = [value for value in values if isinstance(value, str) and value]
    by_form = {code_of(kind, text) if kind == "PHONE" else text: text for text in reversed(texts)}
    return list(reversed(by_form.values()))[:MAX_VALUES]


def _find_duplicates(portal: Portal, kind: str, value: str, only: int | None) -> list[tuple[str, int]]:
    items = [item for item in portal.items.reached_by(kind, value) if only in (None, item.entity.id)]
    items.sort(key=lambda item: (item.entity.id, item.id))
    return [(item.entity.name, item.id) for item in items[:MAX_FOUND]]


def _duplicate_refusal(portal: Portal, text: str, explanation: str) -> RestError:
    """Live portals have no code and the text as description; the docs put the text where the code is."""
    if portal.settings.statuses == "docs":
        return RestError(text, explanation, 400)
    return RestError("", f"{text}.")


_TARGET = re.compile(r"([A-Z_]+|DYNAMIC_[0-9]+)_([0-9]+)")


def fire_trigger(portal: Portal, call: RestCall) -> Result:
    """Remember that it was fired, at what, with which code."""
    target = php.to_string(call.get("TARGET")) or ""
    if not target:
        raise RestError("", "Target is not set.")
    match = _TARGET.fullmatch(target)
    if match is None:
        raise RestError("", "Incorrect target format.")
    names = {entity.name for entity in SYSTEM_TYPES.values()} | {
        f"DYNAMIC_{number}" for number in portal.settings.smart_processes
    }
    if match[1] not in names:
        raise RestError("", "Target is not found.")
    code = php.to_string(call.get("CODE")) or ""
    portal.triggers.append(Fired(utc_time(portal.clock()), call.caller.user.id, target, code))
    return Result(value=True)
