"""The form that a user's browser posts into the frame of an application.

Facts: settings/oauth/simple-way.md, api-reference/widgets/_includes/widget_data.md (docs); the older component
bitrix:app.layout (source). A part of the fields is in the address, the rest in the body. Everything comes through the
browser, so a real user may change all of it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from relay.sandbox.applications.placements import DEFAULT, Place, places_of
from relay.sandbox.applications.registry import Application
from relay.sandbox.applications.tokens import Grant
from relay.sandbox.callers import User
from relay.sandbox.crm.fields import EntityType
from relay.sandbox.php import to_int, to_string
from relay.sandbox.portal import Portal
from relay.sandbox.settings import UsageError

OPENING_KEYS = frozenset({"placement", "id", "user", "lang", "client_id", "options", "without"})


@dataclass(frozen=True, slots=True)
class Opening:
    """A user opens a place of the portal.

    place: None for the application's own page. number: of the document whose card it is, 0 for none.
    options: text that stands in PLACEMENT_OPTIONS instead of the usual. without: fields that are left out.
    """

    application: Application
    place: Place | None
    number: int
    user: User
    language: str
    options: str | None
    without: Collection[str]

    @property
    def code(self) -> str:
        """PLACEMENT."""
        return DEFAULT if self.place is None else self.place.code

    @property
    def entity(self) -> EntityType | None:
        """The type of the document whose card it is; None for a page without one."""
        return None if self.place is None else self.place.entity

    @property
    def document(self) -> str | None:
        """The document, such as DEAL_12."""
        return None if self.entity is None else f"{self.entity.name}_{self.number}"

    @property
    def handler(self) -> str:
        """The address that gets the form; "" where the application has not bound the place."""
        if self.place is None:
            return self.application.handler
        bound = self.application.placement(self.place.code)
        return "" if bound is None else bound.handler

    @property
    def title(self) -> str:
        """The words on the tab or in the menu."""
        bound = None if self.place is None else self.application.placement(self.place.code)
        if bound is None:
            return self.application.title
        return bound.titles.get(self.language, {}).get("TITLE") or bound.title


@dataclass(frozen=True, slots=True)
class Frame:
    """The form. address: the handler with the query. fields: the body."""

    address: str
    query: Mapping[str, str]
    fields: Mapping[str, str]


def read_opening(portal: Portal, given: Mapping[str, object]) -> Opening:
    """The opening that an order asks for. Raises UsageError. A card's document is there from then on."""
    application = portal.applications.chosen(given.get("client_id"))
    code = (to_string(given.get("placement")) or DEFAULT).upper()
    place = places_of(portal.settings).get(code)
    if place is None and code != DEFAULT:
        raise UsageError(f"there is no placement {code}")
    user = portal.person(to_int(given.get("user", 1)))
    if user is None:
        raise UsageError("there is no such user")
    number = 0
    if place is not None and place.entity is not None:
        number = to_int(given.get("id"))
        _need_document(portal, place.entity, number)
    without = given.get("without", [])
    names = without.split(",") if isinstance(without, str) else without if isinstance(without, list) else []
    return Opening(
        application,
        place,
        number,
        user,
        to_string(given.get("lang")) or "en",
        None if given.get("options") is None else to_string(given["options"]),
        [*portal.settings.frame_without, *names],
    )


def _need_document(portal: Portal, entity: EntityType, number: int) -> None:
    """Documents need not be items of the CRM here; one whose card is opened becomes one."""
    if portal.items.find(entity, number):
        return
    if number <= 0 or number in portal.settings.missing_documents:
        raise UsageError("there is no such document")
    portal.add_documents({"entityTypeId": entity.id, "id": number, "fields": {}})


def make_frame(portal: Portal, opening: Opening) -> Frame:
    """The form, with a pair of tokens of its own."""
    application, settings = opening.application, portal.settings
    application.counts["openings"] += 1
    pair = portal.tokens.issue(Grant(application, opening.user.id), settings.token_lifetime_s)
    query = {
        "DOMAIN": portal.domain,
        "PROTOCOL": "1" if portal.url.startswith("https:") else "0",
        "LANG": opening.language,
        "APP_SID": secrets.token_hex(16),
    }
    fields = {
        "AUTH_ID": pair.access,
        "AUTH_EXPIRES": str(pair.expires_in),
        "REFRESH_ID": pair.refresh,
        "SERVER_ENDPOINT": portal.server_endpoint,
        "APPLICATION_TOKEN": application.token,
        "APPLICATION_SCOPE": ",".join(application.scope(settings)),
        "member_id": settings.member_id,
        "status": "L",
        "PLACEMENT": opening.code,
        "PLACEMENT_OPTIONS": _options(opening),
    }
    left = {name: text for name, text in fields.items() if name not in opening.without and text is not None}
    joint = "&" if "?" in opening.handler else "?"
    return Frame(f"{opening.handler}{joint}{urlencode(query)}", query, left)


def _options(opening: Opening) -> str | None:
    """A JSON text with PHP's escaped slashes; None where a place has no keys of its own."""
    if opening.options is not None:
        return opening.options
    if opening.entity is None:
        return None
    path = f"/crm/{opening.entity.name.lower()}/details/{opening.number}/"
    return json.dumps({"ID": str(opening.number), "URI": path}, separators=(",", ":")).replace("/", "\\/")
