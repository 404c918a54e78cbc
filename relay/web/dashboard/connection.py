"""Connect a portal by a local application: what to enter in Bitrix24, what has come, and an operator's word on it.

The client_id is no secret and is written into portals.yaml here. Its secret goes to the workers by their command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import flash, redirect, render_template, request, url_for

from relay.configuration.portals import CARDS, variable_prefix
from relay.core.errors import NotFoundError, RecordUnavailableError, RelayError
from relay.core.phrases import phrase
from relay.operations.operator_acts import ACCEPT, REFUSE
from relay.store.portals.applications import Installation, InstallationState
from relay.web.dashboard.frame import blueprint, for_operators, who
from relay.web.dashboard.live import AWAITED
from relay.web.dashboard.new_source import config_files, reason_of
from relay.web.language import _
from relay.web.services import services

SCOPES = ("bizproc", "crm", "placement", "user_basic")
"""The permissions of an application: starts, documents, its tabs in cards, and users whom rules look for."""
WORDS = {act.name: act for act in (ACCEPT, REFUSE)}
LONGEST = 253


@dataclass(frozen=True, slots=True)
class Connection:
    """A portal's application on record. waiting: of an unexpected portal, whatever is connected."""

    installation: Installation | None
    waiting: Installation | None

    @property
    def is_connected(self) -> bool:
        """Whether it is connected, and lets the relay call."""
        return self.installation is not None and self.installation.state is InstallationState.CONNECTED


def application_of(name: str) -> Connection:
    """The application of a portal on record. Raises RecordUnavailableError."""
    portal, applications = services().portals.get(name), services().store.applications
    found = applications.installation(name)
    if found and (found.state is InstallationState.WAITING or not portal or found.client_id != portal.application):
        found = None  # it waits, or is of another application than the file has
    return Connection(found, applications.waiting(name))


def handler_of(name: str) -> str:
    """The address that is entered in Bitrix24 as the application's handler."""
    base = services().settings.public_url or request.host_url.rstrip("/")
    return f"{base}/app/{name}"


@blueprint.get("/portals/<name>/application")
@for_operators
def connect_application(name: str) -> Any:
    """The steps in Bitrix24, what has come, and *Accept* and *Refuse*."""
    return _page(name)


@blueprint.post("/portals/<name>/application")
def write_application(name: str) -> Any:
    """Write the client_id, and what else was chosen, into portals.yaml."""
    application, expect = (request.form.get(key, "").strip()[:LONGEST] for key in ("application", "expect"))
    card = [kind for kind in CARDS if kind in request.form.getlist("card")]
    try:
        config_files().connect_portal(name, application, expect.lower(), card, who())
    except RecordUnavailableError:
        raise
    except NotFoundError:
        raise
    except RelayError as error:
        return _page(name, application, expect, reason_of(error)), 422
    flash(_("Written: %(name)s is connected by this application as soon as it is opened.", name=name))
    return redirect(url_for("dashboard.connect_application", name=name), 303)


@blueprint.post("/portals/<name>/application/<word>")
def judge_application(name: str, word: str) -> Any:
    """Accept or refuse the installation that the page has shown."""
    if word not in WORDS or name not in services().portals:
        raise NotFoundError(phrase("no portal %(name)r", name=name))
    given = {"member_id": request.form.get("member_id", "")[:LONGEST]}
    WORDS[word].does(services().operator_acts, name, who(), given)
    flash(_(WORDS[word].done, name=name))
    return redirect(url_for("dashboard.connect_application", name=name), 303)


def _page(name: str, application: str = "", expect: str = "", why: str = "") -> Any:
    portal = services().portals.get(name)
    if portal is None and name not in config_files().portals_written():
        raise NotFoundError(phrase("no portal %(name)r", name=name))
    connection, written = application_of(name), config_files().application_written(name)
    return render_template(
        "connect_application.html",
        fresh=AWAITED if written and not connection.is_connected else None,
        name=name,
        portal=portal,
        connection=connection,
        handler=handler_of(name),
        is_public=bool(services().settings.public_url),
        has_key=bool(services().settings.seal_public_key),
        scopes=SCOPES,
        kinds=CARDS,
        variable=f"{variable_prefix(name)}CLIENT_SECRET",
        application=application or written,
        is_written=bool(written),
        expect=expect or (portal.expect if portal else ""),
        words=WORDS,
        why=why,
    )
