"""`/app/<portal>`: the addresses of a portal's local application, for its users' browsers and for Bitrix24's servers.

A POST of the frame is sealed and kept, and a page is answered that asks again by itself until a worker has found out
who looks, and at what. An event is a hint, because every user of the application can read the token that it carries:
it makes a worker look, and changes nothing by itself. No answer and no log line has anything of a token.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, abort, current_app, g, request
from werkzeug.exceptions import HTTPException

from relay.configuration.portals import Portal
from relay.configuration.sealing import Sealer
from relay.core.errors import NotFoundError
from relay.core.ids import utc_now
from relay.core.telemetry import get_logger
from relay.store.portals.applications import Opening, OpeningState
from relay.store.portals.questions import Asked
from relay.web.application.card import card_of
from relay.web.application.frames import KEPT_HEADERS, NOWHERE, again, around_of, frame, tell
from relay.web.application.limits import PACES, Limits
from relay.web.application.menu import day_of_portal
from relay.web.application.page_tokens import PageToken, PageTokens
from relay.web.application.posted import FORM, LONGEST_FORM, MalformedError, host_in, language_in, read_posted
from relay.web.language import _, say_fault, speak_in
from relay.web.services import services
from relay.web.zone import set_zone

blueprint = Blueprint("application", __name__, static_folder="../static", static_url_path="/app/static")
"""With the files that its pages load: a proxy lets the world see what is under /app/ and not the dashboard's."""
log = get_logger()
FIRST_TURN = 0
SOON_MS, LATER_MS = 500, 20_000
"""When a page asks again that waits for a worker, at first, and one that shows something."""
SLOWER, SLOWEST_MS = 1.3, 5_000
"""A page that waits asks more and more slowly."""
LONG = 8
"""After so many looks a page says that this takes long: about 14 seconds."""
HINTS = frozenset({"ONAPPINSTALL", "ONAPPUNINSTALL", "ONAPPUPDATE", "ONAPPPAYMENT", "ONAPPMETHODCONFIRM", "ONAPPTEST"})
"""Events of an application's life. Source: b24restdocs, api-reference/common/events."""
HINT_EVERY = timedelta(seconds=10)
"""A worker looks at most this often, however many events come."""
LONGEST_EVENT_NAME = 64


@blueprint.record_once
def _count_from_here(state: Any) -> None:
    """Each application counts for itself."""
    state.app.extensions[blueprint.name] = {view: Limits(paces) for view, paces in PACES.items()}


@blueprint.get("/app/<portal>")
def address(portal: str) -> Response:
    """Say what this address is for: Bitrix24 looks whether it answers, and people try it."""
    _portal(portal)
    return frame(
        "framed_note.html", NOWHERE, title=_("This address is for Bitrix24"),
        text=_("Enter it as the handler of a local application, then open the application there."),
    )  # fmt: skip


@blueprint.post("/app/<portal>")
def arrive(portal: str) -> Response:
    """Keep an opening for a worker, and answer with the page that waits."""
    found = _portal(portal)
    _read_form("arrive")
    language = language_in(request.args.get("LANG") or request.form.get("LANG", ""))
    speak_in(language)
    try:
        posted = read_posted(request.args, request.form)
    except MalformedError as error:
        log.warning("opening.malformed", portal=found.name, reason=error.reason)
        abort(413 if error.reason == "too_large" else 400)
    public_key = services().settings.seal_public_key
    if not public_key:
        log.error("opening.unsealed", portal=found.name, reason="RELAY_SEAL_PUBLIC_KEY is not set")
        abort(501)
    sealed = Sealer.from_text(public_key).seal(posted.to_wire())
    opening = services().store.applications.arrive(found.name, sealed, language, utc_now())
    if opening is None:
        log.warning("opening.crowded", portal=found.name)
        abort(429)
    return _waiting(found, PageToken(opening, FIRST_TURN, posted.host))


@blueprint.post("/app/<portal>/page")
def page(portal: str) -> Response:
    """Answer with what a worker has found out meanwhile."""
    found = _portal(portal)
    _read_form("page")
    set_zone(request.form.get("zone", ""))
    token = PageTokens(services().settings.secret_key or "").read(request.form.get("token", ""))
    if token is None:
        abort(403)
    g.host = token.host
    applications = services().store.applications
    try:
        opening = applications.opening(token.opening)
    except NotFoundError:
        abort(403)
    if opening.portal != found.name:
        abort(403)
    speak_in(opening.language)
    if not applications.turn(opening.id, token.turn):
        log.warning("opening.replayed", portal=found.name)
        abort(409)
    following = PageToken(opening.id, token.turn + 1, token.host)
    if opening.state is OpeningState.ASKED:
        return _waiting(found, following)
    around = around_of(found, token.host)
    if opening.state is OpeningState.REFUSED:
        why = say_fault(opening.reason or "")
        text = f"{why[:1].upper()}{why[1:]}."
        return frame("framed_note.html", around, 403, title=_("This cannot be shown"), text=text)
    return _shown(found, opening, around, again(found.name, following, LATER_MS))


@blueprint.post("/app/<portal>/events")
def event(portal: str) -> Response:
    """Have a worker look at what an event hints at. The answer is the same whatever it was: quick, and empty."""
    found = _portal(portal)
    _read_form("event")
    name = request.form.get("event", "")[:LONGEST_EVENT_NAME].upper()
    if name in HINTS:
        services().questions.ask_at_most(HINT_EVERY, found.name, Asked.APPLICATION, utc_now())
    log.info("application.event", portal=found.name, kind=name if name in HINTS else "other")
    return Response("ok\n", content_type="text/plain; charset=utf-8")


@blueprint.after_request
def in_words(answer: Response) -> Response:
    """Dress an error as a page that the portal may frame."""
    if answer.mimetype != "application/problem+json":
        return answer
    name = (request.view_args or {}).get("portal", "")
    portal = services().portals.get(name)
    host = g.get("host", "") or host_in(request.args)
    dressed = tell(answer.status_code, around_of(portal if portal and portal.application else None, host))
    dressed.headers.update({name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers})
    return dressed


def _portal(name: str) -> Portal:
    """The portal of this name, if it has an application; else a 404."""
    speak_in(language_in(request.args.get("LANG", "")))
    found = services().portals.get(name)
    if found is None or not found.application:
        abort(404)
    return found


def _read_form(view: str) -> None:
    """Count the request, then read its form within bounds; else an error."""
    counted: Limits = current_app.extensions[blueprint.name][view]
    if not counted.admit(request.remote_addr or ""):
        abort(429)
    if request.mimetype != FORM:
        abort(400)
    # One byte more than allowed: werkzeug silently ends a body without a length at its limit.
    request.max_content_length = request.max_form_memory_size = LONGEST_FORM + 1
    try:
        body = request.get_data()
    except HTTPException:
        raise
    except Exception:  # noqa: BLE001 - the server's own, such as for a chunk without a size
        abort(400)
    if len(body) > LONGEST_FORM:
        abort(413)
    if len(body) < (request.content_length or 0):
        abort(400)  # cut off


def _waiting(portal: Portal, token: PageToken) -> Response:
    is_long = token.turn >= LONG
    after_ms = SLOWEST_MS if is_long else round(SOON_MS * SLOWER**token.turn)
    around = around_of(portal, token.host)
    return frame("framed_wait.html", around, is_long=is_long, again=again(portal.name, token, after_ms))


def _shown(portal: Portal, opening: Opening, around: str, again: dict[str, Any]) -> Response:
    if opening.document:
        return frame("card.html", around, card=card_of(portal.name, opening.document, utc_now()), again=again)
    dashboard = services().settings.public_url  # the address that others know; without it, none is certain
    day = day_of_portal(portal.name, utc_now())
    return frame("framed_menu.html", around, day=day, opening=opening, dashboard=dashboard, again=again)
