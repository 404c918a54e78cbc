"""`python -m workers ping` and `probe`: asks a portal, on purpose and in a terminal, whether deliveries can succeed."""

from __future__ import annotations

import json
import secrets
from datetime import timedelta

from relay.core.call import Call, DocumentId
from relay.core.ids import clock_ahead_ms, new_delivery_id, utc_now
from relay.core.printing import say
from relay.health.assessment import DEFAULT, NeedCode, Thresholds, assess_clock, assess_portal
from relay.health.snapshot import snapshot_of_portal
from relay.health.words import sentence_of
from workers.bitrix24 import bizproc
from workers.bitrix24.verdicts import judge
from workers.checks.preflight import check_up, trouble_of
from workers.portal.context import Context


def ping(context: Context, thresholds: Thresholds = DEFAULT) -> int:
    """Check credential, scope, administrator, plan, templates, and how the portal stands; starts nothing.

    0 where all is well, else 1.
    """
    name, now = context.portal.name, context.clock()
    findings = check_up(context)
    for text in findings.lines:
        _say(name, text)
    # What the first page says of it as well. Of drift the findings are newer.
    needs = [
        *assess_clock(timedelta(milliseconds=clock_ahead_ms())),
        *assess_portal(name, snapshot_of_portal(context.store, name, now), thresholds, now),
    ]
    sentences = [sentence_of(need) for need in needs if need.code is not NeedCode.DRIFT]
    for sentence in sentences:
        say(sentence)
    return 0 if findings.is_well and not sentences else 1


def probe(context: Context, template_id: int, document: DocumentId) -> int:
    """Start one workflow twice under one id of ours: does the portal honour it? 0 where it does, else 1."""
    name, line = context.portal.name, context.client
    own_id = bizproc.own_id_of(new_delivery_id(utc_now()) + secrets.token_hex(4))
    parameters = bizproc.start_parameters(Call(name, template_id, document, {}), own_id)
    line.wait()
    first = line.call(bizproc.START, parameters)
    verdict = judge(first)
    if verdict.workflow_id is None:
        return _say(name, f"the workflow did not start: {trouble_of(first)}", 1)
    if first.result != own_id:
        context.pace.learn_own_id(context.pace.read(), honoured=False)
        return _say(name, f"own ids are ignored: asked for {own_id}, started {first.result}. Say own_id: off", 1)
    line.wait()
    second = line.call(bizproc.START, parameters)
    if second.description != "WorkflowAlreadyExists":
        return _say(name, f"the id was taken, but a second start was not refused: {trouble_of(second)}", 1)
    context.pace.learn_own_id(context.pace.read(), honoured=True)
    return _say(name, f"own ids are honoured: {own_id} was started once and refused the second time", 0)


def read_document(text: str) -> DocumentId | None:
    """A document as `["crm", "CCrmDocumentLead", "LEAD_1"]` or `crm,CCrmDocumentLead,LEAD_1`."""
    try:
        parts = json.loads(text) if text.startswith("[") else text.split(",")
    except ValueError:
        return None
    if not isinstance(parts, list) or len(parts) != 3 or not all(isinstance(part, str) and part for part in parts):
        return None
    return parts[0], parts[1], parts[2]


def _say(portal: str, text: str, status: int = 0) -> int:
    say(f"{portal}: {text}")
    return status
