"""The applications that an administrator has added to the portal, with their keys and what they have bound.

Deleting an application cannot be undone: its keys and tokens are dead. May not know tokens, HTTP or a method.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from relay.sandbox.settings import Settings, UsageError

CLIENT_ID = "local.sandbox"
CLIENT_SECRET = "sandbox"  # noqa: S105 - the pretend application's secret is public

_SHARED_KEY = "sandbox-portal"
_LOCAL_ID = re.compile(r"local\.[0-9a-f]+\.[0-9]+")
_SAVED_KEYS = frozenset({"handler", "client_id", "client_secret", "scopes", "title"})


@dataclass(frozen=True, slots=True)
class Placement:
    """A placement that an application has bound. titles: by language, each with TITLE, DESCRIPTION and GROUP_NAME."""

    id: int
    code: str
    handler: str
    title: str
    description: str
    titles: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class EventHandler:
    """An event that an application has bound. user_id: whose tokens come with it; 0 for those of the acting user."""

    id: int
    event: str
    address: str
    user_id: int


@dataclass(slots=True, eq=False)
class Application:
    """A local application; equal to itself only.

    number: its id on this portal. token: the `application_token`, which never changes.
    scopes: what its tokens may use; None for whatever the portal's settings say.
    counts: `openings`, `refreshes` and `refused_refreshes` since it was added.
    """

    number: int
    client_id: str
    client_secret: str = field(repr=False)
    token: str = field(repr=False)
    handler: str
    title: str
    scopes: tuple[str, ...] | None
    is_installed: bool = True
    placements: list[Placement] = field(default_factory=list)
    event_handlers: list[EventHandler] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def scope(self, settings: Settings) -> tuple[str, ...]:
        """The scopes of its tokens. A change reaches tokens that are out already."""
        return settings.scope if self.scopes is None else self.scopes

    def placement(self, code: str) -> Placement | None:
        """The first handler of this placement."""
        return next((each for each in self.placements if each.code == code), None)

    def keys(self, settings: Settings) -> dict[str, object]:
        """The answer to POST /sandbox/application."""
        return {
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "application_token": self.token,
            "member_id": settings.member_id,
        }

    def to_json(self, settings: Settings) -> dict[str, object]:
        """An entry of GET /sandbox/application, without secrets."""
        return {
            "id": self.number,
            "client_id": self.client_id,
            "title": self.title,
            "handler": self.handler,
            "scopes": list(self.scope(settings)),
            "installed": self.is_installed,
            "placements": [{"placement": each.code, "handler": each.handler} for each in self.placements],
            "events": [{"event": each.event, "handler": each.address} for each in self.event_handlers],
            **{name: self.counts[name] for name in ("openings", "refreshes", "refused_refreshes")},
        }


class Applications:
    """All applications, oldest first. The first is there from the beginning, without a handler: CLIENT_ID."""

    def __init__(self, settings: Settings) -> None:
        self._all: list[Application] = []
        self._bound = 0
        self.first = self._add(settings, CLIENT_ID, CLIENT_SECRET)
        self.first.title = "Sandbox"

    def __iter__(self) -> Iterator[Application]:
        return iter(self._all)

    def find(self, client_id: str) -> Application | None:
        """The application with this id; of several, of which all but one are deleted, the newest."""
        return next((each for each in reversed(self._all) if each.client_id == client_id), None)

    def chosen(self, client_id: object) -> Application:
        """The application of an order: the one named, or without a name the newest installed. UsageError for none."""
        if client_id is None:
            found = next((each for each in reversed(self._all) if each.is_installed and each.handler), None)
        else:
            found = self.find(str(client_id))
        if found is None:
            raise UsageError("there is no such application; POST /sandbox/application adds one")
        return found

    def save(self, given: object, settings: Settings) -> Application:
        """Add an application, or change the one whose client_id is given: its handler, scopes and title.

        A client_id that is not known, or whose application was deleted, gets a new application: other number, secret
        and application_token. UsageError with one sentence for an unusable order.
        """
        if not isinstance(given, dict) or not set(given) <= _SAVED_KEYS or "handler" not in given:
            raise UsageError(f"an application is an object with handler, and some of {', '.join(sorted(_SAVED_KEYS))}")
        handler, scopes = _handler(given["handler"]), _scopes(given.get("scopes"))
        client_id = given.get("client_id")
        if client_id is not None and not (isinstance(client_id, str) and _LOCAL_ID.fullmatch(client_id)):
            raise UsageError('"client_id" must be like local.66f1a2b3c4d5e6.12345678')
        client_secret = given.get("client_secret")
        if client_secret is not None and not (isinstance(client_secret, str) and client_secret):
            raise UsageError('"client_secret" must be a text')
        saved = self.find(client_id) if client_id else None
        if saved is None or not saved.is_installed:
            saved = self._add(settings, client_id or _new_client_id(), client_secret or secrets.token_hex(25))
        saved.handler, saved.scopes = handler, scopes
        saved.title = str(given.get("title", saved.title))
        return saved

    def delete(self, application: Application) -> None:
        """Forget everything that it has bound, and its tokens with it. Its id is remembered, to say so."""
        application.is_installed = False
        application.placements.clear()
        application.event_handlers.clear()

    def next_number(self) -> int:
        """A number for something that an application binds."""
        self._bound += 1
        return self._bound

    def _add(self, settings: Settings, client_id: str, client_secret: str) -> Application:
        number = len(self._all) + 1
        token = hashlib.md5(
            f"{settings.member_id}|{number}|{client_secret}|{_SHARED_KEY}".encode(), usedforsecurity=False
        ).hexdigest()
        added = Application(number, client_id, client_secret, token, "", f"Application {number}", None)
        self._all.append(added)
        return added


def _new_client_id() -> str:
    return f"local.{secrets.token_hex(7)}.{secrets.randbelow(90_000_000) + 10_000_000}"


def _handler(given: object) -> str:
    parts = urlsplit(given) if isinstance(given, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError('"handler" must be an address with http or https')
    return str(given)


def _scopes(given: object) -> tuple[str, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise UsageError('"scopes" must be a list of scope names')
    return tuple(given)
