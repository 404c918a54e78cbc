"""The end of a delivery's workflow, in words. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from relay.core.events import CallbackState, Delivery
from relay.health.words import span_of
from relay.web.language import _
from relay.web.presenters.masking import Masking
from relay.web.zone import stamp


def end_of(delivery: Delivery) -> str:
    """How far its end is, in a few words for a list: `finished after 3 min`, `overdue since 2026-06-01 12:00:00`."""
    watch, watched = delivery.policy.watch, delivery.watched
    if watch is None or watched is None:
        return ""
    if watched.finished_at:
        # The template may have ended before the answer to its start was on record.
        began = watched.until - timedelta(seconds=watch.within_s) if watched.until else watched.finished_at
        return _("finished after %(span)s", span=span_of(watched.finished_at - began))
    if watched.until is None:
        return ""
    if watched.state is CallbackState.WAITING:
        return _("its end is awaited until %(at)s", at=stamp(watched.until))
    if watched.state is CallbackState.LEFT:
        return _("overdue since %(at)s, left", at=stamp(watched.until))
    return _("overdue since %(at)s", at=stamp(watched.until))


def story_of_end(delivery: Delivery, masking: Masking) -> str:
    """The same with what came in the query, as its event's page shows it; empty where nothing is watched for."""
    watch, watched = delivery.policy.watch, delivery.watched
    if watch is None or watched is None:
        return ""
    if not watched.finished_at:
        within = span_of(timedelta(seconds=watch.within_s))
        return end_of(delivery) or _("to be heard of within %(span)s of its start", span=within)
    with_what = _(" with %(what)s", what=masking.query(watched.query)) if watched.query else ""
    where = masking.text(" · ".join(watched.document_id))
    return f"{end_of(delivery)}{with_what}" + (_(", on %(document)s", document=where) if where else "")


def next_of_end(delivery: Delivery, now: datetime) -> str:
    """What follows for a delivery that has started."""
    watched = delivery.watched
    if watched is None:
        return _("Nothing more: the workflow runs on the portal, and the relay does not watch it finish.")
    if watched.state is CallbackState.FINISHED:
        return _("Nothing more: the workflow has come to its end.")
    if watched.state is CallbackState.WAITING and watched.until and watched.until > now:
        return _(
            "The template calls a one-time address at its end. Without that, it is overdue from %(at)s on.",
            at=stamp(watched.until),
        )
    return _(
        "No word of its end has come in time. The call of the template is sent once and may be lost: look on the "
        "portal. Should it still come, it is noted."
    )
