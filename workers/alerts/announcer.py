"""Tells an operator's address what becomes of deliveries, as signed Standard Webhooks: dead, uncertain or started.

Runs beside the workers, on a thread of its own for each address; one process at a time serves it (a lease). The record
keeps what is still to be sent (relay/store/operators/outbox.py), so nothing here can hold up a delivery, and a process
that is killed loses nothing. An entry is sent at least once, always with the same `webhook-id`.

What was not taken is sent again after as long as it has waited so far, for three days; then it is given up, which the
page Alerts shows. While the address takes nothing, all of it rests, at most five minutes at a time.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.configuration.alerts import Hook
from relay.core.errors import RecordUnavailableError
from relay.core.ids import iso, utc_now
from relay.core.telemetry import get_logger
from relay.store import Store
from relay.store.operators.outbox import Announcement
from workers.alerts.messengers import UnsentError, post_signed

LEASE = timedelta(seconds=30)
TURN_S = 10.0
"""How long one turn sends at most, before the lease is taken anew."""
TICK_S = 1.0
PAUSE_S = 0.02
"""Pause after each message: fifty a second at most."""
AT_ONCE = 100
SOONEST, LATEST = timedelta(seconds=5), timedelta(hours=6)
"""The shortest and longest time until a message is sent again."""
GIVEN_UP_AFTER = timedelta(days=3)
LONGEST_REST_S = 300.0
RENEW_S = 60.0

log = get_logger()


@dataclass(slots=True)
class Announcer:
    """Serves one address. link: the dashboard's address; None where it is not configured."""

    store: Store
    hook: Hook
    link: str | None = None
    clock: Callable[[], datetime] = utc_now
    pause_s: float = PAUSE_S
    _failures: int = 0

    @property
    def lease(self) -> str:
        """The name of its lease and its thread."""
        return f"events:{self.hook.name}"

    def run(self, stop: threading.Event) -> None:
        """Send what is due, until `stop` is set."""
        holder, renew_at = secrets.token_hex(8), 0.0
        while not stop.is_set():
            rest_s = TICK_S
            try:
                if time.monotonic() >= renew_at:
                    self.store.operators.outbox.subscribe(self.hook.name, self.hook.states, self.clock())
                    renew_at = time.monotonic() + RENEW_S
                with self.store.lease(self.lease, holder, LEASE) as is_ours:
                    if is_ours:
                        rest_s = self.send_due(stop)
            except RecordUnavailableError as error:
                log.warning("events.postponed", channel=self.hook.name, reason=str(error))
            stop.wait(rest_s)

    def send_due(self, stop: threading.Event) -> float:
        """Send what is due, one after the other. Returns how long to rest then, in seconds.

        Raises RecordUnavailableError.
        """
        outbox, end = self.store.operators.outbox, time.monotonic() + TURN_S
        while entries := outbox.due(self.hook.name, self.clock(), AT_ONCE):
            for one in entries:
                if stop.is_set() or time.monotonic() > end:
                    return 0.0
                if not self._send(one):
                    self._give_up_old(entries)
                    return LONGEST_REST_S if self._failures > 8 else 2.0**self._failures
                stop.wait(self.pause_s)
        return TICK_S

    def _send(self, one: Announcement) -> bool:
        """Whether the address took it. The record keeps the result."""
        outbox, now = self.store.operators.outbox, self.clock()
        try:
            post_signed(self.hook, id_of(one), content_of(one, self.link), now)
        except UnsentError as error:
            self._failures += 1
            log.warning("event.unsent", channel=self.hook.name, delivery_id=one.delivery_id, reason=str(error))
            self.store.operators.alerts.note_unsent(self.hook.name, str(error), now)
            outbox.postpone(self.hook.name, one, now + min(max(now - one.at, SOONEST), LATEST))
            return False
        self._failures = 0
        outbox.remove(self.hook.name, one, now)
        return True

    def _give_up_old(self, entries: list[Announcement]) -> None:
        old = [one for one in entries if self.clock() - one.at >= GIVEN_UP_AFTER]
        if old:
            self.store.operators.outbox.give_up(self.hook.name, old)
            ids = [one.delivery_id for one in old]
            log.error("events.given_up", channel=self.hook.name, count=len(old), deliveries=ids)


def id_of(one: Announcement) -> str:
    """The message's id: the same at every try, and of another process."""
    return "msg_" + hashlib.sha256(one.raw).hexdigest()[:24]


def content_of(one: Announcement, link: str | None) -> bytes:
    """The JSON of Standard Webhooks: type, timestamp, data."""
    data = {
        "delivery_id": one.delivery_id,
        "event_id": one.event_id,
        "source": one.source,
        "rule": one.rule,
        "portal": one.portal,
        "template_id": int(one.template_id) if one.template_id else None,
        "state": one.state.value,
        "needs_person": one.needs_person,
        "reason": one.reason or None,
        "workflow_id": one.workflow_id or None,
        "link": f"{link}/deliveries/{one.delivery_id}" if link else None,
    }
    content = {"type": f"delivery.{one.state.value}", "timestamp": iso(one.at), "data": data}
    return json.dumps(content, ensure_ascii=False).encode()
