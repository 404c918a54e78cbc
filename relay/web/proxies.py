"""Believes X-Forwarded-* from proxies that the operator named, and from nobody else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class TrustedProxies:
    """WSGI middleware: one hop of forwarded headers counts where the peer is trusted."""

    def __init__(self, app: WSGIApplication, networks: Sequence[str]) -> None:
        self._direct = app
        self._forwarded = ProxyFix(app, x_for=1, x_proto=1, x_host=1)
        self._networks = [ip_network(network) for network in networks]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        app = self._forwarded if self._is_trusted(environ.get("REMOTE_ADDR", "")) else self._direct
        return app(environ, start_response)

    def _is_trusted(self, peer: str) -> bool:
        if not self._networks:
            return False
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)
