"""One HTTP call to one portal, or a `batch` of up to fifty, and the answer before anybody judges it.

Makes no second try and follows no redirect. An answer can be anything: too large, too slow, no JSON, or JSON with
impossible content. Sources for batches: docs settings/how-to-call-rest-api/batch.md; source
rest/classes/general/rest_provider.php methodsBatch.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from relay.core.ids import utc_now
from relay.core.spellings import written
from workers.http.exchange import Bounds, Connection, CutError, LateError, Reply


class Fault(StrEnum):
    """The reason why there is no readable answer."""

    NOT_SENT = "not_sent"
    """No byte of the body left us: no name, no connection, no TLS."""
    TOO_LATE = "too_late"
    """No byte of the body left us: it was too late to send it."""
    TIMED_OUT = "timed_out"
    """The call was sent, and no answer came in time."""
    CUT = "cut"
    """The call was sent in part or whole, and the connection broke."""
    NOT_EXECUTED = "not_executed"
    """A batch ended before this command."""
    UNREADABLE = "unreadable"
    """An answer came that is not JSON: a page of a web server, or half an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, to a single call or to one command of a batch.

    code, description: the portal's `error` and `error_description`; the code of an error may be an empty string.
    time: the portal's `time` block, with `operating` in seconds (docs: api-reference/data-types.md).
    location: target of a redirect; the client does not follow it.
    """

    at: datetime
    duration_ms: int
    status: int | None = None
    result: Any = field(default=None, repr=False)
    code: str | None = None
    description: str | None = None
    time: Mapping[str, Any] = field(default_factory=dict)
    fault: Fault | None = None
    location: str | None = field(default=None, repr=False)
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)


CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 65.0
"""The cloud cuts a request at 60 s (docs: limits.md). Giving up earlier would make certain outcomes uncertain."""
IDLE_S = 15.0
"""A connection idle for longer is not used again: the other side may have closed it, and a call that dies on a
closed connection would look as if it may have been executed."""
MOST = 8_000_000
"""Bytes of an answer, unpacked. Fifty lists of fifty rows take about two million. Parsed, it is twenty times that."""
CODE_KEPT, DESCRIPTION_KEPT = 200, 1_000
LATEST_S = 10**10
"""In seconds since 1970: the year 2286."""
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


class Client:
    """Calls REST methods of one portal.

    base_url: where methods are, with the credential of an inbound webhook in its path.
    token: an OAuth access token, sent as a header.
    """

    def __init__(self, base_url: str, token: str | None = None, read_timeout_s: float = READ_TIMEOUT_S) -> None:
        self._base_url = base_url.rstrip("/") + "/"
        self._token = token
        self._bounds = Bounds(CONNECT_TIMEOUT_S, read_timeout_s, CONNECT_TIMEOUT_S + read_timeout_s, MOST)
        self._connection = Connection()
        self._last_used = time.monotonic()

    def __repr__(self) -> str:
        return "Client(...)"

    def call(self, method: str, parameters: Mapping[str, Any], not_after: Callable[[], float] | None = None) -> Answer:
        """Call a method once. Faults of the portal or the network are in the Answer, not raised.

        not_after: deadline for sending, by the monotonic clock, in seconds.
        """
        body = _Body(json.dumps(parameters, ensure_ascii=False).encode(), not_after)
        at, started = utc_now(), time.monotonic()
        if started - self._last_used > IDLE_S:
            self._connection.close()
        try:
            reply = self._connection.post(self._base_url + method, body, self._headers(), self._bounds)
        except LateError:
            return Answer(at, _since(started), fault=Fault.TIMED_OUT if body.is_begun else body.fault)
        except CutError:
            return Answer(at, _since(started), fault=Fault.CUT if body.is_begun else body.fault)
        finally:
            self._last_used = time.monotonic()
        return _read(reply, at, _since(started))

    def close(self) -> None:
        """Close the pooled connection."""
        self._connection.close()

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "gzip"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers


class _Body:
    """A request body that knows whether urllib3 has taken it.

    urllib3 connects, shakes hands and writes the headers before it takes the body. While the body is untouched no
    portal can have executed the call, whatever the exception says. The body is given out in time or not at all: a
    process that was stopped for a while must not send what another process may be sending by now.
    """

    def __init__(self, content: bytes, not_after: Callable[[], float] | None) -> None:
        self._content = content
        self._not_after = not_after
        self.is_begun = False
        self.fault = Fault.NOT_SENT

    def __len__(self) -> int:
        return len(self._content)

    def __iter__(self) -> Iterator[bytes]:
        if self._not_after is not None and time.monotonic() > self._not_after():
            self.fault = Fault.TOO_LATE
            raise OSError("too late")
        self.is_begun = True
        yield self._content


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def _read(reply: Reply, at: Any, duration_ms: int) -> Answer:
    payload = _payload_of(reply.content)
    if payload is None:
        return Answer(at, duration_ms, reply.status, fault=Fault.UNREADABLE, location=reply.location)
    return answer_from_payload(payload, at, duration_ms, reply.status, reply.location)


def _payload_of(content: bytes | None) -> dict[str, Any] | None:
    """The JSON object of an answer; None where it is none, or holds text that cannot be encoded."""
    try:
        payload = json.loads(content or b"")
        if content and _HALF.search(content):
            json.dumps(payload, ensure_ascii=False).encode()  # half a surrogate pair fits into no record and no log
    except (ValueError, RecursionError):
        return None
    return payload if isinstance(payload, dict) else None


def answer_from_payload(
    payload: Mapping[str, Any], at: Any, duration_ms: int, status: int, location: str | None = None
) -> Answer:
    """An Answer from the JSON of a portal. An `error` key makes it an error, whatever the status.

    REST 3.0 has a map there, with `code` and `message` (docs: api-reference/rest-v3.md).
    """
    has_error = "error" in payload
    code, described = payload.get("error"), payload.get("error_description")
    if isinstance(code, dict) and isinstance(code.get("code"), str):
        code, described = code["code"], code.get("message")
    described = _text(described or "")[:DESCRIPTION_KEPT]
    return Answer(
        at,
        duration_ms,
        status,
        result=None if has_error else payload.get("result"),
        code=_text(code)[:CODE_KEPT] if has_error else None,
        description=described or None,
        time=_times_in(payload.get("time")),
        location=location,
        payload=payload,
    )


def _text(value: Any) -> str:
    try:
        return str(value)
    except RecursionError:
        return ""


def _times_in(timing: Any) -> dict[str, float]:
    """The numbers in a `time` block that can be times: not NaN, and before the year 2286."""
    entries = timing.items() if isinstance(timing, dict) else ()
    return {name: value for name, value in entries if type(value) in (int, float) and 0 <= value < LATEST_S}


BATCH = "batch"


def batch_parameters(calls: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """One `batch` of calls, each a method with its parameters. A failed command does not stop the others."""
    commands = {_key(index): f"{method}?{to_query(parameters)}" for index, (method, parameters) in enumerate(calls)}
    return {"halt": 0, "cmd": commands}


def answers_of(answer: Answer, count: int) -> list[Answer]:
    """The answer to each command of a batch, in order. A fault or error of the whole counts for each."""
    if answer.fault or answer.code is not None:
        return [answer] * count
    if not isinstance(answer.result, Mapping):
        return [replace(answer, result=None, fault=Fault.UNREADABLE)] * count
    return [_command_answer(answer, _key(index)) for index in range(count)]


def to_query(parameters: Mapping[str, Any]) -> str:
    """Parameters as a query for PHP's parse_str; every value is percent-encoded once."""
    return "&".join(f"{quote(name, safe='[]')}={quote(value, safe='')}" for name, value in _flat(parameters))


def _key(index: int) -> str:
    # The key begins with a letter, for PHP turns keys 0..n into a list.
    return f"d{index}"


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _flat(entry, f"{name}[{key}]" if name else str(key))
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            yield from _flat(entry, f"{name}[{index}]")
    else:
        # 1 and 0, as PHP writes booleans into a query; the text "False" would be true.
        yield name, str(int(value)) if isinstance(value, bool) else written(value)


def _command_answer(answer: Answer, key: str) -> Answer:
    result, errors = _section(answer, "result"), _section(answer, "result_error")
    status = answer.status or 200
    if key in errors:
        error = errors[key] if isinstance(errors[key], Mapping) else {"error": str(errors[key])}
        return answer_from_payload({"error": "", **error}, answer.at, answer.duration_ms, status)
    if key in result:
        payload = {"result": result[key], "time": _section(answer, "result_time").get(key)}
        return answer_from_payload(payload, answer.at, answer.duration_ms, status)
    return Answer(answer.at, answer.duration_ms, answer.status, fault=Fault.NOT_EXECUTED)


def _section(answer: Answer, name: str) -> Mapping[str, Any]:
    """A part of the answer; an empty one comes as a list."""
    section = answer.result.get(name)
    return section if isinstance(section, Mapping) else {}
