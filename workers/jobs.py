"""What RQ may call, by name (relay/queueing.py). A few lines each: RQ's arguments in, a use case called.

RQ gives ids only; what a job works with is the desk that this process opened before it took its first job.
"""

from __future__ import annotations

from workers import delivery, questions
from workers import reconcile as reconciling
from workers.desk import Desk


class Seat:
    """Holds the desk of this process. One process serves one portal."""

    desk: Desk | None = None


def sit_at(desk: Desk) -> None:
    """Give this process its desk. Called once, before work begins."""
    Seat.desk = desk


def deliver(delivery_id: str, turn: int) -> None:
    """Send a delivery."""
    delivery.deliver(_desk(), delivery_id, turn)


def reconcile(delivery_id: str, turn: int) -> None:
    """Find out about an uncertain delivery."""
    reconciling.reconcile(_desk(), delivery_id, turn)


def answer(question_id: str) -> None:
    """Call a portal for a person who asked."""
    questions.answer(_desk(), question_id)


def _desk() -> Desk:
    if Seat.desk is None:
        raise RuntimeError("this process has no desk: jobs run under `python -m workers`")
    return Seat.desk
