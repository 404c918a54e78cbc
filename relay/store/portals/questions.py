"""Messages from the web process to the workers: questions about a portal, and the requirements of the rules in force.

The web process holds no credential. So it leaves a question on record and notifies a worker, which calls the portal and
leaves the answer there: end a workflow, is all well, which templates are there.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from redis import Redis

from relay.core.errors import NotFoundError
from relay.core.findings import read_lines
from relay.core.ids import QUESTION_PREFIX, to_ms
from relay.core.phrases import phrase
from relay.core.plan import Requirement
from relay.store.redis import keys
from relay.store.redis.scripts import Script, ScriptCall, guarded, pairs, run

ASK = Script.load("ask")
KEPT_S = 86_400
LONGEST_ANSWER = 4_000
LONGEST_LIST = 400_000
"""Characters of the templates of a portal: some hundred, with their parameters; and of the findings of a check."""


class Asked(StrEnum):
    """The kind of a question."""

    TERMINATE = "terminate"
    """End a workflow and keep its data."""
    KILL = "kill"
    """End a workflow and delete its data."""
    PING = "ping"
    """No workflow: check credential, scope, administrator, templates and rules."""
    TEMPLATES = "templates"
    """No workflow: the templates that can be started, as PortalTemplate.to_wire writes them, in a JSON list."""
    APPLICATION = "application"
    """No workflow: is the application still installed? Asked after an event of the portal, which proves nothing."""


class QuestionState(StrEnum):
    """Whether there is an answer."""

    ASKED = "asked"
    DONE = "done"
    FAILED = "failed"


METHODS = {Asked.TERMINATE: "bizproc.workflow.terminate", Asked.KILL: "bizproc.workflow.kill"}
"""Docs: bizproc-workflow-terminate.md, bizproc-workflow-kill.md."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question and, when there is one, its answer. answer: the portal's words, findings, or what `act` says.

    workflow_id: empty where the portal itself is asked about.
    """

    id: str
    portal: str
    act: Asked
    workflow_id: str
    state: QuestionState = QuestionState.ASKED
    answer: str = ""

    @property
    def lines(self) -> list[str]:
        """The answer for people, line by line: a Phrase where it is ours, else the portal's words."""
        return read_lines(self.answer)

    def to_wire(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "portal": self.portal,
            "act": self.act,
            "workflow_id": self.workflow_id,
            "state": self.state,
            "answer": "\n".join(self.lines) or None,
        }


class Questions:
    """Questions on record. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def ask(self, portal: str, act: Asked, workflow_id: str, now: datetime) -> Question:
        """Leave a question, and notify a worker."""
        return self._leave(Question(_new_id(), portal, act, workflow_id), now)

    @guarded
    def _leave(self, question: Question, now: datetime) -> Question:
        portal, act, workflow_id = question.portal, question.act, question.workflow_id
        fields = [("portal", portal), ("act", act), ("workflow_id", workflow_id), ("state", QuestionState.ASKED)]
        argv = [question.id, portal, KEPT_S, *pairs([*fields, ("at", to_ms(now))])]
        run(self._redis, ScriptCall(ASK, [keys.QUESTION + question.id, keys.QUESTIONS + portal], argv))
        return question

    def ask_at_most(self, every: timedelta, portal: str, act: Asked, now: datetime) -> Question:
        """Ask the portal itself, or return the question of this kind that was asked less than `every` ago."""
        question = Question(_new_id(), portal, act, "")
        latest = self._become_latest(question, every)
        if latest != question.id:
            with suppress(NotFoundError):  # its asker is about to leave it, or died before
                return self.read(latest)
        return self._leave(question, now)

    def latest(self, portal: str, act: Asked) -> Question | None:
        """The question of this kind that was asked last, if `ask_at_most` would return it now."""
        question_id = self._latest(portal, act)
        if question_id:
            with suppress(NotFoundError):
                return self.read(question_id)
        return None

    @guarded
    def _latest(self, portal: str, act: Asked) -> str:
        held: Any = self._redis.get(_latest_key(portal, act))
        return held.decode() if held else ""

    @guarded
    def _become_latest(self, question: Question, every: timedelta) -> str:
        """The id of the last question of this kind: this one, if there was none for so long."""
        held: Any = self._redis.set(
            _latest_key(question.portal, question.act), question.id, nx=True, get=True, px=every
        )
        return held.decode() if held else question.id

    @guarded
    def take(self, portal: str) -> str | None:
        """Take the oldest question. If this process dies over it, the person has to ask again."""
        found: Any = self._redis.lpop(keys.QUESTIONS + portal)
        return found.decode() if found is not None else None

    @guarded
    def read(self, question_id: str) -> Question:
        """Raises NotFoundError."""
        kept: Any = self._redis.hgetall(keys.QUESTION + question_id)
        if not kept:
            raise NotFoundError(phrase("no question %(question_id)s", question_id=question_id))
        text = {name.decode(): value.decode() for name, value in kept.items()}
        return Question(
            question_id,
            text["portal"],
            Asked(text["act"]),
            text["workflow_id"],
            QuestionState(text["state"]),
            text.get("answer", ""),
        )

    @guarded
    def answer(self, question_id: str, *, done: bool, answer: str, longest: int = LONGEST_ANSWER) -> None:
        """Leave the answer, cut to `longest` characters."""
        fields = {"state": QuestionState.DONE if done else QuestionState.FAILED, "answer": answer[:longest]}
        self._redis.hset(keys.QUESTION + question_id, mapping=fields)  # type: ignore[arg-type] # invariant in redis-py


def _latest_key(portal: str, act: Asked) -> str:
    return f"{keys.QUESTION}{act}:{portal}"


def _new_id() -> str:
    return QUESTION_PREFIX + secrets.token_hex(10)


class PublishedRules:
    """The requirements of the rules in force. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def publish(self, digest: str, requirements: Iterable[Requirement], now: datetime) -> None:
        """Leave the requirements of the rules."""
        text = json.dumps([requirement.to_wire() for requirement in requirements])
        self._redis.hset(keys.RULES, mapping={"digest": digest, "requirements": text, "at": to_ms(now)})

    @guarded
    def digest(self) -> str | None:
        """The digest alone; None before the first."""
        kept: Any = self._redis.hget(keys.RULES, "digest")
        return kept.decode() if kept else None

    @guarded
    def read(self) -> tuple[str, list[Requirement]] | None:
        """The digest and the requirements; None before the first, and where another version left them."""
        kept: Any = self._redis.hmget(keys.RULES, ["digest", "requirements"])
        try:
            return kept[0].decode(), [Requirement.from_wire(wire) for wire in json.loads(kept[1])]
        except (AttributeError, KeyError, TypeError, ValueError):
            return None  # a web process of this version leaves them anew when it starts
