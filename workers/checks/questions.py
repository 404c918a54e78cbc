"""Answers the questions of people about a portal: is all well, which templates are there, end this workflow.

The web process asks; a worker calls the portal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from relay.core.errors import NotFoundError
from relay.core.findings import as_lines, finding
from relay.core.telemetry import get_logger
from relay.core.templates import PortalTemplate
from relay.store.portals.questions import LONGEST_ANSWER, LONGEST_LIST, METHODS, Asked, Question, QuestionState
from workers.checks.drift import read_templates
from workers.checks.ping import check_up, trouble_of
from workers.portal.applications import read_back
from workers.portal.context import Context

log = get_logger()


def answer(context: Context, question_id: str) -> None:
    """Call the portal once and keep its answer. A lost answer is reported as lost: a person has to look."""
    questions = context.store.questions
    try:
        question = questions.read(question_id)
    except NotFoundError:
        return
    if question.state is not QuestionState.ASKED:
        return
    longest = LONGEST_LIST
    if question.act is Asked.PING:
        done, text = _ping(context)
    elif question.act is Asked.TEMPLATES:
        done, text = _templates(context)
    elif question.act is Asked.APPLICATION:
        done, text = read_back(context), ""
    else:
        (done, text), longest = _end(context, question), LONGEST_ANSWER
    questions.answer(question_id, done=done, answer=text, longest=longest)
    log.info("question.answered", question_id=question_id, act=question.act, done=done)


def _ping(context: Context) -> tuple[bool, str]:
    findings = check_up(context)
    return findings.is_well, as_lines(findings.found)


def _templates(context: Context) -> tuple[bool, str]:
    rows, answer, _ = read_templates(context)
    if not isinstance(answer.result, list):
        return False, as_lines([trouble_of(answer)])
    return True, _listed(PortalTemplate.from_row(number, row).to_wire() for number, row in rows.items())


def _listed(templates: Iterable[dict[str, Any]]) -> str:
    """As many templates as fit, as JSON: half a list could not be read."""
    texts, size = [], 2
    for template in templates:
        text = json.dumps(template, ensure_ascii=False)
        size += len(text) + 2
        if size > LONGEST_LIST:
            break
        texts.append(text)
    return f"[{', '.join(texts)}]"


def _end(context: Context, question: Question) -> tuple[bool, str]:
    parameters = {"ID": question.workflow_id}
    if question.act is Asked.TERMINATE:
        parameters["STATUS"] = "ended through the relay"
    context.client.wait()
    reply = context.client.call(METHODS[question.act], parameters)
    done = reply.fault is None and reply.code is None and reply.result is True
    return done, (not done and reply.description) or as_lines([finding("done") if done else trouble_of(reply)])
