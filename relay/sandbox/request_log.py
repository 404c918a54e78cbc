"""The log of REST requests: what was asked, what was answered, and how often. Holds no secret and no parameter."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict, dataclass

KEPT = 10_000
"""Older entries are dropped; the counters go on."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One REST request.

    at: ISO 8601, UTC. user: the caller's number, None where nobody was recognised.
    status: None where the connection was closed without an answer. code: the error code, None for a success.
    batch_size: commands of a batch, None for anything else. fault: the kind that hit it.
    """

    at: str
    method: str
    user: int | None
    status: int | None
    code: str | None
    batch_size: int | None
    fault: str | None


class RequestLog:
    """The newest entries, and counters since the reset."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._total = 0
        self._commands = 0
        self._methods: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._codes: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()

    def add(self, entry: Entry) -> None:
        """Remember a request."""
        self._entries.append(entry)
        self._total += 1
        self._commands += entry.batch_size or 0
        self._methods[entry.method] += 1
        self._statuses["none" if entry.status is None else str(entry.status)] += 1
        if entry.code is not None:
            self._codes[entry.code] += 1
        if entry.fault is not None:
            self._faults[entry.fault] += 1

    def counters(self) -> dict[str, object]:
        """Requests in total, commands inside batches, and requests by method, status, error code and fault."""
        return {
            "total": self._total,
            "batch_commands": self._commands,
            "by_method": dict(self._methods),
            "by_status": dict(self._statuses),
            "by_code": dict(self._codes),
            "by_fault": dict(self._faults),
        }

    def to_json(self) -> dict[str, object]:
        """The counters and the entries, newest first."""
        return {"counters": self.counters(), "requests": [asdict(entry) for entry in reversed(self._entries)]}
