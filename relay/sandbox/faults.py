"""Faults: what may go wrong on purpose, how often, and what then reaches the wire.

A fault touches REST requests only. Each kind says whether the request is executed nevertheless, which is the
question that makes retrying hard. One kind, `command_error`, strikes the calls of a method wherever they stand, so the
commands of a batch as well. May not look at the portal; it turns one reply into another.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from relay.sandbox.answers import HTML_TYPE, JSON_TYPE, Reply, RestError, StatusColumn, error_reply, html_reply

_LOCK_WAIT = "Mysql query error: (1205) Lock wait timeout exceeded; try restarting transaction"
_PLAIN_TEXT = "text/plain; charset=utf-8"
_OTHER_HOST = "http://renamed.invalid/rest/"


@dataclass(slots=True)
class Fault:
    """One order to misbehave.

    times: how many requests it still hits; None with a share.
    share: the part of requests it hits until the reset, above 0 and up to 1; None with times.
    method: lower-case REST method it is confined to, None for all; a batch is the method "batch".
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
        """How many seconds the answer is held back."""
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
        """Behave."""
        self._faults.clear()

    def to_json(self) -> list[dict[str, object]]:
        """What is still in force."""
        return [fault.to_json() for fault in self._faults]

    def take(self, method: str) -> Fault | None:
        """The fault that hits this request, if any; a counted one has one hit less."""
        return self._take(method, [fault for fault in self._faults if fault.kind != COMMAND_ERROR])

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
    """What the client gets instead of this reply."""
    return KINDS[fault.kind].spoil(fault, reply, column)
