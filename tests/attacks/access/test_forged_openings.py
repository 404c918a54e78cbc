"""A forged frame of the application: a page in words and a line in the log; nothing is called, kept or changed."""

from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs

from relay.configuration.sealing import Opener
from relay.core.ids import utc_now
from relay.web.application.limits import EVENTS, OPENINGS, Limits, Pace
from tests.support.frames import (
    ACCESS,
    DEAL,
    DOMAIN,
    FIELDS,
    PUBLIC_KEY,
    QUERY,
    REFRESH,
    SEAL_KEY,
    answer_opening,
    ask_again,
    post_frame,
    show,
    token_in,
    with_application,
)
from tests.support.senders import dump, website


@pytest.fixture
def frame(inside):
    return inside.test_client(use_cookies=False)


@pytest.fixture
def applications(inside):
    return inside.extensions["services"].store.applications


def record_of(applications):
    """All keys, without those that the process keeps for itself."""
    return {
        key
        for key in applications._redis.scan_iter()
        if not key.startswith((b"relay:clock", b"relay:high-water", b"relay:lease"))
    }


@pytest.mark.parametrize(
    ("changes", "query", "status"),
    [
        ({"AUTH_ID": None}, {}, 400),
        ({"AUTH_ID": "", "REFRESH_ID": ""}, {}, 400),
        ({"REFRESH_ID": None}, {}, 400),
        ({"AUTH_ID": "<script>alert(1)</script>"}, {}, 400),
        ({"member_id": None}, {}, 400),
        ({"member_id": "../../x"}, {}, 400),
        ({}, {"DOMAIN": ""}, 400),
        ({}, {"DOMAIN": "acme.test; script-src *"}, 400),
        ({}, {"DOMAIN": "https://acme.test"}, 400),
        ({}, {"DOMAIN": "acme.test/path"}, 400),
        ({}, {"DOMAIN": "user@acme.test"}, 400),
        ({}, {"DOMAIN": "*.bitrix24.com"}, 400),
        ({"PLACEMENT_OPTIONS": "x" * 9_000}, {}, 413),
        ({"PLACEMENT_OPTIONS": "x" * 20_000}, {}, 413),
    ],
)
def test_a_form_that_is_none_of_bitrix24s_keeps_nothing_and_is_told_so_in_words(
    frame, applications, changes, query, status
):
    before = record_of(applications)

    answer = post_frame(frame, query=query, **changes)

    assert answer.status_code == status
    assert answer.mimetype == "text/html"
    assert "<h1>" in answer.text
    assert "script-src *" not in answer.headers["Content-Security-Policy"]
    assert "alert(1)" not in answer.text
    assert applications.take("main", utc_now()) is None
    assert record_of(applications) == before


@pytest.mark.parametrize("name", ["nobody", "other", "..%2fmain"])
def test_a_portal_that_is_not_ours_or_has_no_application_has_no_page(relay, frame, name):
    answer = post_frame(frame, name)

    assert answer.status_code == 404
    assert answer.mimetype == "text/html" or "main" in name
    assert "Set-Cookie" not in answer.headers


def test_the_servers_address_in_a_frame_is_not_even_kept(frame, applications):
    """A forger who names his own server there would get the application's secret at the next refresh."""
    post_frame(frame, SERVER_ENDPOINT="http://169.254.169.254/latest/", server_endpoint="http://10.0.0.1/")

    _id, box = applications.take("main", utc_now())
    sent = json.loads(Opener.from_text(SEAL_KEY).open(box))
    assert "169.254" not in json.dumps(sent)
    assert "10.0.0.1" not in json.dumps(sent)


def test_a_page_token_is_good_once(frame, applications, capsys):
    waiting = post_frame(frame)
    answer_opening(applications)
    token = token_in(waiting)
    assert ask_again(frame, token).status_code == 200

    again = ask_again(frame, token)

    assert again.status_code == 409
    assert "used already" in again.text
    assert "deal" not in again.text


def test_two_who_use_a_page_token_at_once_see_one_page(frame, applications):
    waiting = post_frame(frame)
    opening_id = answer_opening(applications)

    assert applications.turn(opening_id, 0)  # the other one got there first
    assert ask_again(frame, token_in(waiting)).status_code == 409


@pytest.mark.parametrize(
    "change",
    [
        lambda _token: "",
        lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
        lambda token: token.swapcase(),
        lambda token: "." + token,
        lambda _token: "WyJhIiwwLCJiIl0.aaaaaa.bbbbbb",
    ],
)
def test_a_page_token_that_we_have_not_signed_opens_nothing(frame, applications, change):
    waiting = post_frame(frame)
    answer_opening(applications)

    answer = ask_again(frame, change(token_in(waiting)))

    assert answer.status_code == 403
    assert "Nothing has come" not in answer.text
    assert ask_again(frame, token_in(waiting)).status_code == 200  # it was not used up by the forgery


def test_a_page_token_opens_nothing_at_another_portal(make_app, config, valkey, tmp_path, applications):
    folder = with_application(config, tmp_path / "two")
    portals = folder / "portals.yaml"
    portals.write_text(f"{portals.read_text('utf-8')}  second: {{plan: standard, application: local.0a.2}}\n", "utf-8")
    frame = make_app(valkey, config=folder, seal_public_key=PUBLIC_KEY).test_client()
    waiting = post_frame(frame)
    answer_opening(applications)

    assert ask_again(frame, token_in(waiting), portal="second").status_code == 403
    assert ask_again(frame, token_in(waiting)).status_code == 200


def test_a_session_of_the_dashboard_opens_no_card_and_a_card_no_dashboard(inside, applications):
    operator = inside.test_client()
    headers = {"Origin": "http://localhost", "Accept": "text/html"}
    operator.post("/login", data={"password": "dashboard-password-of-the-test"}, headers=headers)

    assert ask_again(operator, "").status_code == 403
    shown = show(inside.test_client(), applications, is_admin=True)
    assert inside.test_client().get("/events", headers=headers | {"Authorization": token_in(shown)}).status_code == 303


def test_the_document_of_a_page_is_the_workers_word_and_never_the_browsers(frame, applications):
    """Whatever id a frame posts, the page is of the document that the user may read."""
    order = {"form": "order", "id": 13, "number": 7, "buyer": "Ada"}
    frame.post("/hooks/website", data=dump(order), headers=website())
    waiting = post_frame(frame, PLACEMENT_OPTIONS='{"ID":"13"}')
    answer_opening(applications, document=DEAL)

    answer = frame.post("/app/main/page", data={"token": token_in(waiting), "ID": "13", "document": "DEAL_13"})

    assert "Nothing has come for this deal yet" in answer.text


def test_a_stranger_who_floods_the_address_waits_before_anything_is_kept(inside, applications):
    frame = inside.test_client()
    answers = [post_frame(frame, AUTH_ID=None) for _ in range(int(OPENINGS[0].burst) + 5)]

    assert answers[0].status_code == 400
    assert answers[-1].status_code == 429
    assert answers[-1].mimetype == "text/html"
    assert post_frame(frame).status_code == 429
    assert applications.take("main", utc_now()) is None
    other = inside.test_client()
    assert post_frame_from(other, "192.0.2.7").status_code == 200  # others go on


def post_frame_from(client, address):
    return client.post("/app/main", query_string=QUERY, data=FIELDS, environ_base={"REMOTE_ADDR": address})


def test_more_openings_than_workers_answer_are_refused_in_words(inside, applications):
    frame = inside.test_client()
    statuses = [post_frame_from(frame, f"192.0.2.{number}").status_code for number in range(1, 60)]

    assert statuses[0] == 200
    assert statuses[-1] == 429
    assert statuses.count(200) == 50


def test_events_that_flood_in_are_answered_and_cost_nothing(inside):
    client = inside.test_client()
    answers = [client.post("/app/main/events", data={"event": "ONAPPTEST"}) for _ in range(int(EVENTS[0].burst) + 2)]

    assert {answer.status_code for answer in answers} == {200, 429}


def test_an_event_that_is_too_large_or_no_form_is_not_read(frame):
    assert frame.post("/app/main/events", data={"event": "x" * 20_000}).status_code == 413
    assert frame.post("/app/main/events", json={"event": "ONAPPUNINSTALL"}).status_code == 400


def test_addresses_that_are_forgotten_give_no_room_to_all_together():
    now = [0.0]
    limits = Limits((Pace(1, 0.1), Pace(5, 1.0)), clock=lambda: now[0])

    assert [limits.admit(f"192.0.2.{number}") for number in range(8)] == [True] * 5 + [False] * 3
    assert not limits.admit("192.0.2.0")
    now[0] = 20.0
    assert limits.admit("192.0.2.0")


def test_a_forged_opening_is_in_the_log_without_what_it_has_posted(frame):
    with capture_logs() as lines:
        post_frame(frame, member_id="x" * 65)

    said = str(lines)
    assert "opening.malformed" in said
    assert "without_member_id" in said
    for posted in (ACCESS, REFRESH, DOMAIN, "x" * 65):
        assert posted not in said
