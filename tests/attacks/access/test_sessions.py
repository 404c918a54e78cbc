"""Sessions end: at logging out, after a time without use, after a time at all, and when somebody ends them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from relay.store.operators import sessions
from relay.store.operators.audit_log import read_acts
from relay.store.redis import keys
from relay.web import auth
from tests.support.folders import WEB_SECRETS
from tests.watching.conftest import SAME, enter

PASSWORD = WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]
VIEWER = "viewer-password-of-the-test"
HOUR = timedelta(hours=1)


@pytest.fixture
def clock(monkeypatch):
    """Moves the time that sessions are judged by."""

    def move(by):
        now = auth.utc_now()
        monkeypatch.setattr(auth, "utc_now", lambda: now + by)

    return move


def is_inside(client):
    return client.get("/events").status_code == 200


def copy_of(app, client):
    copied = app.test_client()
    copied.set_cookie("relay_session", client.get_cookie("relay_session").value)
    assert is_inside(copied)
    return copied


def test_a_cookie_that_was_copied_does_not_outlive_the_logout(app):
    client = enter(app, PASSWORD)
    thief = copy_of(app, client)

    client.post("/logout", headers=SAME)

    assert not is_inside(thief)


def test_a_session_does_not_last_for_ever_however_much_it_is_used(app, clock):
    client = enter(app, PASSWORD)

    clock(sessions.LONGEST - HOUR)
    assert is_inside(client)
    clock(2 * HOUR)

    assert not is_inside(client)


def test_a_session_nobody_uses_does_not_stay_open(app, redis):
    client = enter(app, PASSWORD)
    (key,) = redis.keys(keys.SESSION + "*")
    assert 0 < redis.pttl(key) <= sessions.IDLE.total_seconds() * 1000
    redis.pexpire(key, HOUR)

    for path in ("/", "/events"):
        client.get(path, headers={"X-Background": "1"})
        assert redis.pttl(key) <= 3_600_000, "a page that keeps itself fresh is no person"
    client.get("/events")

    assert redis.pttl(key) > 3_600_000


def test_what_the_record_keeps_opens_no_session(app, redis):
    client = enter(app, PASSWORD)
    (key,) = redis.keys(keys.SESSION + "*")
    kept = str(redis.hgetall(key)) + key.decode()

    with client.session_transaction() as session:
        assert session["id"] not in kept
        session["id"] = key.decode().removeprefix(keys.SESSION)

    assert PASSWORD not in kept
    assert not is_inside(client)


def test_a_session_that_another_one_ends_is_over_and_no_other_is(app, redis):
    lost, kept = enter(app, PASSWORD), enter(app, PASSWORD)
    page = kept.get("/sessions").text
    (digest,) = [part.partition('"')[0] for part in page.split('name="session" value="')[1:]]

    assert kept.post("/sessions/end", data={"session": digest}, headers=SAME).status_code == 303

    assert not is_inside(lost)
    assert is_inside(kept)
    ((what, said),) = [(act.what, act.said) for act in read_acts(redis)]
    assert what == "end a session"
    assert re.fullmatch(r"operator, opened \d{4}-\d\d-\d\d \d\d:\d\d UTC", said)


def test_a_login_is_no_act_and_the_page_of_sessions_says_who_is_in(app, redis):
    entered = enter(app, PASSWORD)

    assert read_acts(redis) == []
    assert "this one" in entered.get("/sessions").text


def test_all_others_are_ended_at_once(app, redis):
    others, mine = [enter(app, PASSWORD), enter(app, VIEWER)], enter(app, PASSWORD)

    assert mine.post("/sessions/end", headers=SAME).status_code == 303

    assert not any(is_inside(other) for other in others)
    assert is_inside(mine)
    assert [act.what for act in read_acts(redis)] == ["end all other sessions"]


def test_a_viewer_sees_and_ends_nobody_elses_session(app):
    operator, viewer = enter(app, PASSWORD), enter(app, VIEWER)

    assert 'name="session"' not in viewer.get("/sessions").text
    assert viewer.post("/sessions/end", headers=SAME).status_code == 403
    assert is_inside(operator)


def test_the_record_does_not_fill_with_sessions(app, redis, monkeypatch):
    monkeypatch.setattr(sessions, "MOST", 3)
    operator = enter(app, PASSWORD)
    first, *_ = [enter(app, VIEWER) for _ in range(5)]

    assert len(redis.keys(keys.SESSION + "*")) == 4
    assert redis.zcard(keys.SESSIONS + "viewer") == 3
    assert not is_inside(first)
    assert is_inside(operator), "a viewer pushes out no operator"


def test_who_logs_in_again_leaves_no_session_behind(app, redis):
    client = enter(app, VIEWER)
    client.post("/login", data={"password": PASSWORD}, headers=SAME)

    assert len(redis.keys(keys.SESSION + "*")) == 1
