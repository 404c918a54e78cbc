"""A configuration with a mistake is refused at start, with file and line; the door never opens on half of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from relay.cli.main import main
from relay.core.errors import ConfigError
from tests.support.folders import copy_config

RULE = """name: {name}
source: {source}
extract:
  id: {{from: body.id, type: integer}}
start:
  portal: main
  template_id: 1
  document_id: {{lead: "{{id}}"}}
  parameters: {{{parameter}: x}}
{more}
"""
GOOD = {"name": "extra", "source": "website", "parameter": "Note", "more": ""}


def extra(**changes):
    """A further rule, with something wrong in it."""
    return lambda _: RULE.format(**GOOD | changes)


def replaced(old, new):
    return lambda text: text.replace(old, new)


@dataclass(frozen=True)
class Case:
    """A file, what an operator did to it, and what has to be said of that."""

    file: str
    change: Callable[[str], str]
    place: str
    words: str


CASES = [
    Case("rules/extra.yaml", extra(more="whem: body.id"), "rules/extra.yaml:10:", "did you mean 'when'?"),
    Case("rules/extra.yaml", extra(source="webside"), "rules/extra.yaml:2:", "did you mean 'website'?"),
    Case("rules/extra.yaml", extra(parameter="TargetUser"), "rules/extra.yaml:9:", "keeps this name for itself"),
    Case("rules/extra.yaml", extra(name="seed-example"), "rules/seed-example.yaml:4:", "also the name of the rule in"),
    Case("rules/extra.yaml", lambda _: "name: [", "rules/extra.yaml:", "not valid YAML"),
    Case("sources.yaml", replaced("max_body: 1MB", "max_body: 1TB"), "sources.yaml:13:", "a whole number with one of"),
    Case("portals.yaml", replaced("plan: standard", "plan: golden"), "portals.yaml:5:", "expected one of"),
]
NO_SECRET = Case("sources.yaml", replaced("GITHUB_SECRET", "UNSET"), "sources.yaml:17:", "SOURCE_UNSET is not set")
NAMES = [case.words for case in CASES]


@pytest.fixture
def broken(tmp_path):
    """Makes a copy of the configuration with one file changed."""

    def make(case):
        folder = copy_config(tmp_path)
        path = folder / case.file
        path.write_text(case.change(path.read_text("utf-8") if path.exists() else ""), "utf-8")
        return folder

    return make


@pytest.mark.parametrize("case", [*CASES, NO_SECRET], ids=[*NAMES, NO_SECRET.words])
def test_the_application_refuses_a_configuration_with_a_mistake(make_app, valkey, broken, case):
    with pytest.raises(ConfigError) as caught:
        make_app(valkey, config=broken(case))

    (mistake,) = caught.value.mistakes
    assert case.place in str(mistake)
    assert case.words in str(mistake)


def test_the_mistakes_of_all_files_are_reported_together(make_app, valkey, broken):
    folder = broken(CASES[-1])
    sources = folder / "sources.yaml"
    sources.write_text(sources.read_text("utf-8").replace("max_body: 1MB", "max_body: 1TB"), "utf-8")

    with pytest.raises(ConfigError) as caught:
        make_app(valkey, config=folder)

    assert len(caught.value.mistakes) == 2


def test_serve_ends_with_1_and_names_file_and_line(processes, valkey, broken):
    folder = broken(CASES[0])

    run = processes.run("relay", "serve", REDIS_URL=valkey.url, RELAY_CONFIG=str(folder))

    assert run.returncode == 1
    assert "rules/extra.yaml:10: whem: unknown key; did you mean 'when'?" in run.stderr
    assert "Traceback" not in run.stderr


def test_serve_ends_with_1_and_names_every_variable_that_is_missing(processes):
    run = processes.run("relay", "serve", RELAY_API_TOKEN="", RELAY_SECRET_KEY="short", RELAY_CONFIG="nowhere")

    assert run.returncode == 1
    for name in ("REDIS_URL", "RELAY_CONFIG", "RELAY_API_TOKEN", "RELAY_SECRET_KEY"):
        assert name in run.stderr
    assert "Traceback" not in run.stderr


def test_serve_ends_with_1_on_a_server_that_could_forget(processes, valkey):
    valkey.redis.config_set("maxmemory-policy", "allkeys-lru")

    run = processes.run("relay", "serve", REDIS_URL=valkey.url)

    assert run.returncode == 1
    assert "maxmemory-policy noeviction" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_rules_check_finds_a_mistake_with_its_place(capsys, broken, case):
    assert main(["rules", "check", str(broken(case))]) == 1

    (line,) = capsys.readouterr().out.splitlines()
    assert case.place in line
    assert case.words in line


def test_rules_check_needs_no_secret(capsys, broken):
    assert main(["rules", "check", str(broken(NO_SECRET))]) == 0
    assert "no mistakes" in capsys.readouterr().out


def test_serve_names_the_mistakes_of_environment_and_files_in_one_round(processes, broken):
    folder = broken(CASES[-1])
    (folder / "rules" / "extra.yaml").write_text(extra(source="webside")(""), "utf-8")

    run = processes.run("relay", "serve", REDIS_URL="", RELAY_SECRET_KEY="short", RELAY_CONFIG=str(folder))

    assert run.returncode == 1
    for words in ("REDIS_URL is not set", "RELAY_SECRET_KEY is too weak", CASES[-1].place, "rules/extra.yaml:2:"):
        assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_a_folder_that_is_not_there_is_named_once_and_not_every_file_that_is_not_in_it(processes):
    for module, command in (("relay", ["serve"]), ("workers", [])):
        run = processes.run(module, *command, RELAY_CONFIG="nowhere", REDIS_URL="")

        assert run.stderr.count("nowhere") == 1
        assert "REDIS_URL is not set" in run.stderr


def test_the_workers_name_the_mistakes_of_environment_files_and_alerts_in_one_round(processes, broken):
    folder = broken(CASES[-1])
    (folder / "alerts.yaml").write_text("repeat: often\nwebhooks: {a: {url: ALERT_A, secret: ALERT_B}}\n", "utf-8")

    run = processes.run("workers", REDIS_URL="", RELAY_CONFIG=str(folder))

    assert run.returncode == 1
    for words in (
        "REDIS_URL is not set",
        CASES[-1].place,
        "PORTAL_MAIN_WEBHOOK_URL is not set",
        "alerts.yaml:1:",
        "the environment has no ALERT_A",
        "the environment has no ALERT_B",
    ):
        assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_up_names_what_web_and_workers_would_say_in_one_round(processes, broken):
    folder = broken(CASES[-1])
    (folder / "alerts.yaml").write_text("repeat: often\n", "utf-8")

    run = processes.run("relay", "up", RELAY_TRUSTED_PROXIES="everywhere", RELAY_CONFIG=str(folder))

    assert run.returncode == 1
    for words in ("RELAY_TRUSTED_PROXIES", CASES[-1].place, "PORTAL_MAIN_WEBHOOK_URL is not set", "alerts.yaml:1:"):
        assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_up_with_a_sandbox_leaves_a_portal_the_address_that_is_in_a_file(processes, tmp_path):
    (tmp_path / "address").write_text("https://example.bitrix24.com/rest/1/of-the-test/\n", "utf-8")
    given = {"PORTAL_MAIN_WEBHOOK_URL_FILE": str(tmp_path / "address"), "RELAY_TRUSTED_PROXIES": "everywhere"}

    run = processes.run("relay", "up", "--sandbox", **given)

    assert run.returncode == 1
    assert run.stderr.startswith("environment: RELAY_TRUSTED_PROXIES"), run.stderr
    assert len(run.stderr.splitlines()) == 1
