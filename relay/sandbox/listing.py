"""bizproc.workflow.template.list: which templates there are, and which parameters they declare.

Facts: template/bizproc-workflow-template-list.md (docs), bizproc/lib/restservice.php (source).
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.sandbox.answers import Result
from relay.sandbox.calls import RestCall
from relay.sandbox.portal import Portal
from relay.sandbox.rows import Kind, Query, Row
from relay.sandbox.templates import LISTED_BELOW, Template
from relay.sandbox.workflows import iso_time

FIELDS: Mapping[str, Kind] = {
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
"""2026-01-01 00:00 UTC: when the templates were last changed, so the pretend portal says."""


def list_templates(portal: Portal, call: RestCall) -> Result:
    """Classic templates; robots and scripts are left out, as the real method leaves them out."""
    call.caller.require_admin()
    listed = {number: each for number, each in portal.templates.items() if each.auto_execute < LISTED_BELOW}
    query = Query(call.parameters, FIELDS, portal.settings.profile, default_select=("ID",), default_order=("ID", "asc"))

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

    return query.page([_row(template) for template in listed.values()], show)


def _row(template: Template) -> Row:
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
    return {name: named.get(name) for name in FIELDS}
