"""Reads an HTTP request as the portal does: which method, which parameters, which credential.

Facts: rest_util.php getRequestData and rest/lib/oauth/auth.php getAuthKey for the order in which sources win. May not
decide whether a method exists or run it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from flask import Request

from relay.sandbox import php
from relay.sandbox.answers import RestError
from relay.sandbox.calls import Caller, upper_names
from relay.sandbox.people import OWNERS, PEOPLE
from relay.sandbox.portal import SECRET, Portal


@dataclass(frozen=True, slots=True)
class Incoming:
    """A REST request, read but not judged.

    method: lower case without suffix; "" where the address has no sensible form.
    webhook: (user, secret) from the address. token: from the header or the parameters.
    client: the caller's network address. is_private: came by https, or over loopback.
    wants_xml: the method's name ended in .xml.
    """

    method: str
    parameters: Mapping[str, object]
    webhook: tuple[str, str] | None
    token: str | None
    client: str
    is_private: bool
    wants_xml: bool = False

    def recognise(self, portal: Portal) -> Caller:
        """The caller. Raises INVALID_REQUEST, INVALID_CREDENTIALS, NO_AUTH_FOUND, invalid_token or expired_token."""
        if not self.is_private:
            raise RestError("INVALID_REQUEST")
        if self.webhook is not None:
            return _webhook_owner(*self.webhook)
        if self.token is None:
            raise RestError("NO_AUTH_FOUND")
        if not portal.tokens.is_known(self.token):
            raise RestError("invalid_token")
        if not portal.tokens.is_fresh(self.token):
            raise RestError("expired_token")
        return Caller(PEOPLE[1], "app", "app")

    def known_user(self, portal: Portal) -> int | None:
        """The caller's number for the log; None where the credential is no good."""
        try:
            return self.recognise(portal).user.id
        except RestError:
            return None


def read_request(request: Request, tail: str) -> Incoming:
    """tail: the address after /rest/ ."""
    query = php.parse_query(request.query_string.decode("utf-8", "replace"))
    merged = query | _read_body(request)
    parameters = upper_names(merged)
    if isinstance(upper_names(query).get("DOCUMENT_ID"), list):
        parameters["DOCUMENT_ID"] = upper_names(query)["DOCUMENT_ID"]  # an old fix of theirs: the query's array wins
    wants_xml = tail.rstrip("/").lower().endswith(".xml")
    method, webhook = _read_address(tail)
    client = request.remote_addr or ""
    token = _bearer(request) or _text(merged.get("auth")) or _text(merged.get("access_token"))
    return Incoming(method, parameters, webhook, token, client, request.is_secure or _is_loopback(client), wants_xml)


def _read_body(request: Request) -> dict[str, object]:
    """JSON only if its content type says so; what cannot be parsed counts as nothing at all.

    A GET has no body, whatever was sent: a method then misses its parameters (bitrix-tools/b24-rest-docs#223).
    """
    if request.method == "GET":
        return {}
    if request.mimetype != "application/json":
        return php.nest(request.form.items(multi=True))
    try:
        body = php.settle(json.loads(request.get_data()))
    except (ValueError, RecursionError):
        return {}
    return php.as_map(body) or {}


def _read_address(tail: str) -> tuple[str, tuple[str, str] | None]:
    """`<method>` with a token, or `<user>/<secret>/<method>`; `.json` or `.xml` may follow, and a slash."""
    parts = tail.removesuffix("/").split("/")
    method = parts[-1].lower().removesuffix(".json").removesuffix(".xml")
    if len(parts) == 1:
        return method, None
    if len(parts) == 3 and parts[0].isdecimal():
        return method, (parts[0], parts[1])
    return "", None


def _webhook_owner(user_id: str, secret: str) -> Caller:
    user = OWNERS.get(php.to_int(user_id))
    if user is None or secret != SECRET:
        raise RestError("INVALID_CREDENTIALS")
    return Caller(user, f"webhook:{user.id}", "webhook")


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _is_loopback(client: str) -> bool:
    try:
        return ip_address(client).is_loopback
    except ValueError:
        return False
