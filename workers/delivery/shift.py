"""What a worker does when it is woken: as long as there is work at its portal, the next thing.

First what a person has asked, whatever the gate says; then, before an open gate, an uncertain delivery and the oldest
that wait, in turn, so that neither starves the other. A shift ends after a while, so that one that does not end is
noticed. What is left has a job already (relay/store/redis/lua/claim.lua), or gets one within a second (clock.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from relay.core.errors import RecordUnavailableError
from relay.core.telemetry import get_logger
from relay.store.portals.survey import Survey
from workers.checks import questions
from workers.delivery import deliver, reconcile
from workers.portal import gatekeeper
from workers.portal.context import Context

SHIFT_S = 30.0
"""After this no new call is begun in the same shift."""

log = get_logger()


def serve(context: Context, is_stopping: Callable[[], bool] = lambda: False) -> None:
    """Work until there is nothing to do now, or the shift is over. The record may be away: the clock wakes us again."""
    end = time.monotonic() + SHIFT_S
    try:
        while not is_stopping() and time.monotonic() < end:
            if not step(context):
                return
    except RecordUnavailableError as error:
        log.warning("shift.ended", portal=context.portal.name, reason=str(error))


def step(context: Context) -> bool:
    """Do what comes next; whether there was anything. Raises RecordUnavailableError."""
    if context.claim.is_unanswered:
        deliver.give_back(context)
    portal = context.survey()
    if portal.questions and (question_id := context.store.questions.take(context.portal.name)):
        questions.answer(context, question_id)
        return True
    return _work(context, portal) if portal.gate.is_open else gatekeeper.ask(context)


def _work(context: Context, portal: Survey) -> bool:
    looked = portal.doubtful > 0 and reconcile.reconcile_next(context)
    return deliver.deliver_next(context, context.survey() if looked else portal) or looked
