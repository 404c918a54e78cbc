"""The vendor's own client takes the pretend application for a real one: frames, tokens, placements, events.

It speaks https only and knows one authorisation server: the tests tell it of another. Of an event's portal it keeps the
host without its port, so it cannot call a portal with an unusual port back: events are read here, and not checked.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from b24pysdk import BitrixApp, BitrixToken, Client, Config
from b24pysdk import errors as vendors
from b24pysdk.api.requesters import BitrixOAuthRequester
from b24pysdk.credentials import OAuthEventData, OAuthPlacementData

from tests.support.waiting import until

HANDLER = "https://127.0.0.1:9/app/main"
TAB = "CRM_DEAL_DETAIL_TAB"
SCOPES = ["crm", "placement", "bizproc", "user"]


@pytest.fixture
def portal(secure, authority, tmp_path, monkeypatch):
    """The portal with an application: a session to give orders with, its address, and the application's keys."""
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    monkeypatch.setattr(Config(), "default_max_retries", 1)
    monkeypatch.setattr(BitrixOAuthRequester, "_OAUTH_TOKEN_URL", f"{secure.url}/oauth/oauth/token/")
    monkeypatch.setattr(BitrixOAuthRequester, "_APP_INFO_URL", f"{secure.url}/oauth/rest/app.info/")
    return secure.portal


@pytest.fixture
def order(portal, secure, session):
    def give(knob, **body):
        response = session.post(f"{secure.url}/sandbox/{knob}", json=body, timeout=5)
        assert response.status_code == 200, response.text
        return response.json()

    return give


@pytest.fixture
def app(order):
    keys = order("application", handler=HANDLER, scopes=SCOPES)
    return BitrixApp(client_id=keys["client_id"], client_secret=keys["client_secret"])


@pytest.fixture
def open_frame(order, app):
    """Opens a place, and reads what the browser posts into the frame."""

    def open_one(**opening):
        frame = order("frame", client_id=app.client_id, **opening)
        return OAuthPlacementData.from_dict(dict(parse_qsl(urlsplit(frame["address"]).query)) | frame["fields"])

    return open_one


@pytest.fixture
def token(open_frame, app):
    return BitrixToken.from_oauth_placement_data(open_frame(), app)


def test_the_vendors_client_believes_a_frame_after_asking_the_authorisation_server(open_frame, app):
    opened = open_frame(user=5, lang="ru")

    info = opened.get_app_info(app)

    assert opened.validate_against_app_info(info)
    assert (info.client_id, info.user_id, info.install.installed) == (app.client_id, 5, True)
    assert (opened.lang, opened.placement, info.scope) == ("ru", "DEFAULT", SCOPES)


def test_the_vendors_client_binds_a_tab_and_reads_the_document_that_it_was_opened_for(open_frame, app, token):
    client = Client(token)
    assert client.placement.bind(TAB, HANDLER, title="Relay").response.result is True
    assert TAB in client.placement.list().response.result

    opened = open_frame(placement=TAB, id=12)

    number = int(opened.placement_options["ID"])
    item = Client(BitrixToken.from_oauth_placement_data(opened, app)).crm.item.get(2, number)
    assert item.response.result["item"]["title"] == "Deal #12"
    assert client.placement.unbind(TAB, handler=HANDLER).response.result == {"count": 1}


def test_the_vendors_client_refreshes_a_token_whose_time_is_over_by_itself(order, app, token):
    old = token.auth_token
    assert order("application/expire", client_id=app.client_id) == {"expired": 1}

    assert Client(token).profile().response.result["ADMIN"] is True

    assert token.auth_token != old


def test_the_vendors_client_finds_that_a_refresh_token_was_used_by_another(app, token):
    app.refresh_oauth_token(token.refresh_token)

    with pytest.raises(vendors.oauth.BitrixOAuthInvalidGrant):
        token.refresh_oauth_token()


def test_the_vendors_client_exchanges_a_code(session, secure, app, portal):
    query = {"client_id": app.client_id, "state": "s-1"}
    moved = session.get(f"{secure.url}/oauth/authorize/", params=query, allow_redirects=False, timeout=5)
    code = dict(parse_qsl(urlsplit(moved.headers["Location"]).query))["code"]

    renewed = app.get_oauth_token(code)

    assert (renewed.user_id, renewed.member_id) == (1, portal.settings.member_id)


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ({"client_id": "local.1.2"}, vendors.oauth.BitrixOauthWrongClient),
        ({"client_secret": "wrong"}, vendors.oauth.BitrixOAuthInvalidClient),
    ],
)
def test_the_vendors_client_knows_why_a_refresh_was_refused(app, token, keys, error):
    other = BitrixApp(**{"client_id": app.client_id, "client_secret": app.client_secret} | keys)

    with pytest.raises(error):
        other.refresh_oauth_token(token.refresh_token)


def test_the_vendors_client_finds_that_the_application_is_gone(order, app, token):
    order("application/uninstall", client_id=app.client_id)

    with pytest.raises(vendors.oauth.BitrixOAuthNotInstalled):
        token.refresh_oauth_token()
    with pytest.raises(vendors.oauth.BitrixOAuthNotInstalled):
        token.get_app_info()
    with pytest.raises(vendors.BitrixAPIError) as raised:
        _ = Client(token).profile().response
    assert raised.value.error == "APPLICATION_NOT_FOUND"


def test_the_vendors_client_reads_an_event(order, app, token, handler, portal):
    events, address = handler
    client = Client(token)
    client.event.bind("ONAPPTEST", address).response  # noqa: B018 - the property makes the call
    client.event.bind("ONAPPUNINSTALL", address).response  # noqa: B018

    order("application/event", client_id=app.client_id, event="ONAPPTEST", data={"QUERY": {"a": "b"}}, user=5)
    until(lambda: events, "the event")
    tested = OAuthEventData.from_dict(events[0])
    order("application/uninstall", client_id=app.client_id)
    until(lambda: len(events) == 2, "the last event")
    last = OAuthEventData.from_dict(events[1])

    assert (tested.event, tested.data, tested.auth.user_id, tested.is_system) == (
        "ONAPPTEST", {"QUERY": {"a": "b"}}, 5, False,
    )  # fmt: skip
    assert (last.event, last.is_system, last.auth.member_id) == ("ONAPPUNINSTALL", True, portal.settings.member_id)
    assert tested.auth.application_token == last.auth.application_token
