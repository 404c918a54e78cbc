"""The command that prints a shell's completion, made from the parser of all commands."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import shtab

from relay.core.printing import say

CALLED = "relay"
"""Shells complete the arguments of a command, and `python -m relay` is Python's: the script makes one of this name."""
CHECKOUT = Path(__file__).resolve().parents[2]
FILES = {"FILE": shtab.FILE, "PATH": shtab.FILE, "BODY.json": shtab.FILE, "FOLDER": shtab.DIRECTORY}
"""The kind of file that an argument of this name takes."""


def completion(options: argparse.Namespace) -> int:
    """Print a script: the function `relay`, which calls this Python from any folder, and its completion."""
    parser: argparse.ArgumentParser = options.whole
    parser.prog = CALLED
    _name_files(parser)
    command = shlex.join(["env", f"PYTHONPATH={CHECKOUT}", sys.executable, "-m", "relay"])
    say(f'{CALLED}() {{ {command} "$@"; }}')
    say(shtab.complete(parser, options.shell))
    return 0


def _name_files(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:  # noqa: SLF001 - argparse shows its arguments nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for child in action.choices.values():
                _name_files(child)
        elif action.metavar in FILES:
            action.complete = FILES[action.metavar]  # type: ignore[attr-defined] # where shtab looks for it
