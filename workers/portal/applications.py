"""Openings of a portal's application: finds out who it was, and whether they may see what they ask for.

Everything in a frame is a browser's word. A stranger may post anything, with real tokens of a portal of their own. So a
token is shown to the authorisation server of the configuration first, never to an address that was posted: it says
which application and which portal the token belongs to. Then the portal itself says who the user is, and whether they
may read the very document. No token of anybody is kept, except an administrator's of the portal that is bound.

The first installation on the expected portal is bound by its member_id and client_id; another waits for an operator.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from relay.configuration.sealing import Opener, SealError
from relay.core.errors import NotFoundError
from relay.core.faults import Fault, fault
from relay.core.lifecycle import Verdict
from relay.core.telemetry import get_logger
from relay.store.portals.applications import (
    Administrator,
    Installation,
    InstallationState,
    Opening,
    OpeningState,
    Word,
)
from workers.bitrix24 import placements
from workers.bitrix24.client import BATCH, Answer, Client, answers_of, batch_parameters
from workers.bitrix24.oauth import DescribeFault, Grant, Tokens, describe
from workers.bitrix24.verdicts import Remedy, judge
from workers.portal import gatekeeper, placing
from workers.portal.context import Context
from workers.portal.credentials import LocalApp, is_loopback, is_safe_url
from workers.portal.installed import Installed, Pair

OPENERS_TIMEOUT_S = 10.0
"""A person waits for the page, and other work of the portal waits meanwhile."""
LONGEST_NAME = 100

log = get_logger()


class Refusal(Exception):  # noqa: N818 - control flow, not an error
    """The page is not shown."""

    def __init__(self, reason: Fault) -> None:
        super().__init__(reason.code)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Frame:
    """The fields of a frame that matter, as the browser has posted them."""

    access: str
    refresh: str
    member_id: str
    domain: str
    placement: str
    options: Any


@dataclass(frozen=True, slots=True)
class User:
    """The user who has opened the page, as the portal describes them."""

    id: str
    name: str
    is_admin: bool


def answer_next(context: Context) -> bool:
    """Answer the oldest opening of the portal's application. Returns whether there was one."""
    taken = context.store.applications.take(context.portal.name, context.clock())
    if taken is None:
        return False
    opening_id, box = taken
    try:
        opening = context.store.applications.opening(opening_id)
    except NotFoundError:
        return True
    answer, is_new_pair = _answer(context, opening, box)
    context.store.applications.answer(answer)
    reason = answer.reason.code if answer.reason else None
    log.info("opening.answered", portal=context.portal.name, state=answer.state, reason=reason)
    if is_new_pair:
        _go_on(context)
    return True


def _answer(context: Context, opening: Opening, box: bytes) -> tuple[Opening, bool]:
    """The opening with its answer, and whether a new pair of an administrator was kept."""
    is_new_pair = False
    try:
        installed = _installed_at(context)
        frame = _read(installed.app, box)
        grant = _verified(installed.app, frame)
        opening = replace(opening, placement=frame.placement)
        card = _card_of(frame)
        user, item = _ask_portal(context, grant, frame, card)
        is_new_pair = _connect(context, installed, grant, frame, user)
        opening = replace(opening, user_id=user.id, user_name=user.name, is_admin=user.is_admin)
        if card:
            _check_item(item, card)
    except Refusal as refusal:
        return replace(opening, state=OpeningState.REFUSED, reason=refusal.reason), is_new_pair
    return replace(opening, state=OpeningState.SHOWN, document=card.document if card else None), is_new_pair


def _installed_at(context: Context) -> Installed:
    """Raises Refusal where the application was taken out of the file meanwhile."""
    if context.installed is None:
        raise Refusal(fault("opening_of_other_application"))
    return context.installed


def _read(local: LocalApp, box: bytes) -> Frame:
    """The fields in a box. Raises Refusal."""
    try:
        fields = json.loads(Opener.from_text(local.seal_key).open(box))
    except (SealError, ValueError, RecursionError):
        raise Refusal(fault("opening_unreadable")) from None
    if not isinstance(fields, dict):
        raise Refusal(fault("opening_unreadable"))
    texts = {name: value for name, value in fields.items() if isinstance(value, str)}
    return Frame(
        texts.get("AUTH_ID", ""),
        texts.get("REFRESH_ID", ""),
        texts.get("member_id", "").casefold(),
        texts.get("DOMAIN", "").casefold(),
        texts.get("PLACEMENT", "") or placements.DEFAULT,
        texts.get("PLACEMENT_OPTIONS"),
    )


def _verified(local: LocalApp, frame: Frame) -> Grant:
    """Ask the authorisation server whose the token is. Raises Refusal unless that fits configuration and frame."""
    grant = describe(local.server, frame.access)
    if grant is DescribeFault.AWAY:
        raise Refusal(fault("opening_server_away"))
    if isinstance(grant, DescribeFault):
        raise Refusal(fault("opening_token_refused"))
    if grant.client_id != local.client_id:
        raise Refusal(fault("opening_of_other_application"))
    is_same = grant.member_id.casefold() == frame.member_id and grant.domain == (frame.domain or grant.domain)
    if not is_same or not _may_be_called(grant.endpoint, local.server):
        raise Refusal(fault("opening_of_other_portal"))
    return grant


def _may_be_called(endpoint: str, server: str) -> bool:
    """Whether a token may be sent to this address of REST: https, or this machine where the server is here too."""
    try:
        is_here = is_loopback(urlsplit(endpoint).hostname)
        return is_safe_url(endpoint) and (not is_here or is_loopback(urlsplit(server).hostname))
    except ValueError:
        return False


def _card_of(frame: Frame) -> placements.Card | None:
    """The card that the frame names; None: a page without a document. Raises Refusal."""
    if frame.placement in {placements.DEFAULT, placements.MENU}:
        return None
    kind = placements.kind_of(frame.placement)
    if kind is None:
        raise Refusal(fault("opening_placement_unknown"))
    item_id = placements.item_in(frame.options)
    if item_id is None:
        raise Refusal(fault("opening_document_missing"))
    return placements.Card(*kind, item_id)


def _ask_portal(
    context: Context, grant: Grant, frame: Frame, card: placements.Card | None
) -> tuple[User, Answer | None]:
    """Ask the portal, with the user's own token, who they are and, for a card, for its document.

    Raises Refusal.
    """
    calls: list[tuple[str, Mapping[str, Any]]] = [("profile", {})]
    if card:
        calls.append((placements.ITEM, {"entityTypeId": card.type_id, "id": card.item_id}))
    client = Client(grant.endpoint, frame.access, OPENERS_TIMEOUT_S)
    context.client.wait()
    try:
        answers = answers_of(client.call(BATCH, batch_parameters(calls)), len(calls))
    finally:
        client.close()
    profile = answers[0]
    judgement = judge(profile)
    if judgement.remedy is Remedy.REFRESH:
        raise Refusal(fault("opening_token_refused"))
    if profile.fault is not None or judgement.verdict in {Verdict.THROTTLED, Verdict.UNREACHABLE}:
        raise Refusal(fault("opening_portal_away"))
    user = _user_in(profile.result)
    if user is None or (grant.user_id and user.id != grant.user_id):
        raise Refusal(fault("opening_user_unknown"))
    return user, answers[1] if card else None


def _user_in(profile: Any) -> User | None:
    """The user of `profile`; None for a dismissed one, whose profile is empty."""
    if not isinstance(profile, dict) or not str(profile.get("ID") or "").isdecimal():
        return None
    names = [profile.get(part) for part in ("NAME", "LAST_NAME")]
    name = " ".join(one for one in names if isinstance(one, str) and one)
    return User(str(profile["ID"]), name[:LONGEST_NAME], profile.get("ADMIN") is True)


def _check_item(answer: Answer | None, card: placements.Card) -> None:
    """Raises Refusal unless the portal has shown the user this very document."""
    result = answer.result if answer else None
    item = result.get("item") if isinstance(result, dict) else None
    if isinstance(item, dict) and str(item.get("id")) == str(card.item_id):
        return
    is_of_scope = answer is not None and (answer.code or "").casefold() == "insufficient_scope"
    raise Refusal(fault("opening_scope_missing") if is_of_scope else fault("opening_document_denied"))


def _connect(context: Context, installed: Installed, grant: Grant, frame: Frame, user: User) -> bool:
    """Bind the installation if this is the first one, and keep the pair of an administrator.

    Returns whether a pair was kept. Raises Refusal where the installation is not the bound one.
    """
    applications, name, now = context.store.applications, context.portal.name, context.clock()
    found = applications.installation(name)
    bound = found if found and found.state is not InstallationState.WAITING else None
    is_bound = bound is not None and (bound.client_id, bound.member_id) == (grant.client_id, grant.member_id)
    if not user.is_admin:
        if is_bound:
            return False
        raise Refusal(fault("opening_needs_administrator"))
    described = Installation(
        grant.client_id, grant.member_id, grant.domain, grant.endpoint, InstallationState.CONNECTED, now,
        scopes=grant.scopes,
    )  # fmt: skip
    if bound is not None and is_bound:
        # A portal that was renamed keeps its identity.
        described = replace(described, state=bound.state, reason=bound.reason, at=bound.at, placements=bound.placements)
    elif not _is_expected(context, described, bound):
        _leave_to_operator(context, described, user)
    if replace(described, admins=()) != (bound and replace(bound, admins=())):
        applications.bind(name, described)
        _learn_site(context, grant, has_moved=bound is not None and bound.domain != grant.domain)
        log.info("application.connected", portal=name, host=grant.domain)
    tokens = Tokens(frame.access, frame.refresh, grant.endpoint, installed.app.server)
    installed.keep_administrator(user.name, Pair(user.id, tokens), now)
    return True


def _learn_site(context: Context, grant: Grant, *, has_moved: bool) -> None:
    """The portal's address, for links; and after a renaming for calls, in place of an earlier one."""
    parts = urlsplit(grant.endpoint)
    site = f"{parts.scheme}://{parts.netloc}"
    context.pace.learn_site(site)
    if has_moved:
        context.pace.learn_host(site)


def _is_expected(context: Context, described: Installation, bound: Installation | None) -> bool:
    """Whether an installation may take the place of the bound one without being asked about."""
    is_of_same_portal = bound is None or bound.member_id == described.member_id
    return is_of_same_portal and context.portal.expect in {"", described.domain}


def _leave_to_operator(context: Context, described: Installation, user: User) -> None:
    """Let an operator judge an unexpected installation. Raises Refusal as long as they have not accepted it."""
    applications, name = context.store.applications, context.portal.name
    word = applications.word(name, described.member_id)
    if word is Word.ACCEPTED:
        return
    if word is Word.REFUSED:
        raise Refusal(fault("opening_portal_refused", domain=described.domain))
    admins = (Administrator(user.id, user.name, described.at),)
    before = applications.waiting(name)
    applications.wait_for_operator(name, replace(described, state=InstallationState.WAITING, admins=admins))
    if before is None or (before.member_id, before.domain) != (described.member_id, described.domain):
        context.gate.alert("application_waits", context.clock(), domain=described.domain)
    log.warning("application.unexpected", portal=name, host=described.domain)
    raise Refusal(fault("opening_waits", domain=described.domain))


def _go_on(context: Context) -> None:
    """After a new pair: open the gate if the portal is well, and bind what the file wants to be shown."""
    if context.address.is_by_installation:
        gatekeeper.ask_now(context)
    placing.keep_in_step(context)


def read_back(context: Context) -> bool:
    """Ask the portal whether the application is still there, after an event that proves nothing. Whether it is."""
    if context.application is None:
        return False
    if context.address.is_by_installation:
        gatekeeper.ask_now(context)
    placing.keep_in_step(context)
    found = context.store.applications.installation(context.portal.name)
    return found is not None and found.state is InstallationState.CONNECTED
