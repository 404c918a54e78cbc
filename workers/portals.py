"""A portal with its credential: the configuration of the shared floor joined with the worker's environment.

The only module that reads a credential. It never prints one: not in a repr, not in an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from relay.errors import ConfigError, Mistake
from relay.portals import Portal
from relay.settings import read_secret

WEBHOOK_PATH = re.compile(r"/rest/\d+/[^/]+/?")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a portal is and what opens it. webhook_url: of an inbound webhook, the secret is in its path."""

    portal: Portal
    webhook_url: str = field(repr=False)

    @property
    def host(self) -> str:
        """The portal's host, which is no secret."""
        return urlsplit(self.webhook_url).netloc


def load_addresses(portals: Mapping[str, Portal], environ: Mapping[str, str]) -> dict[str, Address]:
    """The address of every configured portal. Raises ConfigError with every mistake."""
    addresses: dict[str, Address] = {}
    mistakes: list[Mistake] = []
    for portal in portals.values():
        variable = f"{portal.variable_prefix}WEBHOOK_URL"
        try:
            addresses[portal.name] = Address(portal, _webhook_url(variable, environ))
        except ConfigError as error:
            mistakes.extend(error.mistakes)
    if mistakes:
        raise ConfigError(mistakes)
    return addresses


def _webhook_url(variable: str, environ: Mapping[str, str]) -> str:
    url = read_secret(environ, variable)
    if url is None:
        raise _mistake(f"{variable} is not set (or {variable}_FILE): expected the address of an inbound webhook")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not WEBHOOK_PATH.fullmatch(parts.path):
        raise _mistake(f"{variable} has the wrong shape: expected https://PORTAL/rest/USER_ID/SECRET/")
    # The secret is part of the address: over plain http it would travel in the open.
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise _mistake(f"{variable} begins with http: expected https (plain http is for this machine only)")
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _mistake(text: str) -> ConfigError:
    return ConfigError([Mistake("environment", 0, text)])
