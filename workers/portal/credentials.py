"""A portal with its credential: the configuration of the shared floor joined with the worker's environment.

The only module that reads a credential, or keeps one that a person enters. It never prints one: not in a repr, not in
an error.
"""

from __future__ import annotations

import getpass
import hashlib
import hmac
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from relay.configuration.files import Mistakes, collecting, kept_secret_file
from relay.configuration.portals import Portal, load_portals
from relay.configuration.sealing import KEY, Opener, SealError
from relay.configuration.settings import read_secret
from relay.configuration.whole_files import ready_to_replace, sync
from relay.core.errors import ConfigError, Mistake, NotFoundError, NotWritableError
from relay.core.faults import Fault, fault
from workers.bitrix24.oauth import DEFAULT_SERVER, Tokens

CLOUD = re.compile(r"[a-z0-9-]{1,63}\.(bitrix24\.[a-z]{2,3}(?:\.[a-z]{2})?)")
"""A portal in Bitrix24's cloud; the group is its domain, such as bitrix24.com or bitrix24.com.br."""
WEBHOOK_PATH = re.compile(r"/rest/(\d+)/[^/]+/?")
V3_PATH = re.compile(r"/rest/api(/.*)?")
"""REST 3.0, which has no business processes and no CRM (docs: api-reference/rest-v3.md)."""
CREDENTIAL_MODE = 0o600
APP_VARIABLES = ("CLIENT_ID", "CLIENT_SECRET", "ACCESS_TOKEN", "REFRESH_TOKEN")


@dataclass(frozen=True, slots=True)
class OAuthApp:
    """A local application on a portal. first: the tokens to begin with."""

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    first: Tokens = field(repr=False)


@dataclass(frozen=True, slots=True)
class LocalApp:
    """A local application that people of the portal open. server: the authorisation server, from an allow-list.

    seal_key: the workers' key. handler: the address of the application's pages; empty: RELAY_PUBLIC_URL is not set.
    """

    client_id: str
    client_secret: str = field(repr=False)
    server: str
    seal_key: str = field(repr=False)
    handler: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a portal with its credential: an inbound webhook, with a secret in its path, or an application.

    base_url: empty for a portal by its local application alone, which has no address until it is connected. local: its
    local application; beside a webhook, which makes the calls then, it has the portal's pages only.
    """

    portal: Portal
    base_url: str = field(repr=False)
    app: OAuthApp | None = None
    local: LocalApp | None = None

    @property
    def is_by_installation(self) -> bool:
        """Whether calls are made with the tokens of the installed application."""
        return self.local is not None and not self.base_url

    @property
    def host(self) -> str:
        """The portal's host, which is no secret."""
        return urlsplit(self.base_url).netloc

    @property
    def site(self) -> str:
        """The portal's address for people, without the credential."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def mark(self) -> str:
        """A digest of the host's name, to notice that a portal's name leads to another host than before.

        An application is of one portal, whatever its host is called.
        """
        name = self.local.client_id if self.local and not self.base_url else urlsplit(self.base_url).hostname
        return hashlib.sha256((name or "").encode()).hexdigest()[:8]

    def digest(self, text: str) -> str:
        """A keyed digest of a text. Without the credential, nobody can guess the text from it."""
        key = self.app.client_secret if self.app else self.base_url
        if self.local and not self.base_url:
            key = self.local.client_secret
        return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()[:40]

    @property
    def user_id(self) -> str | None:
        """The owner of the webhook; None where the credential does not name one."""
        match = WEBHOOK_PATH.fullmatch(urlsplit(self.base_url).path)
        return match[1] if match else None


def load_addresses(
    portals: Mapping[str, Portal], environ: Mapping[str, str], mistakes: Mistakes | None = None
) -> dict[str, Address]:
    """The address of every portal that has a valid one.

    Adds to `mistakes` if given; else raises ConfigError with all of them.
    """
    addresses: dict[str, Address] = {}
    with collecting(mistakes) as found:
        for portal in portals.values():
            with found.catching():
                addresses[portal.name] = _address(portal, environ)
    return addresses


def keep_credential(name: str, environ: Mapping[str, str]) -> Path:
    """Read the inbound webhook of a portal from the terminal or stdin, and keep it in RELAY_SECRETS. Returns the file.

    For a portal by application, it is the application's client_secret.

    Raises ConfigError if it is no webhook or portals.yaml has a mistake, NotFoundError, and NotWritableError.
    """
    portals = load_portals(Path(environ.get("RELAY_CONFIG") or "config") / "portals.yaml")
    if name not in portals:
        raise NotFoundError(f"no portal {name!r} in portals.yaml: add it first, on the page Portals or by hand")
    is_by_application = bool(portals[name].application)
    variable = f"{portals[name].variable_prefix}{'CLIENT_SECRET' if is_by_application else 'WEBHOOK_URL'}"
    file = kept_secret_file(environ, variable)
    if file is None:
        raise NotWritableError("RELAY_SECRETS is not set: expected the workers' folder for credentials")
    if environ.get(variable) or environ.get(f"{variable}_FILE"):
        raise NotWritableError(f"{variable} is set in the environment: change it there, or unset it and restart")
    wanted = "the client_secret of its application" if is_by_application else "the address of its inbound webhook"
    question = f"{name}: {wanted}, which is not shown: "
    url = (getpass.getpass(question) if sys.stdin.isatty() else sys.stdin.readline()).strip()
    if not is_by_application:
        load_addresses({name: portals[name]}, {variable: url})
    elif not url:
        raise _mistake(fault("client_secret_missing", name=variable))
    with ready_to_replace(file, url, CREDENTIAL_MODE) as draft:
        assert draft  # noqa: S101 - for the type checker
        draft.replace(file)
    sync(file.parent)
    return file


def is_safe_url(url: str) -> bool:
    """Whether a credential may be sent there: https, or plain http on this machine."""
    parts = urlsplit(url)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
    )


def may_inherit(url: str, base_url: str) -> bool:
    """Whether a credential may be sent to another address.

    It may go to the same host and port, or to another name in the same domain of Bitrix24's cloud, which renames
    portals. In any other domain, strangers may own a name (`co.uk` is a domain, too).
    base_url: from the environment, never from the record.
    """
    try:
        new, old = urlsplit(url), urlsplit(base_url)
        ports = new.port, old.port
    except ValueError:
        return False
    if "@" in new.netloc or not new.hostname:
        return False
    if (new.scheme, new.hostname, ports[0]) == (old.scheme, old.hostname, ports[1]):
        return True
    domain = CLOUD.fullmatch(old.hostname or "")
    is_sibling = domain and (found := CLOUD.fullmatch(new.hostname or "")) and found[1] == domain[1]
    return bool(is_sibling) and new.scheme == old.scheme == "https" and {*ports} <= {None, 443}


def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def _address(portal: Portal, environ: Mapping[str, str]) -> Address:
    prefix = portal.variable_prefix
    local = _local_app(portal, environ) if portal.application else None
    url = read_secret(environ, f"{prefix}WEBHOOK_URL")
    if url:
        return Address(portal, _webhook_url(f"{prefix}WEBHOOK_URL", url), local=local)
    if local:
        return Address(portal, "", local=local)
    given = {name: read_secret(environ, prefix + name) for name in APP_VARIABLES}
    if not any(given.values()):
        raise _mistake(fault("webhook_missing", name=f"{prefix}WEBHOOK_URL"))
    missing = [prefix + name for name, value in given.items() if not value]
    if missing:
        raise _mistake(fault("application_incomplete", names=missing, all=list(APP_VARIABLES)))
    endpoint = environ.get(f"{prefix}ENDPOINT") or ""
    if V3_PATH.fullmatch(urlsplit(endpoint).path):
        raise _mistake(fault("endpoint_of_rest3", name=f"{prefix}ENDPOINT"))
    if not is_safe_url(endpoint) or not urlsplit(endpoint).path.startswith("/rest"):
        raise _mistake(fault("endpoint_wrong", name=f"{prefix}ENDPOINT"))
    server = _server(prefix, environ)
    tokens = Tokens(given["ACCESS_TOKEN"] or "", given["REFRESH_TOKEN"] or "", endpoint, server)
    return Address(portal, endpoint, OAuthApp(given["CLIENT_ID"] or "", given["CLIENT_SECRET"] or "", tokens))


def _local_app(portal: Portal, environ: Mapping[str, str]) -> LocalApp:
    prefix = portal.variable_prefix
    secret = read_secret(environ, f"{prefix}CLIENT_SECRET")
    if not secret:
        raise _mistake(fault("client_secret_missing", name=f"{prefix}CLIENT_SECRET"))
    key = read_secret(environ, KEY)
    if not key:
        raise _mistake(fault("seal_key_missing"))
    try:
        Opener.from_text(key)
    except SealError:
        raise _mistake(fault("seal_key_wrong", name=KEY)) from None
    public = (environ.get("RELAY_PUBLIC_URL") or "").rstrip("/")
    handler = f"{public}/app/{portal.name}" if public else ""
    return LocalApp(portal.application, secret, _server(prefix, environ), key, handler)


def _server(prefix: str, environ: Mapping[str, str]) -> str:
    """The authorisation server, which gets the application's secret. It is the operator's choice alone."""
    server = (environ.get(f"{prefix}OAUTH_SERVER") or DEFAULT_SERVER).rstrip("/")
    if not is_safe_url(server):
        raise _mistake(fault("oauth_server_wrong", name=f"{prefix}OAUTH_SERVER"))
    return server


def _webhook_url(variable: str, url: str) -> str:
    parts = urlsplit(url)
    if V3_PATH.fullmatch(parts.path):
        raise _mistake(fault("webhook_of_rest3", name=variable))
    if parts.scheme not in {"http", "https"} or not parts.hostname or not WEBHOOK_PATH.fullmatch(parts.path):
        raise _mistake(fault("webhook_wrong", name=variable))
    # The secret is part of the address; plain http would expose it.
    if not is_safe_url(url):
        raise _mistake(fault("webhook_plain_http", name=variable))
    return url


def _mistake(wrong: Fault) -> ConfigError:
    return ConfigError([Mistake("environment", 0, wrong)])
