"""Opens an application as a portal's page does: a form in a frame, and the page that asks again."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from relay.configuration.sealing import Opener, new_seal_key
from relay.core.ids import utc_now
from relay.core.plan import DocumentId
from relay.store.portals.applications import Administrator, Applications, Installation, InstallationState, OpeningState
from relay.web.application.limits import PACES, Limits

APPLICATION, DOMAIN, MEMBER = "local.65f0c0ffee.12345678", "acme.bitrix24.com", "d8976ab5d8976ab5d8976ab5d8976ab5"
ACCESS, REFRESH = "access0token0of0the0user0ada", "refresh0token0of0the0user0ada"
DEAL: DocumentId = ("crm", "CCrmDocumentDeal", "DEAL_12")
SEAL_KEY = new_seal_key()
PUBLIC_KEY = Opener.from_text(SEAL_KEY).public_text
FIELDS = {
    "AUTH_ID": ACCESS,
    "AUTH_EXPIRES": "3600",
    "REFRESH_ID": REFRESH,
    "SERVER_ENDPOINT": "https://oauth.bitrix.info/rest/",
    "APPLICATION_TOKEN": "51856fefc120afa4b628cc82d3935cce",
    "APPLICATION_SCOPE": "crm,placement,bizproc",
    "member_id": MEMBER,
    "status": "L",
    "PLACEMENT": "CRM_DEAL_DETAIL_TAB",
    "PLACEMENT_OPTIONS": '{"ID":"12","URI":"\\/crm\\/deal\\/details\\/12\\/"}',
}
"""The body of a frame's POST, as facts of Bitrix24 have it (tests/sandbox has the same from a pretend portal)."""
QUERY = {"DOMAIN": DOMAIN, "PROTOCOL": "1", "LANG": "en", "APP_SID": "0123456789abcdef0123456789abcdef"}
ORDER_RULE = """
name: order
source: website
title: "Order {number} for {buyer}"
when: body.form == 'order'
extract:
  id: {from: body.id, type: integer, required: true}
  number: {from: body.number, type: integer}
  buyer: {from: body.buyer, personal: true}
start:
  portal: main
  template_id: 2
  document_id: {deal: "{id}"}
  parameters: {Note: "{buyer}"}
  watch: {callback: RelayCallback, within: 1h}
"""
"""A rule whose deliveries run on a deal, with a title and an end that is watched for."""
_TOKEN = re.compile(r'name="token" value="([^"]+)"')


def with_application(config: Path, folder: Path, more: str = "") -> Path:
    """A copy of a configuration whose portal `main` has an application. more: further lines of the portal."""
    copied = Path(shutil.copytree(config, folder / "config"))
    portals = copied / "portals.yaml"
    portals.write_text(f"{portals.read_text('utf-8').rstrip()}\n    application: {APPLICATION}\n{more}", "utf-8")
    return copied


def post_frame(client: FlaskClient, portal: str = "main", query: dict[str, str] | None = None, **changes: Any) -> Any:
    """Post as the frame does. changes: of the body's fields; None takes one out."""
    fields = {name: value for name, value in (FIELDS | changes).items() if value is not None}
    return client.post(f"/app/{portal}", query_string=QUERY | (query or {}), data=fields)


def token_in(answer: Any) -> str:
    """The token of a page."""
    found = _TOKEN.search(answer.text)
    assert found, answer.text
    return found[1]


def ask_again(client: FlaskClient, token: str, portal: str = "main", zone: str = "UTC") -> Any:
    """What the page's script does."""
    return client.post(f"/app/{portal}/page", data={"token": token, "zone": zone})


def answer_opening(applications: Applications, portal: str = "main", **changes: Any) -> str:
    """Answer the oldest opening as a worker does: shown, the deal 12, unless `changes` say otherwise; its id."""
    taken = applications.take(portal, utc_now())
    assert taken is not None
    answer = {
        "state": OpeningState.SHOWN, "placement": "CRM_DEAL_DETAIL_TAB", "document": DEAL, "user_id": "1",
        "user_name": "Ada Lovelace",
    }  # fmt: skip
    opening = replace(applications.opening(taken[0]), **(answer | changes))
    assert applications.answer(opening)
    return opening.id


def show(client: FlaskClient, applications: Applications, query: dict[str, str] | None = None, **changes: Any) -> Any:
    """Open the frame, let a worker answer, and ask again: what is shown then."""
    waiting = post_frame(client, query=query)
    assert waiting.status_code == 200, waiting.text
    answer_opening(applications, **changes)
    return ask_again(client, token_in(waiting))


def installed(**changes: Any) -> Installation:
    """An installation on the portal that is expected."""
    one = Installation(
        client_id=APPLICATION,
        member_id=MEMBER,
        domain=DOMAIN,
        endpoint=f"https://{DOMAIN}/rest/",
        state=InstallationState.CONNECTED,
        at=utc_now(),
        admins=(Administrator("1", "Ada Lovelace", utc_now()),),
        scopes=("crm", "placement", "bizproc"),
        placements=("deal",),
    )
    return replace(one, **changes)


def forget_who_posted(app: Flask) -> None:
    """Let strangers post as often as on the first day."""
    app.extensions["application"].update({view: Limits(paces) for view, paces in PACES.items()})
