"""Answers what a person asks of a portal: end a workflow, or is all well. Asked in the web process, called here."""

from __future__ import annotations

from relay.core.errors import NotFoundError
from relay.core.telemetry import get_logger
from relay.store.portals.questions import METHODS, Asked, Question, QuestionState
from workers.checks.preflight import check_up, trouble_of
from workers.portal.context import Context

log = get_logger()


def answer(context: Context, question_id: str) -> None:
    """Look or call once, and leave what the portal said. A lost answer is told as that: a person looks."""
    questions = context.store.questions
    try:
        question = questions.read(question_id)
    except NotFoundError:
        return
    if question.state is not QuestionState.ASKED:
        return
    done, text = _ping(context) if question.act is Asked.PING else _end(context, question)
    questions.answer(question_id, done=done, answer=text)
    log.info("question.answered", question_id=question_id, act=question.act, done=done)


def _ping(context: Context) -> tuple[bool, str]:
    findings = check_up(context)
    return findings.is_well, "\n".join(findings.lines)


def _end(context: Context, question: Question) -> tuple[bool, str]:
    parameters = {"ID": question.workflow_id}
    if question.act is Asked.TERMINATE:
        parameters["STATUS"] = "ended through the relay"
    context.client.wait()
    reply = context.client.call(METHODS[question.act], parameters)
    done = reply.fault is None and reply.code is None and reply.result is True
    return done, "done" if done else reply.description or trouble_of(reply)
