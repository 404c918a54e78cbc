"""The short way to the door, for machines: past Flask's routing, sessions and contexts, which a webhook has no use for.

It decides nothing: hooks.py takes the webhook in either way, with the same answers. Who is not plainly a machine that
sends to a source is left to Flask, and whatever goes wrong is answered by its handlers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from flask import Flask, Response

from relay.sources import Source, Webhook
from relay.web import hooks
from relay.web.dashboard.frame import protect_answer
from relay.web.doorkeeper import Connection
from relay.web.services import Services, services_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HOOKS = "/hooks/"


class Entrance(NamedTuple):
    """A source, and the parts of the application that it belongs to: with these a request ends that has found it."""

    parts: Services
    source: Source


class ShortWay:
    """WSGI middleware before Flask's own application."""

    def __init__(self, flask: Flask, app: WSGIApplication) -> None:
        self._flask = flask
        self._app = app
        self.public_url = services_of(flask).settings.public_url

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        entrance = self.entrance_of(path.removeprefix(HOOKS)) if path.startswith(HOOKS) else None
        if entrance is None or environ["REQUEST_METHOD"] not in entrance.source.methods:
            return self._app(environ, start_response)
        return self._take(entrance, environ)(environ, start_response)

    def entrance_of(self, name: str) -> Entrance | None:
        """The source of this name, if no browser needs a page of it, or headers for scripts."""
        parts = services_of(self._flask)
        source = parts.sources.get(name)
        return None if source is None or source.form or source.origins else Entrance(parts, source)

    def record(
        self, entrance: Entrance, webhook: Webhook, connection: Connection, environ: Callable[[], WSGIEnvironment]
    ) -> Response:
        """Record what a machine has sent, and say so. environ: makes what Flask needs where something goes wrong."""
        try:
            return protect_answer(hooks.record(*entrance, webhook, connection))
        except Exception as error:  # noqa: BLE001 - answered by the handlers of problems.py, which tell errors from bugs
            return self._answer_error(error, environ())

    def _take(self, entrance: Entrance, environ: WSGIEnvironment) -> Response:
        try:
            return protect_answer(hooks.take(*entrance, self._flask.request_class(environ)))
        except Exception as error:  # noqa: BLE001 - likewise
            return self._answer_error(error, environ)

    def _answer_error(self, error: Exception, environ: WSGIEnvironment) -> Response:
        with self._flask.request_context(environ):
            return self._flask.finalize_request(self._flask.handle_user_exception(error))
