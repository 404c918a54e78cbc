"""Answers what a person asks of a portal: terminate or kill a workflow. Asked in the web process, called here."""

from __future__ import annotations

from relay.errors import NotFoundError
from relay.store.questions import METHODS, Questions
from relay.telemetry import get_logger
from workers.bitrix24.errors import judge
from workers.desk import Desk

log = get_logger()


def answer(desk: Desk, question_id: str) -> None:
    """Call the method once and leave what the portal said. A lost answer is told as that: a person looks."""
    questions = Questions(desk.record.redis)
    try:
        question = questions.read(question_id)
    except NotFoundError:
        return
    if question.state != "asked":
        return
    parameters = {"ID": question.workflow_id}
    if question.act == "terminate":
        parameters["STATUS"] = "ended through the relay"
    desk.line.wait()
    reply = desk.line.call(METHODS[question.act], parameters)
    done = reply.fault is None and reply.code is None and reply.result is True
    text = "done" if done else reply.description or judge(reply).advice
    questions.answer(question_id, done=done, answer=text)
    log.info("question.answered", question_id=question_id, act=question.act, done=done, code=reply.code)
