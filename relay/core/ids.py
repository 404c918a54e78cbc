"""Identifiers that sort by time, and the clock. Standard library only.

An id is a prefix, ten characters of milliseconds and sixteen of chance, in Crockford's base 32 (the layout of a
ULID, lower case). Because ids sort by time, an index of ids is a time line and an id is a cursor. Ids that one process
makes within one millisecond sort in the order they were made; those of two processes may not.
"""

from __future__ import annotations

import secrets
import threading
import time
from datetime import UTC, datetime

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)
_TO_PYTHONS_DIGITS = str.maketrans(ALPHABET, "0123456789abcdefghijklmnopqrstuv")
EVENT_PREFIX = "evt_"
DELIVERY_PREFIX = "dlv_"
QUESTION_PREFIX = "ask_"


STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""A clock that nobody can set. It continues while the machine sleeps, if the system has such a clock."""


def steady_ms() -> int:
    """Milliseconds since this machine was started."""
    return time.clock_gettime_ns(STEADY) // 1_000_000


class _Shared:
    """The time that all processes share, relative to this machine's steady clock. One per process."""

    since_start_ms = time.time_ns() // 1_000_000 - steady_ms()


def utc_now() -> datetime:
    """The time now, aware, in UTC, in whole milliseconds (the precision of the record).

    It follows the record's clock once that is known (store/redis/clock.py); before, this machine's clock at start.
    Setting this machine's clock does not change it.
    """
    return from_ms(steady_ms() + _Shared.since_start_ms)


def set_shared_clock(at_ms: int) -> None:
    """Set the shared time, in milliseconds since 1970."""
    _Shared.since_start_ms = at_ms - steady_ms()


def clock_ahead_ms() -> int:
    """How many milliseconds this machine's clock is ahead of the shared one; negative if it is behind."""
    return time.time_ns() // 1_000_000 - steady_ms() - _Shared.since_start_ms


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970 of an aware time."""
    return round(moment.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """The aware UTC time of milliseconds since 1970."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(microsecond=milliseconds % 1000 * 1000)


def iso(moment: datetime) -> str:
    """An aware time as ISO 8601 with milliseconds."""
    return moment.isoformat(timespec="milliseconds")


def new_event_id(at: datetime) -> str:
    """A fresh `evt_` id for an event received at this time."""
    return EVENT_PREFIX + _sortable(at)


def new_delivery_id(at: datetime) -> str:
    """A fresh `dlv_` id for a delivery created at this time."""
    return DELIVERY_PREFIX + _sortable(at)


def earliest_id(prefix: str, at: datetime) -> str:
    """A bound that sorts before every id of this prefix from this time on, and after every earlier one."""
    return prefix + _base32(max(0, to_ms(at)), 10)


def time_of(identifier: str) -> datetime:
    """When an event was received or a delivery created, according to its id."""
    return from_ms(ms_of(identifier))


def ms_of(identifier: str) -> int:
    """The time of an id in milliseconds since 1970."""
    return int(identifier[4:14].translate(_TO_PYTHONS_DIGITS), 32)


def _sortable(at: datetime) -> str:
    return _LAST.after(to_ms(at))


class _Last:
    """The last id of this process. Within one millisecond, the random part grows by a random number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._milliseconds = -1
        self._head = ""
        self._chance = 0

    def after(self, milliseconds: int) -> str:
        with self._lock:
            if milliseconds == self._milliseconds:
                self._chance += 1 + secrets.randbits(32)
            else:
                # One bit less than fits, so that a busy millisecond never overflows.
                self._milliseconds, self._chance = milliseconds, secrets.randbits(79)
                self._head = _base32(milliseconds, 10)
            return self._head + _base32(self._chance, 16)


_LAST = _Last()


def _base32(number: int, width: int) -> str:
    """Encode a number. width: must be even, because two characters are looked up at a time."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(5 * width - 10, -1, -10)])
