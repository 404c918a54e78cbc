"""A local application in the sandbox, and whoever opens it, as the web process leaves it for a worker."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import requests

from relay.configuration.sealing import Opener, Sealer, new_seal_key
from relay.store.portals.applications import Opening
from tests.delivering.contexts import make_portal
from workers.portal import applications
from workers.portal.context import Context
from workers.portal.credentials import Address, LocalApp

HANDLER = "http://127.0.0.1:9/app/main"
SCOPES = ["bizproc", "crm", "im", "placement", "user"]
SEAL_KEY = new_seal_key()
SEALER = Sealer.from_text(Opener.from_text(SEAL_KEY).public_text)


@dataclass
class Pretended:
    """An application that was added to a sandbox. keys: client_id, client_secret, application_token, member_id."""

    url: str
    keys: dict[str, str]

    @classmethod
    def add(cls, url: str, **order: Any) -> Pretended:
        """Add one, as an administrator does in the form of local applications."""
        return cls(url, ordered(url, "application", {"handler": HANDLER, "scopes": SCOPES, "title": "Relay"} | order))

    def frame(self, **order: Any) -> dict[str, str]:
        """The fields of a frame: `user`, `placement`, `id`."""
        frame = ordered(self.url, "frame", {"client_id": self.keys["client_id"], **order})
        return frame["query"] | frame["fields"]

    def address(self, *, webhook: str = "", server: str = "", **portal: Any) -> Address:
        """The portal by this application; webhook: its address for calls beside it."""
        made = make_portal(application=self.keys["client_id"], **portal)
        server = server or f"{self.url}/oauth"
        local = LocalApp(self.keys["client_id"], self.keys["client_secret"], server, SEAL_KEY, HANDLER)
        return Address(made, webhook, local=local)


def ordered(url: str, what: str, order: dict[str, Any]) -> Any:
    """The sandbox's answer to an order."""
    answer = requests.post(f"{url}/sandbox/{what}", json=order, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(context: Context, fields: dict[str, str]) -> str:
    """Leave an opening, as the web process does. Returns its id."""
    sealed = SEALER.seal(json.dumps(fields).encode())
    opening_id = context.store.applications.arrive(
        context.portal.name, sealed, fields.get("LANG", "en"), context.clock()
    )
    assert opening_id
    return opening_id


def open_page(context: Context, fields: dict[str, str]) -> Opening:
    """Leave an opening, let a worker answer it, and read the answer."""
    opening_id = post(context, fields)
    assert applications.answer_next(context)
    return context.store.applications.opening(opening_id)
