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
Told = Callable[[int, int], None]

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
def progress() -> Iterator[Callable[[str], Told]]:
    """Progress bars on stderr inside the `with`, fed with the numbers seen and total; none without a terminal."""
    if not _is_watched(sys.stderr):
        yield lambda _what: lambda _seen, _total: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True)) as bars:

        def begin(what: str) -> Told:
            task = bars.add_task(what, total=None, visible=False)
            return lambda seen, total: bars.update(task, completed=seen, total=total, visible=True)

        yield begin


def _is_watched(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"
