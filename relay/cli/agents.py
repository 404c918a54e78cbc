"""The command that serves tools to an agent. Standard output belongs to the protocol: nothing else is printed there."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from urllib.parse import urlsplit

from relay.agents.api import RelayApi
from relay.configuration.settings import read_secret
from relay.core.errors import RelayError
from relay.core.printing import say
from relay.runtime.secret_file import kept_secrets

USAGE = 2
INSTALL = "pip install --require-hashes -r config/mcp-requirements.txt"


def mcp(options: argparse.Namespace) -> int:
    """Serve until the agent ends it; 2 where the SDK is not installed."""
    address = _address(options)
    try:
        from relay.agents.server import serve  # noqa: PLC0415 - the SDK is optional
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"mcp", "mcp_types"}:
            raise
        say(f"the MCP SDK is not installed: {INSTALL}", error=True)
        return USAGE
    serve(RelayApi(address, _token(writes=options.allow_write)), allow_write=options.allow_write)
    return 0


def _address(options: argparse.Namespace) -> str:
    address: str = (
        options.url or f"http://{os.environ.get('RELAY_HOST') or '127.0.0.1'}:{os.environ.get('RELAY_PORT') or 8080}"
    )
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        options.parser.error(f"--url {address!r}: expected an address such as https://relay.example.com")
    return address


def _token(*, writes: bool) -> str:
    """The token that may no more than is needed: the environment's, or the one that `up` has made."""
    names = ["RELAY_API_TOKEN"] if writes else ["RELAY_API_READ_TOKEN", "RELAY_API_TOKEN"]
    for environ in (os.environ, kept_secrets(Path("var") / "secrets.env")):
        for name in names:
            if token := read_secret(environ, name):
                return token
    raise RelayError(f"set {' or '.join(names)} (or the same with _FILE): the token of the relay's API")
