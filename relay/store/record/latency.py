"""How long events waited for their workflows, as scripts count it: below which bound each stayed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BOUNDS_MS = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 600_000, 3_600_000)
"""The upper bounds, as common.lua has them; what took longer is counted as `more`."""
BUCKETS = (*map(str, BOUNDS_MS), "more")
PREFIX = "latency:"


@dataclass(frozen=True, slots=True)
class Histogram:
    """counts: of each bound, and at last of what took longer; none is in two of them. sum_ms: of all together."""

    counts: Sequence[int]
    sum_ms: int

    def within(self) -> list[int]:
        """How many took as long as each bound at most, and at last all."""
        return [sum(self.counts[: place + 1]) for place in range(len(self.counts))]


def histograms_in(counted: Mapping[str, int], portals: Sequence[str]) -> dict[str, Histogram]:
    """The histogram of each portal. counted: the ledger since its start."""
    found = {}
    for portal in portals:
        field = f"{PREFIX}{portal}:"
        counts = [counted.get(f"{field}{bound}", 0) for bound in BUCKETS]
        found[portal] = Histogram(counts, counted.get(f"{field}ms", 0))
    return found


def percentile(counts: Sequence[int], share: float) -> float | None:
    """About how many ms this share took at most: what is between two bounds is taken for evenly spread between them.

    counts: by BUCKETS. None where nothing was counted; the highest bound where it took longer. As `histogram_quantile`
    of Prometheus does it.
    """
    wanted, seen, lower = share * sum(counts), 0, 0
    for count, bound in zip(counts, BOUNDS_MS, strict=False):
        if count and seen + count >= wanted:
            return lower + (bound - lower) * (wanted - seen) / count
        seen, lower = seen + count, bound
    return float(BOUNDS_MS[-1]) if sum(counts) else None
