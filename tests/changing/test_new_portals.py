"""A portal is added in the browser; its credential is entered where only workers read it; no page ever takes one."""

from __future__ import annotations

import io
import os

import pytest

from relay.configuration.files import FileWatch, Mistakes
from relay.configuration.portals import load_portals
from relay.configuration.settings import Settings
from relay.core.errors import ConfigError
from relay.core.lifecycle import Verdict
from relay.core.reasons import explain, explain_trouble
from relay.health.assessment import load_thresholds
from relay.web.services import services_of
from tests.changing.test_new_sources import enter, look_at_files
from tests.support.folders import SECRETS, copy_config
from tests.support.pages import Page, ask, press
from workers.__main__ import main
from workers.delivery.worker import addresses_of

WEBHOOK = "https://spb.bitrix24.ru/rest/1/secret-of-the-test/"


@pytest.fixture
def folder(tmp_path):
    return copy_config(tmp_path)


@pytest.fixture
def app(make_app, valkey, folder, monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return make_app(valkey, config=folder)


@pytest.fixture
def operator(app):
    return enter(app)


@pytest.fixture
def workers_folder(tmp_path, folder, monkeypatch):
    kept = tmp_path / "secrets" / "workers"
    kept.mkdir(parents=True)
    monkeypatch.setenv("RELAY_SECRETS", str(kept.parent))
    monkeypatch.setenv("RELAY_CONFIG", str(folder))
    return kept


def load_thresholds_of(file):
    load_thresholds(file.parent)


def enter_credential(monkeypatch, name, text):
    monkeypatch.setattr("sys.stdin", io.StringIO(text + "\n"))
    return main(["credential", name])


def test_a_portal_is_added_and_the_page_waits_until_a_worker_says_that_all_is_well(app, operator, folder):
    before = (folder / "portals.yaml").read_text()
    there = press(operator, "/portals/add", name="spb", plan="enterprise").location

    assert (folder / "portals.yaml").read_text() == before + "  spb: {plan: enterprise}\n"
    page = ask(operator, there)
    assert "python -m workers credential spb" in page
    assert "No worker has answered yet" in page
    assert Page(page).root.find(".//input[@type='password']") is None
    look_at_files(app)
    assert "No worker serves it" in Page(ask(operator, "/portals")).text(".//section[@id='spb']")
    services_of(app).questions.answer(there.partition("asked=")[2], done=True, answer="spb: all is well")
    assert "All is well." in ask(operator, there)


@pytest.mark.parametrize("name", ["../x", "a\0b", "", "UPPER", "main"])
def test_a_name_that_is_none_or_taken_writes_no_portal(app, operator, folder, name):
    before = (folder / "portals.yaml").read_bytes()
    assert "Nothing was written" in press(operator, "/portals/add", 422, name=name, plan="standard").text
    assert (folder / "portals.yaml").read_bytes() == before


def test_a_credential_is_kept_for_its_owner_alone_and_followed_without_a_restart(
    workers_folder, folder, monkeypatch, capsys
):
    portals = folder / "portals.yaml"
    portals.write_text(portals.read_text() + "  spb: {plan: standard}\n")
    monkeypatch.setenv("REDIS_URL", "redis://nobody.invalid/0")
    watch = FileWatch(folder, os.environ)

    assert enter_credential(monkeypatch, "spb", WEBHOOK) == 0

    file = workers_folder / "PORTAL_SPB_WEBHOOK_URL"
    assert file.stat().st_mode & 0o777 == 0o600
    assert not watch.has_changed()
    assert watch.has_changed()
    addresses = addresses_of(Settings.from_environment(os.environ), "spb", Mistakes())
    assert addresses["spb"].host == "spb.bitrix24.ru"
    said = capsys.readouterr()
    assert "secret-of-the-test" not in said.out + said.err


@pytest.mark.parametrize(
    "case",
    [
        ("main", "http://spb.bitrix24.ru/rest/1/secret-of-the-test/", "https"),
        ("main", "secret-of-the-test", "PORTAL_MAIN_WEBHOOK_URL"),
        ("nobody", WEBHOOK, "no portal 'nobody'"),
        ("../main", WEBHOOK, "no portal"),
    ],
)
def test_what_is_no_credential_is_refused_without_being_shown(workers_folder, monkeypatch, capsys, case):
    name, text, why = case
    assert enter_credential(monkeypatch, name, text) == 1
    said = capsys.readouterr()
    assert why in said.err
    assert "secret-of-the-test" not in said.err
    assert not list(workers_folder.iterdir())


@pytest.mark.parametrize(("pressed", "status"), [(EOFError, 1), (KeyboardInterrupt, 130)])
def test_nothing_entered_on_a_terminal_keeps_nothing_and_shows_no_traceback(
    workers_folder, monkeypatch, capsys, pressed, status
):
    def leave(_question):
        raise pressed

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", leave)

    assert main(["credential", "main"]) == status

    assert "Traceback" not in capsys.readouterr().err
    assert not list(workers_folder.iterdir())


def test_a_credential_that_the_environment_names_in_the_folder_is_changed_there(workers_folder, monkeypatch):
    file = workers_folder / "PORTAL_MAIN_WEBHOOK_URL"
    file.write_text("https://old.bitrix24.ru/rest/1/old-secret/")
    monkeypatch.setenv("PORTAL_MAIN_WEBHOOK_URL_FILE", str(file))
    monkeypatch.setenv("REDIS_URL", "redis://nobody.invalid/0")

    assert enter_credential(monkeypatch, "main", WEBHOOK) == 0

    assert addresses_of(Settings.from_environment(os.environ), "main", Mistakes())["main"].host == "spb.bitrix24.ru"


def test_a_folder_that_cannot_be_written_is_one_line_and_shows_nothing(workers_folder, monkeypatch, capsys):
    workers_folder.rmdir()
    workers_folder.parent.rmdir()

    assert enter_credential(monkeypatch, "main", WEBHOOK) == 1

    said = capsys.readouterr().err
    assert f"{workers_folder.parent}/PORTAL_MAIN_WEBHOOK_URL: No such file or directory" in said
    assert len(said.splitlines()) == 1
    assert "secret-of-the-test" not in said


@pytest.mark.parametrize(("name", "load"), [("portals.yaml", load_portals), ("alerts.yaml", load_thresholds_of)])
def test_a_file_that_is_a_link_to_a_credential_says_nothing_of_it(workers_folder, folder, name, load):
    """The web process writes this folder, and is told the mistakes that workers find in it."""
    (workers_folder / "PORTAL_MAIN_WEBHOOK_URL").write_text("https://a.b24.io/rest/1/secret-of-the-test/")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(workers_folder / "PORTAL_MAIN_WEBHOOK_URL")

    with pytest.raises(ConfigError) as caught:
        load(folder / name)

    assert name in str(caught.value)
    assert "b24" not in str(caught.value)


def test_a_credential_of_the_environment_is_not_shadowed_by_a_file(workers_folder, monkeypatch, capsys):
    monkeypatch.setenv("PORTAL_MAIN_WEBHOOK_URL", WEBHOOK)
    assert enter_credential(monkeypatch, "main", WEBHOOK) == 1
    assert "is set in the environment" in capsys.readouterr().err


def test_a_typo_in_the_end_of_a_pause_keeps_the_form_and_in_2_hours_is_understood(app, operator):
    page = Page(press(operator, "/portals/main/pause", 400, lasts="time", until="in 2 huors").text)
    assert page.at(".//input[@name='until']").get("value") == "in 2 huors"
    assert "expected a time such as" in page.text(".//p[@role='alert']")

    press(operator, "/portals/main/pause", lasts="time", until="in 2 hours")
    gate = services_of(app).store.portal("main").gate.look()
    assert 7_190 < (gate.until - gate.since).total_seconds() <= 7_201


def test_a_portal_that_answers_with_an_error_for_a_while_leaves_nothing_to_settle():
    for reason in ("internal_server_error", "timed_out", "cut", "unreadable"):
        assert "settle the delivery" in explain(reason)
        assert "nothing to settle" in explain_trouble(reason)
    assert explain_trouble("http_502") is None
    assert "settle" not in (explain("invalid_credentials", Verdict.HELD) or "")
