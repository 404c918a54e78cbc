"""One HTTP call to one portal, on a pooled connection. Makes no second try and follows no redirect by itself.

The address holds the credential (docs: local-integrations/local-webhooks.md), so no exception of requests leaves this
module: their texts quote the address.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from relay.core.ids import utc_now
from workers.bitrix24.answers import Answer, Fault

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 65.0
"""The cloud cuts a request at 60 s (docs: limits.md). Giving up before that would make uncertain what is not."""
IDLE_S = 15.0
"""A connection idle for longer is not used again: the other side may have closed it, and a call that dies on a
closed connection would look as if it may have been executed."""
DESCRIPTION_KEPT = 1_000

# urllib3 logs whole addresses: every call at DEBUG, and an answer with a broken header as a warning.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)


class Client:
    """Calls REST methods of one portal.

    base_url: where methods are, with the credential of an inbound webhook in its path.
    token: an OAuth access token, sent as a header.
    """

    def __init__(self, base_url: str, token: str | None = None, read_timeout_s: float = READ_TIMEOUT_S) -> None:
        self._base_url = base_url.rstrip("/") + "/"
        self._token = token
        self._read_timeout_s = read_timeout_s
        self._session = _new_session()
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
            self._session.close()
        try:
            response = self._session.post(
                self._base_url + method,
                data=body,
                headers=self._headers(),
                timeout=(CONNECT_TIMEOUT_S, self._read_timeout_s),
                allow_redirects=False,
            )
        except requests.Timeout:
            return Answer(at, _since(started), fault=Fault.TIMED_OUT if body.is_begun else body.fault)
        except (requests.RequestException, OSError):
            return Answer(at, _since(started), fault=Fault.CUT if body.is_begun else body.fault)
        finally:
            self._last_used = time.monotonic()
        return _read(response, at, _since(started))

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
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


def _new_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # a .netrc or a proxy variable must not redirect a credential
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def _read(response: requests.Response, at: Any, duration_ms: int) -> Answer:
    location = response.headers.get("Location") if response.is_redirect else None
    try:
        payload = json.loads(response.content)
    except ValueError:
        payload = None
    if not isinstance(payload, dict):
        return Answer(at, duration_ms, response.status_code, fault=Fault.UNREADABLE, location=location)
    return answer_from_payload(payload, at, duration_ms, response.status_code, location)


def answer_from_payload(
    payload: Mapping[str, Any], at: Any, duration_ms: int, status: int, location: str | None = None
) -> Answer:
    """An Answer from the JSON of a portal. An `error` key makes it an error, whatever the status."""
    has_error = "error" in payload
    described = str(payload.get("error_description") or "")[:DESCRIPTION_KEPT]
    timing = payload.get("time")
    return Answer(
        at,
        duration_ms,
        status,
        result=None if has_error else payload.get("result"),
        code=str(payload["error"]) if has_error else None,
        description=described or None,
        time=timing if isinstance(timing, dict) else {},
        location=location,
        payload=payload,
    )
