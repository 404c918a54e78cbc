"""Secrets that `demo` and `up` make: only what is missing, kept, and for their owner's eyes only."""

from __future__ import annotations

import stat

import pytest

from relay.configuration.sealing import KEY, PUBLIC_KEY, Opener, Sealer
from relay.core.errors import ConfigError
from relay.runtime.secret_file import fill_in, source_secrets, tell_public_key


def test_missing_secrets_are_made_and_differ(tmp_path):
    environ = {}

    assert fill_in(environ, ["ONE", "TWO"], tmp_path / "secrets.env") == ["ONE", "TWO"]
    assert len(environ["ONE"]) >= 32
    assert environ["ONE"] != environ["TWO"]


def test_the_file_is_for_its_owner_only_and_so_is_its_folder(tmp_path):
    path = tmp_path / "var" / "secrets.env"

    fill_in({}, ["ONE"], path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["secrets.env"]


def test_secrets_are_kept_from_one_start_to_the_next(tmp_path):
    path, first, second = tmp_path / "secrets.env", {}, {}
    fill_in(first, ["ONE"], path)

    fill_in(second, ["ONE", "TWO"], path)

    assert second["ONE"] == first["ONE"]
    third = {}
    fill_in(third, ["ONE", "TWO"], path)
    assert third == second
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("given", [{"ONE": "mine"}, {"ONE_FILE": "somewhere"}])
def test_what_the_environment_has_is_left_alone_and_not_written_down(tmp_path, given):
    environ = dict(given)

    assert fill_in(environ, ["ONE"], tmp_path / "secrets.env") == []
    assert environ == given
    assert not (tmp_path / "secrets.env").exists()


def test_a_deleted_line_makes_a_new_secret_and_leaves_the_others(tmp_path):
    path, first, second = tmp_path / "secrets.env", {}, {}
    fill_in(first, ["ONE", "TWO"], path)
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "ONE" not in line))

    fill_in(second, ["ONE", "TWO"], path)

    assert second["ONE"] != first["ONE"]
    assert second["TWO"] == first["TWO"]


def test_the_web_process_is_given_the_half_of_the_workers_key_that_opens_nothing(tmp_path):
    first, second = {}, {}
    for environ in (first, second):
        fill_in(environ, [KEY], tmp_path / "secrets.env")
        tell_public_key(environ)

    assert first == second
    assert first[PUBLIC_KEY] != first[KEY]
    assert Opener.from_text(first[KEY]).open(Sealer.from_text(first[PUBLIC_KEY]).seal(b"x")) == b"x"


def test_a_public_key_of_the_operators_own_is_left_alone_and_a_wrong_key_is_not_shown():
    environ = {KEY: "wrong-key", PUBLIC_KEY: "of-the-operator"}
    tell_public_key(environ)
    assert environ[PUBLIC_KEY] == "of-the-operator"

    with pytest.raises(ConfigError) as refused:
        tell_public_key({KEY: "wrong-key"})
    assert "RELAY_SEAL_KEY is no key" in str(refused.value)
    assert "wrong-key" not in str(refused.value)


def test_the_secrets_of_sources_are_those_their_file_names(config):
    assert source_secrets(config / "sources.yaml")[:2] == ["SOURCE_WEBSITE_TOKEN", "SOURCE_GITHUB_SECRET"]


@pytest.mark.parametrize(
    "text", [None, "sources: [", "[]", "sources: 3", "sources: {a: 1}", "sources: {a: {verify: 1}}"]
)
def test_a_file_that_cannot_be_read_names_none_because_checking_comes_later(tmp_path, text):
    if text is not None:
        (tmp_path / "sources.yaml").write_text(text)

    assert source_secrets(tmp_path / "sources.yaml") == []


def test_only_secrets_that_can_be_made_up_are(tmp_path):
    """A sender that signs with a key of its own gives its public half; nobody can make that up."""
    profile = "verify: {kind: ed25519, header: X}\n"
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "keys.yaml").write_text(profile, "utf-8")
    (tmp_path / "profiles" / "text.yaml").write_text("verify: [{kind: token, query: t}]\n", "utf-8")
    (tmp_path / "sources.yaml").write_text(
        """sources:
  a: {verify: [{kind: token, header: X, secrets: [IN_A_LIST]}, {kind: ecdsa, header: Y, secrets: [PUBLIC]}]}
  b: {verify: {kind: hmac, header: X}, secrets: [BESIDE], verify_token: VERIFY, confirmation: GIVEN}
  c: {profile: keys, secrets: [OF_KEYS]}
  d: {profile: text, secrets: [OF_TEXT]}
  e: {verify: {kind: hmac, header: X, key: base64, secrets: [BYTES]}}
  f: {verify: {kind: basic, secrets: [NAME_AND_PASSWORD]}}
  g: {profile: nothing, secrets: [OF_NOTHING]}
""",
        "utf-8",
    )

    assert source_secrets(tmp_path / "sources.yaml") == ["IN_A_LIST", "BESIDE", "VERIFY", "OF_TEXT"]


def test_a_secret_that_is_kept_in_the_folder_is_not_made_a_second_time(tmp_path):
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "SOURCE_SHOP_SECRET").write_text("made by the page")
    environ = {"RELAY_SECRETS": str(folder)}

    assert fill_in(environ, ["SOURCE_SHOP_SECRET", "SOURCE_OTHER"], tmp_path / "secrets.env") == ["SOURCE_OTHER"]
    assert "SOURCE_SHOP_SECRET" not in environ
