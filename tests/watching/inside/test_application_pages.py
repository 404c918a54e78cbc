"""Opening the application in Bitrix24: a page that waits, then what a worker has found, and who may frame it."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from relay.configuration.sealing import Opener
from relay.core.faults import fault
from relay.core.ids import utc_now
from relay.store.portals.applications import InstallationState, OpeningState
from relay.store.portals.questions import Asked
from tests.support.frames import (
    ACCESS,
    DOMAIN,
    MEMBER,
    PUBLIC_KEY,
    REFRESH,
    SEAL_KEY,
    answer_opening,
    ask_again,
    installed,
    post_frame,
    show,
    token_in,
    with_application,
)


def policy_of(answer):
    """The directives of a page's policy."""
    return dict(one.strip().split(" ", 1) for one in answer.headers["Content-Security-Policy"].split(";"))


def test_what_a_frame_posts_is_sealed_for_the_workers_and_a_page_waits(frame, applications):
    answer = post_frame(frame)

    assert answer.status_code == 200
    assert "One moment" in answer.text
    opening_id, box = applications.take("main", utc_now())
    sent = json.loads(Opener.from_text(SEAL_KEY).open(box))
    assert (sent["AUTH_ID"], sent["REFRESH_ID"], sent["DOMAIN"], sent["member_id"]) == (ACCESS, REFRESH, DOMAIN, MEMBER)
    assert "SERVER_ENDPOINT" not in sent
    assert applications.opening(opening_id).state is OpeningState.ASKED


def test_no_page_holds_a_token_of_the_portal_or_asks_for_a_cookie(frame, applications):
    waiting = post_frame(frame)
    answer_opening(applications)
    shown = ask_again(frame, token_in(waiting))

    for page in (waiting, shown):
        assert ACCESS not in page.text + str(page.headers)
        assert REFRESH not in page.text + str(page.headers)
        assert "Set-Cookie" not in page.headers
        assert "X-Frame-Options" not in page.headers
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["Cache-Control"] == "no-store"
        assert "http" not in page.text.replace("http-equiv", "")  # nothing is loaded from elsewhere


def test_a_page_loads_nothing_but_what_a_proxy_lets_the_world_see(frame, applications):
    waiting = post_frame(frame)
    answer_opening(applications)

    for page in (waiting, ask_again(frame, token_in(waiting))):
        loaded = re.findall(r'(?:href|src|action)="([^"]+)"', page.text)
        assert loaded
        for path in loaded:
            assert path.startswith("/app/"), path
    for name in ("style.css", "event.css", "framed.css", "framed.js", "icons.svg"):
        answer = frame.get(f"/app/static/{name}", buffered=True)
        assert answer.data  # a file is read to its end
        assert "no-store" not in answer.headers.get("Cache-Control", "")


def test_a_page_asks_on_until_a_worker_has_answered(frame, applications):
    first = post_frame(frame)
    second = ask_again(frame, token_in(first))
    assert "One moment" in second.text

    answer_opening(applications)
    third = ask_again(frame, token_in(second))

    assert third.status_code == 200
    assert "Nothing has come for this deal yet" in third.text
    assert ask_again(frame, token_in(third)).status_code == 200  # it keeps itself fresh


def test_what_a_worker_refuses_is_said_in_words(frame, applications):
    answer = show(frame, applications, state=OpeningState.REFUSED, reason=fault("no_reason"), document=None)

    assert answer.status_code == 403
    assert "This cannot be shown" in answer.text
    assert 'name="token"' not in answer.text


@pytest.mark.parametrize(
    ("installation", "named", "around"),
    [
        (None, DOMAIN, f"https://{DOMAIN}"),
        (installed(), "evil.test", f"https://{DOMAIN}"),
        (installed(domain="renamed.bitrix24.com"), DOMAIN, "https://renamed.bitrix24.com"),
        (installed(client_id="local.0.1"), DOMAIN, f"https://{DOMAIN}"),
        (installed(domain="127.0.0.1:8090", endpoint="http://127.0.0.1:8090/rest/"), DOMAIN, "http://127.0.0.1:8090"),
    ],
    ids=["the browser's word", "the record", "renamed", "of an application of before", "the sandbox"],
)
def test_only_the_portals_own_pages_may_frame_a_page(frame, applications, installation, named, around):
    if installation:
        applications.bind("main", installation)

    for page in (post_frame(frame, query={"DOMAIN": named}), show(frame, applications, query={"DOMAIN": named})):
        assert policy_of(page)["frame-ancestors"] == around
        assert policy_of(page)["default-src"] == "'none'"
        assert "unsafe" not in page.headers["Content-Security-Policy"]


def test_a_portal_that_is_not_the_expected_one_can_read_that_it_waits(make_app, valkey, config, tmp_path, applications):
    folder = with_application(config, tmp_path, "    expect: other.bitrix24.com\n")
    frame = make_app(valkey, config=folder, seal_public_key=PUBLIC_KEY).test_client()
    reason = fault("opening_waits", domain=DOMAIN)

    answer = show(frame, applications, state=OpeningState.REFUSED, reason=reason, document=None)

    assert "an operator of the relay has to accept it first" in answer.text
    assert policy_of(answer)["frame-ancestors"] == f"https://{DOMAIN}"


def test_an_installation_that_waits_for_an_operator_frames_nothing_by_itself(frame, applications):
    applications.wait_for_operator("main", installed(domain="evil.test", state=InstallationState.WAITING))

    assert policy_of(post_frame(frame))["frame-ancestors"] == f"https://{DOMAIN}"


@pytest.mark.parametrize(
    ("language", "accepted", "words"),
    [
        ("ru", "en", "Минуту"),
        ("en", "ru", "One moment"),
        ("RU", "en", "Минуту"),
        ("kz", "ru", "Минуту"),
        ("xx", "de", "One moment"),
        ("", "ru", "Минуту"),
    ],
)
def test_a_page_speaks_the_language_of_its_user_else_that_of_the_browser(frame, language, accepted, words):
    answer = frame.post(
        "/app/main",
        query_string={"DOMAIN": DOMAIN, "LANG": language},
        data={"AUTH_ID": ACCESS, "REFRESH_ID": REFRESH, "member_id": MEMBER},
        headers={"Accept-Language": accepted},
    )

    assert words in answer.text
    assert answer.headers["Content-Language"] == ("ru" if words == "Минуту" else "en")


def test_a_card_keeps_the_language_in_which_it_was_opened(frame, applications):
    shown = show(frame, applications, query={"LANG": "ru"})

    assert "Для этой сделки ещё ничего не пришло" in shown.text


def test_bitrix24_and_a_person_who_look_whether_the_address_answers_are_told_what_it_is_for(frame):
    answer = frame.get("/app/main")

    assert answer.status_code == 200
    assert "handler of a local application" in answer.text
    assert policy_of(answer)["frame-ancestors"] == "'none'"


def test_a_process_without_the_workers_public_key_says_so_and_keeps_nothing(
    make_app, valkey, config, tmp_path, applications
):
    frame = make_app(valkey, config=with_application(config, tmp_path)).test_client()

    answer = post_frame(frame)

    assert answer.status_code == 501
    assert "no key for applications" in answer.text
    assert applications.take("main", utc_now()) is None


def test_the_applications_own_page_shows_the_portals_last_day_and_its_administrators_the_dashboard(frame, applications):
    user = show(frame, applications, placement="DEFAULT", document=None)
    administrator = show(frame, applications, placement="LEFT_MENU", document=None, is_admin=True)

    assert "The last day" in user.text
    assert "https://relay.example.com" not in user.text
    assert 'href="https://relay.example.com"' in administrator.text


def test_an_event_of_the_application_makes_a_worker_look_and_changes_nothing(frame, store):
    store.applications.bind("main", installed())

    answer = frame.post(
        "/app/main/events",
        data={"event": "ONAPPUNINSTALL", "data[CLEAN]": "1", "auth[member_id]": MEMBER, "auth[application_token]": "x"},
    )

    assert (answer.status_code, answer.text) == (200, "ok\n")
    question = store.questions.latest("main", Asked.APPLICATION)
    assert question is not None
    assert store.applications.installation("main").state is InstallationState.CONNECTED


def test_many_events_make_a_worker_look_once(frame, store):
    for _ in range(5):
        assert frame.post("/app/main/events", data={"event": "ONAPPINSTALL"}).status_code == 200
    assert store.questions.take("main") is not None
    assert store.questions.take("main") is None


def test_an_event_of_another_kind_makes_nobody_look(frame, store):
    assert frame.post("/app/main/events", data={"event": "ONCRMDEALADD"}).status_code == 200
    assert store.questions.take("main") is None


def test_an_opening_tells_who_waits_for_whom_only_once_it_is_answered(frame, applications):
    """Between two looks the record changes only by the turn that the page has used up."""
    waiting = post_frame(frame)
    opening_id, _ = applications.take("main", utc_now())
    before = applications.opening(opening_id)

    ask_again(frame, token_in(waiting))

    assert applications.opening(opening_id) == replace(before, turn=before.turn + 1)
