"""What was almost right about the webhooks that a source refused lately, so that no log need be read."""

from __future__ import annotations

from collections import Counter

from relay.operations.ingest import PROOF
from relay.store import Store

LOOKED_AT, MOST_SHOWN = 50, 5
"""Of so many refused webhooks of a source the near misses are counted; so many kinds are told."""


def near_misses(store: Store, source: str) -> dict[str, int]:
    """Each near miss, a Fault, and how often it was. Raises RecordUnavailableError."""
    counted: Counter[str] = Counter()
    for event in store.record.events(store.record.newest_unproven(source, LOOKED_AT)):
        counted.update(event.errors.get(PROOF, ()))
    return dict(counted.most_common(MOST_SHOWN))
