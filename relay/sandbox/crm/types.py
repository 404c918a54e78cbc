"""The types of CRM items: their numbers, their names, and which of them the portal has.

Facts: crm/data-types.md#object_type (docs), getFactory in crm/lib/controller/item.php (source).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
