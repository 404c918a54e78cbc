"""`init`: from an empty folder to a configuration of one's own, by options or by questions, as often as one likes."""

from __future__ import annotations

import itertools
import os
import pty
import re
import select
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import requests

from relay.cli import init as init_module
from relay.cli.main import main
from relay.configuration.files import Mistakes
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.operations.configure import load_config
from relay.operations.drafting import MADE
from relay.operations.starter import Wishes, portals_text, rule_text, secrets_of, sources_text
from relay.sandbox.server import SandboxServer
from relay.sources.loading import Profiles
from tests.support.folders import REPOSITORY
from tests.support.machines import Machine
from tests.support.processes import Processes, refusing_address

FORM = {"name": "Ada Lovelace", "email": "ada@example.com", "phone": "+1 202 555 0100", "comment": "Call me"}
GIVEN = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SCRIPT = "set -a; . ./.env; set +a; env -0"


@pytest.fixture(scope="module")
def portal() -> Iterator[SandboxServer]:
    with SandboxServer(settings={"rate": None}) as server:
        yield server


@pytest.fixture
def address(portal):
    """A file with the address of the portal's webhook."""
    return f"{portal.url}/rest/1/sandbox/"


def init(folder: Path, *options: str) -> int:
    return main(["init", str(folder), "--yes", "--no-ping", *options])


def environment(folder: Path) -> dict[str, str]:
    """The variables that .env sets, as a shell reads them."""
    done = subprocess.run(["sh", "-c", SCRIPT], cwd=folder, env={}, capture_output=True, text=True, check=True)
    pairs = (line.partition("=") for line in done.stdout.split("\0") if line)
    return {name: value for name, _, value in pairs if name.startswith(("RELAY_", "PORTAL_", "SOURCE_"))}


def files(folder: Path) -> dict[str, str]:
    """Every file with its content."""
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in folder.rglob("*") if path.is_file()}


def test_from_an_empty_folder_by_options_to_a_workflow_on_the_portal(tmp_path, portal, address):
    folder = tmp_path / "my"
    folder.mkdir()
    processes = Processes(folder, folder / "config")

    done = processes.run(
        "relay", "init", ".", "--yes", "--template", "1", "--portal-url-file", "-", given=address,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "main: the rules need bizproc, crm, which it may use" in done.stdout
    assert "main: 1 rules, 0 that do not fit" in done.stdout
    assert '<form action="http://127.0.0.1:8080/hooks/website" method="post"' in done.stdout

    processes.environ = environment(folder)
    running = processes.start("relay", "up")
    try:
        running.wait_for_url()
        machine = Machine(processes, running, address)
        answer = requests.post(
            f"{running.url}/hooks/website", data=FORM, headers={"Accept": "application/json"}, timeout=10
        )
        assert answer.status_code == 200, answer.text
        (delivery,) = machine.wait(answer.json()["deliveries"])
    finally:
        processes.clean_up()

    (workflow,) = portal.portal.started()
    assert delivery.state is State.STARTED
    assert workflow["id"] == delivery.workflow_id
    (lead,) = requests.get(f"{portal.url}/sandbox/documents", timeout=10).json()
    assert (lead["fields"]["title"], lead["fields"]["comments"]) == ("From website", "Call me")


class Terminal:
    """A command on a terminal of its own, with somebody who answers its questions."""

    def __init__(self, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self.said = ""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "relay", *arguments],
            cwd=REPOSITORY, env=kept, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def answer(self, question: str, text: str) -> None:
        """Wait for a question, and type the answer."""
        self._read_until(question)
        os.write(self._master, f"{text}\n".encode())

    def end(self) -> int:
        """The exit status."""
        self._read_until(None)
        os.close(self._master)
        return self.process.wait(20)

    def _read_until(self, question: str | None) -> None:
        seen, deadline = len(self.said), time.monotonic() + 60
        while question is None or question not in self.said[seen:]:
            assert time.monotonic() < deadline, f"no {question!r} in\n{self.said}"
            if not select.select([self._master], [], [], 1)[0]:
                continue
            try:
                read = os.read(self._master, 65_536)
            except OSError:  # the other end is closed
                read = b""
            if not read:
                assert question is None, f"it has ended without {question!r}:\n{self.said}"
                return
            self.said += read.decode()


def test_questions_on_a_terminal_lead_to_the_same_and_secrets_are_not_shown(tmp_path, address):
    folder = tmp_path / "my"

    terminal = Terminal("init", str(folder))
    for question, text in (
        ("Who sends first? [html-form]", "strype"),
        ("did you mean 'stripe'", "stripe"),
        ("A name for this sender", "Shop"),
        ("expected a name", "shop"),
        ("The public address", "https://relay.example.com/"),
        ("Its address (Enter: later", address),
        ("The number of the workflow template", "2"),
        ("What the rule makes", "deal"),
        ("SOURCE_SHOP_SECRET, which the sender makes", GIVEN),
    ):
        terminal.answer(question, text)
    status = terminal.end()

    assert status == 0, terminal.said
    assert "1 rule: no mistakes" in terminal.said
    assert "main: 1 rules, 0 that do not fit" in terminal.said
    assert "Endpoint URL https://relay.example.com/hooks/shop" in terminal.said
    written = files(folder)
    assert written["secrets/web/SOURCE_SHOP_SECRET"] == f"{GIVEN}\n"
    assert written["secrets/workers/PORTAL_MAIN_WEBHOOK_URL"] == f"{address}\n"
    assert not [text for name, text in written.items() if name.startswith("secrets/") and text.strip() in terminal.said]
    assert "body.type == 'checkout.session.completed'" in written["config/rules/shop.yaml"]
    assert 'document_id: {deal: "{deal}"}' in written["config/rules/shop.yaml"]

    again = Terminal("init", str(folder), "--no-ping")
    for question, text in (
        ("Who sends first? [stripe]", ""),
        ("A name for this sender, which is the end of its address [shop]", ""),
        ("The public address", "https://other.example.com"),
        ("Its address (Enter keeps the one there is", ""),
        ("+RELAY_PUBLIC_URL=https://other.example.com", ""),
        ("Change .env? [y/N]", "n"),
    ):
        if text or not question.startswith("+"):
            again.answer(question, text)
    assert again.end() == 0, again.said
    assert "-RELAY_PUBLIC_URL=https://relay.example.com" in again.said
    assert "+RELAY_PUBLIC_URL=https://other.example.com" in again.said
    assert files(folder) == written


def test_secrets_are_for_their_owner_and_env_names_them_without_one(tmp_path, monkeypatch):
    monkeypatch.setenv("PORTAL_MAIN_WEBHOOK_URL", "https://example.bitrix24.com/rest/1/the-secret-of-the-portal/")
    folder = tmp_path / "my"

    assert init(folder, "--source", "repo", "--profile", "github", "--public-url", "https://relay.example.com") == 0

    written, variables = files(folder), environment(folder)
    secrets = {name: text.strip() for name, text in written.items() if name.startswith("secrets/")}
    assert set(secrets) == {
        "secrets/web/RELAY_API_TOKEN", "secrets/web/RELAY_DASHBOARD_PASSWORD", "secrets/web/RELAY_SEAL_PUBLIC_KEY",
        "secrets/web/RELAY_SECRET_KEY",
        "secrets/web/SOURCE_REPO_SECRET", "secrets/workers/PORTAL_MAIN_WEBHOOK_URL",
        "secrets/workers/RELAY_SEAL_KEY",
    }  # fmt: skip
    assert len(set(secrets.values())) == len(secrets)
    for name in secrets:
        path = folder / name
        assert variables[f"{path.name}_FILE"] == str(path)
        assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent, path.parent.parent)] == [
            0o600,
            0o700,
            0o700,
        ]
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
    assert variables["RELAY_CONFIG"] == str(folder / "config")
    assert variables["RELAY_STATE"] == str(folder / "var" / "state")
    assert variables["RELAY_PUBLIC_URL"] == "https://relay.example.com"
    assert all(re.fullmatch(r"#.*|[A-Z_]+=[^\s\"'$]*", line) for line in written[".env"].splitlines())
    shown = {name: text for name, text in written.items() if not name.startswith("secrets/")}
    assert not [value for value in secrets.values() if value in str(shown)]


def test_a_secret_that_the_sender_makes_is_asked_for_and_never_made_up(tmp_path, capsys):
    folder = tmp_path / "my"

    assert init(folder, "--source", "shop", "--profile", "stripe") == 0

    assert not (folder / "secrets" / "web" / "SOURCE_SHOP_SECRET").exists()
    assert f"Still missing: SOURCE_SHOP_SECRET. Write it into {folder}/secrets/web" in capsys.readouterr().out
    assert environment(folder)["SOURCE_SHOP_SECRET_FILE"] == str(folder / "secrets" / "web" / "SOURCE_SHOP_SECRET")


def test_without_a_template_the_first_rule_waits_beside_the_rules(tmp_path, capsys):
    folder = tmp_path / "my"

    assert init(folder) == 0
    assert "0 rules: no mistakes" in capsys.readouterr().out
    assert "website.yaml.draft" in {path.name for path in (folder / "config" / "rules").iterdir()}

    assert init(folder, "--template", "3", "--document", "contact") == 0
    assert "1 rule: no mistakes" in capsys.readouterr().out


def test_repeated_with_other_wishes_it_changes_nothing_by_itself(tmp_path, capsys):
    folder = tmp_path / "my"
    init(folder, "--template", "1")
    sources = folder / "config" / "sources.yaml"
    sources.write_text(f"# mine\n{sources.read_text('utf-8')}", "utf-8")
    (folder / "config" / "rules" / "website.yaml").unlink()
    before = files(folder)
    capsys.readouterr()

    assert init(folder) == 0
    assert "would change" not in capsys.readouterr().out
    assert files(folder) == before, "a rule that was taken away does not come back"

    assert init(folder, "--source", "shop", "--profile", "github", "--public-url", "https://relay.example.com") == 0
    said = capsys.readouterr().out
    assert "+  shop: {profile: github, secrets: [SOURCE_SHOP_SECRET]}" in said
    assert "config/sources.yaml: kept as it is" in said
    assert files(folder) == before


class KilledError(BaseException):
    """Stands for the end of the process."""


def test_killed_at_any_file_it_can_be_repeated(tmp_path, monkeypatch):
    options = ("--template", "1", "--profile", "contact-form-7", "--source", "site")
    init(tmp_path / "whole", *options)
    whole = set(files(tmp_path / "whole"))
    write = init_module.write_whole

    for number in range(len(whole)):
        folder = tmp_path / str(number)
        left = iter([True] * number)

        def until_killed(path: Path, text: str, mode: int, left: Iterator[bool] = left) -> None:
            if not next(left, False):
                path.with_name(f".{path.name}.new").write_text(text[: len(text) // 2], "utf-8")
                raise KilledError
            write(path, text, mode)

        monkeypatch.setattr(init_module, "write_whole", until_killed)
        with pytest.raises(KilledError):
            init(folder, *options)
        monkeypatch.setattr(init_module, "write_whole", write)
        before = {name: text for name, text in files(folder).items() if not name.endswith(".new")}
        assert ".env" not in before, "the last file says that all others are there"
        assert init(folder, *options) == 0

        after = files(folder)
        assert set(after) == whole
        assert before.items() <= after.items()


def test_every_profile_has_a_first_rule_that_is_right(tmp_path):
    profiles = Profiles(None)
    for name, document in zip(profiles.names, itertools.cycle(MADE), strict=False):
        profile = profiles.get(name, Mistakes())
        wishes, config = Wishes("main", name, profile, 1, document), tmp_path / name
        (config / "rules").mkdir(parents=True)
        sources = sources_text(None, wishes)
        (config / "sources.yaml").write_text(sources, "utf-8")
        (config / "portals.yaml").write_text(portals_text(None, "main"), "utf-8")
        (config / "rules" / "first.yaml").write_text(rule_text(config, sources, wishes, utc_now()), "utf-8")

        assert load_config(config, None).rules.for_source(name), name
        given = {one.variable for one in secrets_of(config, sources) if one.is_given}
        assert len(given) == len(profile.sender_makes) or not profile.needs_secrets, name


def test_a_portal_that_does_not_answer_is_said_and_nothing_is_lost(tmp_path):
    folder = tmp_path / "my"
    processes = Processes(tmp_path, folder)
    with refusing_address() as nobody:
        url = f"http://{nobody}/rest/1/sandbox/"
        done = processes.run("relay", "init", str(folder), "--yes", "--portal-url-file", "-", given=url)

    assert done.returncode == 0
    assert "the portal main would not do yet. All is written" in done.stderr
    assert (folder / ".env").exists()
    assert "sandbox" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([str(REPOSITORY), "--yes"], "the folder of the relay itself"),
        (["with a space", "--yes"], "without spaces"),
        (["my"], "say --yes"),
        (["my", "--yes", "--profile", "strype"], "did you mean 'stripe'"),
        (["my", "--yes", "--source", "No Name"], "expected a name"),
        (["my", "--yes", "--public-url", "relay.example.com"], "expected an address"),
        (["my", "--yes", "--portal-url-file", "nowhere"], "nowhere cannot be read"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_no_file(tmp_path, monkeypatch, capsys, arguments: Sequence[str], words):
    monkeypatch.chdir(tmp_path)

    assert main(["init", *arguments]) == 1

    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
