"""flask-smorest with our errors: problem+json everywhere, and each answer a view can give is in the document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from flask_smorest import Api, Blueprint

from relay.web.api.idempotency import LONGEST_KEY
from relay.web.api.schemas import ProblemSchema

PROBLEM = "application/problem+json"
KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A repeat with the same key gets the first answer, for a day, and nothing happens again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
}
UNREADABLE = (400, 413, 415)
"""Statuses for a body that is not JSON, is too large, or has another content type."""
ALWAYS = (401, 403, 429, 503)
"""Without a token, with one that may not, over a limit, while the record is away."""


class ProblemApi(Api):  # type: ignore[misc] # flask-smorest has no types
    """Leaves errors to relay/web/problems.py."""

    ERROR_SCHEMA = ProblemSchema

    def _register_error_handlers(self) -> None:
        """Ours are registered for the whole application."""

    def init_app(self, app: Flask, **kwargs: Any) -> None:
        super().init_app(app, **kwargs)


def answers(
    blueprint: Blueprint, schema: Any, *errors: int, status: int = 200, changes: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Document a view: its answer, and the errors beside those that every view has. changes: it is a POST that acts."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        if changes:
            view = blueprint.doc(parameters=[KEY])(view)
        for code in sorted({*errors, *ALWAYS, *(UNREADABLE if changes else ())}):
            view = blueprint.alt_response(code, schema=ProblemSchema, content_type=PROBLEM)(view)
        answered: Callable[..., Any] = blueprint.response(status, schema)(view)
        return answered

    return decorate
