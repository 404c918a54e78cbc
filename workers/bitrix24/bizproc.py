"""The methods of `bizproc.*` that the relay uses: their parameters and answers. Pure.

Sources: docs api-reference/bizproc/bizproc-workflow-start.md and its neighbours; source bizproc/lib/restservice.php.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from relay.core.plan import Call

START = "bizproc.workflow.start"
INSTANCES = "bizproc.workflow.instances"
TEMPLATES = "bizproc.workflow.template.list"
OWN_ID = "PreGeneratedWorkflowId"
FILTER_MARGIN = timedelta(days=1)
"""The boundary of a STARTED filter is shifted by the caller's time zone (rest/classes/general/rest_util.php)."""
FIRST_LEG = timedelta(seconds=70)
"""An instance appears when its first leg ends, at most 60 s after the call (docs: limits.md), and clocks differ."""
CLOCK_SKEW = timedelta(seconds=5)


def own_id_of(delivery_id: str) -> str:
    """The workflow id that belongs to a delivery, in the native shape of `uniqid('', true)`: 14 hex, a dot, 8 digits.

    Only [a-z0-9.], at most 32 characters (source: bizproc/classes/general/schedulerservice.php).
    """
    digest = hashlib.sha256(delivery_id.encode()).hexdigest()
    return f"{digest[:14]}.{int(digest[14:30], 16) % 100_000_000:08d}"


def start_parameters(call: Call, own_id: str | None) -> dict[str, Any]:
    """The parameters of `bizproc.workflow.start` for a call.

    own_id is sent flat for older servers and nested under the template's id for newer ones; each ignores the other form
    (source: bizproc/classes/general/document.php prepareWorkflowParameters, bizproc/lib/Starter/Parameters.php).
    """
    parameters = dict(call.parameters)
    if own_id:
        marked = {**parameters, OWN_ID: own_id}
        parameters = {**marked, str(call.template_id): marked}
    start = {"TEMPLATE_ID": call.template_id, "DOCUMENT_ID": list(call.document_id)}
    # No PARAMETERS rather than an empty one, which a batch could not send: both ways send the same.
    return {**start, "PARAMETERS": parameters} if parameters else start


@dataclass(frozen=True, slots=True)
class Instance:
    """A row of `bizproc.workflow.instances`: a workflow that is running now."""

    id: str
    template_id: str
    document_id: tuple[str, str, str]
    started_at: datetime | None
    started_by: str


COLUMNS = ["ID", "MODULE_ID", "ENTITY", "DOCUMENT_ID", "STARTED", "STARTED_BY", "TEMPLATE_ID"]


def instance_parameters(workflow_id: str) -> dict[str, Any]:
    """Ask for the running workflow of one id. A server that ignores the filter lists others, so check the rows."""
    return {"SELECT": COLUMNS, "FILTER": {"ID": workflow_id}}


def instances_parameters(call: Call, since: datetime, start: int = 0) -> dict[str, Any]:
    """Ask for running workflows of this template on this document, the newest first, fifty from `start` on.

    Field names are in upper case, and the operators are those that older servers know: they drop any other, and the
    filter gets wider. ENTITY cannot be filtered where it holds backslashes. So check every row again.
    """
    return {
        "SELECT": COLUMNS,
        "FILTER": {
            "TEMPLATE_ID": call.template_id,
            "DOCUMENT_ID": call.document_id[2],
            ">=STARTED": (since - FILTER_MARGIN).isoformat(timespec="seconds"),
        },
        "ORDER": {"STARTED": "DESC"},
        "start": start,
    }


def instances_of(result: Any) -> Iterator[Instance]:
    """The rows of an answer, without those that are malformed."""
    for row in result if isinstance(result, list) else []:
        if isinstance(row, Mapping) and row.get("ID"):
            yield Instance(
                id=str(row["ID"]),
                template_id=str(row.get("TEMPLATE_ID")),
                document_id=(str(row.get("MODULE_ID")), str(row.get("ENTITY")), str(row.get("DOCUMENT_ID"))),
                started_at=_moment(row.get("STARTED")),
                started_by=str(row.get("STARTED_BY")),
            )


def may_be_ours(instance: Instance, call: Call, user_id: str, at: datetime) -> bool:
    """Whether this workflow can come from a call made at this time with this credential."""
    if instance.template_id != str(call.template_id) or instance.document_id != call.document_id:
        return False
    if instance.started_by != user_id:
        return False
    return instance.started_at is not None and at - CLOCK_SKEW <= instance.started_at <= at + FIRST_LEG


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None
