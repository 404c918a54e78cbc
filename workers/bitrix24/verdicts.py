"""The meaning of an answer: one table from (code, status, description) to a verdict and its concern. Pure.

Sources disagree on statuses, so a code decides before a status does, and a description only where a code has two
meanings (docs: _includes/system-errors.md; source: rest/lib/oauthexception.php, bizproc/lib/restservice.php). An answer
that matches no row is ambiguous unless its status proves that nothing ran: a doubt never leads to a second call.

The concern decides what waits and what goes on: only an answer about the portal closes its gate.

The second table adds the answers of a step. A question changes nothing, so it is repeated when its answer is lost. A
document carries our own id, so a lost answer can be looked up. Only a trigger leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from relay.core.lifecycle import Verdict
from relay.core.plan import Step, StepKind
from workers.bitrix24 import crm
from workers.bitrix24.client import Answer, Fault

LONGEST_ID = 200
"""Characters of the id of a workflow: a portal's own have 23."""


class Remedy(StrEnum):
    """A remedy that an answer asks for, beside its verdict."""

    NONE = "none"
    SLOW_DOWN = "slow_down"
    """The request rate of this portal and source address was exceeded."""
    WAIT_FOR_BUDGET = "wait_for_budget"
    """The operating time of this method is used up."""
    AGAIN = "again"
    """The portal is well and refused this call: it is tried again within its own attempts."""
    SMALLER = "smaller"
    """A batch was refused as a whole, perhaps for its size or one of its calls."""
    REFRESH = "refresh"
    """An OAuth token has expired: get a new one, then the same call once more."""
    FOLLOW = "follow"
    """The portal was renamed."""
    OWN_ID_EXISTS = "own_id_exists"
    """A workflow with the id that we chose exists already."""


class Concern(StrEnum):
    """The thing that an answer is about. One about less than the portal proves that the portal is well."""

    CALL = "call"
    """This one call. Only its delivery is affected."""
    METHOD = "method"
    """Every call of this method: they wait, and others go on."""
    PORTAL = "portal"
    """The credential, the plan, or the portal as a whole, perhaps unreachable: all calls wait."""
    UNCLEAR = "unclear"
    """The portal or this one call: a page of a web server or a firewall, or an unknown code. One harmless question
    tells which (workers/portal/gatekeeper.py)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table. None: any. Codes compare without case. A description, and a code that ends in `*`, compare
    by their beginning. A code with a status matches with that status only. word: the reason, in place of the code.
    """

    code: str | None
    status: int | None
    description: str | None
    verdict: Verdict
    concern: Concern = Concern.CALL
    remedy: Remedy = Remedy.NONE
    word: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The meaning of one answer. `reason` is a code that core/reasons.py explains.

    ids: of the documents found or made.
    """

    verdict: Verdict
    reason: str
    remedy: Remedy = Remedy.NONE
    concern: Concern = Concern.CALL
    workflow_id: str | None = None
    ids: tuple[int, ...] = ()


HELD, REJECTED, AMBIGUOUS = Verdict.HELD, Verdict.REJECTED, Verdict.AMBIGUOUS
THROTTLED, UNREACHABLE = Verdict.THROTTLED, Verdict.UNREACHABLE
METHOD, PORTAL, UNCLEAR = Concern.METHOD, Concern.PORTAL, Concern.UNCLEAR

# fmt: off
TABLE: tuple[Row, ...] = (
    # The pace.
    Row("QUERY_LIMIT_EXCEEDED", None, None, THROTTLED, PORTAL, Remedy.SLOW_DOWN),
    Row("OPERATION_TIME_LIMIT", None, None, THROTTLED, METHOD, Remedy.WAIT_FOR_BUDGET),
    Row("OVERLOAD_LIMIT", None, None, HELD, PORTAL),
    # The credential, the plan, the portal as a whole.
    Row("expired_token", None, None, HELD, PORTAL, Remedy.REFRESH),
    Row("invalid_token", None, None, HELD, PORTAL, Remedy.REFRESH),
    Row("NO_AUTH_FOUND", None, None, HELD, PORTAL, Remedy.REFRESH),
    Row("INVALID_CREDENTIALS", None, None, HELD, PORTAL),
    Row("authorization_error", None, None, HELD, PORTAL),
    Row("user_access_error", None, None, HELD, PORTAL),
    Row("ACCESS_DENIED", None, "Access denied", REJECTED),
    Row("ACCESS_DENIED", None, "REST is available", HELD, PORTAL),
    Row("ACCESS_DENIED", None, "Current user can't be authorized", HELD, PORTAL),
    Row("ACCESS_DENIED", None, None, HELD, UNCLEAR),
    Row("PAYMENT_REQUIRED", None, None, HELD, PORTAL),
    Row("ERROR_OAUTH", None, None, HELD, PORTAL),
    Row("NOT_INSTALLED", None, None, HELD, PORTAL),
    Row("APPLICATION_NOT_FOUND", None, None, HELD, PORTAL),
    Row("CONNECTION_ERROR", None, None, UNREACHABLE, PORTAL),
    # Our own codes for an application, and those of the authorisation server (workers/portal/client.py).
    Row("NOT_CONNECTED", None, None, HELD, PORTAL),
    Row("NO_ADMINISTRATOR", None, None, HELD, PORTAL),
    Row("invalid_grant", None, None, HELD, PORTAL),
    Row("invalid_client", None, None, HELD, PORTAL),
    Row("wrong_client", None, None, HELD, PORTAL),
    Row("PORTAL_DELETED", None, None, HELD, PORTAL),
    Row("INVALID_REQUEST", None, None, HELD, PORTAL),
    Row("INTERNAL_WRONG_TRANSPORT", None, None, HELD, PORTAL),
    # The method: credential and plan may be good for others.
    Row("insufficient_scope", None, None, HELD, METHOD),
    Row("ERROR_METHOD_NOT_FOUND", None, None, HELD, METHOD),
    Row("WRONG_LICENSE", None, None, HELD, METHOD),
    Row("WRONG_AUTH_TYPE", None, None, HELD, METHOD),
    Row("allowed_only_intranet_user", None, None, HELD, METHOD),
    Row("METHOD_CONFIRM_WAITING", None, None, HELD, METHOD),
    Row("METHOD_CONFIRM_DENIED", None, None, HELD, METHOD),
    Row("INTERNAL_WRONG_HANDLER_CLASS", None, None, HELD, METHOD),
    # The call.
    Row("ERROR_WRONG_WORKFLOW_ID", None, None, REJECTED),
    Row("", None, "Wrong DOCUMENT_ID!", REJECTED),
    Row("", None, "Incorrect document type!", REJECTED),
    Row("", None, "Template type and DOCUMENT_ID mismatch!", REJECTED),
    Row("ERROR_CORE", None, "Module name '", REJECTED, word="wrong_document_id"),  # main/lib/loader.php
    Row("", None, "WorkflowAlreadyExists", AMBIGUOUS, remedy=Remedy.OWN_ID_EXISTS),
    Row("", None, None, AMBIGUOUS),
    Row("ERROR_ARGUMENT", None, None, REJECTED),
    Row("INVALID_ARG_VALUE", None, None, REJECTED),
    Row("ERROR_NOT_FOUND", None, None, REJECTED),
    Row("NOT_FOUND", None, None, REJECTED),
    Row("ERROR_MANIFEST_IS_NOT_AVAILABLE", None, None, REJECTED),
    # REST 3.0 (docs: api-reference/rest-v3.md) refuses a request like this before anything has run.
    Row("BITRIX_REST_V3_EXCEPTION_INSUFFICIENTSCOPEEXCEPTION", None, None, HELD, METHOD),
    Row("BITRIX_REST_V3_EXCEPTION_ACCESSDENIEDEXCEPTION", None, None, REJECTED),
    Row("BITRIX_REST_V3_EXCEPTION_*", 400, None, REJECTED),
    Row("BITRIX_REST_V3_EXCEPTION_*", 422, None, REJECTED),
    # The batch in which it stood.
    Row("ERROR_BATCH_METHOD_NOT_ALLOWED", None, None, REJECTED, remedy=Remedy.SMALLER),
    Row("ERROR_BATCH_LENGTH_EXCEEDED", None, None, UNREACHABLE, remedy=Remedy.SMALLER),
    # It ran, or may have run.
    Row("ERROR_CORE", None, None, AMBIGUOUS),
    Row("INTERNAL_SERVER_ERROR", None, None, AMBIGUOUS),
    Row("ERROR_UNEXPECTED_ANSWER", None, None, AMBIGUOUS),
    Row("WRONG_ENCODING", None, None, AMBIGUOUS),
    # No known code: the status decides. A firewall answers like this to a supposed attack.
    Row(None, 301, None, HELD, UNCLEAR, Remedy.FOLLOW),
    Row(None, 302, None, HELD, UNCLEAR, Remedy.FOLLOW),
    Row(None, 307, None, HELD, UNCLEAR, Remedy.FOLLOW),
    Row(None, 308, None, HELD, UNCLEAR, Remedy.FOLLOW),
    Row(None, 401, None, HELD, UNCLEAR),
    Row(None, 402, None, HELD, UNCLEAR),
    Row(None, 403, None, HELD, UNCLEAR),
    Row(None, 404, None, HELD, UNCLEAR),
    Row(None, 405, None, HELD, UNCLEAR),
    Row(None, 406, None, HELD, UNCLEAR),
    Row(None, 410, None, HELD, UNCLEAR),
    Row(None, 413, None, REJECTED),
    Row(None, 429, None, THROTTLED, PORTAL, Remedy.SLOW_DOWN),
)
# fmt: on

OF_ONE = {Fault.TOO_LATE, Fault.NOT_EXECUTED}
"""Faults that say nothing about the portal."""
FAULTS: dict[Fault, Verdict] = {
    Fault.NOT_SENT: UNREACHABLE,
    Fault.TOO_LATE: UNREACHABLE,
    Fault.NOT_EXECUTED: UNREACHABLE,
    Fault.TIMED_OUT: AMBIGUOUS,
    Fault.CUT: AMBIGUOUS,
    Fault.UNREADABLE: AMBIGUOUS,
}


def judge(answer: Answer) -> Judgement:
    """The verdict on an answer to `bizproc.workflow.start`, single or one command of a batch. Pure."""
    if failure := judge_failure(answer, TABLE):
        return failure
    if answer.code is None and isinstance(answer.result, str) and 0 < len(answer.result) <= LONGEST_ID:
        return Judgement(Verdict.STARTED, "started", workflow_id=answer.result)
    return UNKNOWN


def judge_failure(answer: Answer, table: Iterable[Row]) -> Judgement | None:
    """The verdict on a fault, or on an error that the table knows; None for any other answer."""
    if answer.fault and answer.fault is not Fault.UNREADABLE:
        return _judge_fault(answer.fault)
    row = next((row for row in table if _fits(row, answer)), None)
    if row:
        return Judgement(row.verdict, _reason(row, answer), row.remedy, row.concern)
    return _judge_fault(answer.fault) if answer.fault else None


UNKNOWN = Judgement(AMBIGUOUS, "unknown_answer")


def _fits(row: Row, answer: Answer) -> bool:
    if row.code is not None:
        if answer.code is None or not _is_code(answer.code.casefold(), row.code.casefold()):
            return False
        if row.status is not None and row.status != answer.status:
            return False
        return row.description is None or (answer.description or "").startswith(row.description)
    return answer.status == row.status


def _is_code(code: str, wanted: str) -> bool:
    return code.startswith(wanted[:-1]) if wanted.endswith("*") else code == wanted


def _judge_fault(fault: Fault) -> Judgement:
    return Judgement(FAULTS[fault], fault.value, concern=Concern.CALL if fault in OF_ONE else PORTAL)


def _reason(row: Row, answer: Answer) -> str:
    if row.word:
        return row.word
    if row.code:
        return row.code.lower().replace(" ", "_").rstrip("_*")
    if row.code == "":
        return "engine_error" if row.description is None else (row.description.rstrip("!").lower().replace(" ", "_"))
    return f"http_{answer.status}"


UNANSWERED = "find_unanswered"
MADE_UNKNOWN = "made_unknown"
FIRED_UNKNOWN = "fired_unknown"
FILTER_IGNORED = "filter_ignored"

# Sources: the tables of errors at the end of each method's page (docs: api-reference/crm).
# fmt: off
STEP_TABLE: tuple[Row, ...] = (
    # About all of REST, as for a start; else about the one document, in the portal's language, or in place of the code.
    Row("ACCESS_DENIED", None, "REST is available", HELD, PORTAL),
    Row("ACCESS_DENIED", None, "Current user can't be authorized", HELD, PORTAL),
    Row("ACCESS_DENIED", None, None, REJECTED),
    Row("Access denied", None, None, REJECTED),
    Row("", None, "Access denied", REJECTED),
    # The fields.
    Row("CRM_FIELD_ERROR_REQUIRED", None, None, REJECTED),
    Row("CRM_FIELD_ERROR_VALUE_NOT_VALID", None, None, REJECTED),
    Row("100", None, None, REJECTED),
    Row("CREATE_DYNAMIC_ITEM_RESTRICTED", None, None, REJECTED),
    Row("ENTITY_TYPE_NOT_SUPPORTED", None, None, REJECTED),
    Row("", None, "Target is not set", REJECTED),
    Row("", None, "Incorrect target format", REJECTED),
    Row("", None, "Target is not found", REJECTED),
    *TABLE,
)
# fmt: on


def judge_step(step: Step, method: str, answer: Answer) -> Judgement:
    """The verdict on an answer to a step, single or one command of a batch. method: that was called. Pure."""
    judgement = judge_failure(answer, STEP_TABLE) or _judge_success(step, method, answer)
    if judgement.verdict is not Verdict.AMBIGUOUS:
        return judgement
    if step.kind is StepKind.TRIGGER:
        return replace(judgement, reason=FIRED_UNKNOWN)
    if method == step.method and step.kind is StepKind.MAKE:
        return replace(judgement, reason=MADE_UNKNOWN)
    return replace(judgement, verdict=Verdict.UNREACHABLE, reason=UNANSWERED)


def _judge_success(step: Step, method: str, answer: Answer) -> Judgement:
    if answer.code is not None:
        return UNKNOWN
    if step.kind is StepKind.TRIGGER:
        return Judgement(Verdict.DONE, "fired") if answer.result is True else UNKNOWN
    if step.kind is StepKind.MAKE and method == step.method:
        made = crm.made_in(answer.result)
        return UNKNOWN if made is None else Judgement(Verdict.DONE, "made", ids=(made,))
    if crm.ignored_in(step, method, answer.result):
        return Judgement(Verdict.REJECTED, FILTER_IGNORED)
    found = crm.found_in(step, method, answer.result)
    return UNKNOWN if found is None else Judgement(Verdict.DONE, "found", ids=tuple(found))
