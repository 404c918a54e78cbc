"""The README shows what is so: its rule is the shipped one, its call is what that rule makes, variables are named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from relay.cli.commands import AnySecret, start_arguments
from relay.configuration.portals import load_portals
from relay.operations.preview import try_rules
from relay.rules import load_rules
from relay.sources import load_sources

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
CONFIG = ROOT / "config"
BODY = b'{"lead": {"id": 1}, "user": 1}'


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found, language
    return found[1]


def test_the_rule_in_the_readme_is_the_shipped_one():
    assert yaml.safe_load(block("yaml")) == yaml.safe_load((CONFIG / "rules" / "seed-example.yaml").read_text("utf-8"))


def test_the_rule_makes_the_call_that_stands_beside_it():
    sources = load_sources(CONFIG / "sources.yaml", AnySecret())
    book = load_rules(CONFIG / "rules", sources=sources, portals=load_portals(CONFIG / "portals.yaml"))

    (tried,) = try_rules(sources["website"], [book.get("seed-example")], "application/json", BODY, {})

    assert tried.call is not None
    assert BODY.decode() in README
    assert json.loads(block("json")) == start_arguments(tried.call)


@pytest.mark.parametrize("place", ["relay/configuration/settings.py", "workers/portal/credentials.py"])
def test_every_variable_that_is_read_is_named(place):
    code = (ROOT / place).read_text("utf-8")
    for name in re.findall(r'"((?:RELAY|REDIS)_[A-Z_]+|(?:CLIENT|ACCESS|REFRESH)_[A-Z]+)"', code):
        assert name in README, name


def test_the_table_of_variables_names_each_one_of_the_settings():
    code = (ROOT / "relay/configuration/settings.py").read_text("utf-8")
    table = "\n".join(line for line in README.splitlines() if line.startswith("| `"))
    named = set(re.findall(r'"((?:RELAY|REDIS)_[A-Z_]+)"', code)) | {"ALERT_*", "SOURCE_*"}
    assert {name for name in named if f"`{name}`" not in table} == set()


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:`|\$ )make ([a-z]+)", README)) <= targets
