"""Guessing is slow from one address and from many, and keeps out nobody who has been in before."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay.store.redis import keys
from relay.web import auth
from relay.web.auth import Role
from tests.support.folders import WEB_SECRETS
from tests.watching.conftest import SAME

PASSWORD = WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]
TOKEN = WEB_SECRETS["RELAY_API_TOKEN"]
VIEWER = "viewer-password-of-the-test"


@pytest.fixture
def clock(monkeypatch):
    """The time that tries are judged by; it stands still until it is moved."""

    class Clock:
        now = auth.utc_now()

        def move(self, seconds):
            self.now += timedelta(seconds=seconds)

    found = Clock()
    monkeypatch.setattr(auth, "utc_now", lambda: found.now)
    return found


@pytest.fixture
def looked_at(app, monkeypatch):
    """Counts the passwords that are looked at."""
    seen = []
    compare = auth.hmac.compare_digest

    def count(given, known):
        seen.append(given)
        return compare(given, known)

    monkeypatch.setattr("relay.web.auth.hmac.compare_digest", count)
    return lambda: len([given for given in seen if given.startswith(b"guess")]) // len(Role)


def log_in(client, password, address="203.0.113.9"):
    form, peer = {"password": password}, {"REMOTE_ADDR": address}
    return client.post("/login", data=form, headers=SAME, environ_overrides=peer)


def ask(app, token, address="203.0.113.9"):
    headers, peer = {"Authorization": f"Bearer {token}"}, {"REMOTE_ADDR": address}
    return app.test_client().get("/api/v1/portals", headers=headers, environ_overrides=peer)


def test_from_many_addresses_guessing_is_not_free(app, clock, looked_at):
    answers = [log_in(app.test_client(), f"guess{n}", f"198.51.{n // 250}.{n % 250}") for n in range(500)]

    assert looked_at() <= 30
    assert {answer.status_code for answer in answers} == {401, 429}
    assert int(answers[-1].headers["Retry-After"]) >= 1
    for _ in range(60):
        clock.move(60)
        for n in range(5):
            log_in(app.test_client(), f"guess{n}", f"192.0.2.{n}")
    assert looked_at() <= 30 + 60


def test_from_one_address_each_guess_waits_longer_than_the_last(app, clock):
    client, waits = app.test_client(), []
    for _ in range(12):
        while (answer := log_in(client, "guess")).status_code == 429:
            waits.append(int(answer.headers["Retry-After"]))
            clock.move(waits[-1])

    assert waits == [1, 2, 4, 8, 16, 32, 60]


def test_an_ipv6_customer_does_not_guess_from_as_many_addresses_as_it_has(app, clock, looked_at):
    for n in range(20):
        log_in(app.test_client(), "guess", f"2001:db8::{n:x}")

    assert looked_at() == 5


def test_nobody_is_locked_out_by_who_guesses_at_the_same_address(app, clock):
    colleague = app.test_client()
    assert log_in(colleague, PASSWORD).status_code == 303
    for _ in range(50):
        log_in(app.test_client(), "guess")

    assert log_in(colleague, PASSWORD).status_code == 303, "who was in before"
    stranger = app.test_client()
    wait = int(log_in(stranger, PASSWORD).headers["Retry-After"])
    assert wait <= 60
    clock.move(wait)
    assert log_in(stranger, PASSWORD).status_code == 303, "who was not"


def test_nobody_who_was_in_before_is_kept_out_by_the_guesses_of_the_whole_world(app, clock):
    known = app.test_client()
    assert log_in(known, PASSWORD).status_code == 303
    for n in range(100):
        log_in(app.test_client(), "guess", f"198.51.100.{n}")
    assert log_in(app.test_client(), PASSWORD, "192.0.2.1").status_code == 429

    assert log_in(known, PASSWORD, "192.0.2.2").status_code == 303


def test_a_right_password_does_not_count(app, clock):
    for _ in range(100):
        assert log_in(app.test_client(), PASSWORD).status_code == 303


def test_a_known_browser_does_not_guess_for_free(app, clock, looked_at):
    client = app.test_client()
    log_in(client, VIEWER)

    for n in range(200):
        log_in(client, f"guess{n}", f"198.51.100.{n}")

    # As a stranger 30 times before both passwords, and 10 times before the viewer's, which it knows.
    assert looked_at() <= 30 + 5


def test_a_viewers_browser_is_no_way_to_the_operators_password(app, clock):
    browsers = [app.test_client() for _ in range(20)]
    for browser in browsers:
        assert log_in(browser, VIEWER).status_code == 303
    for n in range(100):
        log_in(app.test_client(), "guess", f"198.51.100.{n}")

    assert [log_in(one, PASSWORD, f"192.0.2.{n}").status_code for n, one in enumerate(browsers)] == [429] * 20


@pytest.mark.parametrize("cookie", ["", "x", "WyJvcGVyYXRvciIsICJ4Il0.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb", "e30"])
def test_a_made_up_cookie_makes_no_browser_known(app, clock, cookie):
    client = app.test_client()
    for _ in range(10):
        log_in(client, "guess")
    client.set_cookie("relay_known", cookie, path="/login")

    assert log_in(client, PASSWORD).status_code == 429


def test_guessing_tokens_of_the_api_is_not_free_and_stops_no_program(app, clock, redis):
    answers = [ask(app, f"guess{n}", f"198.51.{n // 250}.{n % 250}") for n in range(300)]

    assert [answer.status_code for answer in answers].count(401) <= 30
    assert answers[-1].content_type == "application/problem+json"
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert len(redis.keys(keys.TRIES + "*")) <= 31, "each address of the world a key would fill the record"
    assert ask(app, TOKEN, "198.51.0.0").status_code == 200


def test_no_address_and_no_password_is_kept(app, redis):
    log_in(app.test_client(), "guess")

    kept = "".join(f"{key}{redis.hgetall(key)}{redis.ttl(key)}" for key in redis.keys(keys.TRIES + "*"))
    assert "203.0.113.9" not in kept
    assert "guess" not in kept
    assert all(0 < redis.ttl(key) <= 3600 for key in redis.keys(keys.TRIES + "*"))
