"""Safe output for terminals and pages: texts of senders and portals must not control the terminal or mislead the
reader.

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
"""Also control characters, except tab and line end."""
_MISLEADS = re.compile(f"[{_UNSEEN}]")


def say(text: object, *, error: bool = False, flush: bool = False) -> None:
    """Print a text; errors go to stderr. flush: print at once."""
    print(harmless(str(text)), file=sys.stderr if error else sys.stdout, flush=flush)


def harmless(text: str) -> str:
    r"""Escape every control character as JSON does: `\u009b`. JSON stays JSON."""
    return _STEERS.sub(_escape, text)


def seen(text: str) -> str:
    """Escape characters that mislead a reader; a page shows no control characters anyway."""
    return text if text.isascii() else _MISLEADS.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place] << 8 | units[place + 1]:04x}" for place in range(0, len(units), 2))
