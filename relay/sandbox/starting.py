"""bizproc.workflow.start: the checks in their order, and what becomes of the parameters.

Facts: bizproc-workflow-start.md (docs) and bizproc/lib/restservice.php, bizproc/lib/Starter/Parameters.php,
bizproc/classes/general/runtime.php (source). Nothing is validated or converted: the real portal does neither.
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.sandbox import php, texts
from relay.sandbox.answers import PhpError, RestError, Result
from relay.sandbox.calls import RestCall
from relay.sandbox.documents import Document, document_of, find_document
from relay.sandbox.portal import Portal
from relay.sandbox.templates import ON_CREATION, SCRIPT, Template
from relay.sandbox.webhook_activity import end_with_webhook
from relay.sandbox.workflows import Workflow

OWN_ID = "PreGeneratedWorkflowId"
NO_LIMIT = "IgnoreSimultaneousProcessesLimit"
TARGET_USER = "TargetUser"
RESERVED = frozenset({
    OWN_ID, NO_LIMIT, TARGET_USER, "UseForcedTracking", "DocumentEventType", "__DocumentType", "ModifiedDocumentField",
    "UsedDocumentField", "TriggerEvent", "TriggerEventData", "StartWorkflowDelay",
})  # fmt: skip
"""Names that the engine keeps to itself; TargetUser is always the caller, whatever was sent."""
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
    """Start the templates that run on every new document of a type. user_id: whoever has made it."""
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
        raise RestError("ERROR_WRONG_WORKFLOW_ID", texts.say("script", portal.settings.language))
    return template


def _given_parameters(portal: Portal, call: RestCall, template: Template) -> dict[str, object]:
    """What the engine receives, its reserved names included."""
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
        raise RestError("", texts.say("crowd", portal.settings.language).format(limit=limit))


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
