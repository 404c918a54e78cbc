"""`python -m workers ping` and `probe`: asks a portal, on purpose and in a terminal, whether deliveries can succeed."""

from __future__ import annotations

import json
import secrets

from redis import Redis

from relay.errors import RecordUnavailableError
from relay.events import Call, DocumentId
from relay.ids import new_delivery_id, utc_now
from relay.outlines import Outline
from relay.store.rulebook import published_rules
from workers.bitrix24 import bizproc
from workers.bitrix24.answers import Answer
from workers.bitrix24.errors import judge
from workers.desk import Desk
from workers.drift import find_drift, read_templates

SCOPE = "bizproc"


def ping(desk: Desk) -> int:
    """Check credential, scope, administrator, plan and templates; starts nothing. 0 where all is well, else 1."""
    name, line = desk.portal.name, desk.line
    line.wait()
    scope = line.call("scope", {})
    if not isinstance(scope.result, list):
        return _say(name, _trouble(scope), 1)
    _say(name, f"the credential is accepted by {desk.address.host}")
    if SCOPE not in scope.result:
        return _say(name, f"the credential lacks the scope {SCOPE}: add it on the portal", 1)
    line.wait()
    profile = line.call("profile", {})
    if not isinstance(profile.result, dict) or profile.result.get("ADMIN") is not True:
        return _say(name, "the credential's owner is no administrator: starts will be denied", 1)
    templates, answer = read_templates(line)
    if not isinstance(answer.result, list):
        return _say(name, _trouble(answer), 1)
    _say(name, f"{len(templates)} templates can be started")
    outlines = _outlines(desk.record.redis, name)
    if outlines is None:
        return _say(name, "no rules are on record yet: start the web process once, then ping again", 0)
    drift = find_drift(outlines, templates)
    for text in drift:
        _say(name, text)
    return _say(name, f"{len(outlines)} rules, {len(drift)} that do not fit", 1 if drift else 0)


def probe(desk: Desk, template_id: int, document: DocumentId) -> int:
    """Start one workflow twice under one id of ours: does the portal honour it? 0 where it does, else 1."""
    name, line = desk.portal.name, desk.line
    own_id = bizproc.own_id_of(new_delivery_id(utc_now()) + secrets.token_hex(4))
    parameters = bizproc.start_parameters(Call(name, template_id, document, {}), own_id)
    line.wait()
    first = line.call(bizproc.START, parameters)
    verdict = judge(first)
    if verdict.workflow_id is None:
        return _say(name, f"the workflow did not start: {_trouble(first)}", 1)
    if first.result != own_id:
        desk.pace.learn_own_id(desk.pace.read(), honoured=False)
        return _say(name, f"own ids are ignored: asked for {own_id}, started {first.result}. Say own_id: off", 1)
    line.wait()
    second = line.call(bizproc.START, parameters)
    if second.description != "WorkflowAlreadyExists":
        return _say(name, f"the id was taken, but a second start was not refused: {_trouble(second)}", 1)
    desk.pace.learn_own_id(desk.pace.read(), honoured=True)
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


def _outlines(redis: Redis, portal: str) -> list[Outline] | None:
    try:
        published = published_rules(redis)
    except RecordUnavailableError:
        return None
    return [outline for outline in published[1] if outline.portal == portal] if published else None


def _say(portal: str, text: str, status: int = 0) -> int:
    print(f"{portal}: {text}")
    return status


def _trouble(answer: Answer) -> str:
    return f"{judge(answer).advice} [status {answer.status}, code {answer.code!r}]"
