"""PHP's rules for input: casts, emptiness, bracketed names, and arrays that are lists or maps.

The real portal is written in PHP and validates little, so these rules decide what a careless request means. Pure
functions on JSON-like values; knows nothing of Bitrix24.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl

INT_MAX = 2**63 - 1
INT_MIN = -(2**63)
MAX_NESTING = 64
"""PHP's max_input_nesting_level; a deeper name is ignored."""
_LEADING_NUMBER = re.compile(r"[ \t\n\r\v\f]*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)")
_INDEX = re.compile(r"[0-9]{1,18}")
_BRACKETS = re.compile(r"\[([^\]]*)\]")


def to_int(value: object) -> int:
    """The value of `(int)$value`: leading digits of a string, 0 for none, 1 for an array that is not empty.

    Strings saturate at 64 bits; floats that are not finite give 0 and others wrap (PHP manual, "Integers").
    """
    if isinstance(value, str):
        return _string_to_int(value)
    if isinstance(value, (list, dict)):
        return 1 if value else 0
    if isinstance(value, float):
        return _wrapped(int(value)) if math.isfinite(value) else 0
    return _wrapped(value) if isinstance(value, int) else 0


def _string_to_int(text: str) -> int:
    match = _LEADING_NUMBER.match(text)
    if match is None:
        return 0
    number = match.group(1)
    if number.lstrip("+-").isdigit():
        return _saturated(int(number[:40]))  # 40 characters are far above 64 bits already
    real = float(number)
    if math.isinf(real):
        return INT_MAX if real > 0 else INT_MIN
    return _saturated(int(real))


def _saturated(number: int) -> int:
    return max(INT_MIN, min(INT_MAX, number))


def _wrapped(number: int) -> int:
    return (number - INT_MIN) % 2**64 + INT_MIN


def is_truthy(value: object) -> bool:
    """Whether `if ($value)` holds: "", "0", 0, null and an empty array are false; the string "false" is true."""
    return bool(value) and value != "0"


def to_string(value: object) -> str | None:
    """A scalar as a string; None for an array, which PHP cannot cast."""
    if isinstance(value, (list, dict)):
        return None
    if value is None or value is False:
        return ""
    if value is True:
        return "1"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def as_map(value: object) -> dict[str, object] | None:
    """A PHP array by its keys ("0", "1", ... for a list); None for a scalar."""
    if isinstance(value, list):
        return {str(index): item for index, item in enumerate(value)}
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items()}
    return None


def as_array(items: Mapping[str, object]) -> list[object] | dict[str, object]:
    """A PHP array as json_encode() writes it: a list where the keys are 0..n in order, so `[]` where it is empty."""
    if list(items) == [str(index) for index in range(len(items))]:
        return list(items.values())
    return dict(items)


def parse_query(query: str) -> dict[str, object]:
    """parse_str(): percent-decoding, `+` for a space, and brackets that build arrays."""
    return nest(parse_qsl(query, keep_blank_values=True, errors="replace"))


def nest(pairs: Iterable[tuple[str, str]]) -> dict[str, object]:
    """Flat pairs of a form into nested arrays; the last of two equal names wins."""
    root: dict[str, object] = {}
    for name, value in pairs:
        path = _path(name)
        if len(path) <= MAX_NESTING:
            _put(root, path, value)
    return {key: settle(value) for key, value in root.items()}


def flatten(value: Mapping[str, object]) -> dict[str, str]:
    """Nested arrays as the pairs of a form, the other way round than nest(): `{"a": {"b": 1}}` is `a[b]=1`."""
    flat: dict[str, str] = {}
    for name, member in value.items():
        members = as_map(member)
        if members is None:
            flat[name] = to_string(member) or ""
            continue
        for path, text in flatten(members).items():
            head, bracket, tail = path.partition("[")
            flat[f"{name}[{head}]{bracket}{tail}"] = text
    return flat


def _path(name: str) -> list[str]:
    head, bracket, tail = name.partition("[")
    top = head.replace(".", "_").replace(" ", "_")  # as parse_str() mangles names
    return [top, *_BRACKETS.findall(bracket + tail)]


def _put(root: dict[str, object], path: list[str], value: str) -> None:
    node = root
    for key in path[:-1]:
        child = node.setdefault(key or _next_index(node), {})
        if not isinstance(child, dict):
            child = node[key] = {}
        node = child
    node[path[-1] or _next_index(node)] = value


def _next_index(node: Mapping[str, object]) -> str:
    return str(max((int(key) for key in node if _INDEX.fullmatch(key)), default=-1) + 1)


def settle(value: object) -> object:
    """Nested maps as lists wherever PHP would call them lists: its arrays do not tell {"0": "a"} from ["a"]."""
    if isinstance(value, list):
        return [settle(item) for item in value]
    if isinstance(value, dict):
        return as_array({str(key): settle(item) for key, item in value.items()})
    return value
