"""What was told about what is wrong, on record: so that a restart, or another host, tells nothing twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.ids import from_ms, to_ms
from relay.store.redis import keys
from relay.store.redis.guard import guarded

SENT = b"sent"
"""The one field that is no trouble: the key of a trouble holds a colon."""


@dataclass(frozen=True, slots=True)
class AlertState:
    """A trouble that a channel was told about. gone_at: since when it is not seen any more; None: it still is.

    is_missed: it could not be told so far, for the channel took no message.
    """

    text: str
    since: datetime
    told_at: datetime
    gone_at: datetime | None = None
    is_missed: bool = False


@dataclass(frozen=True, slots=True)
class Deaths:
    """How many deliveries have died. counted: ever; before: when this run of deaths began; at: the last, None: none."""

    counted: int
    before: int
    at: datetime | None = None


@guarded
def read_alert_state(redis: Redis, channel: str) -> tuple[dict[str, AlertState], int]:
    """What this channel knows, by the trouble's key, and how many messages it got. Raises RecordUnavailableError."""
    kept: Any = redis.hgetall(keys.TOLD + channel)
    sent, found = int(kept.pop(SENT, 0)), {}
    for key, value in kept.items():
        wire = json.loads(value)
        gone_at = from_ms(wire["gone_at"]) if wire["gone_at"] else None
        since, told_at, is_missed = from_ms(wire["since"]), from_ms(wire["told_at"]), wire.get("is_missed", False)
        found[key.decode()] = AlertState(wire["text"], since, told_at, gone_at, is_missed)
    return found, sent


@guarded
def keep_alert_state(redis: Redis, channel: str, told: Mapping[str, AlertState], sent: int) -> None:
    """Keep what this channel knows now, and nothing else. Raises RecordUnavailableError."""
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.delete(keys.TOLD + channel)
        pipeline.hset(keys.TOLD + channel, SENT.decode(), str(sent))
        for key, one in told.items():
            moments = {name: _ms(getattr(one, name)) for name in ("since", "told_at", "gone_at")}
            wire = {"text": one.text, **moments, "is_missed": one.is_missed}
            pipeline.hset(keys.TOLD + channel, key, json.dumps(wire))
        pipeline.execute()


@guarded
def read_deaths(redis: Redis) -> Deaths | None:
    """What was counted last; None before the first time. Raises RecordUnavailableError."""
    kept: Any = redis.get(keys.DEATHS)
    if kept is None:
        return None
    wire = json.loads(kept)
    return Deaths(wire["counted"], wire["before"], from_ms(wire["at"]) if wire["at"] else None)


@guarded
def keep_deaths(redis: Redis, deaths: Deaths) -> None:
    """Keep what was counted. Raises RecordUnavailableError."""
    redis.set(keys.DEATHS, json.dumps({"counted": deaths.counted, "before": deaths.before, "at": _ms(deaths.at)}))


def _ms(moment: datetime | None) -> int | None:
    return to_ms(moment) if moment else None
