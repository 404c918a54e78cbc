"""Days in fast motion (tests/days), a row for each on which a promise was broken, and one for all of them."""

from __future__ import annotations

import logging
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import structlog

from tests.days.day import Days

SEEDS = 200


def days(seeds: int = SEEDS) -> Iterator[str]:
    """The rows."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    began, states, happened, calls, broken = time.monotonic(), Counter[str](), Counter[str](), 0, 0
    with tempfile.TemporaryDirectory() as folder, Days(Path(folder)) as served:
        for seed in range(seeds):
            day = served.run(seed)
            calls += day.calls
            happened += day.counted
            states.update(one.state.value for one in day.deliveries())
            if day.faults:
                broken += 1
                yield f"days, seed {seed}: " + "; ".join(dict.fromkeys(day.faults))
    ended = ", ".join(f"{count} {state}" for state, count in states.most_common())
    what = ", ".join(f"{count} {name}" for name, count in sorted(happened.items()))
    yield f"days: {seeds} days, {broken} with a broken promise, {time.monotonic() - began:.0f} s"
    yield f"days: {what}; {calls} requests; in the end {ended}"
