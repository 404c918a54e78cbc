"""What is wrong with a rejected event, as a word that many can have in common: by it they are grouped. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

LONGEST = 120
UNKNOWN = "no reason was kept"
"""A word of its own, so that a filter finds these and no others."""
_NUMBERS = re.compile(r"\d[\d,.]*")


def fault_of(reason: str | None, errors: Mapping[str, Sequence[str]]) -> str:
    """The names of the fields that could not be filled, or why it could not be read; never a value of the event."""
    if errors:
        return f"cannot be filled: {', '.join(sorted(errors))}"[:LONGEST]
    # Where a body breaks off, or how large it was, makes no kind of its own.
    return _NUMBERS.sub("#", (reason or "").partition(";")[0])[:LONGEST] or UNKNOWN
