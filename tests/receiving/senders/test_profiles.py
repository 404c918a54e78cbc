"""A profile is the whole contract of a sender: a source names it, its own keys win, and mistakes have a line."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime

import pytest
import yaml

from relay.cli.main import main
from relay.core.errors import ConfigError
from relay.sources import Webhook, load_sources
from relay.sources import loading as module
from tests.support.configs import write_config

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
PROFILE = {
    "title": "An own sender",
    "docs": ["https://sender.example.com/docs"],
    "steps": ["Enter {url}", "Copy the secret into {secret}"],
    "budget": "3s",
    "repeats": "no",
    "verify": {"kind": "hmac", "header": "X-Sign", "prefix": "sha256="},
    "probes": [{"when": "body.type == 'ping'", "answer": {"body": "{body.challenge}"}}],
    "methods": ["POST", "HEAD"],
    "dedup": {"from": "body.id", "window": "72h"},
    "on_invalid": "accept",
    "sample": {"body": {"id": 1}},
}
SOURCE = {"profile": "own", "secrets": ["SECRET"]}
ENVIRON = {"SECRET": "the-secret-of-the-test"}


@pytest.fixture
def load(tmp_path):
    """Makes the sources of a folder with these profiles."""

    def make(sources, profiles=None, environ=ENVIRON):
        folder = write_config(tmp_path / "config", sources, [], profiles or {"own": PROFILE})
        return load_sources(folder / "sources.yaml", environ)

    return make


def mistakes_of(load, *arguments, **options):
    with pytest.raises(ConfigError) as caught:
        load(*arguments, **options)
    return str(caught.value)


def test_a_source_is_received_as_its_profile_says(load):
    source = load({"one": SOURCE})["one"]
    signature = hmac.new(b"the-secret-of-the-test", b"{}", hashlib.sha256).hexdigest()

    assert source.verify(Webhook(headers={"X-Sign": f"sha256={signature}"}, body=b"{}"), NOW)
    assert (source.profile, source.methods, source.on_invalid) == ("own", ("POST", "HEAD"), "accept")
    assert source.dedup.window_s == 72 * 3600
    assert len(source.probes) == 1


@pytest.mark.parametrize(
    ("own", "check"),
    [
        ({"dedup": {"body": True}}, lambda one: one.dedup.whole_body and one.dedup.expression is None),
        ({"dedup": None}, lambda one: one.dedup is None),
        ({"probes": []}, lambda one: one.probes == ()),
        ({"methods": ["PUT"]}, lambda one: one.methods == ("PUT",)),
        ({"verify": {"kind": "none"}, "secrets": None}, lambda one: one.is_open),
        (
            {"verify": {"kind": "token", "header": "X-Token"}},
            lambda one: one.verifier.ways[0].place.header == "x-token",
        ),
        ({"answer": {"body": "ok"}}, lambda one: one.answer is not None),
        ({"each": "body.items"}, lambda one: one.each is not None),
        ({"max_body": "2KB", "double_click": "10s"}, lambda one: (one.max_body, one.double_click_s) == (2_000, 10.0)),
    ],
)
def test_each_key_of_the_source_replaces_the_profiles_as_a_whole(load, own, check):
    entry = {name: value for name, value in {**SOURCE, **own}.items() if not (name == "secrets" and value is None)}

    assert check(load({"one": entry})["one"])


def test_a_token_in_place_of_a_profiles_hmac_still_needs_its_secret(load):
    entry = {"profile": "own", "verify": {"kind": "token", "header": "X-Token"}}

    assert "sources.one.verify.secrets: missing: expected a list" in mistakes_of(load, {"one": entry})


SALTED = {
    **PROFILE,
    "steps": ["Copy {secret} and {secret:salt} to {url}"],
    "verify": {"kind": "hmac", "header": "X-Sign", "signed": "{body}{secret:salt}"},
    "sender_makes": ["secret", "salt"],
    "probes": [],
}


def test_a_profile_with_a_second_secret_names_it_in_its_steps_and_in_the_entry(load):
    entry = {"profile": "own", "secrets": ["SECRET"], "named": {"salt": "SALT"}}
    source = load({"one": entry}, {"own": SALTED}, {**ENVIRON, "SALT": "the-salt-of-the-test"})["one"]
    profile = module.Profile("own", None, {**SALTED, "verify": [{"kind": "hmac", "signed": source.verifier.signed}]})
    variables = profile.variables("a-shop")
    signed = hmac.new(b"the-secret-of-the-test", b"{}the-salt-of-the-test", hashlib.sha256).hexdigest()

    assert source.verify(Webhook(headers={"X-Sign": signed}, body=b"{}"), NOW)
    assert source.variables == {"secret": "SECRET", "salt": "SALT"}
    assert variables == {"secret": "SOURCE_A_SHOP_SECRET", "salt": "SOURCE_A_SHOP_SALT"}
    assert profile.value("a-shop") == (
        "{profile: own, secrets: [SOURCE_A_SHOP_SECRET], named: {salt: SOURCE_A_SHOP_SALT}}"
    )
    assert profile.filled_steps({"url": "U", **variables}) == ["Copy SOURCE_A_SHOP_SECRET and SOURCE_A_SHOP_SALT to U"]
    assert not profile.is_entered("salt")


def test_a_weak_second_secret_is_told_as_the_first_one_is(tmp_path):
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"sources": {"one": {"named": {"salt": "SALT"}}}}))

    (found,) = module.warn_of_secrets(tmp_path / "sources.yaml", {"SALT": "aaaa"})
    assert "SALT" in str(found)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"profile": "onw", "secrets": ["SECRET"]}, "sources.one.profile: unknown profile 'onw'; did you mean 'own'?"),
        ({"profile": "../own"}, "sources.one.profile: found '../own', expected the name of a profile"),
        ({"profile": "own"}, "sources.one.secrets: missing: expected a list of environment variables"),
        ({"profile": "own", "secrets": ["ABSENT"]}, "sources.one.secrets: ABSENT is not set (nor ABSENT_FILE)"),
        ({}, "sources.one.verify: missing: expected a map with kind"),
        ({**SOURCE, "verify_token": "SECRET"}, "sources.one.verify_token: nothing needs it"),
        ({"verify": {"kind": "none"}, "secrets": ["SECRET"]}, "sources.one.secrets: nothing needs them"),
        ({**SOURCE, "dedup": {"header": "X-Sign"}}, "dedup.header: this header is a secret and is not kept"),
        ({**SOURCE, "dedup": {"from": 'headers."x-api-key"'}}, "dedup.from: this header is a secret and is not kept"),
        ({**SOURCE, "dedup": {"from": "body.id && query.token"}}, "dedup.from: this query parameter is a secret"),
        ({**SOURCE, "verify": {"kind": "hmac", "header": "X", "signed": "{timestamp}{body}"}}, "or neither"),
        ({**SOURCE, "title": "x"}, "sources.one.title: unknown key"),
        ({**SOURCE, "probes": {"when": "body.a"}}, "probes: found a map, expected a list of probes"),
        ({**SOURCE, "probes": [{"when": "bdy.a", "answer": {}}]}, "probes.0.when: 'bdy' is not in an event"),
        ({**SOURCE, "probes": [{"when": "body.a"}]}, "probes.0.answer: "),
        (
            {**SOURCE, "probes": [{"when": "body.a", "answer": {}, "secret": "verify_token"}]},
            "secret and given together",
        ),
        ({**SOURCE, "probes": [{"when": "body.a", "answer": {}, "keeps": "body.a"}]}, "expected open: true"),
        ({**SOURCE, "each": "entry[]"}, "each: found 'entry[]', expected body, or a path such as body.events"),
        ({**SOURCE, "each": []}, "each: found a list, expected body, or a path"),
        ({**SOURCE, "double_click": "2h"}, "double_click: found '2h', expected"),
        ({**SOURCE, "answer": {"status": 500}}, "answer.status: found 500, expected a whole number from 200 to 299"),
    ],
)
def test_what_cannot_work_is_a_mistake_with_its_place(load, entry, expected):
    assert expected in mistakes_of(load, {"one": entry})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"verify": {"kind": "token", "header": "X", "secrets": ["A"]}},
            "own.yaml:{line}: verify.secrets: unknown key",
        ),
        ({"sender_makes": ["secret", "salt"]}, "sender_makes: found a list, expected a list of secret, confirmation"),
        ({"titel": "x"}, "titel: unknown key; did you mean 'title'?"),
        ({"docs": ["http://insecure.example.com"]}, "docs.0: found 'http://insecure.example.com', expected a list of"),
        ({"sample": None}, "sample: "),
        ({"sample": {"body": 1, "headers": {"A": "b\nc"}}}, "sample.headers.A.value: "),
        ({"dedup": {"header": "X-Api-Key"}}, "dedup.header: this header is a secret and is not kept"),
        ({"repeats": None}, "repeats: found nothing, expected in words how often"),
        ({"secrets": ["A"]}, "secrets: unknown key"),
    ],
)
def test_a_mistake_in_an_own_profile_has_its_file_and_line(load, changes, expected):
    text = mistakes_of(load, {"one": SOURCE}, {"own": {**PROFILE, **changes}})

    (line,) = [line for line in text.splitlines() if "own.yaml" in line]
    assert expected.partition("{line}: ")[2] in line if "{line}" in expected else expected in line


def test_every_own_profile_is_checked_whether_a_source_uses_it_or_not(load):
    text = mistakes_of(load, {"one": {"verify": {"kind": "none"}}}, {"own": {**PROFILE, "each": "entry"}})

    assert "own.yaml" in text


def test_a_profile_with_a_mistake_makes_no_further_mistakes_of_its_source(load):
    text = mistakes_of(load, {"one": SOURCE}, {"own": {**PROFILE, "on_invalid": "drop"}})

    assert len(text.splitlines()) == 1


def test_a_profile_says_which_secrets_its_sender_makes_as_its_steps_do():
    profiles, mistakes = module.Profiles(None), module.Mistakes()
    for name in profiles.names:
        profile = profiles.get(name, mistakes)
        steps = " ".join(profile.steps)
        steps = steps.replace("{secret:", "{")
        for secret in ("secret", *{"verify_token", "confirmation", *profile.named_secrets}):
            is_ours = f"the value of {{{secret}}}" in steps or "of your own. {secret} is both" in steps
            if f"{{{secret}}}" in steps:
                assert (secret in profile.sender_makes) is not is_ours, (name, secret)
            else:
                assert secret not in profile.sender_makes, (name, secret)


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder in place of the one with the shipped profiles."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "github.yaml").write_text(yaml.safe_dump({**PROFILE, "title": "GitHub"}), "utf-8")
    monkeypatch.setattr(module, "SHIPPED", folder)
    return folder


def test_a_shipped_name_is_not_the_operators_to_give(shipped, load):
    text = mistakes_of(load, {"one": SOURCE}, {"own": PROFILE, "github": PROFILE, "Not_A": PROFILE})

    assert "github.yaml: github is a shipped profile: expected another name" in text
    assert "'Not_A' is not a name of a profile" in text


def test_only_the_shipped_profiles_that_are_used_are_read(shipped, load):
    (shipped / "broken.yaml").write_text("title: [", "utf-8")

    assert load({"one": {"profile": "github", "secrets": ["SECRET"]}})["one"].profile == "github"


def test_rules_check_needs_no_secret_and_finds_what_is_wrong_with_profiles(capsys, tmp_path):
    sources = {"one": SOURCE, "key": {"verify": {"kind": "ed25519", "header": "X"}, "secrets": ["KEY"]}}
    folder = write_config(tmp_path / "config", sources, [], {"own": PROFILE})

    assert main(["rules", "check", str(folder)]) == 0
    (folder / "profiles" / "own.yaml").write_text(yaml.safe_dump({**PROFILE, "each": "x"}), "utf-8")
    assert main(["rules", "check", str(folder)]) == 1
    assert "own.yaml" in capsys.readouterr().out
