"""How Bitrix24 names documents: the short forms a rule may use, and the triple each stands for.

From the page "Start Business Process bizproc.workflow.start" (b24restdocs, api-reference/bizproc). Ids are written in
their canonical form, which is the one `bizproc.workflow.instances` returns (crm/classes/general/crm_document.php).
"""

from __future__ import annotations

import re

_CRM_OBJECTS = r"Bitrix\Crm\Integration\BizProc\Document"

FORMS: dict[str, tuple[str, str, str]] = {
    "lead": ("crm", "CCrmDocumentLead", "LEAD_"),
    "deal": ("crm", "CCrmDocumentDeal", "DEAL_"),
    "contact": ("crm", "CCrmDocumentContact", "CONTACT_"),
    "company": ("crm", "CCrmDocumentCompany", "COMPANY_"),
    "quote": ("crm", rf"{_CRM_OBJECTS}\Quote", "QUOTE_"),
    "invoice": ("crm", rf"{_CRM_OBJECTS}\SmartInvoice", "SMART_INVOICE_"),
    "dynamic": ("crm", rf"{_CRM_OBJECTS}\Dynamic", "DYNAMIC_"),
    "feed": ("lists", "BizprocDocument", ""),
    "list": ("lists", r"Bitrix\Lists\BizprocDocumentLists", ""),
    "file": ("disk", r"Bitrix\Disk\BizProcDocument", ""),
}
"""Short form -> module, entity class, and what stands before the number."""

NUMBER = re.compile(r"[1-9][0-9]{0,18}")
"""What an id is in a short form. Text from a sender can therefore never name another kind of document."""

RESERVED_PARAMETERS = frozenset(
    name.lower()
    for name in (
        "PreGeneratedWorkflowId",
        "IgnoreSimultaneousProcessesLimit",
        "UseForcedTracking",
        "DocumentEventType",
        "__DocumentType",
        "ModifiedDocumentField",
        "UsedDocumentField",
        "TriggerEvent",
        "TriggerEventData",
        "StartWorkflowDelay",
        "TargetUser",
    )
)
"""Parameters that change how the engine works, or that it overwrites (bizproc/classes/general/document.php)."""


def is_reserved(parameter: str) -> bool:
    """Whether Bitrix24 keeps this name for itself. A name of digits is one: it would be read as a template's id."""
    return parameter.lower() in RESERVED_PARAMETERS or parameter.isdigit()
