"""Orders to the sandbox itself, as its knobs take them: JSON, whatever its shape."""

from __future__ import annotations

from flask import request

from relay.sandbox.settings import UsageError


def read_order() -> object:
    """The JSON body. Raises UsageError for another content type, so that no foreign web page can post here."""
    if not request.is_json:
        raise UsageError("send JSON with Content-Type: application/json")
    body: object = request.get_json(silent=True)
    if body is None:
        raise UsageError("the body is not JSON")
    return body


def read_object(known: frozenset[str]) -> dict[str, object]:
    """A JSON object with some of these keys. Raises UsageError for anything else."""
    body = read_order()
    if not isinstance(body, dict) or not set(body) <= known:
        raise UsageError(f"send an object with some of {', '.join(sorted(known))}")
    return body
