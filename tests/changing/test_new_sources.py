"""A source is added from a profile in the browser, and its secret changed, without a restart and without a gap."""

from __future__ import annotations

import errno
import os
import re
import threading
from functools import partial

import pytest

from relay.configuration.files import FileWatch, Mistakes
from relay.configuration.settings import read_secret
from relay.core.errors import ConfigError
from relay.operations.config_files import ConfigFiles
from relay.operations.operator_acts import RefusedError
from relay.sources.loading import Profiles
from relay.store import Store
from relay.web.app import put_in_force
from relay.web.services import services_of
from tests.support.folders import SECRETS, WEB_SECRETS, copy_config
from tests.support.pages import SAME, Page, ask, press

PROFILES = Profiles(None)


@pytest.fixture
def secrets(tmp_path, monkeypatch):
    """The web process's own folder of RELAY_SECRETS."""
    folder = tmp_path / "secrets" / "web"
    folder.mkdir(mode=0o700, parents=True)
    monkeypatch.setenv("RELAY_SECRETS", str(folder.parent))
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def folder(tmp_path):
    return copy_config(tmp_path)


@pytest.fixture
def app(make_app, valkey, folder, secrets):
    return make_app(valkey, config=folder)


@pytest.fixture
def files(redis, folder, secrets):
    return ConfigFiles(Store(redis), folder, os.environ)


def enter(app, password=WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]):
    client = app.test_client()
    assert client.post("/login", data={"password": password}, headers=SAME).status_code == 303
    return client


@pytest.fixture
def operator(app):
    return enter(app)


def profile(name):
    return PROFILES.get(name, Mistakes())


def look_at_files(app):
    for _ in range(2):
        services_of(app).in_force.look(partial(put_in_force, app))
    assert services_of(app).in_force.waiting is None


def send(app, name, token, number=1):
    return (
        app.test_client()
        .post(f"/hooks/{name}?token={token}", json={"id": number}, headers={"X-Relay-Token": token})
        .status_code
    )


def test_a_source_is_added_by_its_profile_and_takes_its_first_request_without_a_restart(app, operator, folder, secrets):
    before = (folder / "sources.yaml").read_text()
    assert "Tilda forms and shop" in ask(operator, "/sources/add?q=TILDA shop")
    assert "/hooks/tilda" in ask(operator, "/sources/add?profile=tilda")

    shown = press(operator, "/sources/add", 200, profile="tilda", name="tilda").text
    file = secrets / "SOURCE_TILDA_SECRET"
    secret = file.read_text()

    assert secret in Page(shown).text(".//main")
    assert len(secret) == 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert (folder / "sources.yaml").read_text().startswith(before.rstrip())  # comments stay
    assert "is put in force" in ask(operator, "/sources?open=tilda")
    look_at_files(app)
    waits = ask(operator, "/sources?open=tilda")
    assert "It waits for the first request" in waits
    assert secret not in waits
    assert send(app, "tilda", "wrong") == 401
    assert "none was accepted yet" in ask(operator, "/sources?open=tilda")
    assert send(app, "tilda", secret, 2) == 200
    assert "Its requests are accepted" in ask(operator, "/sources?open=tilda")
    acts = services_of(app).store.operators.acts(1)
    assert (acts[0].what, acts[0].subject, acts[0].note) == ("add source", "tilda", "tilda")


@pytest.mark.parametrize(
    ("query", "found", "absent"),
    [
        ("q=тильда", ["tilda"], ["stripe"]),
        ("kind=payments&country=KZ", ["robokassa", "stripe"], ["yookassa", "tilda"]),
        ("kind=no-kind", [], ["tilda", "stripe"]),
    ],
)
def test_a_profile_is_found_by_any_of_its_names_by_kind_and_by_country(operator, query, found, absent):
    page = Page(ask(operator, f"/sources/add?{query}"))

    links = [link.get("href") for link in page.root.findall(".//main//ul[@class='profiles']//a")]
    assert [name for name in found if f"/sources/add?profile={name}" not in links] == []
    assert [name for name in absent if f"/sources/add?profile={name}" in links] == []


def test_countries_are_named_in_the_language_of_the_page(operator):
    operator.set_cookie("language", "ru")

    page = Page(ask(operator, "/sources/add"))

    assert "Казахстан" in [one.text for one in page.root.findall(".//select[@name='country']/option")]


def test_what_is_doubtful_of_a_sender_is_said_where_it_is_set_up(app, operator, folder, secrets):
    doubts = profile("elementor").doubts
    assert doubts[0] in Page(ask(operator, "/sources/add?profile=elementor")).text(".//main")

    press(operator, "/sources/add", 303, profile="elementor", name="elementor", secret="a-token-of-the-test-1234")
    look_at_files(app)

    assert doubts[0] in Page(ask(operator, "/sources?open=elementor")).text(".//main")
    assert "Not everything about this sender" not in ask(operator, "/sources/add?profile=tilda")


def test_the_secret_that_the_sender_gives_is_asked_for_and_never_invented(app, operator, folder, secrets):
    page = Page(ask(operator, "/sources/add?profile=stripe"))
    assert page.at(".//input[@name='secret']").get("required") is not None

    refused = press(operator, "/sources/add", 422, profile="stripe", name="shop", secret="")
    assert "the sender gives this secret: enter it" in refused.text
    assert not list(secrets.iterdir())

    press(operator, "/sources/add", 303, profile="stripe", name="shop", secret=" whsec_of-the-test-1234\n")
    assert (secrets / "SOURCE_SHOP_SECRET").read_text() == "whsec_of-the-test-1234"
    look_at_files(app)
    assert "shop" in services_of(app).sources


def test_a_secret_is_made_for_those_profiles_whose_steps_say_to_enter_it():
    made = {name for name in PROFILES.names if profile(name).needs_secrets and profile(name).is_entered("secret")}
    steps = {name: " ".join(profile(name).steps) for name in PROFILES.names}
    entered = ("the value of {secret}", "{secret} is both")
    pairs = {name for name in PROFILES.names if profile(name).takes_pair}
    assert made == {name for name, text in steps.items() if any(words in text for words in entered)} - pairs
    assert {"tilda", "github"} <= made
    kinds = {way["kind"] for name in made for way in profile(name).content["verify"]}
    assert kinds <= {"token", "hmac"}  # a made one is neither a public key nor a name with a password


def test_every_profile_can_be_added(files, folder, secrets, monkeypatch):
    monkeypatch.delenv("SOURCE_GITHUB_SECRET")
    samples = {"pipedrive": "relay:a-long-password", "bepaid": "361:a-long-password", "adyen": "4c6f76656c616365" * 4}
    wrong = {}
    for name in PROFILES.names:
        (folder / "sources.yaml").write_text("sources: {}\n")
        one = profile(name)
        given = {word: samples.get(name, "c2VjcmV0LW9mLXRoZS10ZXN0LTEyMzQ=") for word in one.variables("x")}
        given = {word: value for word, value in given.items() if not one.is_entered(word)}
        try:
            files.add_source(one, name, given, "ann")
        except ConfigError as error:
            wrong[name] = str(error)
    assert all("public key" in why for why in wrong.values()), wrong
    public = {name for name in PROFILES.names if all(map(takes_a_public_key, profile(name).content["verify"]))}
    assert wrong.keys() == public >= {"discord", "sendgrid", "telnyx"}


def takes_a_public_key(way) -> bool:
    return way["kind"] in {"ed25519", "ecdsa", "rsa"} or way.get("algorithm") in {"RS256", "ES256"}


@pytest.mark.parametrize("name", ["../x", "a/b", "a\0b", "", "A", "x" * 65, "-a", "a\nb", "..", "website"])
def test_a_name_that_would_leave_the_folder_or_is_taken_writes_nothing(files, folder, secrets, name):
    before = (folder / "sources.yaml").read_bytes()
    with pytest.raises(RefusedError):
        files.add_source(profile("tilda"), name, {}, "ann")
    assert (folder / "sources.yaml").read_bytes() == before
    assert not list(secrets.iterdir())


@pytest.mark.parametrize("secret", ["a\0bcdefghijklmnop", "x" * 8001, "\x1b[31mabcdefghijkl", "abc", "   "])
def test_a_secret_that_is_no_text_or_easily_guessed_writes_nothing(files, folder, secrets, secret):
    before = (folder / "sources.yaml").read_bytes()
    with pytest.raises(RefusedError) as caught:
        files.add_source(profile("tilda"), "tilda", {"secret": secret}, "ann")
    assert secret.strip() == "" or secret not in str(caught.value)
    assert (folder / "sources.yaml").read_bytes() == before
    assert not list(secrets.iterdir())


def test_a_link_in_the_folder_is_replaced_and_what_it_leads_to_is_not_written(files, secrets, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    (secrets / "SOURCE_TILDA_SECRET").symlink_to(outside)

    files.add_source(profile("tilda"), "tilda", {}, "ann")

    assert outside.read_text() == "untouched"
    assert not (secrets / "SOURCE_TILDA_SECRET").is_symlink()


def test_a_link_that_leads_out_of_the_folder_is_not_read(secrets, tmp_path):
    (tmp_path / "outside").write_text("a secret of somebody else")
    (secrets / "SOURCE_A").symlink_to(tmp_path / "outside")
    (secrets / "..data").mkdir()
    (secrets / "..data" / "SOURCE_B").write_text("mounted by an orchestrator")
    (secrets / "SOURCE_B").symlink_to("..data/SOURCE_B")
    (secrets / "SOURCE_C").mkdir()

    assert read_secret(os.environ, "SOURCE_B") == "mounted by an orchestrator"
    for name in ("SOURCE_A", "SOURCE_C"):
        with pytest.raises(ConfigError, match=f"{name} in RELAY_SECRETS"):
            read_secret(os.environ, name)
    assert read_secret(os.environ, "SOURCE_../SOURCE_B") is None
    assert read_secret(os.environ, "RELAY_SECRET_KEY") is None


def test_a_secret_that_is_in_two_places_is_a_mistake(secrets, tmp_path, monkeypatch):
    (secrets / "SOURCE_WEBSITE_TOKEN").write_text("another")
    with pytest.raises(ConfigError, match="SOURCE_WEBSITE_TOKEN is set, and RELAY_SECRETS has a file"):
        read_secret(os.environ, "SOURCE_WEBSITE_TOKEN")
    monkeypatch.delenv("SOURCE_WEBSITE_TOKEN")
    (tmp_path / "elsewhere").write_text("a third one")
    monkeypatch.setenv("SOURCE_WEBSITE_TOKEN_FILE", str(tmp_path / "elsewhere"))
    with pytest.raises(ConfigError, match="SOURCE_WEBSITE_TOKEN is set, and RELAY_SECRETS has a file"):
        read_secret(os.environ, "SOURCE_WEBSITE_TOKEN")


def test_an_environment_that_still_names_the_file_in_the_folder_names_no_second_place(secrets, monkeypatch):
    monkeypatch.setenv("SOURCE_SHOP_SECRET_FILE", str(secrets / "SOURCE_SHOP_SECRET"))
    assert read_secret(os.environ, "SOURCE_SHOP_SECRET") is None
    (secrets / "SOURCE_SHOP_SECRET").write_text("of the shop\n")
    assert read_secret(os.environ, "SOURCE_SHOP_SECRET") == "of the shop"


def test_each_secret_is_read_in_the_folder_of_the_process_that_it_is_for(secrets):
    workers = secrets.parent / "workers"
    workers.mkdir()
    for name in ("RELAY_API_TOKEN", "SOURCE_SHOP_SECRET", "PORTAL_MAIN_WEBHOOK_URL", "ALERT_TEAM_URL"):
        (secrets / name).write_text("of web")
        (workers / name).write_text("of workers")
    assert read_secret(os.environ, "RELAY_API_TOKEN") == read_secret(os.environ, "SOURCE_SHOP_SECRET") == "of web"
    assert read_secret(os.environ, "PORTAL_MAIN_WEBHOOK_URL") == read_secret(os.environ, "ALERT_TEAM_URL")
    assert read_secret(os.environ, "ALERT_TEAM_URL") == "of workers"
    (secrets / "SOURCE_STOLEN").symlink_to(workers / "PORTAL_MAIN_WEBHOOK_URL")
    with pytest.raises(ConfigError, match="leads out of that folder"):
        read_secret(os.environ, "SOURCE_STOLEN")


def test_a_folder_of_secrets_without_folders_for_each_process_is_written_and_read_itself(files, secrets, monkeypatch):
    monkeypatch.setenv("RELAY_SECRETS", str(secrets))

    files.add_source(profile("tilda"), "tilda", {}, "ann")

    file = secrets / "SOURCE_TILDA_SECRET"
    assert (file.stat().st_mode & 0o777, read_secret(os.environ, file.name)) == (0o600, file.read_text())


def test_the_folder_of_the_other_process_need_not_be_there_to_follow_ones_own(secrets, folder, monkeypatch):
    monkeypatch.setenv("RELAY_SECRETS", str(secrets.parent))
    watch = FileWatch(folder, os.environ)
    (secrets / "RELAY_API_TOKEN").write_text("read at a start only")
    (secrets / "SOURCE_X").write_text("whole")
    assert [watch.has_changed(), watch.has_changed(), watch.has_changed()] == [False, True, False]


def test_what_is_written_belongs_to_the_process_that_owns_the_folder_also_where_root_writes_it(files, folder, secrets):
    if os.geteuid() == 0:  # anybody else can only write into a folder that is their own
        os.chown(folder, 70_001, 70_003)
        os.chown(secrets, 70_001, 70_002)

    files.add_source(profile("tilda"), "tilda", {}, "ann")

    for path in (folder / "sources.yaml", secrets / "SOURCE_TILDA_SECRET"):
        found, parent = path.stat(), path.parent.stat()
        assert (found.st_uid, found.st_gid) == (parent.st_uid, parent.st_gid)


def test_a_new_file_and_a_half_written_one_are_noticed_once_they_are_still(secrets, folder):
    watch = FileWatch(folder, os.environ)
    (secrets / ".SOURCE_X.abc.new").write_text("half")
    assert not watch.has_changed()
    assert not watch.has_changed()
    (secrets / "SOURCE_X").write_text("whole")
    assert not watch.has_changed()
    assert watch.has_changed()


def test_two_people_who_add_at_once_both_get_theirs_and_the_same_name_once(redis, folder, secrets):
    names, came = ["one", "two", "same", "same"], []

    def add(name):
        files = ConfigFiles(Store(redis), folder, os.environ)
        try:
            came.append(files.add_source(profile("tilda"), name, {}, "ann")["secret"])
        except RefusedError:
            came.append("")

    threads = [threading.Thread(target=add, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(bool, came)) == [False, True, True, True]
    assert {path.name for path in secrets.iterdir()} == {f"SOURCE_{one}_SECRET" for one in ("ONE", "TWO", "SAME")}
    assert (secrets / "SOURCE_SAME_SECRET").read_text() in came
    written = ConfigFiles(Store(redis), folder, os.environ).sources_written()
    assert {"one", "two", "same"} <= {*written}


def test_a_file_with_a_mistake_is_not_written_over_and_leaves_no_secret(files, folder, secrets):
    path = folder / "sources.yaml"
    path.write_text(path.read_text() + "  broken: {verify: {kind: nonsense}}\n")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"sources\.yaml"):
        files.add_source(profile("tilda"), "tilda", {}, "ann")
    assert path.read_bytes() == before
    assert not list(secrets.iterdir())


def test_a_secret_is_changed_with_both_valid_meanwhile_and_no_request_refused(app, operator, folder, secrets):
    press(operator, "/sources/add", 200, profile="tilda", name="tilda")
    old = (secrets / "SOURCE_TILDA_SECRET").read_text()
    look_at_files(app)

    shown = press(operator, "/sources/tilda/secret/add", 200, secret="").text
    new = (secrets / "SOURCE_TILDA_SECRET_NEXT").read_text()
    assert new in shown
    assert old not in shown
    look_at_files(app)
    assert [send(app, "tilda", one, number) for number, one in enumerate((old, new))] == [200, 200]

    kept = Page(ask(operator, "/sources/tilda/secret")).at(".//button[1][@name='kept']").get("value")
    press(operator, "/sources/tilda/secret/keep", 303, kept=kept)
    look_at_files(app)
    assert [send(app, "tilda", one, number) for number, one in enumerate((old, new), 5)] == [401, 200]
    assert [path.name for path in secrets.iterdir()] == ["SOURCE_TILDA_SECRET_NEXT"]

    press(operator, "/sources/tilda/secret/add", 200, secret="")
    assert re.search(
        r"secrets: \[SOURCE_TILDA_SECRET_NEXT, SOURCE_TILDA_SECRET\]", (folder / "sources.yaml").read_text()
    )
    press(operator, "/sources/tilda/secret/add", 422, secret="")


def test_the_secret_of_a_source_that_was_written_by_hand_is_changed_in_its_place(app, operator, folder, secrets):
    press(operator, "/sources/website/secret/add", 303, secret="the-new-token-of-the-site")
    text = (folder / "sources.yaml").read_text()
    assert "secrets: [SOURCE_WEBSITE_TOKEN, SOURCE_WEBSITE_TOKEN_NEXT]}   # or query: token" in text
    look_at_files(app)
    assert send(app, "website", "the-new-token-of-the-site") == send(app, "website", SECRETS["SOURCE_WEBSITE_TOKEN"], 2)


def test_a_viewer_and_another_site_add_nothing(app, operator, folder, secrets):
    before = (folder / "sources.yaml").read_bytes()
    viewer = enter(app, "viewer-password-of-the-test")
    wanted = {"profile": "tilda", "name": "tilda"}
    assert viewer.get("/sources/add", headers=SAME).status_code == 403
    assert "/sources/add" not in ask(viewer, "/sources")
    for path in ("/sources/add", "/sources/website/secret/add", "/sources/website/secret/keep", "/portals/add"):
        assert viewer.post(path, data=wanted, headers=SAME).status_code == 403
        there = {"Origin": "https://elsewhere.example", "Accept": "text/html"}
        assert operator.post(path, data=wanted, headers=there).status_code == 403
    assert (folder / "sources.yaml").read_bytes() == before
    assert not list(secrets.iterdir())


@pytest.fixture
def read_only(monkeypatch):
    """Every folder as Kubernetes mounts it. Root, whom modes do not stop, is stopped by that, too."""

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("relay.configuration.whole_files.tempfile.mkstemp", refuse)
    monkeypatch.setattr("relay.operations.config_files.os.access", lambda _path, mode: mode != os.W_OK)


def test_where_nothing_can_be_written_the_page_shows_what_to_put_there_by_hand(
    app, operator, folder, secrets, read_only
):
    page = Page(ask(operator, "/sources/add?profile=stripe&name=shop"))
    assert page.text(".//main//p[@role='alert']").split(": ")[1] == f"{folder}, {secrets}"
    assert "shop: {profile: stripe, secrets: [SOURCE_SHOP_SECRET]}" in page.text(".//pre[@aria-label='sources.yaml']")
    assert page.root.find(".//form[@method='post'][@class='confirm']") is None
    assert "may not write" in ask(operator, "/sources/website/secret")

    page = Page(ask(operator, "/portals/add"))
    assert page.text(".//pre[@aria-label='portals.yaml']").split() == ["portals:", "main:", "{plan:", "standard}"]
    assert "PORTAL_<NAME>_WEBHOOK_URL" in page.text(".//main")


def test_a_folder_that_cannot_be_written_is_told_and_nothing_breaks(app, operator, folder, secrets, read_only):
    before = (folder / "sources.yaml").read_bytes()
    refused = [
        press(operator, "/sources/add", 409, profile="tilda", name="tilda"),
        press(operator, "/sources/website/secret/add", 422, secret="the-new-token-of-the-site"),
        press(operator, "/portals/add", 422, name="spb", plan="standard"),
    ]
    assert all("Read-only file system" in one.text and "Nothing was written" in one.text for one in refused)
    assert (folder / "sources.yaml").read_bytes() == before
    assert not list(secrets.iterdir())


def test_a_missing_folder_of_secrets_is_told_before_anything_is_written(app, operator, folder, secrets):
    before = (folder / "sources.yaml").read_bytes()
    secrets.rmdir()
    secrets.parent.rmdir()
    assert str(secrets.parent) in Page(ask(operator, "/sources/add?profile=tilda")).text(".//main//p[@role='alert']")
    assert "No such file or directory" in press(operator, "/sources/add", 409, profile="tilda", name="tilda").text
    assert (folder / "sources.yaml").read_bytes() == before


def test_without_a_folder_for_secrets_the_page_says_what_to_set(app, operator, monkeypatch):
    monkeypatch.delenv("RELAY_SECRETS")
    assert "RELAY_SECRETS" in ask(operator, "/sources/add?profile=tilda")
    assert "RELAY_SECRETS" in press(operator, "/sources/add", 422, profile="tilda", name="tilda").text
    press(operator, "/sources/add", 303, profile="html-form", name="contact")
