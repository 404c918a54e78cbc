"""Believes X-Forwarded-* headers and the name of a signed-in person from the proxies in RELAY_TRUSTED_PROXIES only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, NamedTuple

from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


SIGNED_IN = "relay.signed_in"
"""The key of a WSGI environment for the name that a trusted proxy gave. No header can set it."""
LONGEST_NAME = 100
FORWARDED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")


class Origin(NamedTuple):
    """The origin of a request: the sender's address, and the scheme and Host it used."""

    address: str
    scheme: str
    host: str


class TrustedProxies:
    """WSGI middleware: believes one hop of forwarded headers from a trusted peer.

    sign_in_header: the header with the name of the signed-in person; None: proxies send none.
    """

    def __init__(self, app: WSGIApplication, networks: Sequence[str], sign_in_header: str | None = None) -> None:
        self._sign_in_key = f"HTTP_{sign_in_header.upper().replace('-', '_')}" if sign_in_header else None
        self._direct = app
        self._forwarded = ProxyFix(app, x_for=1, x_proto=1, x_host=1)
        self._networks = [ip_network(network) for network in networks]
        self._is_trusted = lru_cache(4_096)(self._is_in_networks)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # The direct peer must be trusted before its headers about the sender are read.
        if not self._is_trusted(environ.get("REMOTE_ADDR", "")):
            return self._direct(environ, start_response)
        if self._sign_in_key and (name := _read_name(environ.get(self._sign_in_key, ""))):
            environ[SIGNED_IN] = name
        return self._forwarded(environ, start_response)

    def origin_of(self, peer: str, headers: Mapping[str, str]) -> Origin:
        """The origin of a plain HTTP request on the fast path. headers: by name in lower case, with a Host."""
        if not self._is_trusted(peer):
            return Origin(peer, "http", headers["host"])
        environ = {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http", "HTTP_HOST": headers["host"]}
        environ |= {
            f"HTTP_{name.upper().replace('-', '_')}": headers[name.lower()]
            for name in FORWARDED
            if name.lower() in headers
        }
        ProxyFix(lambda _environ, _start: (), x_for=1, x_proto=1, x_host=1)(environ, lambda *_: len)
        return Origin(environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["HTTP_HOST"])

    def _is_in_networks(self, peer: str) -> bool:
        if not self._networks:
            return False
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _read_name(given: str) -> str | None:
    """The name, or None if it is not a single name. A header sent twice has a comma: one may be the sender's own."""
    name = given.encode("latin-1", "replace").decode("utf-8", "replace").strip()
    return name if name and name.isprintable() and "," not in name and len(name) <= LONGEST_NAME else None
