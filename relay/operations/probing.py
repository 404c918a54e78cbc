"""Probes at the door: what a sender asks to see whether somebody is there is answered, counted, and never an event.

A sender that gives its secret at run time gives it here. The first one is believed, and no other until a person forgets
it: trust on first use. Nothing is kept of a source whose secrets are configured.
"""

from __future__ import annotations

import hmac
import time
from collections import Counter
from datetime import datetime

from relay.core.errors import NotVerifiedError, RecordUnavailableError
from relay.core.telemetry import get_logger
from relay.sources import Source
from relay.sources.probes import Probe
from relay.sources.reading import Reading
from relay.sources.templater import Rendered
from relay.store.senders import Senders

log = get_logger()
AT_ONCE, PER_S = 20.0, 10.0
"""So many probes of a source are counted on the spot, and so many more a second; the others with the next of these:
anybody may ask, and each count is a write to the disk.
"""


class Prober:
    """Answers probes, for one process."""

    def __init__(self, senders: Senders) -> None:
        self._senders = senders
        self._uncounted: Counter[str] = Counter()
        self._room: dict[str, tuple[float, float]] = {}

    def with_given_secret(self, source: Source) -> Source:
        """The source as it proves its sender now. Raises RecordUnavailableError."""
        if not source.keeps_secret or source.has_secrets:
            return source
        kept = self._senders.secret(source.name)
        return source.with_secret(kept.secret) if kept else source

    def answer(self, source: Source, probe: Probe, reading: Reading, now: datetime) -> Rendered:
        """Answer a probe. Raises NotVerifiedError, and where a secret cannot be kept RecordUnavailableError."""
        answer = source.answer_probe(probe, reading)
        if (secret := probe.secret_given(reading)) is not None:
            self._keep(source, secret, now)
        self._count(source.name, now)
        return answer

    def _keep(self, source: Source, secret: str, now: datetime) -> None:
        if source.has_secrets:
            return
        source.with_secret(secret)  # whether it can be one, before it is kept
        if self._senders.keep_secret(source.name, secret, now):
            log.info("secret.given", source=source.name)
            return
        kept = self._senders.secret(source.name)
        if kept is None or not hmac.compare_digest(kept.secret.encode(), secret.encode()):
            raise NotVerifiedError("handshake_repeated")

    def _count(self, source: str, now: datetime) -> None:
        self._uncounted[source] += 1
        at = time.monotonic()
        room, since = self._room.get(source, (AT_ONCE, at))
        room = min(AT_ONCE, room + (at - since) * PER_S)
        if room < 1:
            self._room[source] = (room, at)
            return
        self._room[source] = (room - 1, at)
        count = self._uncounted.pop(source)
        try:
            self._senders.count_probes(source, count, now)
        except RecordUnavailableError:
            # The answer says nothing about the record: a sender that is being set up gets it all the same.
            self._uncounted[source] += count
            log.warning("probe.uncounted", source=source)
            return
        log.info("probe.answered", source=source, count=count)
