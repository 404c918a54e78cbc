"""The form that a browser posts into an application's frame, and the pages of the portal around it."""

from __future__ import annotations

import json
import re
from html import unescape
from urllib.parse import parse_qsl, urlsplit

import pytest

HANDLER = "http://127.0.0.1:9/app/main"
TAB = "CRM_DEAL_DETAIL_TAB"


@pytest.fixture
def tab(app):
    app.result("placement.bind", PLACEMENT=TAB, HANDLER=f"{HANDLER}?x=1", TITLE="Relay",
               LANG_ALL={"en": {"TITLE": "Relay"}, "ru": {"TITLE": "Реле"}})  # fmt: skip
    return app


def test_the_fields_are_divided_between_the_address_and_the_body(tab, client):
    frame = tab.frame(placement=TAB, id=12, lang="ru")

    address = urlsplit(frame["address"])
    query = dict(parse_qsl(address.query))
    assert address.path == "/app/main"
    assert query == {"x": "1", **frame["query"]}
    assert (query["DOMAIN"], query["PROTOCOL"], query["LANG"]) == (client.url.removeprefix("http://"), "0", "ru")
    assert re.fullmatch(r"[0-9a-f]{32}", query["APP_SID"])
    fields = frame["fields"]
    assert (fields["AUTH_EXPIRES"], fields["status"], fields["PLACEMENT"]) == ("3600", "L", TAB)
    assert fields["APPLICATION_TOKEN"] == tab.keys["application_token"]
    assert fields["member_id"] == tab.keys["member_id"]
    assert fields["SERVER_ENDPOINT"] == f"{client.url}/oauth/rest/"
    assert fields["APPLICATION_SCOPE"] == "bizproc,crm,im,placement,user"
    assert fields["PLACEMENT_OPTIONS"] == r'{"ID":"12","URI":"\/crm\/deal\/details\/12\/"}'


def test_every_opening_has_a_pair_of_its_own(tab):
    frames = [tab.frame(placement=TAB, id=12, user=user) for user in (1, 1, 3)]

    assert len({frame["fields"]["AUTH_ID"] for frame in frames}) == 3
    assert len({frame["fields"]["REFRESH_ID"] for frame in frames}) == 3
    assert len({frame["query"]["APP_SID"] for frame in frames}) == 3
    assert tab.info(frames[2]["fields"]["AUTH_ID"]).json()["result"]["user_id"] == 3


@pytest.mark.parametrize("order", [{}, {"placement": "LEFT_MENU"}])
def test_a_page_without_a_document_has_no_options(app, order):
    app.result("placement.bind", PLACEMENT="LEFT_MENU", HANDLER=HANDLER)

    fields = app.frame(**order)["fields"]

    assert fields["PLACEMENT"] == order.get("placement", "DEFAULT")
    assert "PLACEMENT_OPTIONS" not in fields


@pytest.mark.parametrize("text", ["[]", "undefined", '{"ID":"13"}', ""])
def test_the_options_may_be_any_text_for_a_browser_can_change_them(tab, text):
    assert tab.frame(placement=TAB, id=12, options=text)["fields"]["PLACEMENT_OPTIONS"] == text


def test_fields_can_be_left_out_once_or_always(tab, client):
    client.order("settings", {"frame_without": ["APPLICATION_TOKEN", "APPLICATION_SCOPE"]})

    fields = tab.frame(placement=TAB, id=12, without=["PLACEMENT_OPTIONS"])["fields"]

    assert {"APPLICATION_TOKEN", "APPLICATION_SCOPE", "PLACEMENT_OPTIONS"}.isdisjoint(fields)
    assert "AUTH_ID" in fields


def test_a_document_whose_card_is_opened_can_be_read_from_then_on(tab):
    assert tab.error("crm.item.get", entityTypeId=2, id=12) == ("NOT_FOUND", 400)

    tab.frame(placement=TAB, id=12)

    assert tab.result("crm.item.get", entityTypeId=2, id=12)["item"]["title"] == "Deal #12"


@pytest.mark.parametrize(
    ("order", "complaint"),
    [
        ({"placement": "CRM_NOTHING"}, "there is no placement CRM_NOTHING"),
        ({"placement": TAB, "id": 404}, "there is no such document"),
        ({"placement": TAB}, "there is no such document"),
        ({"placement": "CRM_LEAD_DETAIL_TAB", "id": 1}, "the application has not bound CRM_LEAD_DETAIL_TAB"),
        ({"user": 99}, "there is no such user"),
        ({"client_id": "local.1.2"}, "there is no such application"),
        ({"nonsense": 1}, "send an object with some of"),
    ],
)
def test_a_frame_that_cannot_be_shown_is_answered_with_400(tab, client, order, complaint):
    response = client.order("frame", order)

    assert response.status_code == 400
    assert response.json()["error"].startswith(complaint)


def open_page(client, **query):
    return client.session.get(f"{client.url}/sandbox/open", params=query, timeout=5, allow_redirects=False)


def test_the_page_of_a_card_holds_the_form_and_the_frame(tab, client):
    tab.result("crm.timeline.logmessage.add", fields={
        "entityTypeId": 2, "entityId": 12, "title": "Relay", "text": "A lead <came>", "iconCode": "info",
    })  # fmt: skip

    page = open_page(client, placement=TAB, id=12, user=5, lang="ru")

    action = unescape(re.search(r'method="post" action="([^"]*)" target="application"', page.text)[1])
    fields = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text))
    assert page.status_code == 200
    assert dict(parse_qsl(urlsplit(action).query))["LANG"] == "ru"
    assert json.loads(unescape(fields["PLACEMENT_OPTIONS"]))["ID"] == "12"
    assert tab.info(fields["AUTH_ID"]).json()["result"]["user_id"] == 5
    assert '<iframe class="application" name="application" title="Реле">' in page.text
    assert "<h1>Deal 12</h1>" in page.text
    assert "A lead &lt;came&gt;" in page.text


def test_the_page_runs_the_portals_own_script_only_and_frames_the_handler_only(tab, client):
    page = open_page(client, placement=TAB, id=12)

    assert page.headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'self'; script-src 'self'; form-action http://127.0.0.1:9; "
        "frame-src http://127.0.0.1:9; base-uri 'none'; frame-ancestors 'none'"
    )
    assert page.text.count("<script") == 1
    assert "submit()" in client.session.get(f"{client.url}/sandbox/static/open.js", timeout=5).text
    assert "<button" in page.text


def test_the_portals_first_page_leads_to_the_application_and_to_the_cards_with_its_tab(tab, client):
    number = client.make({"title": "From the site"}, 2)["id"]
    client.make({"title": "No tab for leads"}, 1)

    page = client.session.get(client.url, timeout=5).text

    (link,) = re.findall(r'<a href="([^"]*)">Open its card</a>', page)
    opened = client.session.get(client.url + unescape(link), timeout=5)
    assert f"<h1>Deal {number}</h1>" in opened.text
    assert f'<a href="/sandbox/open?client_id={tab.keys["client_id"]}">Relay</a>' in page


def test_the_applications_own_page_needs_no_placement(app, client):
    page = open_page(client, placement="DEFAULT")

    assert page.status_code == 200
    assert "<h1>Relay</h1>" in page.text


@pytest.mark.parametrize(
    ("query", "changes", "shown"),
    [
        ({"user": 4}, {}, (403, "This user has no access to the application.")),
        ({"user": 13}, {}, (403, "This user was dismissed.")),
        ({}, {"dismissed": [1]}, (403, "This user was dismissed.")),
        ({}, {"rest_available": False}, (403, "Applications are available only on commercial plans.")),
        ({"placement": "LEFT_MENU"}, {}, (404, "The application has not bound LEFT_MENU.")),
        ({"placement": "NOTHING"}, {}, (404, "There is no placement NOTHING.")),
        ({"placement": TAB, "id": 404}, {}, (404, "There is no such document.")),
    ],
)
def test_the_portal_shows_a_page_of_its_own_where_it_shows_no_frame(app, client, query, changes, shown):
    client.order("settings", changes)

    page = open_page(client, **query)

    status, words = shown
    assert (page.status_code, words in page.text) == (status, True)
    assert "<form" not in page.text


def test_a_deleted_application_is_shown_to_nobody(app, client):
    app.delete()

    assert open_page(client, client_id=app.keys["client_id"]).status_code == 404
    assert open_page(client).status_code == 404


def test_a_page_is_shown_at_the_portals_own_host(tab, client):
    foreign = client.url.replace("127.0.0.1", "localhost")

    moved = client.session.get(
        f"{client.url}/sandbox/open?id=12", headers={"Host": urlsplit(foreign).netloc}, timeout=5, allow_redirects=False
    )

    assert (moved.status_code, moved.headers["Location"]) == (302, f"{client.url}/sandbox/open?id=12")
