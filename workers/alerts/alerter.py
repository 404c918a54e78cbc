"""Finds what is wrong and worth a message, and sends it to the channels of config/alerts.yaml.

Runs beside the workers; one process at a time looks (a lease). The record keeps each channel's alert state: a channel
that was away gets the news when it is back, and the others get nothing twice. The decisions are pure functions.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from relay.configuration.alerts import Alerting
from relay.core.errors import RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.core.telemetry import get_logger
from relay.health.assessment import Grade, IssueCode, OpenIssue, Thresholds, assess, take_snapshot
from relay.health.words import deliveries_are, name_of, sentence_of, sentence_of_group
from relay.store import Store
from relay.store.operators.alerts import AlertState, Deaths, SentAlert
from relay.store.record.open_issues import Group, states_cut
from workers.alerts.messengers import Channel, Message, News, UnsentError

AWAY = timedelta(minutes=5)
"""A trouble not seen for this long is resolved, so that one that comes and goes sends no message each time."""


GROUPED = frozenset({IssueCode.DEAD, IssueCode.REJECTED})
"""Needs that are reported by group, instead of as a number that only grows."""
MOST_GROUPS = 50


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that a person should know. Kind and subject identify it, whatever the text says.

    is_once: sent when new, and not repeated while it lasts. is_silent: not even sent when new.
    """

    kind: str
    subject: str
    text: str
    is_once: bool = False
    is_silent: bool = False

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.subject}"


def count_deaths(before: Deaths | None, counted: int, now: datetime, quiet: timedelta) -> Deaths:
    """The run of deaths after another look. It begins with a death and ends after a quiet time."""
    if before is None or counted < before.counted:
        return Deaths(counted, counted)
    if counted > before.counted:
        return Deaths(counted, before.before if before.at else before.counted, now)
    if before.at and now - before.at >= quiet:
        return Deaths(counted, counted)
    return before


def find_troubles(needs: Sequence[OpenIssue], deaths: Deaths, groups: Sequence[Group] = ()) -> list[Trouble]:
    """The needs that are worth a message.

    A run of deaths is one trouble until no more come. Each group of like failures is another, as long as it needs a
    person; of very many groups only the newest are reported.
    """
    found = [
        Trouble(need.code, need.subject, sentence_of(need))
        for need in needs
        if need.grade is not Grade.CALM and need.code not in GROUPED
    ]
    if deaths.at:
        found.append(Trouble(IssueCode.DEAD, "", f"{deliveries_are(deaths.counted - deaths.before)} dead in this run"))
    failed = sorted([one for one in groups if one.state.value in GROUPED], key=lambda one: one.last_seen)
    return found + [
        Trouble(one.state, name_of(one), sentence_of_group(one), is_once=True, is_silent=place >= MOST_GROUPS)
        for place, one in enumerate(reversed(failed))
    ]


def news_for(
    told: Mapping[str, AlertState],
    troubles: Sequence[Trouble],
    now: datetime,
    repeat: timedelta,
    cut: Collection[str] = (),
) -> News:
    """The new, repeated and resolved troubles for a channel, given its alert state.

    cut: kinds whose troubles are known in part only: one that is not seen may still be there.
    """
    seen = {trouble.key: trouble.text for trouble in troubles}
    missed = [key for key, one in told.items() if one.is_missed]
    new = {trouble.key: trouble.text for trouble in troubles if trouble.key not in told and not trouble.is_silent}
    new |= {key: seen.get(key, told[key].text) for key in missed}
    lasting = [trouble.key for trouble in troubles if trouble.key in told and not trouble.is_once]
    repeated = [key for key in lasting if key not in missed]
    due = any(now - told[key].told_at >= repeat for key in repeated)
    gone = {key: one for key, one in told.items() if key not in seen and key.partition(":")[0] not in cut}
    away = {key: one for key, one in gone.items() if one.gone_at and not one.is_missed}
    resolved = {key: one.text for key, one in away.items() if one.gone_at and now - one.gone_at >= AWAY}
    still = {key: seen[key] for key in repeated} if due else {}
    after = {key: AlertState(text, now, now) for key, text in new.items()}
    for key, one in told.items():
        if key in resolved:
            continue
        if key in missed:
            gone_at = (one.gone_at or now) if key in gone else None
            after[key] = replace(one, text=new[key], told_at=now, gone_at=gone_at, is_missed=False)
        elif key in gone:
            after[key] = replace(one, gone_at=one.gone_at or now)
        elif key not in seen:
            after[key] = one
        else:
            after[key] = replace(one, gone_at=None, text=seen[key], told_at=now if due else one.told_at)
    return News(new, still, resolved, after)


def missed_by(told: Mapping[str, AlertState], news: News) -> dict[str, AlertState]:
    """The alert state of a channel that took no message: new troubles are marked as missed, for when it is back."""
    return {**told, **{key: replace(news.told[key], is_missed=True) for key in news.new}}


INTERVAL_S = 30.0
TICK_S = 2.0
"""The longest wait for a test that somebody asks for."""
LEASE = timedelta(seconds=60)

log = get_logger()


@dataclass(frozen=True, slots=True)
class Alerter:
    """Looks at all portals, and sends news to the channels, one after the other.

    link: the dashboard's address, for the messages. lease: its name; one process at a time serves these channels.
    """

    store: Store
    alerting: Alerting
    portals: Sequence[str]
    channels: Sequence[Channel]
    link: str | None = None
    clock: Callable[[], datetime] = utc_now
    lease: str = "alerts"

    def run(self, stop: threading.Event) -> None:
        """Look at once and then every INTERVAL_S, until `stop` is set; send tests in between."""
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
        """Send each channel the test that somebody requested. Raises RecordUnavailableError."""
        now = self.clock()
        for channel in self.channels:
            if self.store.operators.alerts.take_test(channel.name):
                text = f"somebody has asked for this in the dashboard: alerts reach {channel.name}. Nothing is wrong"
                news = News({"test:": text}, {}, {}, {})
                message = Message(f"msg_{secrets.token_hex(12)}", now, news, self.link, is_test=True)
                with _noted(channel):
                    self._send(channel, message)

    def look(self) -> None:
        """Find what is wrong, once, and send each channel its news. Raises RecordUnavailableError."""
        now, kept = self.clock(), self.store.operators.alerts
        snapshot = take_snapshot(self.store, self.portals, self.alerting.silent_after, now)
        since_start = snapshot.ledger.since_start
        counted = since_start.get(f"delivery:{State.DEAD}", 0) - since_start.get("delivery:given_up", 0)
        deaths = count_deaths(kept.deaths(), counted, now, self.alerting.quiet)
        kept.keep_deaths(deaths)
        thresholds = Thresholds(self.alerting.oldest_waiting, self.alerting.silent_after)
        groups = self.store.open_issues.groups()
        troubles, cut = find_troubles(assess(snapshot, thresholds, now), deaths, groups), states_cut(groups)
        for channel in self.channels:
            kept.note_channel(channel.name, channel.kind, channel.where, now)
            with _noted(channel):
                if channel.wants_alerts:
                    self._tell(channel, troubles, cut, now)

    def _tell(self, channel: Channel, troubles: Sequence[Trouble], cut: Collection[str], now: datetime) -> None:
        told, sent = self.store.operators.alerts.state(channel.name)
        news = news_for(told, troubles, now, self.alerting.repeat, cut)
        if news:
            if not self._send(channel, Message(_id_of(channel, news, sent), now, news, self.link)):
                if (missed := missed_by(told, news)) != told:
                    self.store.operators.alerts.keep_state(channel.name, missed, sent)
                return
            sent += 1
            log.info("alert.sent", channel=channel.name, new=list(news.new), resolved=list(news.resolved))
        if news.told != told:
            self.store.operators.alerts.keep_state(channel.name, news.told, sent)

    def _send(self, channel: Channel, message: Message) -> bool:
        """Whether the channel took it. The record keeps the result, for the page of alerts."""
        try:
            channel.send(message)
        except UnsentError as error:
            log.warning("alert.unsent", channel=channel.name, reason=str(error))
            self.store.operators.alerts.note_unsent(channel.name, str(error), message.at)
            return False
        self.store.operators.alerts.note_sent(SentAlert(message.at, channel.name, message.text, message.is_test))
        return True


@contextmanager
def _noted(channel: Channel) -> Iterator[None]:
    """An error of ours in one channel must not silence the others."""
    try:
        yield
    except RecordUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - any error, without its values
        log.error("alert.unsent", channel=channel.name, reason=type(error).__name__)  # noqa: TRY400 - no values


def _id_of(channel: Channel, news: News, sent: int) -> str:
    """An id that is the same for the same news at every try: made of the news and the number of messages before."""
    parts = [channel.name, str(sent), *sorted(news.new), "", *sorted(news.still), "", *sorted(news.resolved)]
    return "msg_" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
