"""Nothing that others rely on disappears by the way: commands, options, addresses, settings and profiles.

public_surface.txt has what the commit before the modules were merged offered, a line each. A line is taken out of it
only together with an entry in the changelog that says what to use instead.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from relay.cli.main import build_parser as relay_parser
from tests.support.folders import REPOSITORY
from workers.__main__ import build_parser as workers_parser

PROMISED = Path(__file__).with_name("public_surface.txt")
SETTING = re.compile(r"\b(?:RELAY_[A-Z_]+|REDIS_URL(?:_FILE)?)")


def test_every_command_address_setting_and_profile_of_before_is_still_there(app):
    offered = {
        *_commands(relay_parser(), "relay"),
        *_commands(workers_parser(), "workers"),
        *_routes(app),
        *_settings(),
        *(f"profile {path.stem}" for path in (REPOSITORY / "relay/sources/profiles").glob("*.yaml")),
    }

    assert sorted(set(PROMISED.read_text("utf-8").splitlines()) - offered) == []


def _commands(parser: argparse.ArgumentParser, name: str) -> Iterator[str]:
    yield f"command {name}"
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, command in action.choices.items():
                yield from _commands(command, f"{name} {word}")
        elif action.option_strings:
            yield from (f"option {name} {one}" for one in action.option_strings)
        else:
            yield f"argument {name} {action.metavar or action.dest}"


def _routes(app) -> Iterator[str]:
    for rule in app.url_map.iter_rules():
        yield from (f"route {method} {rule.rule}" for method in rule.methods - {"HEAD", "OPTIONS"})


def _settings() -> Iterator[str]:
    for room in ("relay", "workers"):
        for path in (REPOSITORY / room).rglob("*.py"):
            yield from (f"setting {name}" for name in SETTING.findall(path.read_text("utf-8")))
