"""What the relay thought a person should know, newest first. Written by whoever notices (Gate.alert), read by pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.ids import from_ms
from relay.core.reasons import alert_words
from relay.store.redis import keys
from relay.store.redis.guard import guarded


@dataclass(frozen=True, slots=True)
class Alert:
    """One entry. kind: a word; portal: whom it is about, or empty."""

    at: datetime
    kind: str
    portal: str
    text: str
    """A Phrase, which a page says in its language; of an earlier version, a text."""


def _words_of(text: Mapping[str, str]) -> str:
    if "values" in text:
        return alert_words(text["kind"], json.loads(text["values"]))
    return text.get("text") or text.get("subject", "")


@guarded
def read_alerts(redis: Redis, limit: int = 100) -> list[Alert]:
    """The newest alerts. Raises RecordUnavailableError."""
    found: Any = redis.xrevrange(keys.ALERTS, count=limit)
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
