"""The places of a portal where our pages are shown, kept in step with portals.yaml.

The portal does not check the address of a handler, and refuses to bind it twice to one place: so what is bound is read
first, then compared. Handlers of this relay have one path, under whatever public address they were bound.
"""

from __future__ import annotations

from datetime import timedelta

from relay.core.errors import RecordUnavailableError
from relay.core.telemetry import get_logger
from relay.store.portals.applications import InstallationState
from workers.bitrix24 import placements
from workers.bitrix24.verdicts import Concern, Judgement, judge
from workers.portal.client import PacedClient
from workers.portal.context import Context

TASK, AT_WORK = "placements", timedelta(seconds=60)
ALREADY = "ERROR_CORE"
"""The portal's answer where a handler is bound to this place already (source: rest/lib/api/placement.php)."""

log = get_logger()


def keep_in_step(context: Context) -> None:
    """Bind what the file wants to be shown, and unbind what it no longer wants. Another worker may do it instead."""
    local, portal = context.address.local, context.portal
    if local is None or context.application is None:
        return
    found = context.store.applications.installation(portal.name)
    if found is None or found.state is InstallationState.WAITING or found.client_id != local.client_id:
        return
    wanted = placements.wanted_of(portal.card, menu=portal.menu) if local.handler else {}
    with context.kept.lease(TASK, context.holder, AT_WORK) as is_ours:
        if not is_ours:
            return
        shown = _change(context, context.application, wanted, local.handler)
    if shown is None:
        return
    if found.state is InstallationState.CLOSED and not context.address.is_by_installation:
        context.store.applications.open(portal.name)
    if tuple(shown) != found.placements:
        context.store.applications.show_placements(portal.name, tuple(shown))
        log.info("placements.changed", portal=portal.name, shown=shown)


def take_away(context: Context) -> None:
    """Unbind all of ours, where the application is no longer used, and forget its tokens."""
    try:
        if context.application is not None:
            _change(context, context.application, {}, "")
        context.store.applications.forget(context.portal.name)
    except RecordUnavailableError as error:
        log.warning("placements.left", portal=context.portal.name, reason=str(error))


def _change(context: Context, client: PacedClient, wanted: dict[str, str], handler: str) -> list[str] | None:
    """Bind and unbind. Returns the names of what is shown now; None where the portal does not say what is bound."""
    client.wait()
    answer = client.call(placements.BOUND, {})
    bound = placements.bound_in(answer.result)
    if bound is None:
        _mind(context, judge(answer))
        return None
    ours = [(code, address) for code, address in bound if address.endswith(f"/app/{context.portal.name}")]
    for code, address in ours:
        if (code, address) not in {(one, handler) for one in wanted}:
            client.wait()
            client.call(placements.UNBIND, {"PLACEMENT": code, "HANDLER": address})
    shown = []
    for code, name in wanted.items():
        if (code, handler) not in ours and not _bind(context, client, code, handler):
            continue
        shown.append(name)
    return shown


def _bind(context: Context, client: PacedClient, code: str, handler: str) -> bool:
    client.wait()
    answer = client.call(placements.BIND, placements.bind_parameters(code, handler))
    if answer.result is True or answer.code == ALREADY:
        return True
    log.warning("placement.refused", portal=context.portal.name, placement=code, code=answer.code)
    return False


def _mind(context: Context, judgement: Judgement) -> None:
    """Beside a webhook, nobody else learns that the application is gone: the gate is the webhook's."""
    if judgement.concern is Concern.PORTAL and not context.address.is_by_installation:
        context.store.applications.close(context.portal.name, judgement.reason)
    log.warning("placements.unread", portal=context.portal.name, reason=judgement.reason)
