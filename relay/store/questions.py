"""What a person asks of a portal through the relay: end a workflow. The web process asks, a worker calls and answers.

The web process holds no credential, so it leaves the question on record with a job, and reads the answer there.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis

from relay.errors import NotFoundError
from relay.ids import to_ms
from relay.queueing import Queues
from relay.store import keys
from relay.store.guard import guarded
from relay.store.scripts import Script, ScriptCall, pairs, run

ASK = Script.load("ask")
KEPT_S = 86_400
METHODS = {"terminate": "bizproc.workflow.terminate", "kill": "bizproc.workflow.kill"}
"""Terminate ends a workflow and keeps its data; kill deletes both (docs: bizproc-workflow-terminate.md, -kill.md)."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question and, when there is one, its answer. state: asked, done or failed; answer: the portal's words."""

    id: str
    portal: str
    act: str
    workflow_id: str
    state: str = "asked"
    answer: str = ""

    def to_wire(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "portal": self.portal,
            "act": self.act,
            "workflow_id": self.workflow_id,
            "state": self.state,
            "answer": self.answer or None,
        }


class Questions:
    """Questions on record. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._queues = Queues(redis)

    @guarded
    def ask(self, portal: str, act: str, workflow_id: str, now: datetime) -> Question:
        """Leave a question with its job."""
        question = Question("ask_" + secrets.token_hex(10), portal, act, workflow_id)
        fields = [("portal", portal), ("act", act), ("workflow_id", workflow_id), ("state", "asked")]
        argv = [KEPT_S, *pairs([*fields, ("at", to_ms(now))]), *self._queues.ask(portal, question.id).to_argv()]
        run(self._redis, ScriptCall(ASK, [keys.QUESTION + question.id], argv))
        return question

    @guarded
    def read(self, question_id: str) -> Question:
        """Raises NotFoundError."""
        kept: Any = self._redis.hgetall(keys.QUESTION + question_id)
        if not kept:
            raise NotFoundError(f"no question {question_id}")
        text = {name.decode(): value.decode() for name, value in kept.items()}
        return Question(
            question_id, text["portal"], text["act"], text["workflow_id"], text["state"], text.get("answer", "")
        )

    @guarded
    def answer(self, question_id: str, *, done: bool, answer: str) -> None:
        """Leave the answer."""
        fields = {"state": "done" if done else "failed", "answer": answer[:1000]}
        self._redis.hset(keys.QUESTION + question_id, mapping=fields)  # type: ignore[arg-type] # invariant in redis-py
