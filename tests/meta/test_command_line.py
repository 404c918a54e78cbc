"""Every command explains itself with an example, and bad usage is told apart from failure, without a traceback."""

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay import __version__
from relay.cli.main import build_parser

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, in an environment that holds none of our settings."""
    ours = ("RELAY_", "REDIS_URL", "PORTAL_", "SOURCE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def leaves(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of each command that does something."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield words
    for group in groups:
        for name, child in group.choices.items():
            yield from leaves(child, (*words, name))


COMMANDS = [("relay", *words) for words in leaves(build_parser())] + [("workers",)]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_ends_well_and_shows_an_example(command: tuple[str, ...]) -> None:
    done = run(*command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(rf"^ +python -m {' '.join(command)}\b", done.stdout.partition("example")[2], re.MULTILINE)


@pytest.mark.parametrize("words", list(leaves(build_parser())), ids=" ".join)
def test_the_example_is_one_that_the_command_takes(words: tuple[str, ...]) -> None:
    text = run("relay", *words, "--help").stdout.partition("example")[2]
    for example in re.findall(r"python -m relay (.*)", text):
        build_parser().parse_args(shlex.split(example))


@pytest.mark.parametrize("program", ["relay", "workers"])
def test_a_program_says_its_version_and_the_changelog_has_a_heading_for_it(program: str) -> None:
    done = run(program, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"relay {__version__}\n", "")
    newest = re.search(r"^## \[(\S+)\]", (ROOT / ".github" / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest
    assert newest[1] in {__version__, "Unreleased"}


@pytest.mark.parametrize("words", [(), ("rules",), ("sources",)], ids=" ".join)
def test_a_call_without_a_command_shows_the_help_and_is_no_mistake(words: tuple[str, ...]) -> None:
    done = run("relay", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run("relay", *words, "--help").stdout


@pytest.mark.parametrize("command", [("relay",), ("relay", "rules"), ("workers", "ping")], ids=" ".join)
def test_help_of_what_is_above_or_beside_the_commands_ends_well(command: tuple[str, ...]) -> None:
    assert run(*command, "--help").returncode == 0


@pytest.mark.parametrize(
    "command",
    [*[(*command, "--no-such-option") for command in COMMANDS], ("relay", "nothing"), ("relay", "rules", "nothing")],
    ids=" ".join,
)
def test_bad_usage_ends_with_2_and_says_so_without_a_traceback(command: tuple[str, ...]) -> None:
    done = run(*command)
    assert done.returncode == 2
    assert "usage: python -m" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("relay", "serve"), ("workers",), ("workers", "ping")], ids=" ".join)
def test_a_process_that_is_told_nothing_names_everything_it_misses_and_ends_with_1(command: tuple[str, ...]) -> None:
    done = run(*command)
    assert done.returncode == 1
    assert "REDIS_URL" in done.stderr
    assert "Traceback" not in done.stderr
