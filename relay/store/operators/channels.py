"""Who is told when something is wrong, as the workers have said it: each channel, what it was told, and tests of it.

The web process knows neither an address nor a secret of a channel: it reads here, and leaves a wish for a test, which
whichever worker has the channel takes within seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from relay.core.ids import from_ms, to_ms
from relay.store.redis import keys
from relay.store.redis.guard import guarded

SHOWN_FOR = timedelta(days=1)
"""A channel that no worker has had for so long is gone."""
TEST_KEPT_S = 600
MESSAGES_KEPT = 500
LONGEST_TEXT = 4_000


@dataclass(frozen=True, slots=True)
class KnownChannel:
    """A channel. kind: webhook, mail or chat. where: its host, recipients or chat, without a secret.

    seen_at: when a worker last had it. told_at: its last message; None: none yet. fault: why the last one did not get
    through, and since when; empty: it did. is_asked: whether a test of it waits for a worker.
    """

    name: str
    kind: str
    where: str
    seen_at: datetime
    told_at: datetime | None = None
    fault: str = ""
    fault_at: datetime | None = None
    is_asked: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """A message that a channel has taken, in its words. is_test: a person has asked for it."""

    at: datetime
    channel: str
    text: str
    is_test: bool


@guarded
def note_channel(redis: Redis, name: str, kind: str, where: str, now: datetime) -> None:
    """Say that a worker has this channel. Raises RecordUnavailableError."""
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.zadd(keys.CHANNELS, {name: to_ms(now)})
        pipeline.hset(keys.CHANNEL + name, mapping={"kind": kind, "where": where[:500]})
        pipeline.execute()


@guarded
def note_told(redis: Redis, told: Told) -> None:
    """Keep a message that a channel has taken. Raises RecordUnavailableError."""
    entry: Any = {
        "at": to_ms(told.at),
        "channel": told.channel,
        "text": told.text[:LONGEST_TEXT],
        "test": int(told.is_test),
    }
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.hset(keys.CHANNEL + told.channel, mapping={"told_at": to_ms(told.at), "fault": "", "fault_at": ""})
        pipeline.xadd(keys.MESSAGES, entry, maxlen=MESSAGES_KEPT, approximate=True)
        pipeline.execute()


@guarded
def note_untold(redis: Redis, name: str, fault: str, now: datetime) -> None:
    """Keep why a channel did not take a message. Raises RecordUnavailableError."""
    redis.hset(keys.CHANNEL + name, mapping={"fault": fault[:200], "fault_at": to_ms(now)})


@guarded
def ask_test(redis: Redis, name: str) -> None:
    """Wish for a test of a channel; one that waits already is the same wish. Raises RecordUnavailableError."""
    redis.set(keys.CHANNEL_TEST + name, 1, ex=TEST_KEPT_S)


@guarded
def take_test(redis: Redis, name: str) -> bool:
    """Whether somebody wishes for a test of a channel, said to one worker only. Raises RecordUnavailableError."""
    return bool(redis.delete(keys.CHANNEL_TEST + name))


@guarded
def read_channels(redis: Redis, now: datetime) -> list[KnownChannel]:
    """Every channel that a worker has lately had, by name. Raises RecordUnavailableError."""
    seen: Any = redis.zrangebyscore(keys.CHANNELS, to_ms(now - SHOWN_FOR), "+inf", withscores=True)
    with redis.pipeline(transaction=False) as pipeline:
        for name, _ in seen:
            pipeline.hgetall(keys.CHANNEL + name.decode())
            pipeline.exists(keys.CHANNEL_TEST + name.decode())
        answers: list[Any] = pipeline.execute()
    found = [
        _channel(name.decode(), from_ms(int(at)), kept, is_asked=bool(asked))
        for (name, at), kept, asked in zip(seen, answers[::2], answers[1::2], strict=True)
    ]
    return sorted(found, key=lambda one: one.name)


@guarded
def read_told(redis: Redis, limit: int) -> list[Told]:
    """The newest messages. Raises RecordUnavailableError."""
    found: Any = redis.xrevrange(keys.MESSAGES, count=limit)
    texts = [{name.decode(): value.decode("utf-8", "replace") for name, value in entry.items()} for _, entry in found]
    return [Told(from_ms(int(one["at"])), one["channel"], one["text"], one["test"] == "1") for one in texts]


def _channel(name: str, seen_at: datetime, kept: dict[bytes, bytes], *, is_asked: bool) -> KnownChannel:
    text = {key.decode(): value.decode("utf-8", "replace") for key, value in kept.items()}
    return KnownChannel(
        name=name,
        kind=text.get("kind", ""),
        where=text.get("where", ""),
        seen_at=seen_at,
        told_at=_moment(text.get("told_at")),
        fault=text.get("fault", ""),
        fault_at=_moment(text.get("fault_at")),
        is_asked=is_asked,
    )


def _moment(text: str | None) -> datetime | None:
    return from_ms(int(text)) if text else None
