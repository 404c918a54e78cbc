"""Other spellings of a text that read as the same: invisible characters, wide letters, entities, another case or order.

Pure and linear: texts may be a megabyte of anything.
"""

from __future__ import annotations

import functools
import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import permutations

_ENTITY = re.compile(r"&(?:#0{0,9}+\d{1,7}|#[xX]0{0,9}+[0-9a-fA-F]{1,6}|[A-Za-z]{2,32})(?![0-9A-Za-z]);?")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_WORD = re.compile(r"[^\W_]+")
_ROUNDS = 2
"""So often is what stands for a character written with such characters itself."""
_ASTRAL = (range(0x1D400, 0x1D800), range(0xE0000, 0xE0200))
"""Beyond the first 65,536: letters and digits of mathematics; tags and variants, which nobody sees."""
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0") | {chr(code) for code in range(0xFE00, 0xFE10)}
MOST_WORDS, MOST_TURNED, MOST_BETWEEN = 8, 3, 3
"""Words of a value that are found one by one; in any order; and characters between two of them."""


def as_read(text: str) -> str:
    """The text without what stands between its characters and a reader; the same one where nothing does."""
    for _ in range(_ROUNDS):
        if "&" in text:
            text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
        if "\\u" in text:
            text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    return text if text.isascii() else text.translate(_readings())


@dataclass(frozen=True, slots=True)
class KnownTexts:
    """Texts to be found in others by their words: in any case, and of two or three words in any order."""

    by_words: Mapping[int, frozenset[tuple[str, ...]]] = field(repr=False)
    firsts: frozenset[str] = field(repr=False)

    @classmethod
    def of(cls, texts: Iterable[str]) -> KnownTexts:
        """Those that have words."""
        found: dict[int, set[tuple[str, ...]]] = {}
        for text in texts:
            words = tuple(_WORD.findall(_lower(as_read(text))))
            if 1 <= len(words) <= MOST_WORDS:
                orders = permutations(words) if len(words) <= MOST_TURNED else [words]
                found.setdefault(len(words), set()).update(orders)
        firsts = frozenset(words[0] for some in found.values() for words in some)
        return cls({count: frozenset(found[count]) for count in sorted(found, reverse=True)}, firsts)

    def sub(self, replace: Callable[[str], str], text: str) -> str:
        """The text with each of them replaced."""
        if not self.firsts:
            return text
        lowered = _lower(text)
        if not any(word in lowered for word in self.firsts):
            return text
        spans = [match.span() for match in _WORD.finditer(lowered)]
        words = [lowered[begin:end] for begin, end in spans]
        pieces, done, place = [], 0, 0
        while place < len(words):
            count = self._count_at(place, words, spans)
            if count:
                begin, end = spans[place][0], spans[place + count - 1][1]
                pieces += [text[done:begin], replace(text[begin:end])]
                done = end
            place += count or 1
        return "".join([*pieces, text[done:]]) if done else text

    def _count_at(self, place: int, words: list[str], spans: list[tuple[int, int]]) -> int:
        """How many words from here on are one of the texts; 0: none."""
        for count, known in self.by_words.items():
            if tuple(words[place : place + count]) in known:
                ends = zip(spans[place : place + count - 1], spans[place + 1 : place + count], strict=True)
                if all(after[0] - before[1] <= MOST_BETWEEN for before, after in ends):
                    return count
        return 0


def _lower(text: str) -> str:
    """In lower case, character by character: a few are two in the other case."""
    lowered = text.lower()
    return (
        lowered if len(lowered) == len(text) else "".join(low if len(low := one.lower()) == 1 else one for one in text)
    )


@functools.cache
def _readings() -> Mapping[int, str]:
    """What is read where a character stands that is hardly ever typed."""
    codes = [*range(0x80, 0xD800), *range(0xE000, 0x10000), *(code for some in _ASTRAL for code in some)]
    return {code: read for code in codes if (read := _reading(chr(code))) != chr(code)}


def _reading(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Cf" or character in _UNSEEN or ord(character) >= _ASTRAL[1].start:
        return ""
    if kind == "Nd":
        return str(unicodedata.decimal(character))
    if kind in {"Pd", "Zs"} or character == "\N{MINUS SIGN}":
        return " " if kind == "Zs" else "-"
    read = unicodedata.normalize("NFKC", character)
    return read if len(read) == 1 and read.isascii() else character
