"""An application on the portal, and whoever opens it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl

import pytest
import requests

HANDLER = "http://127.0.0.1:9/app/main"
SCOPES = ["bizproc", "crm", "im", "placement", "user"]


@dataclass
class App:
    """A local application, as its own server uses it. keys: the answer of the form that added it."""

    client: object
    keys: dict[str, str]
    tokens: dict[int, str] = field(default_factory=dict)

    def frame(self, **order: object) -> dict[str, dict[str, str]]:
        response = self.client.order("frame", {"client_id": self.keys["client_id"], **order})
        assert response.status_code == 200, response.text
        return response.json()

    def token(self, user: int = 1) -> str:
        if user not in self.tokens:
            self.tokens[user] = self.frame(user=user)["fields"]["AUTH_ID"]
        return self.tokens[user]

    def call(self, method: str, user: int = 1, **parameters: object) -> requests.Response:
        return self.client.session.post(
            f"{self.client.url}/rest/{method}",
            json={**parameters, "auth": self.token(user)},
            timeout=5,
            allow_redirects=False,
        )

    def result(self, method: str, user: int = 1, **parameters: object) -> object:
        response = self.call(method, user, **parameters)
        assert response.status_code == 200, response.text
        return response.json()["result"]

    def error(self, method: str, user: int = 1, **parameters: object) -> tuple[str, int]:
        response = self.call(method, user, **parameters)
        return response.json()["error"], response.status_code

    def ask_for_tokens(self, **changes: object) -> requests.Response:
        form = {
            "grant_type": "refresh_token",
            "client_id": self.keys["client_id"],
            "client_secret": self.keys["client_secret"],
        }
        return self.client.session.post(f"{self.client.url}/oauth/token/", data=form | changes, timeout=5)

    def info(self, token: str) -> requests.Response:
        address = f"{self.client.url}/oauth/rest/app.info"
        return self.client.session.get(address, params={"auth": token}, timeout=5)

    def save(self, **changes: object) -> requests.Response:
        order = {"client_id": self.keys["client_id"], "handler": HANDLER, "scopes": SCOPES}
        return self.client.order("application", order | changes)

    def delete(self, **order: object) -> requests.Response:
        return self.client.order("application/uninstall", {"client_id": self.keys["client_id"], **order})


@pytest.fixture
def app(client) -> App:
    client.order("settings", {"rate": None})
    keys = client.order("application", {"handler": HANDLER, "scopes": SCOPES, "title": "Relay"}).json()
    return App(client, keys)


@pytest.fixture
def handler() -> Iterator[tuple[list[dict[str, str]], str]]:
    """The events that come to an address, as pairs of a form, and the address."""
    events: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            events.append(dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode())))
            self.send_response(500)
            self.end_headers()

        def log_message(self, *_):
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield events, f"http://127.0.0.1:{server.server_port}/app/main/event"
        server.shutdown()
        thread.join()
