"""The kinds of things that a step finds or makes on a portal, and what is particular about each. Standard library only.

Numbers of types: b24restdocs, api-reference/crm/data-types.md#object_type. Fields: crm/universal/object-fields.md.
"""

from __future__ import annotations

TYPE_IDS = {"lead": 1, "deal": 2, "contact": 3, "company": 4, "quote": 7, "invoice": 31}
"""Kinds of CRM with a number of their own; of `dynamic`, a smart process, the rule says the number."""
DYNAMIC, USER = "dynamic", "user"
FIRST_DYNAMIC = 128
"""The smallest entityTypeId of a smart process."""
ENTITIES = (*TYPE_IDS, DYNAMIC, USER)

WITH_COMMUNICATIONS = ("lead", "contact", "company")
"""Kinds that have telephone numbers and the like of their own; a deal has those of its contact."""
COMMUNICATIONS = ("phone", "email", "web", "im")
"""What goes into `fm`, and is no field of `crm.item.fields`."""
SOUGHT_BY = ("phone", "email")
"""Those of them that `crm.duplicate.findbycomm` looks for."""


def own_id_fields(entity: str, own_field: str = "") -> tuple[str, ...]:
    """The fields that carry the relay's own id on what it makes. own_field: the one that a rule names for a quote.

    Leads, deals, contacts and companies have the originator's pair; invoices and smart processes have `xmlId`; a quote
    has neither.
    """
    if entity in {"lead", "deal", "contact", "company"}:
        return "originatorId", "originId"
    return (own_field,) if own_field else ("xmlId",)
