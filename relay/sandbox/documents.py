"""Which document a DOCUMENT_ID names, and of what type it is.

The table follows bizproc-workflow-start.md (docs) and crm_document.php (source). May not know about templates or
workflows; "it exists" is asked of a set of missing numbers.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from relay.sandbox import php
from relay.sandbox.answers import RestError

_CRM_NAMESPACE = "Bitrix\\Crm\\Integration\\BizProc\\Document\\"
_NUMBER = re.compile(r"[0-9]{1,18}")
_MODULE = re.compile(r"[a-zA-Z0-9._]+")
_PREFIXED = re.compile(r"([A-Z_]+?)_([0-9]{1,18})")
_DYNAMIC = re.compile(r"(?:DYNAMIC_([0-9]{1,9})|T([0-9A-F]{1,8}))_([0-9]{1,18})")
_DYNAMIC_ENTITY = _CRM_NAMESPACE + "Dynamic"

CRM_PREFIXES = {
    ("crm", "CCrmDocumentLead"): "LEAD",
    ("crm", "CCrmDocumentDeal"): "DEAL",
    ("crm", "CCrmDocumentContact"): "CONTACT",
    ("crm", "CCrmDocumentCompany"): "COMPANY",
    ("crm", _CRM_NAMESPACE + "Quote"): "QUOTE",
    ("crm", _CRM_NAMESPACE + "SmartInvoice"): "SMART_INVOICE",
    ("crm", _CRM_NAMESPACE + "Invoice"): "INVOICE",
    ("crm", _CRM_NAMESPACE + "Order"): "ORDER",
    ("crm", _CRM_NAMESPACE + "Shipment"): "ORDER_SHIPMENT",
}
"""(module, entity) of a CRM document class -> the prefix of its ids, which is also its type."""

SHORT_PREFIXES = {
    "L": "LEAD", "D": "DEAL", "C": "CONTACT", "CO": "COMPANY", "Q": "QUOTE", "SI": "SMART_INVOICE", "I": "INVOICE",
    "O": "ORDER",
}  # fmt: skip

PLAIN_TYPES = {
    ("lists", "BizprocDocument"): "iblock_1",
    ("lists", "Bitrix\\Lists\\BizprocDocumentLists"): "iblock_2",
    ("iblock", "CIBlockDocument"): "iblock_3",
    ("disk", "Bitrix\\Disk\\BizProcDocument"): "STORAGE_1",
}
"""Documents with a bare number for an id. The sandbox keeps all of a class in one list, or one storage."""


@dataclass(frozen=True, slots=True)
class Document:
    """An existing document: its canonical id, and the type that a template has to have."""

    module: str
    entity: str
    element: str
    type: str

    @property
    def triple(self) -> tuple[str, str, str]:
        """DOCUMENT_ID in canonical form."""
        return (self.module, self.entity, self.element)

    @property
    def type_triple(self) -> tuple[str, str, str]:
        """What the template's DOCUMENT_TYPE must equal."""
        return (self.module, self.entity, self.type)


def find_document(document_id: object, missing: Collection[int]) -> Document:
    """The document of a DOCUMENT_ID as sent.

    missing: numbers of documents that do not exist.
    Raises RestError: ERROR_CORE where the module's name has other signs than letters; else with an empty code, "Wrong
    DOCUMENT_ID!" where the triple is unusable or a list element or file does not exist, "Incorrect document type!"
    where a CRM item does not exist (its lazy value object is truthy, so only the type lookup notices;
    crm/lib/integration/bizproc/document/valuecollection/base.php).
    """
    module, entity, element = _parse_triple(document_id)
    kind = (module, entity)
    if kind == ("crm", _DYNAMIC_ENTITY):
        return _find_dynamic(element, missing)
    if kind in CRM_PREFIXES:
        return _find_crm(kind, element, missing)
    if kind in PLAIN_TYPES:
        return _find_plain(kind, element, missing)
    raise RestError("", "Wrong DOCUMENT_ID!")


def document_of(type_name: str, number: int) -> Document:
    """The document that a CRM item is. type_name: such as LEAD or DYNAMIC_147."""
    entities = {prefix: entity for (_, entity), prefix in CRM_PREFIXES.items()}
    return Document("crm", entities.get(type_name, _DYNAMIC_ENTITY), f"{type_name}_{number}", type_name)


def _parse_triple(document_id: object) -> tuple[str, str, str]:
    if not isinstance(document_id, list) or len(document_id) != 3:
        raise RestError("", "Wrong DOCUMENT_ID!")
    module, entity, element = (php.to_string(member) for member in document_id)
    if not module or not entity or not element:
        raise RestError("", "Wrong DOCUMENT_ID!")
    if not _MODULE.fullmatch(module):
        # Loader::includeModule throws before anything else is looked at (main/lib/loader.php).
        raise RestError("ERROR_CORE", f"Module name '{module}' is not correct")
    return module, entity, element


def _find_dynamic(element: str, missing: Collection[int]) -> Document:
    match = _DYNAMIC.fullmatch(element.upper())
    if match is None:
        raise RestError("", "Wrong DOCUMENT_ID!")
    entity_type = int(match[1]) if match[1] else int(match[2], 16)  # the short form is T and hexadecimal
    number = int(match[3])
    _require_crm_item(number, missing)
    return Document("crm", _DYNAMIC_ENTITY, f"DYNAMIC_{entity_type}_{number}", f"DYNAMIC_{entity_type}")


def _find_crm(kind: tuple[str, str], element: str, missing: Collection[int]) -> Document:
    prefix, number = _normalise(CRM_PREFIXES[kind], element)
    _require_crm_item(number, missing)
    return Document(*kind, f"{prefix}_{number}", prefix)


def _normalise(own_prefix: str, element: str) -> tuple[str, int]:
    """`777`, `L_777` and `lead_777` are LEAD 777; garbage is item 0 of the class's own kind (normalizeDocumentId)."""
    text = element.upper()
    if _NUMBER.fullmatch(text):
        return own_prefix, int(text)
    match = _PREFIXED.fullmatch(text)
    if match is None:
        return own_prefix, 0
    prefix = SHORT_PREFIXES.get(match[1], match[1])
    return (prefix, int(match[2])) if prefix in CRM_PREFIXES.values() else (own_prefix, 0)


def _require_crm_item(number: int, missing: Collection[int]) -> None:
    if number <= 0 or number in missing:
        raise RestError("", "Incorrect document type!")


def _find_plain(kind: tuple[str, str], element: str, missing: Collection[int]) -> Document:
    number = php.to_int(element)
    if number <= 0 or number in missing:
        raise RestError("", "Wrong DOCUMENT_ID!")
    return Document(*kind, str(number), PLAIN_TYPES[kind])
