"""A page in a frame of a portal: its headers, the portal that may frame it, and errors in words.

Only the portal's own pages may frame it: once the portal is connected, its host is on record. Before that nothing of
the record is shown to anybody, and the host is the one that the browser names, so that a page in words can be read.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Response, render_template, url_for

from relay.configuration.portals import Portal
from relay.core.errors import RecordUnavailableError
from relay.store.portals.applications import InstallationState
from relay.web.application.page_tokens import PageToken, PageTokens
from relay.web.application.posted import origin_of
from relay.web.language import N_, _, language_now
from relay.web.services import services

NOWHERE = "'none'"
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors {around}"
)
KEPT_HEADERS = ("Allow", "Retry-After")
SAYINGS: dict[int, tuple[str, str]] = {
    400: (N_("Bitrix24 has sent too little"), N_("This page can only be opened inside Bitrix24. Open it there again.")),
    403: (N_("This page is too old"), N_("Open it again in Bitrix24: it shows then what is there now.")),
    404: (N_("There is nothing here"), N_("No application of Bitrix24 has this address. Tell your operator.")),
    409: (N_("This page was used already"), N_("Open it again in Bitrix24: it shows then what is there now.")),
    413: (N_("That is too large"), N_("Open the page again in Bitrix24.")),
    429: (N_("Too many pages at once"), N_("Open this one again in a minute.")),
    501: (
        N_("Not set up yet"),
        N_("This server has no key for applications. Your operator finds the reason in its log."),
    ),
    503: (N_("Not at the moment"), N_("The server cannot answer now. Open this page again in a minute.")),
}
"""Title and text of an error, by status."""
OTHER = (N_("Something broke"), N_("The error is in the server's log. Open this page again, or tell your operator."))


def frame(template: str, around: str, status: int = 200, **values: Any) -> Response:
    """A page that `around`, a source of frame-ancestors, may frame."""
    content = render_template(template, **values)
    headers = {
        "Content-Security-Policy": POLICY.format(around=around),
        "Content-Language": language_now(),
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex",
    }
    return Response(content, status, headers)


def tell(status: int, around: str) -> Response:
    """An error in words."""
    title, text = SAYINGS.get(status, OTHER)
    return frame("framed_note.html", around, status, title=_(title), text=_(text))


def again(portal: str, token: PageToken, after_ms: int) -> dict[str, Any]:
    """The form with which a page asks again. after_ms: when its script sends it."""
    signed = PageTokens(services().settings.secret_key or "").sign(token)
    return {"action": url_for("application.page", portal=portal), "token": signed, "after_ms": after_ms}


def around_of(portal: Portal | None, host: str) -> str:
    """The source of frame-ancestors. portal: None: ours is none. host: as the browser says; empty: it says nothing."""
    with suppress(RecordUnavailableError):  # then a page says so, and nothing else
        found = services().store.applications.installation(portal.name) if portal else None
        if portal and found and found.state is not InstallationState.WAITING and found.client_id == portal.application:
            return origin_of(found.domain)
    return origin_of(host) if host else NOWHERE
