"""Whether what concurrent clients saw of one thing can have happened one after the other (Wing and Gong, 1993)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """What a client asked and was answered. begun, ended: by one counter for all clients."""

    begun: int
    ended: int
    what: tuple[Any, ...]
    answer: Any


def is_linearizable(
    history: Sequence[Call], state: Hashable, apply: Callable[[Any, tuple[Any, ...]], tuple[Any, Hashable]]
) -> bool:
    """Whether some order of the calls explains every answer, and puts none before another that ended before it began.

    apply: what the thing would answer in a state, and its state after it.
    """
    dead_ends: set[tuple[frozenset[int], Hashable]] = set()

    def explain(left: frozenset[int], state: Hashable) -> bool:
        if not left:
            return True
        if (left, state) in dead_ends:
            return False
        earliest_end = min(history[one].ended for one in left)
        for one in left:
            if history[one].begun < earliest_end:
                answer, following = apply(state, history[one].what)
                if answer == history[one].answer and explain(left - {one}, following):
                    return True
        dead_ends.add((left, state))
        return False

    return explain(frozenset(range(len(history))), state)
