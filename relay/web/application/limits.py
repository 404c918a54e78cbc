"""How often strangers may post to an application's addresses, counted in this process, before anything is kept."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from relay.web.auth import network_of

MOST_NETWORKS = 10_000
"""How many networks are remembered; the one that posted longest ago is forgotten first."""


@dataclass(frozen=True, slots=True)
class Pace:
    """A token bucket. burst: requests that may come at once. per_s: how many more each second gives."""

    burst: float
    per_s: float


OPENINGS = Pace(60, 1.0), Pace(200, 10.0)
"""For one network, and for all together. A whole office may share one address, and opens cards all day."""
PAGES = Pace(240, 12.0), Pace(2_000, 100.0)
"""Requests of pages that have been opened. Each has a token of ours, so they cost a stranger an opening first."""
EVENTS = Pace(20, 0.5), Pace(60, 2.0)
PACES = {"arrive": OPENINGS, "page": PAGES, "event": EVENTS}
"""By view."""


class Limits:
    """Buckets for one kind of request. paces: for one network, and for all. clock: seconds that only grow."""

    def __init__(self, paces: tuple[Pace, Pace], clock: Callable[[], float] = time.monotonic) -> None:
        self._of_one, self._of_all = paces
        self._clock = clock
        self._all = (self._of_all.burst, clock())
        self._networks: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admit(self, address: str) -> bool:
        """Whether one more request of this address may come; it is counted then.

        One network is checked first, so that a flood from there does not use up the room of everybody.
        """
        now, network = self._clock(), network_of(address)
        left = _filled(self._networks.pop(network, (self._of_one.burst, now)), self._of_one, now)
        left_of_all = _filled(self._all, self._of_all, now)
        is_admitted = left >= 1 and left_of_all >= 1
        self._networks[network] = (left - is_admitted, now)
        self._all = (left_of_all - is_admitted, now)
        if len(self._networks) > MOST_NETWORKS:
            self._networks.popitem(last=False)
        return is_admitted


def _filled(bucket: tuple[float, float], pace: Pace, now: float) -> float:
    left, at = bucket
    return min(pace.burst, left + (now - at) * pace.per_s)
