"""JMESPath's interpreter with a count of its steps, for each word of an expression can double what stands before it.

A step is a node of the expression that is looked at, an entry of a list that is made or gone through, or 50 characters
of a text that is written. What is built of other values is counted with everything in it written out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jmespath.functions import Functions
from jmespath.visitor import Options, TreeInterpreter

FEW_STEPS = 1_000
STEPS_A_VALUE = 50
"""So many steps may be taken anyway, and so many more for each value that the event has, with its headers and query."""
MOST_VALUES = 10_000
CHARACTERS_A_STEP = 50

_OPTIONS = Options(custom_functions=Functions())
_GO_DEEP = frozenset({"contains", "join", "to_string"})
"""Functions that look into what stands in a list; all others go through it once at most."""


class TooManyStepsError(Exception):
    """The expression was given up."""


class Steps:
    """What the expressions of a rule may take together for one event. is_spent: they have needed more."""

    __slots__ = ("_is_counted", "is_spent", "left")

    def __init__(self, *, grows: bool = True) -> None:
        """grows: with the event; else there are the first few, for those who look at many events at once."""
        self.left = FEW_STEPS
        self.is_spent = False
        self._is_counted = not grows

    def take_more(self, context: Any) -> None:
        """What is there for an event of this size, when the first few are gone. Raises TooManyStepsError."""
        if not self._is_counted:
            self._is_counted = True
            self.left += STEPS_A_VALUE * _values_in(context)
        if self.left < 0:
            self.is_spent = True
            raise TooManyStepsError


class Interpreter(TreeInterpreter):  # type: ignore[misc]  # jmespath has no types
    """One search. Raises TooManyStepsError beside what JMESPath raises."""

    def __init__(self, steps: Steps, context: Any) -> None:
        super().__init__(_OPTIONS)
        self._steps, self._context = steps, context
        self.COMPARATOR_FUNC = TreeInterpreter.COMPARATOR_FUNC | {"eq": self._is_equal, "ne": self._is_other}

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        """As JMESPath has it, a step for each."""
        self._take(1)
        kind = node["type"]
        if (method := self._method_cache.get(kind)) is None:
            method = self._method_cache[kind] = getattr(self, f"visit_{kind}", self.default_visit)
        return method(node, *args, **kwargs)

    def visit_multi_select_list(self, node: Any, value: Any) -> Any:
        """Here, and in a map, the same value may come to stand twice: so often is it counted."""
        built = super().visit_multi_select_list(node, value)
        self._take_whole(built)
        return built

    def visit_multi_select_dict(self, node: Any, value: Any) -> Any:
        """See visit_multi_select_list."""
        built = super().visit_multi_select_dict(node, value)
        self._take_whole(built)
        return built

    def visit_flatten(self, node: Any, value: Any) -> Any:
        """A step for each entry that is copied."""
        return self._copied(super().visit_flatten(node, value))

    def visit_slice(self, node: Any, value: Any) -> Any:
        """A step for each entry that is copied."""
        return self._copied(super().visit_slice(node, value))

    def visit_function_expression(self, node: Any, value: Any) -> Any:
        """What a function goes through is counted before, and what it makes behind."""
        name, given = node["value"], [self.visit(child, value) for child in node["children"]]
        for one in given:
            if name in _GO_DEEP:
                self._take_whole(one)
            else:
                self._copied(one)
        if name == "join" and len(given) == 2 and isinstance(given[0], str) and isinstance(given[1], list):
            self._take(len(given[0]) * len(given[1]) // CHARACTERS_A_STEP)
        return self._copied(self._functions.call_function(name, given))

    def _is_equal(self, left: Any, right: Any) -> bool:
        if isinstance(left, list | dict) and isinstance(right, list | dict):
            self._take_whole(left)
        return bool(TreeInterpreter.COMPARATOR_FUNC["eq"](left, right))

    def _is_other(self, left: Any, right: Any) -> bool:
        return not self._is_equal(left, right)

    def _take(self, count: int) -> None:
        self._steps.left -= count
        if self._steps.left < 0:
            self._steps.take_more(self._context)

    def _copied(self, value: Any) -> Any:
        self._take(_size(value))
        return value

    def _take_whole(self, value: Any) -> None:
        """Everything in it, however deep, each time that it stands there."""
        left = [value]
        while left:
            one = left.pop()
            self._take(1 + _size(one))
            if isinstance(one, dict):
                left.extend(one.values())
            elif isinstance(one, list):
                left.extend(one)


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value) // CHARACTERS_A_STEP
    return len(value) if isinstance(value, list | dict) else 0


def _values_in(context: Any) -> int:
    """How many values there are, as far as they count."""
    count, left = 0, [context]
    while left and count < MOST_VALUES:
        one = left.pop()
        count += 1
        if isinstance(one, Mapping):
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)
    return count
