"""What a rule may look at: the one shape of data that expressions see. Secrets are not in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from relay.core.ids import iso
from relay.sources.forms import read_query


class Kept(Protocol):
    """Headers and query without secrets: a Verified webhook, or an Event from the record.

    A Webhook is not one, on purpose: its headers still hold the proof.
    """

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers by name."""

    @property
    def query(self) -> str:
        """The query, still encoded."""


def build_context(
    source: str,
    kept: Kept,
    body: Any,
    received_at: datetime,
    envelope: Any = None,
    *,
    fallback_charset: str | None = None,
) -> dict[str, Any]:
    """`{body, envelope, headers, query, source, received_at}`: names of headers in lower case, query as a map, time as
    ISO 8601. envelope: what stood around an entry of a batch. fallback_charset: of a query that is no UTF-8.

    Raises UnreadableError where the query cannot be read.
    """
    return {
        "body": body,
        "envelope": envelope,
        "headers": {name.lower(): value for name, value in kept.headers.items()},
        "query": read_query(kept.query, fallback_charset),
        "source": source,
        "received_at": iso(received_at),
    }
