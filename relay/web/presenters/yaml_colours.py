"""Colours a rule's text for a page: its keys, texts, numbers and comments, and the names in braces.

It works on a text that is being written, so it does not parse YAML: it goes by the look of each line. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST_COLOURED = 12_000
"""Characters; a longer text is shown in one colour, because each word is markup of its own."""
_WORDS = re.compile(
    r"""(?P<c>(?<!\S)\#.*)
    |(?P<s>(?<!\w)"(?:[^"\\]|\\.)*+"?|(?<!\w)'(?:[^']|'')*+'?)
    |(?P<k>[^\s\#,{}\[\]:'"][^\#,{}\[\]:'"]{0,100}?(?=[ ]{0,8}:(?:\s|$)))
    |(?P<d>(?<![\w.])(?:true|false|null|-?\d+(?:\.\d+)?)(?![\w.-]))
    |(?P<v>\{\w{1,64}\})
    |[^\s"'{}\[\],]+|.""",
    re.VERBOSE,
)
_NAME = re.compile(r"(\{\w{1,64}\})")

Piece = tuple[str, str]
"""A class of style.css, `k`, `s`, `d`, `c` or `v`, or nothing; and the text."""


def coloured(text: str) -> list[list[Piece]]:
    """The pieces of each line."""
    lines = text.split("\n")
    if len(text) > LONGEST_COLOURED:
        return [[("", line)] for line in lines]
    return [_joined(_pieces(line)) for line in lines]


def _pieces(line: str) -> Iterator[Piece]:
    for match in _WORDS.finditer(line):
        kind = match.lastgroup or ""
        if kind == "s":
            yield from (("v" if number % 2 else "s", part) for number, part in enumerate(_NAME.split(match[0])) if part)
        else:
            yield kind, match[0]


def _joined(pieces: Iterator[Piece]) -> list[Piece]:
    """With neighbours of one class as one piece."""
    found: list[Piece] = []
    for kind, part in pieces:
        if found and found[-1][0] == kind:
            found[-1] = (kind, found[-1][1] + part)
        else:
            found.append((kind, part))
    return found
