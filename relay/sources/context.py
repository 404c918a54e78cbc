"""What a rule may look at: the one shape of data that expressions see. Secrets are not in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from relay.core.errors import WrongCharsetError
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

    What of a query is text of no charset stays percent-encoded: a link that adds its own mark to the address, such as
    `utm_term=%EA%F3`, must not take a good body with it. Raises UnreadableError where the query cannot be read.
    """
    return {
        "body": body,
        "envelope": envelope,
        "headers": {name.lower(): value for name, value in kept.headers.items()},
        "query": _query_of(kept.query, fallback_charset),
        "source": source,
        "received_at": iso(received_at),
    }


def _query_of(query: str, fallback_charset: str | None) -> dict[str, Any]:
    try:
        return read_query(query, fallback_charset)
    except WrongCharsetError:
        return read_query(_UNREAD.sub(_as_text, query))


_UNREAD = re.compile(r"(?:%[89a-fA-F][0-9a-fA-F])+")


def _as_text(encoded: re.Match[str]) -> str:
    """Bytes that are no UTF-8 as the text that stands for them; others as they are."""
    try:
        unquote_to_bytes(encoded[0]).decode("utf-8")
    except UnicodeDecodeError:
        return encoded[0].replace("%", "%25")
    return encoded[0]
