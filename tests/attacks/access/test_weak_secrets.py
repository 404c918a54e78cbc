"""A relay with a secret that can be guessed, or that opens two doors, does not start, and says all that is wrong."""

from __future__ import annotations

import os
from itertools import combinations

import pytest

from relay.cli.main import main
from relay.configuration.settings import Settings
from relay.core.errors import ConfigError
from relay.runtime.secret_file import WEB_SECRETS, fill_in
from relay.runtime.up import WEB_ONLY
from relay.sources.loading import warn_of_secrets

SHORTEST = {
    "RELAY_API_TOKEN": 20,
    "RELAY_API_READ_TOKEN": 20,
    "RELAY_METRICS_TOKEN": 20,
    "RELAY_DASHBOARD_PASSWORD": 10,
    "RELAY_VIEWER_PASSWORD": 10,
    "RELAY_SECRET_KEY": 32,
}
STRONG = {name: f"{name.lower()}, and 32 characters more for the test" for name in SHORTEST}


def mistakes_of(tmp_path, secrets):
    environ = {"REDIS_URL": "unix:///s", "RELAY_CONFIG": str(tmp_path), **secrets}
    try:
        Settings.from_environment(environ, web=True)
    except ConfigError as error:
        return [mistake.text for mistake in error.mistakes]
    return []


def test_six_strong_secrets_start(tmp_path):
    assert mistakes_of(tmp_path, STRONG) == []


@pytest.mark.parametrize(("name", "length"), SHORTEST.items())
def test_a_short_secret_does_not_start(tmp_path, name, length):
    text = "abcdefghijklmnopqrstuvwxyz0123456789"
    for weak in ("a", text[: length - 1], "a" * 64, "abcde" * 10):
        (mistake,) = mistakes_of(tmp_path, STRONG | {name: weak})
        assert mistake.startswith(f"{name} is too weak: expected at least {length} characters")
        assert weak == "a" or weak not in mistake
    assert mistakes_of(tmp_path, STRONG | {name: text[:length]}) == []


@pytest.mark.parametrize(("one", "other"), list(combinations(SHORTEST, 2)))
def test_the_same_secret_does_not_open_two_doors(tmp_path, one, other):
    same = "the same for both, and long enough"
    (mistake,) = mistakes_of(tmp_path, STRONG | {one: same, other: same})

    assert " is the same as " in mistake
    assert one in mistake
    assert other in mistake
    assert same not in mistake


def test_no_mistake_hides_another(tmp_path):
    assert len(mistakes_of(tmp_path, dict.fromkeys(SHORTEST, "a"))) == 6 + 5


def test_what_the_relay_makes_by_itself_is_strong_enough(tmp_path):
    made: dict[str, str] = {}
    fill_in(made, WEB_SECRETS, tmp_path / "secrets.env")

    assert mistakes_of(tmp_path, made) == []


def test_the_workers_are_given_no_secret_of_the_web():
    assert [name for name in SHORTEST if not name.startswith(WEB_ONLY)] == []


SOURCES = """sources:
  short:
    profile: github
    secrets: [SOURCE_SHORT_SECRET, SOURCE_STRONG_SECRET]
  worded:
    verify: [{kind: basic, secrets: [SOURCE_WORDED_LOGIN]}]
    dedup: {body: true}
  row:
    profile: github
    secrets: [SOURCE_ROW_SECRET]
    verify_token: SOURCE_ROW_WORD
  same:
    profile: github
    secrets: [SOURCE_SAME_SECRET]
  unset:
    profile: github
    secrets: [SOURCE_UNSET_SECRET]
"""
BELIEVED = "what is captured of one source is believed by the other"
SENDERS = {
    "SOURCE_SHORT_SECRET": "x",
    "SOURCE_STRONG_SECRET": "a secret that nobody guesses",
    "SOURCE_WORDED_LOGIN": "a-long-name-of-somebody:1234",
    "SOURCE_ROW_SECRET": "aaaaaaaaaaaaaaaaaaaaaaaa",
    "SOURCE_ROW_WORD": "short",
    "SOURCE_SAME_SECRET": "a secret that nobody guesses",
}


def test_a_senders_secret_that_can_be_guessed_is_not_taken_without_a_word(tmp_path, monkeypatch, capsys):
    for name, secret in SENDERS.items():
        monkeypatch.setenv(name, secret)
    file = tmp_path / "sources.yaml"
    file.write_text(SOURCES)

    warnings = [str(warning).removeprefix(f"{file}:") for warning in warn_of_secrets(file, os.environ)]

    expected = "is easily guessed: expected at least 12 characters, of which 6 differ"
    assert warnings == [
        f"4: SOURCE_SHORT_SECRET {expected}",
        f"6: SOURCE_WORDED_LOGIN {expected}",
        f"10: SOURCE_ROW_SECRET {expected}",
        f"11: SOURCE_ROW_WORD {expected}",
        "14: SOURCE_SAME_SECRET is the same as SOURCE_STRONG_SECRET: " + BELIEVED,
    ]
    main(["rules", "check", str(tmp_path)])
    said = capsys.readouterr()
    assert [line.removeprefix(f"warning: {file}:") for line in said.err.splitlines()] == warnings
    assert not [secret for secret in SENDERS.values() if len(secret) > 5 and secret in said.out + said.err]


@pytest.mark.parametrize("text", ["", "[", "sources: 1", "sources: {a: 1}", "sources: {a: {secrets: [1, {b: c}]}}"])
def test_what_is_no_table_of_sources_has_no_warnings(tmp_path, text):
    (tmp_path / "sources.yaml").write_text(text)

    assert warn_of_secrets(tmp_path / "sources.yaml", {"SOURCE": "x"}) == []
