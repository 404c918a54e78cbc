"""One HTTP call to one portal, on a pooled connection. Makes no second try and follows no redirect by itself.

What a portal answers is anything: it is as large as it likes, as slow, and no JSON, or JSON that says what none should.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from relay.core.ids import utc_now
from workers.bitrix24.answers import Answer, Fault
from workers.http.exchange import Bounds, CutError, LateError, Line, Reply

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 65.0
"""The cloud cuts a request at 60 s (docs: limits.md). Giving up before that would make uncertain what is not."""
IDLE_S = 15.0
"""A connection idle for longer is not used again: the other side may have closed it, and a call that dies on a
closed connection would look as if it may have been executed."""
MOST = 8_000_000
"""Bytes of an answer, unpacked: fifty lists of fifty rows are some two. As JSON it may take twenty times as much."""
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
        self._line = Line()
        self._last_used = time.monotonic()

    def __repr__(self) -> str:
        return "Client(...)"

    def call(self, method: str, parameters: Mapping[str, Any], not_after: Callable[[], float] | None = None) -> Answer:
        """Call a method once. Never raises for what the portal or the network does: that is in the Answer.

        not_after: by the monotonic clock, in seconds; later than this nothing is sent.
        """
        body = _Body(json.dumps(parameters, ensure_ascii=False).encode(), not_after)
        at, started = utc_now(), time.monotonic()
        if started - self._last_used > IDLE_S:
            self._line.close()
        try:
            reply = self._line.post(self._base_url + method, body, self._headers(), self._bounds)
        except LateError:
            return Answer(at, _since(started), fault=Fault.TIMED_OUT if body.is_begun else body.fault)
        except CutError:
            return Answer(at, _since(started), fault=Fault.CUT if body.is_begun else body.fault)
        finally:
            self._last_used = time.monotonic()
        return _read(reply, at, _since(started))

    def close(self) -> None:
        """Close the pooled connection."""
        self._line.close()

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "gzip"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers


class _Body:
    """A request body that knows whether a byte of it was ever asked for.

    urllib3 connects, shakes hands and writes the headers before it takes the body. While the body is untouched no
    portal can have executed the call, whatever the exception says. It is given out in time, or not at all: a process
    that was stopped for a while, before the last moment or in it, must not send what another may send by now.
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
    """The JSON map that an answer is; None where it is none, or where nobody could write down what it says."""
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
    """The numbers in a `time` block that are times: NaN is none, nor is what no clock shows."""
    entries = timing.items() if isinstance(timing, dict) else ()
    return {name: value for name, value in entries if type(value) in (int, float) and 0 <= value < LATEST_S}
