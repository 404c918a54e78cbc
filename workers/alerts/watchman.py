"""Beside the workers: looks whether something is wrong, and tells whoever config/alerts.yaml names.

One process at a time looks (a lease). What a channel was told is on record, for each channel by itself: one that is
away is told when it is back, and the others are told nothing twice.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.configuration.alerts import Alerting
from relay.core.errors import RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.core.telemetry import get_logger
from relay.health.assessment import Thresholds, assess
from relay.health.snapshot import take_snapshot
from relay.store import Store
from relay.store.operators.channels import Told
from relay.store.record.needs import states_cut
from workers.alerts.messengers import Channel, Message, UnsentError
from workers.alerts.news import News, Trouble, count_deaths, find_troubles, missed_by, news_for

INTERVAL_S = 30.0
TICK_S = 2.0
"""How soon a test that somebody asks for is sent."""
LEASE = timedelta(seconds=60)

log = get_logger()


@dataclass(frozen=True, slots=True)
class Watchman:
    """Looks at all portals, and tells the channels, one after the other.

    link: the dashboard's address, for the messages. lease: what one process at a time has for these channels.
    """

    store: Store
    alerting: Alerting
    portals: Sequence[str]
    channels: Sequence[Channel]
    link: str | None = None
    clock: Callable[[], datetime] = utc_now
    lease: str = "alerts"

    def run(self, stop: threading.Event) -> None:
        """Look at once and then every INTERVAL_S, until told to stop; send tests in between. The target of a thread."""
        holder, next_look = secrets.token_hex(8), 0.0
        while not stop.is_set():
            pause_s = TICK_S
            try:
                self.test()
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + INTERVAL_S
                    with self.store.lease(self.lease, holder, LEASE) as is_ours:
                        if is_ours:
                            self.look()
            except RecordUnavailableError as error:
                log.warning("alerts.postponed", reason=str(error))
                pause_s = INTERVAL_S
            stop.wait(pause_s)

    def test(self) -> None:
        """Send each channel the test that somebody has asked for. Raises RecordUnavailableError."""
        now = self.clock()
        for channel in self.channels:
            if self.store.operators.take_test(channel.name):
                text = f"somebody has asked for this in the dashboard: alerts reach {channel.name}. Nothing is wrong"
                news = News({"test:": text}, {}, {}, {})
                message = Message(f"msg_{secrets.token_hex(12)}", now, news, self.link, is_test=True)
                with _noted(channel):
                    self._send(channel, message)

    def look(self) -> None:
        """Once: find what is wrong, and tell each channel what it does not know. Raises RecordUnavailableError."""
        now, kept = self.clock(), self.store.operators
        snapshot = take_snapshot(self.store, self.portals, self.alerting.silent_after, now)
        since_start = snapshot.ledger.since_start
        counted = since_start.get(f"delivery:{State.DEAD}", 0) - since_start.get("delivery:given_up", 0)
        deaths = count_deaths(kept.deaths(), counted, now, self.alerting.quiet)
        kept.keep_deaths(deaths)
        thresholds = Thresholds(self.alerting.oldest_waiting, self.alerting.silent_after)
        groups = self.store.failures()
        troubles, cut = find_troubles(assess(snapshot, thresholds, now), deaths, groups), states_cut(groups)
        for channel in self.channels:
            kept.note_channel(channel.name, channel.kind, channel.where, now)
            with _noted(channel):
                self._tell(channel, troubles, cut, now)

    def _tell(self, channel: Channel, troubles: Sequence[Trouble], cut: Collection[str], now: datetime) -> None:
        told, sent = self.store.operators.alert_state(channel.name)
        news = news_for(told, troubles, now, self.alerting.repeat, cut)
        if news:
            if not self._send(channel, Message(_id_of(channel, news, sent), now, news, self.link)):
                if (missed := missed_by(told, news)) != told:
                    self.store.operators.keep_alert_state(channel.name, missed, sent)
                return
            sent += 1
            log.info("alert.sent", channel=channel.name, new=list(news.new), resolved=list(news.resolved))
        if news.told != told:
            self.store.operators.keep_alert_state(channel.name, news.told, sent)

    def _send(self, channel: Channel, message: Message) -> bool:
        """Whether the channel has taken it; either is on record, for the page of alerts."""
        try:
            channel.send(message)
        except UnsentError as error:
            log.warning("alert.unsent", channel=channel.name, reason=str(error))
            self.store.operators.note_untold(channel.name, str(error), message.at)
            return False
        self.store.operators.note_told(Told(message.at, channel.name, message.text, message.is_test))
        return True


@contextmanager
def _noted(channel: Channel) -> Iterator[None]:
    """A mistake of ours in one channel must not silence the others."""
    try:
        yield
    except RecordUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, without its values
        log.error("alert.unsent", channel=channel.name, reason=type(error).__name__)  # noqa: TRY400 - no values


def _id_of(channel: Channel, news: News, sent: int) -> str:
    """The same for the same news, however often it is tried: it hangs on what is told, and how much was told before."""
    parts = [channel.name, str(sent), *sorted(news.new), "", *sorted(news.still), "", *sorted(news.resolved)]
    return "msg_" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
