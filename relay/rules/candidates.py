"""Which rules of a source can want an event, found by the texts that their `when` needs, and not by trying each.

`when: body.type == 'order'` can hold only where that text stands there; with 200 such rules one look finds the few.
Whether a rule wants the event is for the rule to say: here nothing is decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from relay.configuration.expressions import Expression, value_at


class Candidates:
    """The conditions of one source's rules, in order; None: that rule wants every event."""

    def __init__(self, whens: Sequence[Expression | None]) -> None:
        self._always: list[int] = []
        self._by_text: dict[tuple[str, ...], dict[str, list[int]]] = {}
        for place, when in enumerate(whens):
            needs = when.texts_needed if when else ()
            if not needs:
                self._always.append(place)
            for path, text in needs:
                self._by_text.setdefault(path, {}).setdefault(text, []).append(place)

    def of(self, context: Mapping[str, Any]) -> list[int]:
        """The places of those that can hold for this event, in order; none of the others does."""
        places = set(self._always)
        for path, by_text in self._by_text.items():
            found = value_at(context, path)
            if isinstance(found, str):
                places.update(by_text.get(found, ()))
        return sorted(places)
