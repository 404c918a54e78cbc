"""What a command prints and a page shows. Senders and portals wrote much of it: none of it may steer the terminal, or
the reader's eye.

Standard library only.
"""

from __future__ import annotations

import re
import sys

_UNSEEN = (
    "\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # direction, lines, invisible
    "\ud800-\udfff\U000e0000-\U000e007f"  # half a character, and tags
)
_STEERS = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_UNSEEN}]")
"""Control characters too, but for tab and line end."""
_MISLEADS = re.compile(f"[{_UNSEEN}]")


def say(text: object, *, error: bool = False, flush: bool = False) -> None:
    """Print a line, or several; errors on stderr. flush: for who reads along."""
    print(harmless(str(text)), file=sys.stderr if error else sys.stdout, flush=flush)


def harmless(text: str) -> str:
    r"""A text in which every character that steers is written as JSON writes it: `\u009b`. JSON stays JSON."""
    return _STEERS.sub(_escape, text)


def seen(text: str) -> str:
    """The same of what misleads a reader: a page shows no control character anyway."""
    return text if text.isascii() else _MISLEADS.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place] << 8 | units[place + 1]:04x}" for place in range(0, len(units), 2))
