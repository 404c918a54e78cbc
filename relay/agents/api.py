"""A client of the relay's JSON API, for one agent at a time. It follows no redirect and prints nothing."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from relay.core.errors import RelayError

TIMEOUT_S = 30.0
LONGEST_ANSWER = 20_000_000
"""Bytes. A list of two hundred events without their bodies is far smaller."""
UNNAMED = "unnamed"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


class AnswerError(RelayError):
    """The relay refuses a request. status: of its answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class RelayApi:
    """The API at an address, with a token. Every method raises AnswerError, or RelayError if nobody answers.

    address: such as `http://127.0.0.1:8080`. agent, in each method: the name of the program that asks, for the log.
    """

    address: str
    token: str = field(repr=False)

    def get(self, path: str, agent: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask for something. query: parameters by name; None is left out."""
        given = {name: _written(value) for name, value in (query or {}).items() if value is not None}
        return self._ask("GET", f"{path}?{urlencode(given)}" if given else path, agent)

    def post(
        self, path: str, agent: str, content: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Have something done. idempotency_key: a repeat with the same one does nothing and gets the first answer."""
        headers = {"Content-Type": "application/json"}
        headers |= {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._ask("POST", path, agent, json.dumps(content).encode(), headers)

    def _ask(
        self, method: str, target: str, agent: str, body: bytes | None = None, more: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        parts = urlsplit(self.address)
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        headers = {"Authorization": f"Bearer {self.token}", "X-Relay-Agent": name_for_log(agent), **(more or {})}
        try:
            connection = connect(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
            try:
                connection.request(method, f"{parts.path.rstrip('/')}/api/v1{target}", body, headers)
                answer = connection.getresponse()
                text = answer.read(LONGEST_ANSWER)
            finally:
                connection.close()
        except (OSError, ValueError, http.client.HTTPException) as error:
            kind = type(error).__name__
            raise RelayError(f"nobody answers at {self.address} ({kind}): does the relay run there?") from None
        return _read(answer.status, text)


def name_for_log(agent: str) -> str:
    """The name of an agent as the header takes it."""
    return _NOT_IN_NAMES.sub("-", agent)[:40].strip("._-") or UNNAMED


def _read(status: int, text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise AnswerError(status, f"the answer ({status}) is not the relay's API: is the address right?")
    if 200 <= status < 300:
        return content
    detail, errors = content.get("detail", status), content.get("errors")
    raise AnswerError(status, f"{detail}: {json.dumps(errors)}" if errors else str(detail))


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
