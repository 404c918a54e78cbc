"""crm.item.add and crm.item.import: a new item, and what the portal does by itself when there is one.

Facts: crm-item-add.md, import/crm-item-import.md, tutorials about adding leads (docs), addAction and importAction in
crm/lib/controller/item.php (source). Not idempotent: the same fields twice are two items.
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.sandbox import php
from relay.sandbox.answers import RestError, Result
from relay.sandbox.calls import RestCall
from relay.sandbox.crm.arguments import table, whole
from relay.sandbox.crm.contents import STAGES, invalid
from relay.sandbox.crm.drafts import Draft, form_item
from relay.sandbox.crm.fields import fields_of
from relay.sandbox.crm.items import Item
from relay.sandbox.crm.multifields import read_added, read_imported
from relay.sandbox.crm.shapes import show_item
from relay.sandbox.crm.types import DEAL, LEAD, SYSTEM_TYPES, EntityType, find_type
from relay.sandbox.portal import Portal
from relay.sandbox.rows import seconds_of
from relay.sandbox.starting import start_by_itself
from relay.sandbox.workflows import iso_time

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

    Whether a lead of simple mode is converted is stated nowhere; here it is.
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
    """The time that an import says; None without. Refused from others than administrators, and out of order."""
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
