"""bizproc.workflow.instances, terminate and kill: what can be seen of living workflows, and how they are ended.

Facts: bizproc-workflow-instances.md, -terminate.md and -kill.md (docs), bizproc/lib/restservice.php (source).
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.sandbox import php, texts
from relay.sandbox.answers import RestError, Result
from relay.sandbox.calls import RestCall
from relay.sandbox.portal import Portal
from relay.sandbox.rows import Kind, Query, Row
from relay.sandbox.workflows import Workflow, iso_time

FIELDS: Mapping[str, Kind] = {
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
        FIELDS,
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

    return query.page([_row(workflow) for workflow in portal.living()], show)


def _row(workflow: Workflow) -> Row:
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
    workflow = _find(portal, call)
    if workflow is None or workflow.state(portal.clock()) != "running":
        raise _not_running(portal)
    workflow.end("terminated", portal.clock(), php.to_string(call.get("STATUS")) or "")
    return Result(value=True)


def kill_workflow(portal: Portal, call: RestCall) -> Result:
    """Delete a workflow with everything that the engine knows of it, so that its id is free again."""
    call.caller.require_admin()
    workflow = _find(portal, call)
    if workflow is None:
        raise _not_running(portal)
    workflow.end("killed", portal.clock())
    del portal.states[workflow.id]
    return Result(value=True)


def _find(portal: Portal, call: RestCall) -> Workflow | None:
    given = call.get("ID")
    if not php.is_truthy(given):
        raise RestError("ERROR_WRONG_WORKFLOW_ID", "Empty workflow instance ID")
    if not isinstance(given, str):
        raise RestError("ERROR_WRONG_WORKFLOW_ID", "Invalid workflow instance ID (string expected)")
    return portal.states.get(given)


def _not_running(portal: Portal) -> RestError:
    return RestError("", texts.say("not_running", portal.settings.language))
