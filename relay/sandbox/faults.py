"""Faults on purpose: what goes wrong, how often, and what then reaches the wire.

A fault touches REST requests, and the authorisation server only where it names it. Each kind says whether the request
is executed nevertheless: that question makes retrying hard. One kind, `command_error`, strikes every call of a method,
so the commands of a batch as well. May not look at the portal: a fault turns one reply into another. Orders come from
POST /sandbox/faults; an unusable one raises UsageError.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from relay.sandbox.answers import HTML_TYPE, JSON_TYPE, Reply, RestError, StatusColumn, error_reply, html_reply
from relay.sandbox.settings import UsageError

_LOCK_WAIT = "Mysql query error: (1205) Lock wait timeout exceeded; try restarting transaction"
_PLAIN_TEXT = "text/plain; charset=utf-8"
_OTHER_HOST = "http://renamed.invalid/rest/"


@dataclass(slots=True)
class Fault:
    """One order to misbehave.

    times: how many requests it still hits; None with a share.
    share: the part of requests it hits until the reset, above 0 and up to 1; None with times.
    method: lower-case REST method it is confined to, None for all; a batch is the method "batch", the two addresses of
        the authorisation server are "oauth.token" and "oauth.app.info".
    executed: whether the request runs although the answer is spoiled.
    options: the further keys of its kind.
    """

    kind: str
    times: int | None
    share: float | None
    method: str | None
    executed: bool
    options: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """As it was ordered, with what is left of `times`."""
        shown = {"kind": self.kind, "times": self.times, "share": self.share, "method": self.method}
        return {name: value for name, value in shown.items() if value is not None} | dict(self.options)

    def text(self, key: str, otherwise: str) -> str:
        """A text option."""
        return str(self.options.get(key, otherwise))

    def delay_s(self) -> float:
        """Seconds by which the answer is delayed."""
        value = self.options.get("seconds", KINDS[self.kind].delay_s)
        return float(value) if isinstance(value, (int, float)) else 0.0


@dataclass(frozen=True, slots=True)
class _Kind:
    """executed, delay_s: by default. optional, required: keys beside kind, times, share and method."""

    spoil: Callable[[Fault, Reply, StatusColumn], Reply]
    optional: frozenset[str] = frozenset({"executed"})
    required: frozenset[str] = frozenset()
    executed: bool = False
    delay_s: float = 0.0


def _html(status: int, title: str) -> Callable[[Fault, Reply, StatusColumn], Reply]:
    return lambda _fault, _reply, _column: html_reply(status, title)


def _error(
    code: str, description: str | None = None, status: int | None = None
) -> Callable[[Fault, Reply, StatusColumn], Reply]:
    """An error answer. The fault's own code, description and status come first, then these, then the official ones."""

    def spoil(fault: Fault, _reply: Reply, column: StatusColumn) -> Reply:
        return error_reply(refusal(fault, code, description, status), column)

    return spoil


def refusal(fault: Fault, code: str = "", description: str | None = None, status: int | None = None) -> RestError:
    """The error that a fault stands for; code, description and status where it has none of its own."""
    own_text, own_status = fault.options.get("description"), fault.options.get("status")
    text = own_text if isinstance(own_text, str) else description
    return RestError(fault.text("code", code), text, own_status if isinstance(own_status, int) else status)


def _slow(_fault: Fault, reply: Reply, _column: StatusColumn) -> Reply:
    return reply


def _connection(_fault: Fault, reply: Reply, _column: StatusColumn) -> Reply:
    return dataclasses.replace(reply, connection="reset", code=None)


def _truncated(_fault: Fault, reply: Reply, _column: StatusColumn) -> Reply:
    return dataclasses.replace(reply, connection="truncate")


def _body(body: bytes, content_type: str) -> Callable[[Fault, Reply, StatusColumn], Reply]:
    return lambda _fault, _reply, _column: Reply(200, body, content_type)


def _redirect(fault: Fault, _reply: Reply, _column: StatusColumn) -> Reply:
    page = html_reply(302, "Found")
    return dataclasses.replace(page, headers={"Location": fault.text("location", _OTHER_HOST)})


COMMAND_ERROR = "command_error"
_ERROR_KEYS = frozenset({"code", "description", "status", "executed"})

KINDS: Mapping[str, _Kind] = {
    "http_503": _Kind(_error("QUERY_LIMIT_EXCEEDED", status=503), _ERROR_KEYS),
    "html_502": _Kind(_html(502, "Bad Gateway")),
    "html_503": _Kind(_html(503, "Service Temporarily Unavailable")),
    "html_504": _Kind(_html(504, "Gateway Time-out")),
    "slow": _Kind(_slow, frozenset({"seconds"}), executed=True, delay_s=1.0),
    "drop_before": _Kind(_connection, frozenset()),
    "drop_after_start": _Kind(_connection, frozenset(), executed=True),
    "cut": _Kind(_html(504, "Gateway Time-out"), frozenset({"seconds"}), executed=True),
    "truncated": _Kind(_truncated, frozenset(), executed=True),
    "error": _Kind(_error(""), _ERROR_KEYS - {"code"}, frozenset({"code"})),
    COMMAND_ERROR: _Kind(_error(""), _ERROR_KEYS - {"code"}, frozenset({"code"})),
    "expired_token": _Kind(_error("expired_token")),
    "lock_wait": _Kind(_error("", _LOCK_WAIT)),
    "not_json": _Kind(_body(b"<b>Fatal error</b>: Allowed memory size exhausted", HTML_TYPE), executed=True),
    "empty_200": _Kind(_body(b"", _PLAIN_TEXT), executed=True),
    "wrong_encoding": _Kind(_body(b'{"error":"WRONG_ENCODING"}', JSON_TYPE), executed=True),
    "redirect": _Kind(_redirect, frozenset({"location", "executed"})),
}


class Faults:
    """The faults in force, oldest first. The first that fits a request takes it."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._faults: list[Fault] = []

    def add(self, faults: list[Fault]) -> None:
        """Put these behind the others."""
        self._faults += faults

    def clear(self) -> None:
        """Remove every fault."""
        self._faults.clear()

    def to_json(self) -> list[dict[str, object]]:
        """The faults in force, as JSON."""
        return [fault.to_json() for fault in self._faults]

    def take(self, method: str) -> Fault | None:
        """The fault that hits this request, if any; a counted one has one hit less."""
        return self._take(method, [fault for fault in self._faults if fault.kind != COMMAND_ERROR])

    def take_named(self, method: str) -> Fault | None:
        """The fault that hits an address beside REST: only one that names it."""
        return self._take(method, [fault for fault in self._faults if fault.method == method])

    def take_command(self, method: str) -> Fault | None:
        """The same for one call of a method, be it a request of its own or a command of a batch."""
        return self._take(method, [fault for fault in self._faults if fault.kind == COMMAND_ERROR])

    def _take(self, method: str, faults: list[Fault]) -> Fault | None:
        for fault in faults:
            if fault.method is not None and fault.method != method:
                continue
            if fault.share is not None and self._chance.random() >= fault.share:
                continue
            self._count(fault)
            return fault
        return None

    def _count(self, fault: Fault) -> None:
        if fault.times is None:
            return
        fault.times -= 1
        if fault.times == 0:
            self._faults.remove(fault)


def spoil(fault: Fault, reply: Reply, column: StatusColumn) -> Reply:
    """The reply that the client gets instead of this one."""
    return KINDS[fault.kind].spoil(fault, reply, column)


_COMMON = frozenset({"kind", "times", "share", "method"})


def faults_from_json(given: object) -> list[Fault]:
    """The faults of a list, or of a single object."""
    orders = given if isinstance(given, list) else [given]
    return [_fault_of(order) for order in orders]


def _fault_of(order: object) -> Fault:
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
