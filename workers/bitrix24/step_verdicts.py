"""What an answer to a step means: the table of verdicts.py, and what is different about finding and making.

Asking changes nothing, so a question without an answer is simply put again. What was made carries our own id, so a
lost answer can be found out about. Only a trigger leaves no trace.
"""

from __future__ import annotations

from dataclasses import replace

from relay.core.lifecycle import Verdict
from relay.core.plan import Step, StepKind
from workers.bitrix24 import crm
from workers.bitrix24.answers import Answer
from workers.bitrix24.verdicts import HELD, PORTAL, REJECTED, TABLE, UNKNOWN, Judgement, Row, judge_failure

UNANSWERED = "find_unanswered"
MADE_UNKNOWN = "made_unknown"
FIRED_UNKNOWN = "fired_unknown"
FILTER_IGNORED = "filter_ignored"

# Sources: the tables of errors at the end of each method's page (docs: api-reference/crm).
# fmt: off
STEP_TABLE: tuple[Row, ...] = (
    # Of all REST, as for a start; else of the one document, in the language of the portal, or in the place of the code.
    Row("ACCESS_DENIED", None, "REST is available", HELD, PORTAL),
    Row("ACCESS_DENIED", None, "Current user can't be authorized", HELD, PORTAL),
    Row("ACCESS_DENIED", None, None, REJECTED),
    Row("Access denied", None, None, REJECTED),
    Row("", None, "Access denied", REJECTED),
    # Of the fields.
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
