"""How a page learns that something has changed: a stream of server-sent events, or a small answer to ask again for.

Both tell one word that is another whenever the record has moved. What has changed is on the page, not in here.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import Any

from flask import Response, jsonify

from relay.core.errors import RecordUnavailableError
from relay.web.dashboard.frame import blueprint
from relay.web.services import Services, services

LOOK_EVERY_S = 2.0
BEAT_EVERY_S = 14.0
LASTS_S = 300.0
"""A stream ends after a while: a browser opens the next by itself, and a session that has ended gets no other."""


@blueprint.get("/live")
def live() -> Response:
    """The stream."""
    answer = Response(_stream(services()), content_type="text/event-stream")
    answer.headers["X-Accel-Buffering"] = "no"
    return answer


@blueprint.get("/live/now")
def live_now() -> Any:
    """The word now, for browsers and proxies that take no streams."""
    return jsonify(change=change_word(services()))


def change_word(found: Services) -> str:
    """A word that changes with the record. Raises RecordUnavailableError."""
    counts = found.record.counts()
    gates = [(name, found.store.portal(name).gate.look()) for name in found.portals]
    return hashlib.sha256(repr((counts, gates)).encode()).hexdigest()[:16]


def _stream(found: Services) -> Iterator[str]:
    began = beaten = time.monotonic()
    told = None
    yield "retry: 3000\n\n"
    while time.monotonic() - began < LASTS_S:
        try:
            word = change_word(found)
        except RecordUnavailableError:
            return  # the page says that it is stale, and the browser comes back
        if word != told:
            told, beaten = word, time.monotonic()
            yield f"event: change\ndata: {word}\n\n"
        elif time.monotonic() - beaten > BEAT_EVERY_S:
            beaten = time.monotonic()
            yield "event: beat\ndata: -\n\n"
        time.sleep(LOOK_EVERY_S)
