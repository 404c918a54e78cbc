"""Output to a terminal: with colour and progress in a terminal, as plain text elsewhere.

Senders and portals wrote much of what is printed: all of it is made harmless first (relay/core/printing.py), and none
of it is read as markup.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from relay.core.lifecycle import EventState, State, Verdict
from relay.core.printing import harmless, say

Piece = tuple[str, str]
"""A text and its style: a name of STYLES or one that rich knows; empty: plain."""
Line = Sequence[Piece]
Told = Callable[[int, int | None], None]
MOMENT = "%Y-%m-%d %H:%M:%S UTC"
"""The format of a time: the clock's times are in UTC, and so is what is typed."""

CALM, GOOD, BAD, DOUBT = "dim", "green", "bold red", "yellow"
STYLES: dict[str, str] = {
    State.STARTED: GOOD,
    State.DEAD: BAD,
    State.UNCERTAIN: DOUBT,
    State.RETRYING: DOUBT,
    EventState.ACCEPTED: GOOD,
    EventState.REJECTED: BAD,
    EventState.REFUSED: BAD,
    EventState.IGNORED: CALM,
    Verdict.DONE: GOOD,
    Verdict.REJECTED: BAD,
    Verdict.AMBIGUOUS: DOUBT,
    Verdict.THROTTLED: DOUBT,
    Verdict.UNREACHABLE: DOUBT,
    Verdict.HELD: DOUBT,
}
"""By the state of an event or a delivery, or by a verdict."""


def styled(state: str) -> Piece:
    """A state or a verdict, in its colour."""
    return str(state), STYLES.get(state, "")


def say_line(line: Line, *, flush: bool = False) -> None:
    """Print a line, coloured if the output is a terminal and NO_COLOR is not set. flush: for a reader who follows."""
    if not _is_watched(sys.stdout) or os.environ.get("NO_COLOR"):
        say("".join(text for text, _ in line), flush=flush)
        return
    # rich is loaded only here: a pipe and a script do not wait for it.
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    text = Text.assemble(*((harmless(piece), style) for piece, style in line))
    Console(highlight=False, markup=False, emoji=False, soft_wrap=True).print(text)


@contextmanager
def progress(*, beside_output: bool = False) -> Iterator[Callable[[str], Told]]:
    """Progress on stderr inside the `with`; none where that is no terminal. At the end it is taken away again.

    Yields a function that begins a task by its name, and returns another that is fed with the number done and the
    total, or None where the total is not known. beside_output: the command prints meanwhile, which is progress enough
    where its output goes to a terminal too.
    """
    if not _is_watched(sys.stderr) or (beside_output and _is_watched(sys.stdout)):
        yield lambda _what: lambda _done, _total: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (SpinnerColumn(), TextColumn("{task.fields[said]}", markup=False), BarColumn(), TimeElapsedColumn())
    # What is redirected would go to stderr, also where it is meant for a pipe.
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bars:

        def begin(what: str) -> Told:
            task = bars.add_task(what, total=None, visible=False, said=what)

            def told(done: int, total: int | None) -> None:
                count = f"{done:,} of {total:,} " if total is not None else f"{done:,} " if done else ""
                bars.update(task, completed=done, total=total, visible=True, said=count + what)

            return told

        yield begin


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Say on a terminal that something is being done inside the `with`; how long it takes is not known.

    Nothing may be printed there.
    """
    with progress() as begin:
        begin(what)(0, None)
        yield


def _is_watched(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"
