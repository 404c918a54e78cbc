"""The types of CRM items, and the fields that each type has.

Facts: crm/data-types.md#object_type, crm/universal/crm-item-add.md, object-fields.md and crm-item-fields.md (docs),
getFactory in crm/lib/controller/item.php (source). Fields that the docs call disabled are left out; `fm`, the phones
and e-mails, is no field according to the docs. May not hold a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from relay.sandbox.answers import RestError
from relay.sandbox.settings import Settings

LEAD, DEAL, CONTACT, COMPANY, QUOTE, INVOICE = 1, 2, 3, 4, 7, 31
FIRST_DYNAMIC = 128
"""Smart processes are numbered from here."""


@dataclass(frozen=True, slots=True)
class EntityType:
    """A type of items.

    name: of its documents, such as LEAD or DYNAMIC_147. title: in a default title, "Lead #13".
    """

    id: int
    name: str
    title: str

    @property
    def has_multifields(self) -> bool:
        """Whether its items have phones and e-mails."""
        return self.id in (LEAD, CONTACT, COMPANY)

    @property
    def is_dynamic(self) -> bool:
        """Whether it is a smart process."""
        return self.id >= FIRST_DYNAMIC


SYSTEM_TYPES: Mapping[int, EntityType] = {
    LEAD: EntityType(LEAD, "LEAD", "Lead"),
    DEAL: EntityType(DEAL, "DEAL", "Deal"),
    CONTACT: EntityType(CONTACT, "CONTACT", "Contact"),
    COMPANY: EntityType(COMPANY, "COMPANY", "Company"),
    QUOTE: EntityType(QUOTE, "QUOTE", "Estimate"),
    INVOICE: EntityType(INVOICE, "SMART_INVOICE", "Invoice"),
}
_UNSUPPORTED: Mapping[int, str] = {0: "", 5: "INVOICE", 8: "REQUISITE", 14: "ORDER"}
"""Types without a place among the universal methods, and what the portal calls them."""


def find_type(number: int, settings: Settings) -> EntityType:
    """The type of an entityTypeId. Raises ENTITY_TYPE_NOT_SUPPORTED or NOT_FOUND, both 400."""
    if number in SYSTEM_TYPES:
        return SYSTEM_TYPES[number]
    if number in _UNSUPPORTED:
        raise RestError("ENTITY_TYPE_NOT_SUPPORTED", f"Entity type {_UNSUPPORTED[number]} is not supported")
    if number not in settings.smart_processes:
        raise RestError("NOT_FOUND", "Smart process not found")
    return EntityType(number, f"DYNAMIC_{number}", f"Smart process {number}")


_WORD = re.compile(r"(?<=[a-z])(?=[0-9])|(?<=[a-z0-9])(?=[A-Z])")

_COMMON = """
    id:integer! createdTime:datetime! updatedTime:datetime! createdBy:user! updatedBy:user! assignedById:user
    opened:boolean webformId:integer lastActivityBy:user! lastActivityTime:datetime!
    utmSource:string utmMedium:string utmCampaign:string utmContent:string utmTerm:string
    parentId1:crm_entity parentId2:crm_entity parentId3:crm_entity parentId4:crm_entity parentId7:crm_entity
"""
_MONEY = "opportunity:double isManualOpportunity:boolean currencyId:crm_currency taxValue:double"
_CLIENT = "companyId:crm_company contactId:crm_contact contactIds:crm_contact[]"
_ORIGIN = "originatorId:string originId:string"
_SOURCE = "sourceId:crm_status sourceDescription:text"
_PERSON = "name:string secondName:string lastName:string honorific:crm_status birthdate:date post:string"
_STAGE = "stageId:crm_status movedBy:user! movedTime:datetime!"
_DATES = "begindate:date closedate:date"
_REACHABLE = "hasPhone:boolean! hasEmail:boolean!"
_SMART = f"""
    title:string xmlId:string categoryId:crm_category previousStageId:crm_status! observers:user[]
    mycompanyId:crm_company {_STAGE} {_DATES} {_CLIENT} {_SOURCE} {_MONEY}
"""

_BY_TYPE: Mapping[int, str] = {
    LEAD: f"""
        title:string companyTitle:string statusDescription:text stageSemanticId:string! comments:text observers:user[]
        {_PERSON} {_STAGE} {_SOURCE} {_MONEY} {_CLIENT} {_ORIGIN} {_REACHABLE}
    """,
    DEAL: f"""
        title:string typeId:crm_status categoryId:crm_category stageSemanticId:string! isRecurring:boolean
        probability:integer quoteId:crm_quote leadId:crm_lead additionalInfo:string locationId:location comments:text
        observers:user[] {_STAGE} {_DATES} {_SOURCE} {_MONEY} {_CLIENT} {_ORIGIN}
    """,
    CONTACT: f"""
        photo:file typeId:crm_status comments:text export:boolean companyId:crm_company companyIds:crm_company[]
        leadId:crm_lead originVersion:string categoryId:crm_category observers:user[]
        {_PERSON} {_SOURCE} {_ORIGIN} {_REACHABLE}
    """,
    COMPANY: f"""
        title:string typeId:crm_status logo:file bankingDetails:string industry:crm_status employees:crm_status
        currencyId:crm_currency revenue:double comments:text isMyCompany:boolean contactIds:crm_contact[]
        leadId:crm_lead originVersion:string categoryId:crm_category observers:user[] {_ORIGIN} {_REACHABLE}
    """,
    QUOTE: f"""
        title:string content:text terms:text comments:text dealId:crm_deal leadId:crm_lead storageTypeId:integer
        storageElementIds:integer[] locationId:location actualDate:date mycompanyId:crm_company
        {_STAGE} {_DATES} {_MONEY} {_CLIENT}
    """,
    INVOICE: f"{_SMART} comments:text accountNumber:string locationId:location",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field. kind: string, text, integer, double, boolean, date, datetime, user, file, crm_..., enumeration, ..."""

    name: str
    kind: str
    is_multiple: bool = False
    is_required: bool = False
    is_read_only: bool = False

    @property
    def upper_name(self) -> str:
        """As the server calls it: originId is ORIGIN_ID, ufCrm2_17 is UF_CRM_2_17."""
        return _WORD.sub("_", self.name).upper()

    @property
    def title(self) -> str:
        """As people read it: originId is "Origin id"."""
        return _WORD.sub(" ", self.name).capitalize()

    @property
    def is_custom(self) -> bool:
        """Whether the portal's people have added it."""
        return self.name.startswith("uf")

    def to_json(self) -> dict[str, object]:
        """As crm.item.fields shows it."""
        return {
            "type": self.kind,
            "isRequired": self.is_required,
            "isReadOnly": self.is_read_only,
            "isImmutable": False,
            "isMultiple": self.is_multiple,
            "isDynamic": self.is_custom,
            "title": self.title,
            "upperName": self.upper_name,
        }


def fields_of(entity: EntityType, settings: Settings) -> dict[str, Field]:
    """The fields of a type by name, with those that a setting declares."""
    fields = dict(_system_fields(entity.id))
    for number in settings.smart_processes:
        fields[f"parentId{number}"] = Field(f"parentId{number}", "crm_entity")
    for declared in settings.crm_fields:
        if declared["entityTypeId"] == entity.id:
            name = str(declared["name"])
            fields[name] = _declared(fields.get(name) or Field(name, "string"), declared)
    return fields


def name_in(fields: Mapping[str, Field], written: str) -> str:
    """The field's name as it is shown. The usual fields may be written as the server calls them, custom ones may not.

    Fact: convertFieldNameFromCamelCaseToUpperCase in crm/lib/service/converter/ormobject.php (source).
    """
    if written in fields:
        return written
    usual = (name for name, field in fields.items() if field.upper_name == written and not field.is_custom)
    return next(usual, written)


@cache
def _system_fields(number: int) -> Mapping[str, Field]:
    described = f"{_COMMON} {_BY_TYPE.get(number, _SMART)}".split()
    return {field.name: field for field in map(_described, described)}


def _described(text: str) -> Field:
    name, _, kind = text.partition(":")
    return Field(name, kind.rstrip("[]!"), is_multiple=kind.endswith("[]"), is_read_only=kind.endswith("!"))


def _declared(field: Field, declared: Mapping[str, object]) -> Field:
    return replace(
        field,
        kind=str(declared.get("type", field.kind)),
        is_multiple=bool(declared.get("isMultiple", field.is_multiple)),
        is_required=bool(declared.get("isRequired", field.is_required)),
    )
