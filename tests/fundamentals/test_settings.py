"""Settings: every mistake at once, secrets from files, and never a secret in print."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.configuration.settings import Settings, names_a_record, read_secret
from relay.core.errors import ConfigError
from relay.health.assessment import load_thresholds
from relay.operations.configure import load_all
from tests.support.folders import SECRETS, copy_config

WEB = ("RELAY_API_TOKEN", "RELAY_DASHBOARD_PASSWORD", "RELAY_SECRET_KEY")


@pytest.fixture
def environ(tmp_path):
    return {
        "REDIS_URL": "redis://127.0.0.1:6379/0",
        "RELAY_CONFIG": str(tmp_path),
        **{name: f"the-{name.lower()}-of-this-test" for name in WEB},
    }


def mistakes_of(environ, *, web=True):
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment(environ, web=web)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_a_good_environment_becomes_settings_with_the_documented_defaults(environ, tmp_path):
    settings = Settings.from_environment(environ, web=True)

    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert (settings.public_url, settings.trusted_proxies) == (None, ())
    assert (settings.retention_days, settings.body_days, settings.archive) == (90, None, None)
    assert settings.config == tmp_path
    assert settings.replicas == 0
    assert settings.api_token == "the-relay_api_token-of-this-test"


def test_every_setting_may_be_given_in_the_environment(environ):
    settings = Settings.from_environment(
        environ
        | {
            "RELAY_HOST": "0.0.0.0",
            "RELAY_PORT": "0",
            "RELAY_PUBLIC_URL": "https://relay.example.com/",
            "RELAY_TRUSTED_PROXIES": "10.0.0.0/8, ::1",
            "RELAY_SIGN_IN_HEADER": "X-Forwarded-User",
            "RELAY_OPERATORS": "ann@example.com, bob,",
            "RELAY_RETENTION_DAYS": "30",
            "RELAY_BODY_DAYS": "30",
            "RELAY_ARCHIVE": "no/such/folder/yet",
            "RELAY_REPLICAS": "1",
            "RELAY_STATE": "/somewhere",
            "RELAY_SPOOL_MB": "5",
        },
        web=True,
    )

    assert (settings.host, settings.port) == ("0.0.0.0", 0)
    assert settings.public_url == "https://relay.example.com"
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1")
    assert (settings.retention_days, settings.body_days) == (30, 30)
    assert settings.archive == Path("no/such/folder/yet")
    assert settings.sign_in_header == "X-Forwarded-User"
    assert settings.operators == ("ann@example.com", "bob")
    assert settings.replicas == 1
    assert (settings.state, settings.spool_mb) == (Path("/somewhere"), 5)


@pytest.mark.parametrize(
    "url", ["redis://h/0", "rediss://h/0", "unix:///s", "redis+sentinel://a,b/m", "rediss+sentinel://a/m"]
)
def test_the_record_is_reached_by_an_address_of_any_known_scheme(environ, url):
    assert Settings.from_environment(environ | {"REDIS_URL": url}).redis_url == url


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("REDIS_URL", "", "REDIS_URL is not set (nor REDIS_URL_FILE)"),
        ("REDIS_URL", "127.0.0.1:6379", "REDIS_URL has an unknown scheme"),
        ("REDIS_URL", "http://127.0.0.1", "REDIS_URL has an unknown scheme"),
        ("RELAY_CONFIG", "no/such/folder", "expected a folder that exists"),
        ("RELAY_PORT", "65536", "expected a port from 0 to 65535"),
        ("RELAY_PORT", "-1", "expected a port"),
        ("RELAY_PORT", "eighty", "expected a port"),
        ("RELAY_PORT", "\uff18\uff10", "expected a port"),
        ("RELAY_REPLICAS", "-1", "expected a number from 0 to 5"),
        ("RELAY_REPLICAS", "all", "expected a number from 0 to 5"),
        ("RELAY_PUBLIC_URL", "relay.example.com", "expected an address such as https://"),
        ("RELAY_PUBLIC_URL", "ftp://relay.example.com", "expected an address such as https://"),
        ("RELAY_PUBLIC_URL", "https://", "expected an address such as https://"),
        ("RELAY_TRUSTED_PROXIES", "10.0.0.1/8", "expected addresses or networks"),
        ("RELAY_TRUSTED_PROXIES", "proxy", "expected addresses or networks"),
        ("RELAY_SIGN_IN_HEADER", "X User", "expected the name of a header"),
        ("RELAY_SIGN_IN_HEADER", "X-User", "nobody's header would be believed"),
        ("RELAY_RETENTION_DAYS", "0", "expected a number of days from 1 to 9999"),
        ("RELAY_BODY_DAYS", "0", "RELAY_BODY_DAYS is '0': expected a number of days"),
        ("RELAY_BODY_DAYS", "-1", "expected a number of days"),
        ("RELAY_BODY_DAYS", "a month", "expected a number of days"),
        ("RELAY_BODY_DAYS", "91", "expected no more, for the whole event is kept for RELAY_RETENTION_DAYS, 90"),
        ("RELAY_ARCHIVE", __file__, "expected a folder, which is made where it does not exist"),
        ("RELAY_API_TOKEN", "", "RELAY_API_TOKEN is not set (or RELAY_API_TOKEN_FILE)"),
        ("RELAY_DASHBOARD_PASSWORD", "", "RELAY_DASHBOARD_PASSWORD is not set"),
        ("RELAY_SECRET_KEY", "", "RELAY_SECRET_KEY is not set"),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(environ, name, value, words):
    (mistake,) = mistakes_of(environ | {name: value})

    assert mistake.startswith("environment: ")
    assert words in mistake


def test_all_mistakes_are_reported_together():
    mistakes = mistakes_of({"RELAY_CONFIG": "nowhere", "RELAY_PORT": "x", "RELAY_PUBLIC_URL": "x"})

    assert len(mistakes) == 7
    for name in ("REDIS_URL", "RELAY_CONFIG", "RELAY_PORT", "RELAY_PUBLIC_URL", *WEB):
        assert any(name in mistake for mistake in mistakes)


def test_processes_other_than_the_web_need_none_of_its_secrets(environ):
    for name in WEB:
        del environ[name]

    assert Settings.from_environment(environ).api_token is None


def test_a_secret_may_come_from_a_file(environ, tmp_path):
    (tmp_path / "token").write_text("a-token-from-this-file\n", "utf-8")
    del environ["RELAY_API_TOKEN"]

    settings = Settings.from_environment(environ | {"RELAY_API_TOKEN_FILE": str(tmp_path / "token")}, web=True)

    assert settings.api_token == "a-token-from-this-file"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "RELAY_API_TOKEN_FILE cannot be read: FileNotFoundError"),
        (b"\xff\xfe secret", "RELAY_API_TOKEN_FILE cannot be read: UnicodeDecodeError"),
        (b" \n", "RELAY_API_TOKEN is not set"),
    ],
)
def test_a_file_without_a_usable_secret_is_a_mistake_that_shows_nothing_of_it(environ, tmp_path, content, words):
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    del environ["RELAY_API_TOKEN"]

    (mistake,) = mistakes_of(environ | {"RELAY_API_TOKEN_FILE": str(tmp_path / "token")})

    assert words in mistake
    assert "secret" not in mistake


def test_a_secret_given_twice_is_a_mistake(environ, tmp_path):
    (tmp_path / "token").write_text("another-token", "utf-8")

    (mistake,) = mistakes_of(environ | {"RELAY_API_TOKEN_FILE": str(tmp_path / "token")})

    assert "RELAY_API_TOKEN and RELAY_API_TOKEN_FILE are both set: keep one" in mistake


def test_no_secret_is_ever_printed(environ):
    settings = Settings.from_environment(environ | {"REDIS_URL": "redis://:the-password@h/0"}, web=True)

    assert not [word for word in ("the-password", "the-relay") if word in repr(settings)]


def test_no_secret_is_in_the_text_of_a_mistake(environ):
    mistakes = "\n".join(mistakes_of(environ | {"REDIS_URL": "http://:hidden@h", "RELAY_API_TOKEN": "hidden"}))

    assert "hidden" not in mistakes


def test_an_unset_secret_is_none():
    assert read_secret({}, "X") is None
    assert read_secret({"X": ""}, "X") is None


def test_the_address_of_the_record_may_be_a_file_for_it_may_hold_a_password(tmp_path):
    file = tmp_path / "url"
    file.write_text("redis://web:secret@redis:6379/0\n", "utf-8")
    environ = {"REDIS_URL_FILE": str(file), "RELAY_CONFIG": str(tmp_path)}

    assert Settings.from_environment(environ).redis_url == "redis://web:secret@redis:6379/0"
    assert names_a_record(environ)
    assert not names_a_record({"RELAY_CONFIG": "config"})
    with pytest.raises(ConfigError, match="REDIS_URL and REDIS_URL_FILE are both set") as caught:
        Settings.from_environment(environ | {"REDIS_URL": "redis://a"})
    assert len(caught.value.mistakes) == 2


@pytest.mark.parametrize("name", [*WEB, "RELAY_API_READ_TOKEN", "RELAY_VIEWER_PASSWORD", "RELAY_METRICS_TOKEN"])
def test_a_process_that_is_not_the_web_needs_no_access_to_its_secret_files(environ, tmp_path, name):
    shared = {key: value for key, value in environ.items() if key not in WEB}
    shared |= {f"{name}_FILE": str(tmp_path / "of-the-web-alone")}

    assert Settings.from_environment(shared).redis_url == environ["REDIS_URL"]
    assert any(f"{name}_FILE cannot be read" in one for one in mistakes_of(shared))


def test_the_web_process_needs_no_access_to_secret_files_of_the_workers(environ, tmp_path):
    there = copy_config(tmp_path)
    of_workers = {"PORTAL_MAIN_WEBHOOK_URL_FILE": "/nobody/may/read", "ALERT_URL_FILE": "/nobody/may/read"}
    (there / "alerts.yaml").write_text("webhooks: {a: {url: ALERT_URL, secret: ALERT_URL}}\n", "utf-8")

    settings, config = load_all(environ | SECRETS | of_workers | {"RELAY_CONFIG": str(there)})

    assert config.portals
    assert load_thresholds(settings.config)


def test_a_terminal_searches_with_the_key_of_the_web_where_it_may_read_it(environ, tmp_path):
    (tmp_path / "key").write_text(environ.pop("RELAY_SECRET_KEY") + ", which is long\n", "utf-8")

    settings = Settings.from_environment(environ | {"RELAY_SECRET_KEY_FILE": str(tmp_path / "key")})

    assert settings.secret_key == "the-relay_secret_key-of-this-test, which is long"
    assert settings.api_token is None
