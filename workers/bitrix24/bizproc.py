"""The methods of `bizproc.*` that the relay uses, as their parameters. Pure.

Sources: docs api-reference/bizproc/bizproc-workflow-start.md and its neighbours.
"""

from __future__ import annotations

from typing import Any

from relay.events import Call

START = "bizproc.workflow.start"


def start_parameters(call: Call) -> dict[str, Any]:
    """The parameters of `bizproc.workflow.start` for a call."""
    return {
        "TEMPLATE_ID": call.template_id,
        "DOCUMENT_ID": list(call.document_id),
        "PARAMETERS": dict(call.parameters),
    }
