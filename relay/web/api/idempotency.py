"""`Idempotency-Key`: a POST that is repeated with the same key gets the answer of the first, and nothing happens again.

The key is claimed before the act and holds the answer after it. A process that dies in between leaves the claim, and a
repeat is refused until it lapses: whether the act was done is then to be looked up, not guessed.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import g, request

from relay.web.problems import ProblemError
from relay.web.services import services

LONGEST_KEY = 200


def once(view: Callable[..., dict[str, Any]]) -> Callable[..., Any]:
    """Make a view honour the header. Without the header, each request is carried out."""

    @wraps(view)
    def guarded_view(*args: Any, **kwargs: Any) -> Any:
        given = request.headers.get("Idempotency-Key")
        if given is None:
            return view(*args, **kwargs)
        if not 0 < len(given) <= LONGEST_KEY:
            raise ProblemError(422, f"Idempotency-Key: expected 1 to {LONGEST_KEY} characters")
        key, asked = _key(given), _digest(request.get_data())
        kept = _claim(key, asked)
        if kept is None:
            return _do(key, asked, view, *args, **kwargs)
        if kept["asked"] != asked:
            raise ProblemError(422, "this Idempotency-Key was used for another request")
        if "answer" not in kept:
            raise ProblemError(409, "the request with this Idempotency-Key is still being done")
        return kept["answer"]

    return guarded_view


def _do(key: str, asked: str, view: Callable[..., dict[str, Any]], *args: Any, **kwargs: Any) -> dict[str, Any]:
    try:
        answer = view(*args, **kwargs)
    except Exception:
        _release(key)
        raise
    _keep(key, json.dumps({"asked": asked, "answer": answer}))
    return answer


def _key(given: str) -> str:
    return _digest(f"{g.who}\0{request.path}\0{given}".encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _claim(key: str, asked: str) -> dict[str, Any] | None:
    kept = services().store.operators.idempotency.claim(key, json.dumps({"asked": asked, "by": secrets.token_hex(8)}))
    if kept is None:
        return None
    found: dict[str, Any] = json.loads(kept or '{"asked": ""}')
    return found


def _keep(key: str, text: str) -> None:
    services().store.operators.idempotency.keep(key, text)


def _release(key: str) -> None:
    services().store.operators.idempotency.release(key)
