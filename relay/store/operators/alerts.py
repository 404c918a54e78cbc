"""Alerts on record: what a person should know, the alert state of each channel, and the messages sent to it.

The alert state lets a restart, or another host, repeat nothing. The web process knows no address and no secret of a
channel: it reads here, and leaves a request for a test, which a worker with the channel takes within seconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from relay.core.ids import from_ms, to_ms
from relay.core.reasons import alert_words
from relay.store.redis import keys
from relay.store.redis.scripts import guarded


@dataclass(frozen=True, slots=True)
class Alert:
    """One entry. kind: a code; portal: its portal, or empty."""

    at: datetime
    kind: str
    portal: str
    text: str
    """A Phrase, which a page says in its language; of an earlier version, a text."""


def _words_of(text: Mapping[str, str]) -> str:
    if "values" in text:
        return alert_words(text["kind"], json.loads(text["values"]))
    return text.get("text") or text.get("subject", "")


class Alerts:
    """Alerts and their channels on record. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def newest(self, limit: int = 100) -> list[Alert]:
        """The newest alerts."""
        found: Any = self._redis.xrevrange(keys.ALERTS, count=limit)
        alerts = []
        for _, entry in found:
            text = {name.decode(): value.decode("utf-8", "replace") for name, value in entry.items()}
            at = from_ms(int(float(text.get("at", "0"))))
            alerts.append(
                Alert(
                    at,
                    text.get("kind", ""),
                    text.get("portal", ""),
                    _words_of(text),
                )
            )
        return alerts

    @guarded
    def state(self, channel: str) -> tuple[dict[str, AlertState], int]:
        """The alert state of a channel, by the trouble's key, and the number of messages it got."""
        kept: Any = self._redis.hgetall(keys.ALERT_STATE + channel)
        sent, found = int(kept.pop(SENT, 0)), {}
        for key, value in kept.items():
            wire = json.loads(value)
            gone_at = from_ms(wire["gone_at"]) if wire["gone_at"] else None
            since, told_at, is_missed = from_ms(wire["since"]), from_ms(wire["told_at"]), wire.get("is_missed", False)
            found[key.decode()] = AlertState(wire["text"], since, told_at, gone_at, is_missed)
        return found, sent

    @guarded
    def keep_state(self, channel: str, told: Mapping[str, AlertState], sent: int) -> None:
        """Replace the alert state of a channel."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.delete(keys.ALERT_STATE + channel)
            pipeline.hset(keys.ALERT_STATE + channel, SENT.decode(), str(sent))
            for key, one in told.items():
                moments = {name: _ms(getattr(one, name)) for name in ("since", "told_at", "gone_at")}
                wire = {"text": one.text, **moments, "is_missed": one.is_missed}
                pipeline.hset(keys.ALERT_STATE + channel, key, json.dumps(wire))
            pipeline.execute()

    @guarded
    def deaths(self) -> Deaths | None:
        """The last count; None before the first."""
        kept: Any = self._redis.get(keys.DEATHS)
        if kept is None:
            return None
        wire = json.loads(kept)
        return Deaths(wire["counted"], wire["before"], from_ms(wire["at"]) if wire["at"] else None)

    @guarded
    def keep_deaths(self, deaths: Deaths) -> None:
        """Keep the count."""
        self._redis.set(
            keys.DEATHS, json.dumps({"counted": deaths.counted, "before": deaths.before, "at": _ms(deaths.at)})
        )

    @guarded
    def note_channel(self, name: str, kind: str, where: str, now: datetime) -> None:
        """Report that a worker has this channel."""
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.zadd(keys.CHANNELS, {name: to_ms(now)})
            pipeline.hset(keys.CHANNEL + name, mapping={"kind": kind, "where": where[:500]})
            pipeline.execute()

    @guarded
    def note_sent(self, told: SentAlert) -> None:
        """Keep a message that a channel took."""
        entry: Any = {
            "at": to_ms(told.at),
            "channel": told.channel,
            "text": told.text[:LONGEST_TEXT],
            "test": int(told.is_test),
        }
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(keys.CHANNEL + told.channel, mapping={"told_at": to_ms(told.at), "fault": "", "fault_at": ""})
            pipeline.xadd(keys.MESSAGES, entry, maxlen=MESSAGES_KEPT, approximate=True)
            pipeline.execute()

    @guarded
    def note_unsent(self, name: str, fault: str, now: datetime) -> None:
        """Keep the reason why a channel did not take a message."""
        self._redis.hset(keys.CHANNEL + name, mapping={"fault": fault[:200], "fault_at": to_ms(now)})

    @guarded
    def ask_test(self, name: str) -> None:
        """Request a test of a channel. A second request before the test changes nothing."""
        self._redis.set(keys.CHANNEL_TEST + name, 1, ex=TEST_KEPT_S)

    @guarded
    def take_test(self, name: str) -> bool:
        """Whether a test of a channel was requested. Only one worker gets True."""
        return bool(self._redis.delete(keys.CHANNEL_TEST + name))

    @guarded
    def channels(self, now: datetime) -> list[KnownChannel]:
        """Every channel that a worker had lately, by name."""
        seen: Any = self._redis.zrangebyscore(keys.CHANNELS, to_ms(now - SHOWN_FOR), "+inf", withscores=True)
        with self._redis.pipeline(transaction=False) as pipeline:
            for name, _ in seen:
                pipeline.hgetall(keys.CHANNEL + name.decode())
                pipeline.exists(keys.CHANNEL_TEST + name.decode())
                pipeline.zcard(keys.OUTBOX + name.decode())
                pipeline.hget(keys.EVENTS_LOST, name.decode())
            answers: list[Any] = pipeline.execute()
        found = [
            _channel(name.decode(), from_ms(int(at)), answers[4 * place : 4 * place + 4])
            for place, (name, at) in enumerate(seen)
        ]
        return sorted(found, key=lambda one: one.name)

    @guarded
    def sent(self, limit: int = 100) -> list[SentAlert]:
        """The newest messages."""
        found: Any = self._redis.xrevrange(keys.MESSAGES, count=limit)
        texts = [
            {name.decode(): value.decode("utf-8", "replace") for name, value in entry.items()} for _, entry in found
        ]
        return [SentAlert(from_ms(int(one["at"])), one["channel"], one["text"], one["test"] == "1") for one in texts]


SENT = b"sent"
"""The one field that is not a trouble: a trouble's key holds a colon."""


@dataclass(frozen=True, slots=True)
class AlertState:
    """The alert state of a trouble for one channel. gone_at: time since which it is not seen; None: it still is.

    is_missed: the channel has taken no message about it so far.
    """

    text: str
    since: datetime
    told_at: datetime
    gone_at: datetime | None = None
    is_missed: bool = False


@dataclass(frozen=True, slots=True)
class Deaths:
    """Counts of dead deliveries. counted: ever; before: at the start of this run; at: time of the last one, or None."""

    counted: int
    before: int
    at: datetime | None = None


def _ms(moment: datetime | None) -> int | None:
    return to_ms(moment) if moment else None


SHOWN_FOR = timedelta(days=1)
"""A channel that no worker has had for this long is gone."""
TEST_KEPT_S = 600
MESSAGES_KEPT = 500
LONGEST_TEXT = 4_000


@dataclass(frozen=True, slots=True)
class KnownChannel:
    """A channel. kind: webhook, mail or chat. where: its host, recipients or chat, without a secret.

    seen_at: when a worker last had it. told_at: its last message; None: none yet. fault: why the last one was not
    sent, with its time; empty: it was. is_asked: whether a requested test waits for a worker. waiting: events of
    deliveries that it is still to be told; lost: those that were given up.
    """

    name: str
    kind: str
    where: str
    seen_at: datetime
    told_at: datetime | None = None
    fault: str = ""
    fault_at: datetime | None = None
    is_asked: bool = False
    waiting: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class SentAlert:
    """A message that a channel took, in its words. is_test: a person requested it."""

    at: datetime
    channel: str
    text: str
    is_test: bool


def _channel(name: str, seen_at: datetime, answers: list[Any]) -> KnownChannel:
    kept, asked, waiting, lost = answers
    text = {key.decode(): value.decode("utf-8", "replace") for key, value in kept.items()}
    return KnownChannel(
        name=name,
        kind=text.get("kind", ""),
        where=text.get("where", ""),
        seen_at=seen_at,
        told_at=_moment(text.get("told_at")),
        fault=text.get("fault", ""),
        fault_at=_moment(text.get("fault_at")),
        is_asked=bool(asked),
        waiting=waiting,
        lost=int(lost or 0),
    )


def _moment(text: str | None) -> datetime | None:
    return from_ms(int(text)) if text else None
