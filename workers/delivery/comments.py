"""Comments: a line in the timeline of a document, after its workflow has started, where the rule has one.

At most one is sent for each start. It is claimed before it is sent, and an answer that was lost is not repeated, so the
comment may be missing; the delivery says so. Only what was certainly not executed is tried again.

A comment never holds up a start, nor changes what became of it. Comments have threads and connections of their own, and
leave the portal's gate and methods alone. They share the pace of the portal, and go after the starts that are due; once
the oldest has waited for PATIENCE, they take turns with them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

from relay.core.errors import RecordUnavailableError
from relay.core.events import CommentState, Delivery
from relay.core.ids import utc_now
from relay.core.lifecycle import Verdict
from relay.core.plan import owner_of
from relay.core.telemetry import get_logger
from relay.core.threads import where_of
from relay.store import Store
from relay.store.portals.portal import Survey
from relay.store.record.comments import CommentOutcome
from workers.bitrix24.client import BATCH, Answer, Fault, answers_of, batch_parameters
from workers.bitrix24.timeline import comment_of
from workers.bitrix24.verdicts import Concern, Judgement, Remedy, judge_comment
from workers.delivery.deliver import most_at_once
from workers.delivery.retry import BUDGET, delay_after
from workers.portal.client import SEND_WITHIN_S
from workers.portal.context import Context
from workers.portal.credentials import Address

AT_ONCE = 20
"""Comments in one request. If its answer is lost, none of them is sent again."""
PATIENCE = timedelta(seconds=30)
LOOK_S = 1.0
NOTE_PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0)
NO_DOCUMENT, TOO_LARGE = "comment_no_document", "http_413"
NOT_EXECUTED = {Verdict.THROTTLED, Verdict.UNREACHABLE, Verdict.HELD}

log = get_logger()


def run_comments(
    store: Store, addresses: Mapping[str, Address], is_stopping: Callable[[], bool], stop: threading.Event
) -> None:
    """Send the comments of these portals, each on a thread while it has any, until `stop` is set.

    is_stopping: whether to begin nothing new. Returns when every call has ended: one that is cut would leave its
    comments missing.
    """
    senders = {name: Sender(Context.open(store, address)) for name, address in addresses.items()}
    threads: dict[str, threading.Thread] = {}
    while not stop.wait(LOOK_S) and not is_stopping():
        try:
            waiting = store.comments.waiting(senders, utc_now())
        except RecordUnavailableError:
            continue  # those who need the record report it
        for name in waiting:
            if name not in threads or not threads[name].is_alive():
                task, named = partial(senders[name].work, is_stopping), f"comments-{name}"
                threads[name] = threading.Thread(target=task, name=named, daemon=True)
                threads[name].start()
    for thread in threads.values():
        thread.join()


@dataclass(slots=True)
class Sender:
    """Sends the comments of one portal. most: in one request; less after the portal has refused so many."""

    context: Context
    most: int = AT_ONCE

    def work(self, is_stopping: Callable[[], bool] = lambda: False) -> None:
        """Send what waits, until nothing does or starts go first."""
        try:
            while not is_stopping() and self.send_next():
                pass
        except RecordUnavailableError as error:
            log.warning("comments.postponed", portal=self.context.portal.name, reason=str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, without its values
            kind, where = type(error).__name__, where_of(error)
            log.error("comments.died", portal=self.context.portal.name, kind=kind, where=where)  # noqa: TRY400

    def send_next(self) -> bool:
        """Send the oldest waiting comments in one request. Returns whether there may be more to send now.

        Raises RecordUnavailableError.
        """
        context = self.context
        portal = self._survey_in_turn()
        if portal is None:
            return False
        context.client.wait()
        reached = context.store.reached(context.clock())
        if reached is None:
            return False
        began, limit = time.monotonic(), min(self.most, most_at_once(context, portal.learned))
        # If the answer is lost, the next claim has the same id, and gets what this one took.
        claimed = context.store.comments.claim(context.portal.name, context.claim.id, context.clock(), limit)
        context.claim.renew()
        if not claimed:
            return False
        context.store.high_water.note_promise_after(reached)
        outcomes = self._send(claimed, began + SEND_WITHIN_S)
        _note(context, outcomes)
        return True

    def _survey_in_turn(self) -> Survey | None:
        """The portal at this moment; None if no comment waits, or other calls go first."""
        name, now = self.context.portal.name, self.context.clock()
        since = self.context.store.comments.waiting([name], now).get(name)
        if since is None:
            return None
        portal = self.context.survey()
        # Where starts are due, one of them proves a gate that has just opened.
        takes_turns = portal.gate.is_proven and now - since >= PATIENCE
        is_free = takes_turns or not (portal.due or portal.doubtful)
        return portal if portal.gate.is_open and is_free else None

    def _send(self, claimed: Sequence[Delivery], not_after: float) -> list[CommentOutcome]:
        """Send claimed comments. Returns what has become of each."""
        calls = [(one, call) for one in claimed if (call := _call_of(one))]
        without = [CommentOutcome(one, CommentState.MISSING, NO_DOCUMENT) for one in claimed if _call_of(one) is None]
        if not calls:
            return without
        method, parameters = calls[0][1]
        if len(calls) > 1:
            method, parameters = BATCH, batch_parameters([call for _, call in calls])
        try:
            answer = self.context.client.call(method, parameters, lambda: not_after)
        except RecordUnavailableError:
            # The record failed before the call, or after one that was certainly not executed (portal/client.py).
            answer = Answer(self.context.clock(), 0, fault=Fault.NOT_SENT)
        answers = answers_of(answer, len(calls)) if len(calls) > 1 else [answer]
        judged = [self._of_batch(judge_comment(each), len(calls)) for each in answers]
        return [*without, *(self._outcome(one, each) for (one, _), each in zip(calls, judged, strict=True))]

    def _of_batch(self, judgement: Judgement, size: int) -> Judgement:
        """A batch that is refused as a whole is tried in smaller ones."""
        if size > 1 and (judgement.remedy is Remedy.SMALLER or judgement.reason == TOO_LARGE):
            self.most = max(1, size // 2)
            return replace(judgement, verdict=Verdict.UNREACHABLE)
        return judgement

    def _outcome(self, delivery: Delivery, judgement: Judgement) -> CommentOutcome:
        tries = delivery.comment.tries if delivery.comment else 0
        if judgement.verdict is Verdict.DONE:
            return CommentOutcome(delivery, CommentState.SENT)
        is_of_method = judgement.verdict is Verdict.HELD and judgement.concern is Concern.METHOD
        if judgement.verdict in NOT_EXECUTED and not is_of_method and tries < BUDGET:
            again_at = self.context.clock() + delay_after(tries, self.context.chance())
            return CommentOutcome(delivery, CommentState.WAITING, judgement.reason, again_at)
        return CommentOutcome(delivery, CommentState.MISSING, judgement.reason)


def _call_of(delivery: Delivery) -> tuple[str, dict[str, Any]] | None:
    """The method that writes its comment, with its parameters; None if the document has no timeline."""
    comment, owner = delivery.call.comment, owner_of(delivery.call.document_id)
    return comment_of(comment, owner, delivery.rule) if comment and owner else None


def _note(context: Context, outcomes: Sequence[CommentOutcome]) -> None:
    """Write what has become of comments, for a while. What cannot be written stays missing."""
    counts = Counter(one.state.value for one in outcomes)
    for pause_s in (*NOTE_PAUSES_S, None):
        try:
            context.store.comments.note(outcomes, context.clock())
        except RecordUnavailableError:
            if pause_s is None:
                log.error("comments.unnoted", portal=context.portal.name, count=len(outcomes))  # noqa: TRY400
                return
            time.sleep(pause_s)
        else:
            log.info("comments.sent", portal=context.portal.name, **counts)
            return
