"""The README's table of figures, out of what a run of `make bench` has found. Nothing is measured here."""

from __future__ import annotations

from typing import Any


def markdown(document: dict[str, Any]) -> str:
    """A line a figure, as far as it was measured."""
    return ""
