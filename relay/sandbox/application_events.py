"""Events of an application: which there are, what is posted to a handler, and when.

Facts: api-reference/common/events/*.md and events/test-handler.md (docs), rest_provider.php and
rest/lib/event/sender.php (source). Sent once, whatever the handler answers. Handlers on this machine only are called.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from relay.sandbox import php
from relay.sandbox.applications.registry import Application, EventHandler
from relay.sandbox.applications.tokens import Grant
from relay.sandbox.outgoing import post_form
from relay.sandbox.portal import Portal

INSTALLED = "ONAPPINSTALL"
UNINSTALLED = "ONAPPUNINSTALL"
TEST = "ONAPPTEST"
CONFIRMED = "ONAPPMETHODCONFIRM"
EVENTS = (INSTALLED, "ONAPPUPDATE", UNINSTALLED, "ONAPPPAYMENT", CONFIRMED, TEST)
_WITHOUT_TOKENS = (UNINSTALLED, CONFIRMED)


@dataclass(frozen=True, slots=True)
class Sending:
    """An event on its way to one handler."""

    address: str
    fields: Mapping[str, str]


def prepare(
    portal: Portal, application: Application, event: str, data: Mapping[str, object], user_id: int | None
) -> list[Sending]:
    """The form for every handler of the event. user_id: who caused it; None where no person did."""
    return [
        Sending(handler.address, _fields(portal, application, handler, data, user_id))
        for handler in application.event_handlers
        if handler.event == event
    ]


def send(sendings: list[Sending]) -> None:
    """Send them, from threads of their own. Addresses on other machines are passed over."""
    for each in sendings:
        if _is_here(each.address):
            threading.Thread(target=post_form, args=(each.address, each.fields), daemon=True).start()


def _is_here(address: str) -> bool:
    try:
        return ip_address(urlsplit(address).hostname or "").is_loopback
    except ValueError:
        return False


def _fields(
    portal: Portal, application: Application, handler: EventHandler, data: Mapping[str, object], user_id: int | None
) -> dict[str, str]:
    return php.flatten(
        {
            "event": handler.event,
            "event_handler_id": handler.id,
            "data": data,
            "ts": int(portal.clock()),
            "auth": _auth(portal, application, handler, handler.user_id or user_id),
        }
    )


def _auth(portal: Portal, application: Application, handler: EventHandler, user_id: int | None) -> dict[str, object]:
    auth: dict[str, object] = {
        "domain": portal.domain,
        "server_endpoint": portal.server_endpoint,
        "client_endpoint": f"{portal.url}/rest/",
        "member_id": portal.settings.member_id,
        "application_token": application.token,
    }
    if user_id is None or handler.event in _WITHOUT_TOKENS:
        return auth
    pair = portal.tokens.issue(Grant(application, user_id), portal.settings.token_lifetime_s)
    auth |= {
        "access_token": pair.access,
        "expires": pair.expires,
        "expires_in": pair.expires_in,
        "scope": ",".join(application.scope(portal.settings)),
        "status": "L",
        "user_id": user_id,
    }
    return auth | ({"refresh_token": pair.refresh} if handler.event == INSTALLED else {})
