"""Connecting a portal by an application, on the dashboard: what to enter, what has come, and an operator's word."""

from __future__ import annotations

import shutil

import pytest
import yaml

from relay.store.portals.applications import InstallationState, Word
from tests.support.folders import WEB_SECRETS
from tests.support.frames import APPLICATION, DOMAIN, MEMBER, PUBLIC_KEY, installed
from tests.watching.conftest import SAME, enter

API = {"Authorization": f"Bearer {WEB_SECRETS['RELAY_API_TOKEN']}"}
PATH = "/portals/main/application"
WAITING = installed(domain="other.bitrix24.com", member_id="f" * 32, state=InstallationState.WAITING)


@pytest.fixture
def operator(inside):
    return enter(inside, WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"])


@pytest.fixture
def viewer(inside):
    return enter(inside, "viewer-password-of-the-test")


def read(client, path=PATH):
    answer = client.get(path, headers=SAME)
    assert answer.status_code == 200, answer.text
    return " ".join(answer.text.split())


def say(client, word, member_id=WAITING.member_id):
    return client.post(f"{PATH}/{word}", data={"member_id": member_id}, headers=SAME)


def test_the_page_says_what_to_enter_in_bitrix24_and_that_nothing_has_come(operator):
    shown = read(operator)

    assert "https://relay.example.com/app/main" in shown
    assert "bizproc, crm, placement, user_basic" in shown
    assert "leave it empty" in shown
    assert APPLICATION in shown
    assert "Nothing has come yet." in shown
    assert 'data-fresh-every-s="2"' in shown  # it waits


def test_the_page_says_what_came(operator, applications):
    applications.bind("main", installed())
    applications.keep_administrator("main", installed().admins[0])

    shown = read(operator)

    assert "Connected" in shown
    assert DOMAIN in shown
    assert "Ada Lovelace" in shown
    assert "Have a second administrator open the application, too." in shown
    assert 'data-fresh-every-s="2"' not in shown


def test_the_application_of_a_portal_is_on_the_page_of_portals(operator, viewer, applications):
    applications.bind("main", installed())
    applications.close("main", "not_installed")

    for client in (operator, viewer):
        shown = read(client, "/portals")
        assert f"Application: {DOMAIN}" in shown
        assert "The application is not installed on the portal" in shown


def test_an_unexpected_portal_waits_for_an_operator_who_sees_its_domain_and_who_opened_it(operator, applications):
    applications.wait_for_operator("main", WAITING)

    shown = read(operator)

    assert "An unexpected portal waits for your word" in shown
    assert "other.bitrix24.com" in shown
    assert "Ada Lovelace" in shown
    assert "unexpected portal, other.bitrix24.com" in read(operator, "/portals")


@pytest.mark.parametrize(
    ("word", "kept"),
    [("accept", Word.ACCEPTED), ("refuse", Word.REFUSED)],
)
def test_an_operators_word_is_kept_and_in_the_audit_log(operator, applications, store, word, kept):
    applications.wait_for_operator("main", WAITING)

    assert say(operator, word).status_code == 303

    assert applications.word("main", WAITING.member_id) is kept
    act = store.operators.acts(10)[0]
    assert act.what == f"{word} the application"
    assert (act.who, act.subject, act.note) == ("operator", "main", WAITING.member_id)
    shown = read(operator)
    assert ("Accepted: it waits for its administrator" in shown) is (word == "accept")


def test_a_word_about_a_portal_that_waits_no_more_is_refused(operator, applications):
    applications.wait_for_operator("main", WAITING)
    applications.wait_for_operator("main", installed(member_id="e" * 32, state=InstallationState.WAITING))

    answer = say(operator, "accept")

    assert answer.status_code == 409
    assert applications.word("main", WAITING.member_id) is None
    assert applications.word("main", "e" * 32) is None


def test_a_viewer_and_another_site_say_no_word(inside, viewer, operator, applications):
    applications.wait_for_operator("main", WAITING)

    assert say(viewer, "accept").status_code == 403
    assert viewer.get(PATH, headers=SAME).status_code == 403
    answer = operator.post(
        f"{PATH}/accept", data={"member_id": WAITING.member_id}, headers={"Origin": "https://a.test"}
    )
    assert answer.status_code == 403
    assert applications.word("main", WAITING.member_id) is None


def test_a_program_says_the_same_word_by_the_api(inside, applications):
    applications.wait_for_operator("main", WAITING)
    client = inside.test_client()

    wrong = client.post("/api/v1/portals/main/accept", json={"member_id": MEMBER}, headers=API)
    right = client.post("/api/v1/portals/main/accept", json={"member_id": WAITING.member_id}, headers=API)

    assert (wrong.status_code, right.status_code) == (409, 200)
    assert applications.word("main", WAITING.member_id) is Word.ACCEPTED
    assert client.post("/api/v1/portals/main/refuse", json={}, headers=API).status_code == 422


@pytest.fixture
def fresh_folder(config, tmp_path):
    return shutil.copytree(config, tmp_path / "config")


@pytest.fixture
def fresh(make_app, valkey, fresh_folder):
    """An operator of a relay whose portal has no application yet."""
    app = make_app(valkey, config=fresh_folder, seal_public_key=PUBLIC_KEY)
    return enter(app, WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"])


def test_the_id_of_the_application_is_written_into_the_file_of_portals(fresh, fresh_folder, store):
    assert "connect by an application" in read(fresh, "/portals/main/connect")
    form = {"application": f" {APPLICATION} ", "expect": "Acme.Bitrix24.com", "card": ["deal", "lead", "nonsense"]}

    assert fresh.post(PATH, data=form, headers=SAME).status_code == 303

    text = (fresh_folder / "portals.yaml").read_text("utf-8")
    written = yaml.safe_load(text)["portals"]["main"]
    assert (written["application"], written["expect"]) == (APPLICATION, "acme.bitrix24.com")
    assert sorted(written["card"]) == ["deal", "lead"]
    assert "# how long an uncertain call may still be running" in text  # what people wrote stays
    assert store.operators.acts(1)[0].what == "connect portal"


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"application": "app.123"}, "expected the client_id of a local application"),
        ({"application": ""}, "Nothing was written"),
        ({"application": f"{APPLICATION}, menu: true"}, "expected the client_id of a local application"),
        ({"application": APPLICATION, "expect": "https://acme.test/"}, "host alone"),
        ({"application": APPLICATION, "expect": "acme.test\n  plan: x"}, "Nothing was written"),
    ],
)
def test_what_is_no_application_is_not_written(fresh, fresh_folder, form, words):
    before = (fresh_folder / "portals.yaml").read_bytes()

    answer = fresh.post(PATH, data=form, headers=SAME)

    assert answer.status_code == 422
    assert words in answer.text
    assert (fresh_folder / "portals.yaml").read_bytes() == before


def test_a_portal_that_is_not_there_has_no_such_page(operator):
    assert operator.get("/portals/nobody/application", headers=SAME).status_code == 404
    assert operator.post("/portals/nobody/application/accept", headers=SAME).status_code == 404
    assert operator.post(f"{PATH}/ignore", headers=SAME).status_code == 404


def test_a_process_without_the_workers_public_key_says_so_on_the_page(make_app, valkey, config):
    operator = enter(make_app(valkey, config=config), WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"])

    assert "RELAY_SEAL_PUBLIC_KEY" in read(operator)
