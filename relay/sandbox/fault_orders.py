"""Reads the orders of POST /sandbox/faults: which keys there are and what each may be.

Raises UsageError with one sentence for the first thing that is wrong. May not put a fault in force.
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.sandbox.faults import KINDS, Fault
from relay.sandbox.usage import UsageError

_COMMON = frozenset({"kind", "times", "share", "method"})


def faults_from_json(given: object) -> list[Fault]:
    """The faults of a list, or of a single object."""
    orders = given if isinstance(given, list) else [given]
    return [_fault(order) for order in orders]


def _fault(order: object) -> Fault:
    if not isinstance(order, dict) or order.get("kind") not in list(KINDS):
        raise UsageError(f'a fault is an object whose "kind" is one of {", ".join(KINDS)}')
    kind = str(order["kind"])
    options = {str(key): value for key, value in order.items() if key not in _COMMON}
    _check_options(kind, options)
    times, share = _how_often(order)
    method = order.get("method")
    if method is not None and not isinstance(method, str):
        raise UsageError('"method" must be the name of a REST method')
    executed = bool(options.get("executed", KINDS[kind].executed))
    return Fault(kind, times, share, method.lower() if method else None, executed, options)


def _how_often(order: Mapping[str, object]) -> tuple[int | None, float | None]:
    if "times" in order and "share" in order:
        raise UsageError('give "times" or "share", not both')
    if "share" in order:
        return None, _share(order["share"])
    times = order.get("times", 1)
    if type(times) is not int or times < 1:
        raise UsageError('"times" must be a whole number of 1 or more')
    return times, None


def _share(share: object) -> float:
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
        raise UsageError('"share" must be a number above 0 and up to 1')
    return float(share)


def _check_options(kind: str, options: Mapping[str, object]) -> None:
    allowed = KINDS[kind].optional | KINDS[kind].required
    unknown, missing = sorted(set(options) - allowed), sorted(KINDS[kind].required - set(options))
    if unknown:
        raise UsageError(
            f"fault {kind!r} has no key {unknown[0]!r}; it may have {', '.join(sorted(allowed)) or 'none'}"
        )
    if missing:
        raise UsageError(f"fault {kind!r} needs the key {missing[0]!r}")
    for key, value in options.items():
        _check_option(key, value)


def _check_option(key: str, value: object) -> None:
    if key == "executed" and not isinstance(value, bool):
        raise UsageError('"executed" must be true or false')
    if key == "seconds" and (type(value) not in (int, float) or not 0 <= float(str(value)) <= 600):
        raise UsageError('"seconds" must be a number from 0 to 600')
    if key == "status" and (type(value) is not int or not 200 <= value <= 599):
        raise UsageError('"status" must be a whole number from 200 to 599')
    if key in ("code", "description", "location") and not isinstance(value, str):
        raise UsageError(f'"{key}" must be a text')
