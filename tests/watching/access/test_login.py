"""Who may look: nobody without the password, and nobody from another site."""

from __future__ import annotations

import pytest

from relay.configuration.settings import Settings
from relay.core.errors import ConfigError
from tests.support.folders import WEB_SECRETS

PASSWORD = WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]
SAME = {"Origin": "http://localhost"}
OPEN = {
    "done.done",
    "dashboard.login",
    "dashboard.check_login",
    "dashboard.logout",
    "dashboard.choose_language",
    "ops.healthz",
    "ops.readyz",
    "ops.schema",
    "hooks.receive",
}


@pytest.fixture
def client(app):
    return app.test_client()


def log_in(client, password=PASSWORD, headers=SAME, **more):
    return client.post("/login", data={"password": password, **more}, headers=headers)


def is_inside(client):
    return client.get("/").status_code == 200


def addresses_of(app):
    """Every address of the application with its methods, with something in the place of each argument."""
    for rule in app.url_map.iter_rules():
        path = rule.rule
        for argument in rule.arguments:
            path = (
                path.replace(f"<{argument}>", "x").replace(f"<path:{argument}>", "x").replace(f"<int:{argument}>", "0")
            )
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            yield rule.endpoint, method, path


def test_every_page_leads_to_the_login_unless_it_is_meant_to_be_open(app, client):
    guarded = [
        entry
        for entry in addresses_of(app)
        if entry[0] not in OPEN | {"static"} and not entry[2].startswith(("/api/", "/app/"))
    ]
    assert {endpoint for endpoint, _, _ in guarded} >= {
        "dashboard.index",
        "dashboard.event",
        "dashboard.delivery",
        "dashboard.find",
    }

    for _, method, path in guarded:
        answer = client.open(path, method=method, headers=SAME)
        if answer.status_code == 308:  # an address with another form, which is asked for instead
            answer = client.get(answer.headers["Location"])
        if path.startswith("/metrics"):
            assert answer.status_code in {200, 401, 403}
            continue
        assert answer.status_code in {303, 401}, f"{method} {path}"
        if answer.status_code == 303:
            assert answer.headers["Location"].startswith("/login"), f"{method} {path}"
        assert "evt_" not in answer.text


def test_the_api_answers_nobody_without_its_token(app, client):
    for _, method, path in addresses_of(app):
        if path.startswith("/api/v1"):
            assert client.open(path, method=method).status_code == 401, f"{method} {path}"


def test_the_password_opens_the_dashboard_and_logging_out_closes_it(client):
    assert not is_inside(client)

    answer = log_in(client)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert is_inside(client)
    assert client.get("/login").status_code == 303
    assert client.post("/logout", headers=SAME).status_code == 303
    assert not is_inside(client)


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD + "x", PASSWORD[:-1], PASSWORD.upper(), "пароль", "\x00"])
def test_a_wrong_password_is_a_401_that_does_not_say_why(client, password):
    answer = log_in(client, password)

    assert answer.status_code == 401
    assert "That did not work" in answer.text
    assert PASSWORD not in answer.text
    assert not is_inside(client)


def test_no_password_at_all_is_a_wrong_one(client):
    assert client.post("/login", headers=SAME).status_code == 401


def test_after_many_wrong_tries_one_waits_and_is_told_for_how_long(client):
    for _ in range(5):
        log_in(client, "wrong")

    answer = log_in(client)

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert "Try again in 1 s" in answer.text


def test_behind_a_trusted_proxy_the_address_of_the_sender_counts(make_app, valkey):
    client = make_app(valkey, trusted_proxies=("127.0.0.0/8",)).test_client()
    for _ in range(5):
        log_in(client, "wrong", {**SAME, "X-Forwarded-For": "203.0.113.9"})

    assert log_in(client, headers={**SAME, "X-Forwarded-For": "203.0.113.9"}).status_code == 429
    assert log_in(client, headers={**SAME, "X-Forwarded-For": "203.0.113.10"}).status_code == 303


def test_a_forwarded_address_from_anybody_else_is_not_believed(client):
    for number in range(5):
        log_in(client, "wrong", {**SAME, "X-Forwarded-For": f"203.0.113.{number}"})

    assert log_in(client).status_code == 429


def test_a_session_ends_with_the_password_it_was_opened_with(make_app, valkey):
    before, after = (
        make_app(valkey).test_client(),
        make_app(valkey, dashboard_password="another-password").test_client(),
    )
    log_in(before)
    cookie = before.get_cookie("relay_session")
    assert cookie is not None

    after.set_cookie("relay_session", cookie.value)

    assert not is_inside(after)


def test_a_session_ends_with_the_key_it_was_signed_with(make_app, valkey):
    before, after = make_app(valkey).test_client(), make_app(valkey, secret_key="another-secret-key").test_client()
    log_in(before)

    after.set_cookie("relay_session", before.get_cookie("relay_session").value)

    assert not is_inside(after)


@pytest.mark.parametrize("cookie", ["", "x", "e30.x.x", "eyJlcG9jaCI6IjEifQ.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb"])
def test_a_made_up_session_is_none(client, cookie):
    client.set_cookie("relay_session", cookie)

    assert not is_inside(client)


@pytest.mark.parametrize(("public_url", "secure"), [(None, False), ("http://r.test", False), ("https://r.test", True)])
def test_the_cookie_is_for_this_site_and_no_script(make_app, valkey, public_url, secure):
    answer = log_in(make_app(valkey, public_url=public_url).test_client())

    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert ("Secure" in cookie) is secure
    assert PASSWORD not in cookie


@pytest.mark.parametrize("path", ["/login", "/logout"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "https://evil.test"},
        {"Origin": "http://localhost.evil.test"},
        {"Origin": "http://localhost:81"},
        {"Origin": "http://evil.test", "Referer": "http://localhost/"},
        {"Referer": "http://evil.test/localhost"},
        {"Referer": "http://localhost@evil.test/"},
    ],
)
def test_what_another_site_posts_is_refused(client, path, headers):
    log_in(client)

    assert client.post(path, data={"password": PASSWORD}, headers=headers).status_code == 403
    assert is_inside(client)


def test_a_referer_of_our_own_will_do_where_there_is_no_origin(client):
    assert log_in(client, headers={"Referer": "http://localhost/login"}).status_code == 303


@pytest.mark.parametrize("path", ["/", "/events?state=dead", "/events/evt_1", "/find?q=evt_1"])
def test_after_the_login_one_is_where_one_wanted_to_be(client, path):
    to_login = client.get(path).headers["Location"]
    form = client.get(to_login).text
    wanted = form.partition('name="next" value="')[2].partition('"')[0].replace("&amp;", "&")

    assert log_in(client, next=wanted).headers["Location"] == path


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.test/",
        "//evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "/\t/evil.test",
        "/\n/evil.test",
        "/\r\n/evil.test",
        "\t//evil.test",
        " //evil.test",
        "///evil.test",
        "javascript:alert(1)",
        "data:text/html,x",
        "evil.test",
        "",
    ],
)
def test_the_login_leads_to_no_other_site(client, target):
    assert log_in(client, next=target).headers["Location"] == "/"
    assert client.get("/login", query_string={"next": target}).headers["Location"] == "/"


def test_a_form_that_is_too_large_is_refused(client):
    answer = client.post("/login", data={"password": "x" * 100_000}, headers=SAME)

    assert answer.status_code == 413


def test_while_the_record_is_away_nobody_gets_in(make_app, own_valkey):
    client = make_app(own_valkey).test_client()
    own_valkey.kill()

    answer = log_in(client)

    assert answer.status_code == 503
    assert "Set-Cookie" not in answer.headers


def test_a_viewer_with_the_operators_password_would_be_an_operator(config):
    environ = {
        "REDIS_URL": "redis://h/0",
        "RELAY_CONFIG": str(config),
        **WEB_SECRETS,
        "RELAY_VIEWER_PASSWORD": PASSWORD,
    }

    with pytest.raises(ConfigError, match="RELAY_VIEWER_PASSWORD is the same as RELAY_DASHBOARD_PASSWORD"):
        Settings.from_environment(environ, web=True)
    assert Settings.from_environment(environ | {"RELAY_VIEWER_PASSWORD": "another-one"}, web=True).viewer_password
