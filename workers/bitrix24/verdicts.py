"""What an answer of a portal means: one table from (code, status, description) to a verdict.

Sources disagree on statuses, so a code decides before a status does, and a description only where a code has two
meanings (docs: _includes/system-errors.md; source: rest/lib/oauthexception.php, bizproc/lib/restservice.php). What no
row knows is ambiguous unless its status proves that nothing ran: a doubt is never resolved by sending again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from relay.core.lifecycle import Verdict
from workers.bitrix24.answers import Answer, Fault


class Remedy(StrEnum):
    """What else an answer asks for, beside its verdict."""

    NONE = "none"
    SLOW_DOWN = "slow_down"
    """The request rate was exceeded, for everybody who calls this portal from this address."""
    WAIT_FOR_BUDGET = "wait_for_budget"
    """The operating time of this method is used up."""
    REFRESH = "refresh"
    """An OAuth token has expired: get a new one, then the same call once more."""
    FOLLOW = "follow"
    """The portal has another name now."""
    OWN_ID_EXISTS = "own_id_exists"
    """A workflow with the id that we chose was begun before."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. None: any. Codes compare without case, descriptions by how they begin."""

    code: str | None
    status: int | None
    description: str | None
    verdict: Verdict
    advice: str
    """For a person: what it means and what helps."""
    remedy: Remedy = Remedy.NONE


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one answer means. `reason` is a word that can be counted; `advice` a sentence for a person."""

    verdict: Verdict
    reason: str
    advice: str
    remedy: Remedy = Remedy.NONE
    workflow_id: str | None = None


HELD, REJECTED, AMBIGUOUS = Verdict.HELD, Verdict.REJECTED, Verdict.AMBIGUOUS
THROTTLED, UNREACHABLE = Verdict.THROTTLED, Verdict.UNREACHABLE

# fmt: off
TABLE: tuple[Row, ...] = (
    # The pace.
    Row("QUERY_LIMIT_EXCEEDED", None, None, THROTTLED, "Too many requests a second from this address.", Remedy.SLOW_DOWN),
    Row("OPERATION_TIME_LIMIT", None, None, THROTTLED, "The method's time budget is used up.", Remedy.WAIT_FOR_BUDGET),
    Row("OVERLOAD_LIMIT", None, None, HELD, "Bitrix24 has blocked REST on this portal by hand: write to their support."),
    # The credential.
    Row("expired_token", None, None, HELD, "The access token has expired.", Remedy.REFRESH),
    Row("invalid_token", None, None, HELD, "The access token is unknown: install the application again.", Remedy.REFRESH),
    Row("NO_AUTH_FOUND", None, None, HELD, "The portal saw no credential it knows.", Remedy.REFRESH),
    Row("INVALID_CREDENTIALS", None, None, HELD, "The inbound webhook was deleted, or its secret is wrong: make a new one."),
    Row("insufficient_scope", None, None, HELD, "The credential lacks the scope bizproc: add it on the portal."),
    Row("authorization_error", None, None, HELD, "The owner of the credential is dismissed or inactive: use another's."),
    Row("user_access_error", None, None, HELD, "The application is not open to the owner of the credential."),
    Row("ACCESS_DENIED", None, "Access denied", REJECTED, "The owner of the credential may not start this workflow: use an administrator's."),
    Row("ACCESS_DENIED", None, None, HELD, "The portal's plan has no REST, or its subscription has ended."),
    Row("PAYMENT_REQUIRED", None, None, HELD, "The portal's subscription has ended."),
    Row("ERROR_OAUTH", None, None, HELD, "The application is not installed on the portal."),
    Row("NOT_INSTALLED", None, None, HELD, "The application is not installed on the portal."),
    Row("APPLICATION_NOT_FOUND", None, None, HELD, "The application is not installed on the portal."),
    Row("CONNECTION_ERROR", None, None, UNREACHABLE, "The portal could not reach its authorization server."),
    Row("PORTAL_DELETED", None, None, HELD, "The portal was deleted, or its site is closed."),
    Row("ERROR_METHOD_NOT_FOUND", None, None, HELD, "No such method: the plan has no business processes, or the address of the credential is wrong."),
    Row("INVALID_REQUEST", None, None, HELD, "The portal wants https."),
    Row("WRONG_LICENSE", None, None, HELD, "The portal's plan does not include this."),
    Row("WRONG_AUTH_TYPE", None, None, HELD, "This kind of credential may not call the method."),
    Row("allowed_only_intranet_user", None, None, HELD, "The owner of the credential must be an intranet user."),
    Row("METHOD_CONFIRM_WAITING", None, None, HELD, "A user of the portal has to approve the method."),
    Row("METHOD_CONFIRM_DENIED", None, None, HELD, "A user of the portal has refused the method."),
    Row("INTERNAL_WRONG_TRANSPORT", None, None, HELD, "The address of the credential has a suffix the portal does not know."),
    Row("INTERNAL_WRONG_HANDLER_CLASS", None, None, HELD, "REST is broken on this installation."),
    # The call.
    Row("ERROR_WRONG_WORKFLOW_ID", None, None, REJECTED, "The template does not exist, or cannot be started so."),
    Row("", None, "Wrong DOCUMENT_ID!", REJECTED, "The document does not exist, or its id is not of this kind."),
    Row("", None, "Incorrect document type!", REJECTED, "The document does not exist, or its kind is unknown."),
    Row("", None, "Template type and DOCUMENT_ID mismatch!", REJECTED, "The template belongs to another kind of document."),
    Row("", None, "WorkflowAlreadyExists", AMBIGUOUS, "A workflow of this id was begun before.", Remedy.OWN_ID_EXISTS),
    Row("", None, None, AMBIGUOUS, "The engine stopped with this text; the workflow may have begun."),
    Row("ERROR_ARGUMENT", None, None, REJECTED, "The portal refuses an argument."),
    Row("INVALID_ARG_VALUE", None, None, REJECTED, "The portal refuses an argument."),
    Row("ERROR_NOT_FOUND", None, None, REJECTED, "The portal does not find what the call names."),
    Row("NOT_FOUND", None, None, REJECTED, "The portal does not find what the call names."),
    Row("ERROR_MANIFEST_IS_NOT_AVAILABLE", None, None, REJECTED, "The portal refuses the call."),
    Row("ERROR_BATCH_METHOD_NOT_ALLOWED", None, None, REJECTED, "The portal takes no such method in a batch."),
    Row("ERROR_BATCH_LENGTH_EXCEEDED", None, None, UNREACHABLE, "The batch was too long for the portal; this command was not executed."),
    # It ran, or may have run.
    Row("ERROR_CORE", None, None, AMBIGUOUS, "An uncaught exception on the portal; the workflow may have begun."),
    Row("INTERNAL_SERVER_ERROR", None, None, AMBIGUOUS, "An error inside the portal; the workflow may have begun."),
    Row("ERROR_UNEXPECTED_ANSWER", None, None, AMBIGUOUS, "An error inside the portal; the workflow may have begun."),
    Row("WRONG_ENCODING", None, None, AMBIGUOUS, "The call ran; its answer could not be encoded."),
    # No code that we know: what the status proves.
    Row(None, 301, None, HELD, "The portal has another address now.", Remedy.FOLLOW),
    Row(None, 302, None, HELD, "The portal has another address now.", Remedy.FOLLOW),
    Row(None, 307, None, HELD, "The portal has another address now.", Remedy.FOLLOW),
    Row(None, 308, None, HELD, "The portal has another address now.", Remedy.FOLLOW),
    Row(None, 401, None, HELD, "The portal does not accept the credential."),
    Row(None, 402, None, HELD, "The portal's subscription has ended."),
    Row(None, 403, None, HELD, "The portal, or a firewall before it, forbids the call."),
    Row(None, 404, None, HELD, "There is no REST at the address of the credential."),
    Row(None, 405, None, HELD, "There is no REST at the address of the credential."),
    Row(None, 410, None, HELD, "The portal is gone."),
    Row(None, 413, None, REJECTED, "The call is too large for the portal's web server."),
    Row(None, 429, None, THROTTLED, "The portal asks us to slow down.", Remedy.SLOW_DOWN),
)
# fmt: on

FAULTS: dict[Fault, tuple[Verdict, str]] = {
    Fault.NOT_SENT: (UNREACHABLE, "No connection to the portal: nothing was sent."),
    Fault.NOT_EXECUTED: (UNREACHABLE, "The batch ended before this command: it was not executed."),
    Fault.TIMED_OUT: (AMBIGUOUS, "No answer in time; the workflow may have begun."),
    Fault.CUT: (AMBIGUOUS, "The connection broke after sending; the workflow may have begun."),
    Fault.UNREADABLE: (AMBIGUOUS, "The answer cannot be read; the workflow may have begun."),
}


def judge(answer: Answer) -> Judgement:
    """The verdict on an answer to `bizproc.workflow.start`, single or one command of a batch. Pure."""
    if answer.fault and answer.fault is not Fault.UNREADABLE:
        return _judge_fault(answer.fault)
    row = next((row for row in TABLE if _fits(row, answer)), None)
    if row:
        return Judgement(row.verdict, _reason(row, answer), row.advice, row.remedy)
    if answer.fault:
        return _judge_fault(answer.fault)
    if answer.code is None and isinstance(answer.result, str) and answer.result:
        return Judgement(Verdict.STARTED, "started", "The portal has started the workflow.", workflow_id=answer.result)
    return Judgement(AMBIGUOUS, "unknown_answer", "An answer we do not know; the workflow may have begun.")


def _fits(row: Row, answer: Answer) -> bool:
    if row.code is not None:
        if answer.code is None or answer.code.casefold() != row.code.casefold():
            return False
        return row.description is None or (answer.description or "").startswith(row.description)
    return answer.status == row.status


def _judge_fault(fault: Fault) -> Judgement:
    verdict, advice = FAULTS[fault]
    return Judgement(verdict, fault.value, advice)


def _reason(row: Row, answer: Answer) -> str:
    if row.code:
        return row.code.lower()
    if row.code == "":
        return "engine_error" if row.description is None else (row.description.rstrip("!").lower().replace(" ", "_"))
    return f"http_{answer.status}"
