"""Splits text with {names} in it, as operators write it in rules, profiles and sources. `{{` and `}}` are braces.

What may stand in the braces, and what takes its place, is for those who ask.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from relay.core.faults import fault

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")

Parts = Sequence[tuple[bool, str]]
"""What a text is made of, in order: (True, what stood in braces) or (False, literal text)."""


def split_braces(text: str) -> tuple[Parts, list[str]]:
    """The parts of a text, and what is wrong with it: a message for each lone brace."""
    parts: list[tuple[bool, str]] = []
    wrong: list[str] = []
    for match in _TOKEN.finditer(text):
        token, name = match[0], match[1]
        if token in {"{", "}"}:
            wrong.append(fault("lone_brace", brace=repr(token), doubled=repr(token * 2)))
        parts.append((False, token[0] if token in {"{{", "}}"} else token) if name is None else (True, name))
    return parts, wrong
