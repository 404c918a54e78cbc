"""Believes X-Forwarded-*, and who somebody is, from proxies that the operator named, and from nobody else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


SIGNED_IN = "relay.signed_in"
"""Under this name the environment of a request holds the name that a trusted proxy gave. No header can write there."""
LONGEST_NAME = 100


class TrustedProxies:
    """WSGI middleware: one hop of forwarded headers counts where the peer is trusted.

    sign_in_header: the header in which such a proxy says who signed in there; None: it says so in none.
    """

    def __init__(self, app: WSGIApplication, networks: Sequence[str], sign_in_header: str | None = None) -> None:
        self._sign_in_key = f"HTTP_{sign_in_header.upper().replace('-', '_')}" if sign_in_header else None
        self._direct = app
        self._forwarded = ProxyFix(app, x_for=1, x_proto=1, x_host=1)
        self._networks = [ip_network(network) for network in networks]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # The direct peer counts: what it says about the address of the sender is not read before it is believed.
        if not self._is_trusted(environ.get("REMOTE_ADDR", "")):
            return self._direct(environ, start_response)
        if self._sign_in_key and (name := _read_name(environ.get(self._sign_in_key, ""))):
            environ[SIGNED_IN] = name
        return self._forwarded(environ, start_response)

    def _is_trusted(self, peer: str) -> bool:
        if not self._networks:
            return False
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _read_name(given: str) -> str | None:
    """The name; None for what is no single name. A header that came twice has a comma: one may be the sender's own."""
    name = given.encode("latin-1", "replace").decode("utf-8", "replace").strip()
    return name if name and name.isprintable() and "," not in name and len(name) <= LONGEST_NAME else None
