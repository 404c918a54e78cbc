"""JMESPath without surprises, and text with {names} in it, as operators write both in rules, profiles and sources.

Mistakes are found when a file is loaded: the syntax, the length, the names of functions, and whether every path begins
with something that the context has. After that, nothing that a sender sends can make an expression raise. The language
is the one of jmespath.org. The interpreter counts its steps, because each word of an expression can double the work: a
step is one node visited, one entry of a list made or gone through, or 50 characters of text written. A value that is
built of other values counts with everything in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jmespath
import jmespath.exceptions
from jmespath.functions import Functions
from jmespath.visitor import Options, TreeInterpreter

from relay.configuration.fields import suggestion
from relay.core.faults import Fault, fault

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")

Parts = Sequence[tuple[bool, str]]
"""The parts of a text in order: (True, the text in braces) or (False, literal text)."""


def split_braces(text: str) -> tuple[Parts, list[str]]:
    """Split a text into its parts; also returns a fault for each lone brace."""
    parts: list[tuple[bool, str]] = []
    wrong: list[str] = []
    for match in _TOKEN.finditer(text):
        token, name = match[0], match[1]
        if token in {"{", "}"}:
            wrong.append(fault("lone_brace", brace=repr(token), doubled=repr(token * 2)))
        parts.append((False, token[0] if token in {"{{", "}}"} else token) if name is None else (True, name))
    return parts, wrong


FEW_STEPS = 1_000
STEPS_A_VALUE = 50
"""Steps that are always allowed, and further steps for each value of the event, its headers and its query."""
MOST_VALUES = 10_000
CHARACTERS_A_STEP = 50

_OPTIONS = Options(custom_functions=Functions())
_GO_DEEP = frozenset({"contains", "join", "to_string"})
"""Functions that look into the entries of a list; all others go through it at most once."""


class TooManyStepsError(Exception):
    """The expression was given up."""


class Steps:
    """The steps that the expressions of a rule may take together for one event. is_spent: they needed more."""

    __slots__ = ("_is_counted", "is_spent", "left")

    def __init__(self, *, grows: bool = True) -> None:
        """grows: the limit grows with the event; without it only the first steps are allowed, for callers with many
        events.
        """
        self.left = FEW_STEPS
        self.is_spent = False
        self._is_counted = not grows

    def take_more(self, context: Any) -> None:
        """Add the steps for an event of this size when the first ones are used up. Raises TooManyStepsError."""
        if not self._is_counted:
            self._is_counted = True
            self.left += STEPS_A_VALUE * _values_in(context)
        if self.left < 0:
            self.is_spent = True
            raise TooManyStepsError


class Interpreter(TreeInterpreter):  # type: ignore[misc]  # jmespath has no types
    """One search. Raises TooManyStepsError in addition to JMESPath's errors."""

    def __init__(self, steps: Steps, context: Any) -> None:
        super().__init__(_OPTIONS)
        self._steps, self._context = steps, context
        self.COMPARATOR_FUNC = TreeInterpreter.COMPARATOR_FUNC | {"eq": self._is_equal, "ne": self._is_other}

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        """As in JMESPath, counting one step."""
        self._take(1)
        kind = node["type"]
        if (method := self._method_cache.get(kind)) is None:
            method = self._method_cache[kind] = getattr(self, f"visit_{kind}", self.default_visit)
        return method(node, *args, **kwargs)

    def visit_multi_select_list(self, node: Any, value: Any) -> Any:
        """A list or map may contain the same value twice; each occurrence counts."""
        built = super().visit_multi_select_list(node, value)
        self._take_whole(built)
        return built

    def visit_multi_select_dict(self, node: Any, value: Any) -> Any:
        """See visit_multi_select_list."""
        built = super().visit_multi_select_dict(node, value)
        self._take_whole(built)
        return built

    def visit_flatten(self, node: Any, value: Any) -> Any:
        """Count a step for each copied entry."""
        return self._copied(super().visit_flatten(node, value))

    def visit_slice(self, node: Any, value: Any) -> Any:
        """Count a step for each copied entry."""
        return self._copied(super().visit_slice(node, value))

    def visit_function_expression(self, node: Any, value: Any) -> Any:
        """Count the arguments before the call and the result after it."""
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
        """Count every nested value, each time that it occurs."""
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
    """The number of values, up to MOST_VALUES."""
    count, left = 0, [context]
    while left and count < MOST_VALUES:
        one = left.pop()
        count += 1
        if isinstance(one, Mapping):
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)
    return count


LONGEST = 10_000
MOST_LEVELS = 200
"""Each || in a row counts as one, and each bracket."""
WHOLE = "@"
"""The root of an expression that uses the context as a whole."""

Need = tuple[tuple[str, ...], str]
"""A path of names through maps, and the text that must stand there."""

Find = Callable[[Mapping[str, Any]], Any]

# A comparator, an operator or a function reads the same value as the expression around it. In these others, only the
# first child does: `body.form` reads `body` from the context, but `form` from the body.
_FIRST_CHILD_ONLY = frozenset(
    {"subexpression", "index_expression", "projection", "value_projection", "filter_projection", "flatten", "pipe"},
)


_INAPPLICABLE = (
    jmespath.exceptions.JMESPathError,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    RecursionError,
    TooManyStepsError,
)
_TOO_DEEP = fault("expected_expression_depth", most=MOST_LEVELS)


_ORDERS = ("lt", "lte", "gt", "gte")
_NUMERAL = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?")
_LOOSE = fault("expected_ampersand_in_call")


class ExpressionError(ValueError):
    """Text that is not an expression. messages: one fault for each mistake."""

    def __init__(self, *messages: str) -> None:
        super().__init__(*messages)
        self.messages = messages


@dataclass(frozen=True, slots=True)
class Expression:
    """One compiled expression. roots: the names that it reads from the context itself.

    plain: a function that finds the same without the interpreter, for expressions of only paths, constants, ==, !=, &&,
    || and !, as most conditions are.
    """

    text: str
    compiled: Any = field(repr=False, compare=False)
    roots: frozenset[str] = field(repr=False, compare=False)
    plain: Find | None = field(default=None, repr=False, compare=False)

    @classmethod
    def parse(cls, text: str, known: Collection[str] | None) -> Expression:
        """Compile and check. known: the names in the context; None: unknown here, so any name may come first.

        Raises ExpressionError.
        """
        if len(text) > LONGEST:
            raise ExpressionError(fault("expected_expression_length", most=LONGEST))
        try:
            compiled = jmespath.compile(text)
        except (RecursionError, OverflowError):
            raise ExpressionError(_TOO_DEEP) from None
        except jmespath.exceptions.EmptyExpressionError:
            raise ExpressionError(fault("expected_expression")) from None
        except jmespath.exceptions.JMESPathError as error:
            column = getattr(error, "lex_position", 0) + 1
            raise ExpressionError(fault("expected_expression_breaks", found=repr(text), column=column)) from None
        except ValueError:
            raise ExpressionError(fault("expected_expression_digits")) from None
        wrong = [message for node in _nodes(compiled.parsed) for message in _faults(node)]
        if compiled.parsed["type"] == "expref":
            wrong.append(_LOOSE)
        wrong += [
            fault("expected_lower_case", name=repr(name.lower()))
            for name in _members(compiled.parsed, "headers")
            if name != name.lower()
        ]
        roots = dict.fromkeys(_roots(compiled.parsed))
        if known is not None:
            unknown = [name for name in roots if name not in known and name != WHOLE]
            wrong += [
                fault("not_in_event", found=repr(name), hint=suggestion(name, known), name=name) for name in unknown
            ]
        if wrong:
            raise ExpressionError(*wrong)
        return cls(text, compiled, frozenset(roots), _plain(compiled.parsed))

    def members_of(self, root: str) -> frozenset[str]:
        """The names that it reads from this member of the context, such as names of headers."""
        return frozenset(_members(self.compiled.parsed, root))

    def looks_at(self, name: str) -> bool:
        """Whether its result may depend on this member of the context."""
        return name in self.roots or WHOLE in self.roots

    @property
    def texts_needed(self) -> frozenset[Need]:
        """If it is true, at least one of these paths has its text. Empty: nothing can be said."""
        return _texts_needed(self.compiled.parsed)

    def find(self, context: Mapping[str, Any], steps: Steps | None = None) -> Any:
        """The found value; None if the expression cannot be applied to this event.

        steps: the steps that are left, which afterwards know whether they sufficed; None: steps of its own.
        """
        if self.plain:
            return self.plain(context)
        try:
            return Interpreter(steps or Steps(), context).visit(self.compiled.parsed, context)
        except _INAPPLICABLE:
            return None

    def holds(self, context: Mapping[str, Any], steps: Steps | None = None) -> bool:
        """Truth as in JMESPath: null, false and empty values are false; 0 is true."""
        return not _is_false(self.find(context, steps))


def first_given(expressions: Sequence[Expression], context: Mapping[str, Any], steps: Steps | None = None) -> Any:
    """The first value that is something; else an empty list, if one was found; else None."""
    nothing = None
    for expression in expressions:
        found = expression.find(context, steps)
        if not is_nothing(found):
            return found
        nothing = found if isinstance(found, list) and nothing is None else nothing
    return nothing


def is_nothing(value: Any) -> bool:
    """Whether it is null, blank text or a list of these. Forms send empty fields for missing values."""
    if isinstance(value, list):
        return all(entry is None or _is_blank(entry) for entry in value)
    return value is None or _is_blank(value)


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()


def value_at(context: Mapping[str, Any], path: Sequence[str]) -> Any:
    """The value at a path of names through maps, as in JMESPath; None if there is none."""
    value: Any = context
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _is_false(value: Any) -> bool:
    return value is None or value is False or (not value and isinstance(value, (str, list, dict)))


def _plain(node: Mapping[str, Any]) -> Find | None:
    """See Expression.plain; None if the interpreter is needed."""
    kind, children = node["type"], node["children"]
    if path := _path(node):
        return lambda context: value_at(context, path)
    if kind == "literal":
        return lambda _context: node["value"]
    sides = [find for child in children if (find := _plain(child))] if kind in _PLAIN_KINDS else []
    if not sides or len(sides) < len(children):
        return None
    if kind == "not_expression":
        return lambda context: _is_false(sides[0](context))
    left, right = sides
    if kind == "and_expression":
        return lambda context: found if _is_false(found := left(context)) else right(context)
    if kind == "or_expression":
        return lambda context: right(context) if _is_false(found := left(context)) else found
    compare = _EQUALITIES.get(node["value"])
    if not any(_is_constant(child) for child in children):
        return None  # comparing two equal lists goes through both
    return (lambda context: compare(left(context), right(context))) if compare else None


def _is_constant(node: Mapping[str, Any]) -> bool:
    return node["type"] == "literal" and not isinstance(node["value"], list | dict)


_PLAIN_KINDS = frozenset({"not_expression", "and_expression", "or_expression", "comparator"})
_EQUALITIES = {name: TreeInterpreter.COMPARATOR_FUNC[name] for name in ("eq", "ne")}
"""Comparisons of the language: 1 is not true, and 0 is not false."""


def _texts_needed(node: Mapping[str, Any]) -> frozenset[Need]:
    """See Expression.texts_needed: `==` with a text needs it, `&&` what either side needs, `||` what both do."""
    kind, children = node["type"], node["children"]
    if kind == "comparator" and node["value"] == "eq":
        texts = [child["value"] for child in children if child["type"] == "literal" and isinstance(child["value"], str)]
        paths = [path for child in children if (path := _path(child))]
        return frozenset({(paths[0], texts[0])}) if paths and texts else frozenset()
    if kind in {"and_expression", "or_expression"}:
        left, right = (_texts_needed(child) for child in children)
        if left and right and kind == "or_expression":
            return left | right
        return left or right if kind == "and_expression" else frozenset()
    return frozenset()


def _path(node: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of `a.b.c`; empty for another kind of expression."""
    if node["type"] == "field":
        return (node["value"],)
    steps = [_path(child) for child in node["children"]] if node["type"] == "subexpression" else []
    return tuple(name for step in steps for name in step) if all(steps) else ()


def _faults(node: Mapping[str, Any]) -> Iterator[Fault]:
    kind, children = node["type"], node["children"]
    if kind == "function_expression":
        yield from _faults_of_call(node["value"], children)
    elif any(isinstance(child, dict) and child["type"] == "expref" for child in children):
        yield _LOOSE
    if kind == "comparator" and node["value"] in _ORDERS:
        for text in (one["value"] for one in children if one["type"] == "literal"):
            if isinstance(text, str) and _NUMERAL.fullmatch(text.strip()):
                yield fault("expected_number_not_text", number=text.strip(), text=text)
    if kind in _FIRST_CHILD_ONLY and kind != "pipe" and children[0]["type"] == "not_expression":
        # jmespath.py binds ! closer than the dot: `!body.x` would be `(!body).x`, which finds nothing in any event.
        yield fault("expected_brackets_after_not")


def _faults_of_call(name: str, given: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    """The mistakes that make a call fail for every event. Without this check nobody would learn of them."""
    function = Functions.FUNCTION_TABLE.get(name)
    if function is None:
        yield fault("unknown_function", name=repr(name), hint=suggestion(name, Functions.FUNCTION_TABLE))
        return
    signature = function["signature"]
    least, is_open = len(signature), bool(signature) and signature[-1].get("variadic", False)
    if len(given) < least or (len(given) > least and not is_open):
        yield _wrong_count(name, least, len(given), is_open=is_open)
        return
    for place, argument in enumerate(given):
        types = signature[min(place, least - 1)]["types"]
        if types and not _may_be(argument, types):
            yield fault("argument_type", name=name, types=_types_of(types), place=place + 1)


def _may_be(argument: Mapping[str, Any], types: Sequence[str]) -> bool:
    """Whether an argument can have one of these JMESPath types."""
    if "expref" in types or argument["type"] == "expref":
        return types == ["expref"] and argument["type"] == "expref"
    if argument["type"] != "literal":
        return True
    value = argument["value"]
    kind = next((kind for kind, python in _OF_PYTHON if isinstance(value, python)), "null")
    return any(one == kind or one.partition("-")[0] == kind == "array" for one in types)


_OF_PYTHON: tuple[tuple[str, type | tuple[type, ...]], ...] = (
    ("boolean", bool),
    ("number", (int, float)),
    ("string", str),
    ("array", list),
    ("object", dict),
)
_TYPES = {
    "array-number": fault("a_list_of_numbers"),
    "array-string": fault("a_list_of_texts"),
    "array": fault("a_list"),
    "object": fault("a_map"),
    "expref": fault("an_expression"),
    "string": fault("a_text"),
    "number": fault("a_number"),
}


def _types_of(types: Sequence[str]) -> str:
    """One type, or one or another."""
    first, *more = [_TYPES.get(one, one) for one in types]
    return fault("one_or_other", one=first, other=_types_of(types[1:])) if more else first


def _wrong_count(name: str, least: int, given: int, *, is_open: bool) -> Fault:
    if least == 1:
        return fault("argument_missing" if is_open else "argument_count_one", name=name, given=given)
    return fault("argument_count_least" if is_open else "argument_count", name=name, least=least, given=given)


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every node, in order. Raises ExpressionError if they are nested too deeply."""
    left = [(node, 1)]
    while left:
        one, level = left.pop()
        if level > MOST_LEVELS:
            raise ExpressionError(_TOO_DEEP)
        yield one
        left += [(child, level + 1) for child in reversed(one["children"]) if isinstance(child, dict)]


def _roots(node: Mapping[str, Any]) -> Iterator[str]:
    """The names that are read from the context itself."""
    for one in _on_context(node):
        if one["type"] == "field":
            yield one["value"]
        if one["type"] == "current":
            yield WHOLE


def _members(node: Mapping[str, Any], root: str) -> Iterator[str]:
    """The names that are read from one member of the context."""
    for one in _on_context(node):
        if one["type"] == "subexpression":
            first, second = one["children"][:2]
            if first == {**_FIELD, "value": root} and second["type"] == "field":
                yield second["value"]


_FIELD = {"type": "field", "children": []}


def _on_context(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every node that reads the context itself."""
    yield node
    if node["type"] in {"expref", "literal"}:
        return
    children = node["children"][:1] if node["type"] in _FIRST_CHILD_ONLY else node["children"]
    for child in children:
        if isinstance(child, dict):
            yield from _on_context(child)
