"""Who of those who wait writes for all of them. Holds no entry and writes nothing.

A lock would let who has just come overtake who was woken: measured at 16 connections, one in a hundred waited for ten
groups in place of two. Here the lead is handed on before anybody is woken, and to the one who has waited longest.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol


class Member(Protocol):
    """One who waits."""

    @property
    def is_done(self) -> bool:
        """Whether a leader has done it for this one. Changes only while somebody leads."""


def _closed() -> threading.Lock:
    lock = threading.Lock()  # looked up when made: gevent puts its own in place
    lock.acquire()
    return lock


@dataclass(slots=True, eq=False)
class _Sleeper:
    member: Member
    leads: bool = False
    bed: threading.Lock = field(default_factory=_closed)


class Lead:
    """For the threads or greenlets of one process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._is_taken = False
        self._asleep: list[_Sleeper] = []

    @contextmanager
    def awaited(self, member: Member) -> Iterator[None]:
        """Begins when a leader has done it for this one, or this one is to lead until the end of the `with`."""
        leads = self._enter(member)
        try:
            yield
        finally:
            if leads:
                self._hand_on()

    def _enter(self, member: Member) -> bool:
        with self._guard:
            if not self._is_taken:
                self._is_taken = True
                return True
            sleeper = _Sleeper(member)
            self._asleep.append(sleeper)
        try:
            sleeper.bed.acquire()
        except BaseException:
            self._leave(sleeper)
            raise
        return sleeper.leads

    def _leave(self, sleeper: _Sleeper) -> None:
        """It is ended in its sleep, perhaps after the lead was handed to it."""
        with self._guard:
            if sleeper in self._asleep:
                self._asleep.remove(sleeper)
        if sleeper.leads:
            self._hand_on()

    def _hand_on(self) -> None:
        with self._guard:
            woken = [one for one in self._asleep if one.member.is_done]
            left = [one for one in self._asleep if not one.member.is_done]
            self._is_taken = bool(left)
            self._asleep = left[1:]
            for heir in left[:1]:
                heir.leads = True
                # First, so that the others tell their senders while its round trip is on the way.
                woken.insert(0, heir)
        for one in woken:
            one.bed.release()
