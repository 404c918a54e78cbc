"""The methods bizproc.workflow.*: start, list and end workflows, and list their templates.

Facts: bizproc-workflow-start.md, -instances.md, -terminate.md, -kill.md and template/bizproc-workflow-template-list.md
(docs); bizproc/lib/restservice.php, bizproc/lib/Starter/Parameters.php, bizproc/classes/general/runtime.php,
crm_document.php and bizproc/activities/bitrix/webhookactivity (source). A start validates and converts nothing: the
real portal does neither.

The activity "Webhook" may be a template's last one: it calls the address in one of its parameters, and the workflow
ends. Facts: http and https only, a host with a dot, a form with `document_id[0]` to `[2]` as the body, sent once by the
queue server, never repeated, and nobody reads the answer. That server is why it runs in a thread of its own.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from relay.sandbox import answers, php
from relay.sandbox.answers import PhpError, RestError, Result
from relay.sandbox.callers import RestCall
from relay.sandbox.lists import Kind, Query, Row
from relay.sandbox.outgoing import post_form
from relay.sandbox.portal import Portal
from relay.sandbox.workflows import LISTED_BELOW, ON_CREATION, SCRIPT, Template, Workflow, iso_time

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
        """The DOCUMENT_TYPE that a template must have."""
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


OWN_ID = "PreGeneratedWorkflowId"
NO_LIMIT = "IgnoreSimultaneousProcessesLimit"
TARGET_USER = "TargetUser"
RESERVED = frozenset({
    OWN_ID, NO_LIMIT, TARGET_USER, "UseForcedTracking", "DocumentEventType", "__DocumentType", "ModifiedDocumentField",
    "UsedDocumentField", "TriggerEvent", "TriggerEventData", "StartWorkflowDelay",
})  # fmt: skip
"""Names that the engine reserves. TargetUser is always the caller, whatever was sent."""
ID_LENGTH = 32
"""The id's column is a varchar(32)."""


def start_workflow(portal: Portal, call: RestCall) -> Result:
    """Start a template on a document. The result is the workflow's id."""
    template = _find_template(portal, call)
    document = find_document(call.get("DOCUMENT_ID"), portal.settings.missing_documents)
    if document.type_triple != template.document_type:
        raise RestError("", "Template type and DOCUMENT_ID mismatch!")
    call.caller.require_admin()
    given = _given_parameters(portal, call, template)
    _refuse_crowd(portal, document, given)
    workflow = _create(portal, call.caller.user.id, template, document, given)
    portal.remember(workflow)
    end_with_webhook(portal, workflow, template)
    return Result(workflow.id, seconds=template.first_leg_s)


def start_by_itself(portal: Portal, type_name: str, number: int, user_id: int) -> None:
    """Start the templates that run on every new document of a type. user_id: its author."""
    document = document_of(type_name, number)
    for template in portal.templates.values():
        if template.auto_execute & ON_CREATION and template.document_type == document.type_triple:
            portal.remember(_create(portal, user_id, template, document, template.defaults()))


def _find_template(portal: Portal, call: RestCall) -> Template:
    number = php.to_int(call.get("TEMPLATE_ID"))
    if number == 0:
        raise RestError("ERROR_WRONG_WORKFLOW_ID", "Empty TEMPLATE_ID")
    template = portal.templates.get(number)
    if template is None:
        raise RestError("ERROR_WRONG_WORKFLOW_ID", "Template not found")
    if portal.settings.profile == "b" and template.auto_execute == SCRIPT:
        raise RestError("ERROR_WRONG_WORKFLOW_ID", answers.say("script", portal.settings.language))
    return template


def _given_parameters(portal: Portal, call: RestCall, template: Template) -> dict[str, object]:
    """The parameters that the engine receives, including its reserved names."""
    given = php.as_map(call.get("PARAMETERS")) or {}  # anything but an array is ignored silently
    if portal.settings.profile == "a" or not given:
        return template.defaults() | given
    nested = php.as_map(given.get(str(template.id)))
    if nested is not None:
        return template.defaults() | nested
    return _declared_only(given, template)


def _declared_only(given: Mapping[str, object], template: Template) -> dict[str, object]:
    """Generation B: undeclared names are dropped; a declared one that is missing becomes null, not its Default."""
    alias = f"bizproc{template.id}_"
    return {code: given.get(code, given.get(alias + code)) for code in template.parameters}


def _refuse_crowd(portal: Portal, document: Document, given: Mapping[str, object]) -> None:
    limit = portal.settings.limit_simultaneous
    if limit == 0 or php.is_truthy(given.get(NO_LIMIT)):
        return
    if sum(workflow.document == document.triple for workflow in portal.living()) >= limit:
        raise RestError("", answers.say("crowd", portal.settings.language).format(limit=limit))


def _create(
    portal: Portal, user_id: int, template: Template, document: Document, given: Mapping[str, object]
) -> Workflow:
    now = portal.clock()
    return Workflow(
        id=_choose_id(portal, given),
        template_id=template.id,
        document=document.triple,
        parameters={name: value for name, value in given.items() if name not in RESERVED},
        started_by=user_id,
        started_at=now,
        saved_at=now + template.first_leg_s,
        modified_at=now + template.first_leg_s,
        waits=template.waits and portal.settings.instances_visible,
    )


def _choose_id(portal: Portal, given: Mapping[str, object]) -> str:
    """The caller's own id if the engine got one, else a new one (CBPRuntime::createWorkflow)."""
    own = given.get(OWN_ID)
    if not php.is_truthy(own):
        return portal.new_workflow_id()
    if not isinstance(own, str):
        raise PhpError("a workflow id must be a string")
    if len(own) > ID_LENGTH:
        raise RestError("", "Mysql query error: (1406) Data too long for column 'ID' at row 1")
    if own in portal.states:
        raise RestError("", "WorkflowAlreadyExists")
    return own


def end_with_webhook(portal: Portal, workflow: Workflow, template: Template) -> None:
    """Let a workflow end by itself, if its template says so."""
    if not template.webhook_parameter:
        return
    address = php.to_string(workflow.parameters.get(template.webhook_parameter)) or ""
    if template.query:
        address += ("&" if "?" in address else "?") + template.query
    timer = threading.Timer(template.after_s, _end, (portal, workflow, address))
    timer.daemon = True
    timer.start()


def _end(portal: Portal, workflow: Workflow, address: str) -> None:
    with portal.lock:
        if workflow.state(portal.clock()) in {"terminated", "killed"}:
            return
        workflow.end("completed", portal.clock())
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or "." not in (parts.hostname or ""):
        return
    post_form(address, {f"document_id[{index}]": member for index, member in enumerate(workflow.document)})


INSTANCE_FIELDS: Mapping[str, Kind] = {
    "ID": "text",
    "MODIFIED": "date",
    "OWNED_UNTIL": "date",
    "MODULE_ID": "text",
    "ENTITY": "text",
    "DOCUMENT_ID": "text",
    "STARTED": "date",
    "STARTED_BY": "number",
    "TEMPLATE_ID": "number",
}


def list_instances(portal: Portal, call: RestCall) -> Result:
    """Living workflows only: nothing in its first leg, nothing that has ended."""
    call.caller.require_admin()
    settings = portal.settings
    query = Query(
        call.parameters,
        INSTANCE_FIELDS,
        settings.profile,
        default_select=("ID", "MODIFIED", "OWNED_UNTIL"),
        default_order=("MODIFIED", "desc"),
        shift_s=settings.filter_shift_s,
    )

    def show(name: str, row: Row) -> object:
        value = row[name]
        if isinstance(value, float):
            return iso_time(value, settings.utc_offset_h)
        return None if value is None else str(value)

    return query.page([_instance_row(workflow) for workflow in portal.living()], show)


def _instance_row(workflow: Workflow) -> Row:
    module, entity, element = workflow.document
    return {
        "ID": workflow.id,
        "MODIFIED": float(int(workflow.modified_at)),  # the column keeps whole seconds
        "OWNED_UNTIL": None,
        "MODULE_ID": module,
        "ENTITY": entity,
        "DOCUMENT_ID": element,
        "STARTED": float(int(workflow.saved_at)),
        "STARTED_BY": workflow.started_by,
        "TEMPLATE_ID": workflow.template_id,
    }


def terminate_workflow(portal: Portal, call: RestCall) -> Result:
    """Stop a living workflow; its record stays, and its id stays taken."""
    call.caller.require_admin()
    workflow = _find_workflow(portal, call)
    if workflow is None or workflow.state(portal.clock()) != "running":
        raise _not_running(portal)
    workflow.end("terminated", portal.clock(), php.to_string(call.get("STATUS")) or "")
    return Result(value=True)


def kill_workflow(portal: Portal, call: RestCall) -> Result:
    """Delete a workflow with everything that the engine knows of it, so that its id is free again."""
    call.caller.require_admin()
    workflow = _find_workflow(portal, call)
    if workflow is None:
        raise _not_running(portal)
    workflow.end("killed", portal.clock())
    del portal.states[workflow.id]
    return Result(value=True)


def _find_workflow(portal: Portal, call: RestCall) -> Workflow | None:
    given = call.get("ID")
    if not php.is_truthy(given):
        raise RestError("ERROR_WRONG_WORKFLOW_ID", "Empty workflow instance ID")
    if not isinstance(given, str):
        raise RestError("ERROR_WRONG_WORKFLOW_ID", "Invalid workflow instance ID (string expected)")
    return portal.states.get(given)


def _not_running(portal: Portal) -> RestError:
    return RestError("", answers.say("not_running", portal.settings.language))


TEMPLATE_FIELDS: Mapping[str, Kind] = {
    "ID": "number",
    "MODULE_ID": "text",
    "ENTITY": "text",
    "DOCUMENT_TYPE": "text",
    "AUTO_EXECUTE": "number",
    "NAME": "text",
    "DESCRIPTION": "text",
    "TEMPLATE": "text",
    "PARAMETERS": "text",
    "VARIABLES": "text",
    "CONSTANTS": "text",
    "MODIFIED": "date",
    "IS_MODIFIED": "text",
    "USER_ID": "number",
    "SYSTEM_CODE": "text",
}
MADE_AT = 1_767_225_600.0
"""2026-01-01 00:00 UTC: the time at which the templates were last changed."""


def list_templates(portal: Portal, call: RestCall) -> Result:
    """Classic templates; robots and scripts are left out, as the real method leaves them out."""
    call.caller.require_admin()
    listed = {number: each for number, each in portal.templates.items() if each.auto_execute < LISTED_BELOW}
    query = Query(
        call.parameters, TEMPLATE_FIELDS, portal.settings.profile, default_select=("ID",), default_order=("ID", "asc")
    )

    def show(name: str, row: Row) -> object:
        template = listed[int(row["ID"] or 0)]
        if name == "DOCUMENT_TYPE":
            return list(template.document_type)
        if name == "PARAMETERS":
            return dict(template.parameters) or []
        if name in ("TEMPLATE", "VARIABLES", "CONSTANTS"):
            return []
        if name == "MODIFIED":
            return iso_time(MADE_AT, portal.settings.utc_offset_h)
        value = row[name]
        return None if value is None else str(value)

    return query.page([_template_row(template) for template in listed.values()], show)


def _template_row(template: Template) -> Row:
    module, entity, document_type = template.document_type
    named: Row = {
        "ID": template.id,
        "MODULE_ID": module,
        "ENTITY": entity,
        "DOCUMENT_TYPE": document_type,
        "AUTO_EXECUTE": template.auto_execute,
        "NAME": template.name,
        "MODIFIED": MADE_AT,
        "IS_MODIFIED": "N",
        "USER_ID": 1,
    }
    return {name: named.get(name) for name in TEMPLATE_FIELDS}
