"""How pages, exports and the reading API show what others sent: cut to what a page can hold, then masked.

A person's value is masked unless an operator asked to see those of an event: what today's rules mark as personal, what
looks like an e-mail address or a phone number, what has the name of a secret; in any spelling that reads as the same.

Pure: it reads neither request nor record. Every expression is linear, because a body may be a megabyte of anything.
A value is cut before it is masked, and between two values, so that half an address cannot pass unmasked.
"""

from __future__ import annotations

import functools
import html
import json
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any
from urllib.parse import unquote, unquote_plus

from relay.core.events import Delivery
from relay.core.phones import Phone, find_phones
from relay.rules import Rule
from relay.sources.redaction import is_secret_name
from relay.store.record.search import Row

DOTS = "•••"
_EMAIL = re.compile(
    r"(?<![\w.+%-])(?P<name>(?:[\w.+-]|%(?!40)[0-9A-Fa-f]{2})++)(?P<at>@|%40)"
    r"(?:(?P<host>(?:[\w-]|%(?!40)[0-9A-Fa-f]{2})++)(?P<rest>(?:\.[\w-]++)++)|[^\W\d_][\w-]{2,}+|\[[0-9A-Fa-f.:]{2,45}\])"
)
"""Matches a host of one word and an IP address too."""
_PLUS = re.compile(r"\+|%2[Bb]")
_ENCODED = re.compile(r"[^\s&=?#;\"'<>,]++")
"""Text between the delimiters of an address, which may be percent-encoded."""
MOST_KNOWN = 300
"""If an event has more personal values, every text is masked: searching for each in every text would take too long."""
SHORTEST_KNOWN = 4
"""A shorter personal value is masked only where it stands alone, not inside other text."""
PLAIN_HEADERS = frozenset(
    {"accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "host"}
    | {"transfer-encoding", "user-agent"}
)
_ENTITY = re.compile(r"&(?:#0{0,9}+\d{1,7}|#[xX]0{0,9}+[0-9a-fA-F]{1,6}|[A-Za-z]{2,32})(?![0-9A-Za-z]);?")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_WORD = re.compile(r"[^\W_]+")
_ROUNDS = 2
"""How many levels of escaping are undone."""
_ASTRAL = (range(0x1D400, 0x1D800), range(0xE0000, 0xE0200))
"""Code points above 65,535: mathematical letters and digits; invisible tags and variation selectors."""
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0") | {chr(code) for code in range(0xFE00, 0xFE10)}
MOST_WORDS, MOST_TURNED, MOST_BETWEEN = 8, 3, 3
"""The most words of a value that are found; of one that is found in any order; and characters between two words."""
MOST_VALUES, MOST_CHARACTERS = 1_000, 100_000
FEW_VALUES, FEW_CHARACTERS = 50, 5_000
"""The limits for one value of a call."""
LONGEST_TEXT = 10_000
_BORDERS = re.compile(r"[\"\n&;,<>]")
_LOOKED_BACK = 1_000
"""How far back a border to cut at is looked for, in characters; no address or number is as long."""


@dataclass(frozen=True, slots=True)
class Masking:
    """How to show the values of one event.

    names: keys and parameters whose values are masked whatever they are. known: values that rules marked as personal.
    revealed: nothing is masked.
    """

    names: frozenset[str] = frozenset()
    known: frozenset[str] = field(default=frozenset(), repr=False)
    revealed: bool = False
    _known: KnownTexts = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        looked_for = self.known if len(self.known) <= MOST_KNOWN else ()
        object.__setattr__(self, "_known", KnownTexts.of(one for one in looked_for if len(one) >= SHORTEST_KNOWN))

    def text(self, text: str) -> str:
        """A text with the addresses, numbers and known values in it masked."""
        if self.revealed:
            return text
        if len(self.known) > MOST_KNOWN:
            return cover(text)
        if "%" in text:
            text = _ENCODED.sub(self._decoded, text)
        return self._read(text)

    def query(self, text: str) -> str:
        """A query string, masked by the names of its values too. A value that needs no mask stays encoded as it was."""
        if self.revealed:
            return text
        return "&".join(self._pair(pair) for pair in text.split("&"))

    def _pair(self, pair: str) -> str:
        name, equals, value = pair.partition("=")
        decoded = unquote_plus(value)
        shown = self.value(decoded, _last_key(unquote_plus(name)))
        return f"{self.text(name)}{equals}{value if shown == decoded else shown}"

    def _decoded(self, match: re.Match[str]) -> str:
        """Percent-encoded text, decoded up to twice; decoded only if that reveals a person's value."""
        text = match[0]
        for _ in range(2):
            if (decoded := unquote(text)) == text:
                break
            text = decoded
            if (shown := self._read(text)) != text:
                return shown
        return match[0]

    def _read(self, text: str) -> str:
        """The text masked as people read it; unchanged if there is nothing to mask."""
        if (read := as_read(text)) != text and (shown := self._plain(read)) != read:
            return shown
        return self._plain(text)

    def _plain(self, text: str) -> str:
        if text.strip() in self.known:
            return cover(text)
        text = self._known.sub(cover, self._covered(text))
        if "@" in text or "%40" in text:
            text = _EMAIL.sub(_mask_email, text)
        return _mask_phones(text)

    def _covered(self, text: str) -> str:
        """With the known values masked; those that overlap, such as a first name and a full name, as one."""
        known = [value for value in self.known if len(value) >= SHORTEST_KNOWN and value in text]
        spans = sorted(match.span() for value in known for match in re.finditer(re.escape(value), text))
        merged: list[list[int]] = []
        for begin, end in spans:
            if merged and begin < merged[-1][1]:
                merged[-1][1] = max(end, merged[-1][1])
            else:
                merged.append([begin, end])
        pieces, done = [], 0
        for begin, end in merged:
            pieces += [text[done:begin], cover(text[begin:end])]
            done = end
        return "".join([*pieces, text[done:]])

    def value(self, value: Any, name: str = "") -> Any:
        """JSON with everything personal in it masked."""
        if self.revealed:
            return value
        if value is not None and is_secret_name(name):
            return DOTS
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(inner, str(key)) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(inner, name) for inner in value]
        if value is None or isinstance(value, bool):
            return value
        if name.casefold() in self.names:
            return cover(str(value))
        shown = self.text(str(value))
        return value if shown == str(value) else shown

    def pairs(self, found: Mapping[str, str]) -> dict[str, str]:
        """Headers or other named values, masked."""
        return {name: str(self.value(value, name)) for name, value in found.items()}


def masking_of(rules: Iterable[Rule], known: Collection[str] = (), *, revealed: bool = False) -> Masking:
    """The masking for an event that these rules may match. known: its personal values."""
    names = frozenset[str]().union(*[rule.personal_names for rule in rules])
    return Masking(names, frozenset(value for value in known if value.strip()), revealed)


def cover(text: str) -> str:
    """A masked value: an address or a number keeps its ends, anything else its first character."""
    bare = text.strip()
    if email := _EMAIL.fullmatch(bare):
        return _mask_email(email)
    if (phone := next(find_phones(bare), None)) and phone.text == bare:
        return _mask_phone(phone)
    return bare[:1] + DOTS if len(bare) > 1 and not bare.isdigit() else DOTS


def pretty(value: Any) -> str:
    """JSON for people."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def _last_key(name: str) -> str:
    """The last key of a path: `phone` of `lead[phone]` and of `lead.phone`."""
    return re.split(r"[\[.]", name.replace("[]", "").rstrip("]"))[-1].strip("]")


def _mask_email(match: re.Match[str]) -> str:
    shown = f"{match['name'][0]}{DOTS}{match['at']}"
    return f"{shown}{match['host'][0]}{DOTS}.{match['rest'].rpartition('.')[2]}" if match["host"] else shown + DOTS


def _mask_phones(text: str) -> str:
    pieces, done = [], 0
    for phone in find_phones(text):
        pieces += [text[done : phone.begin], _mask_phone(phone)]
        done = phone.end
    return "".join([*pieces, text[done:]]) if done else text


def _mask_phone(phone: Phone) -> str:
    plus = _PLUS.match(phone.text)
    return f"{plus[0] if plus else ''}{phone.digits[0]}{DOTS}{phone.digits[-2:]}"


def masked_event(row: Row, masking: Masking) -> dict[str, Any]:
    """An event without its body and its envelope, with its deliveries."""
    event, wire = row.event, row.event.to_wire()
    del wire["body"], wire["envelope"]
    masked = {
        "headers": {
            name: masking.text(value) if name.lower() in PLAIN_HEADERS else cover(value)
            for name, value in event.headers.items()
        },
        "query": masking.query(event.query),
        "content_type": masking.text(event.content_type),
        "reason": masking.text(event.reason or "") or None,
        "errors": masking.value(event.errors),
    }
    return wire | masked | {"deliveries": [masked_delivery(one, masking) for one in row.deliveries]}


def masked_delivery(delivery: Delivery, masking: Masking) -> dict[str, Any]:
    """A delivery with its attempts."""
    wire = delivery.to_wire()
    wire["reason"] = masking.text(wire["reason"] or "") or None
    wire["errors"] = masking.value(delivery.errors)
    wire["call"] = masked_call(wire["call"], masking)
    if wire["watch"]:
        wire["watch"]["query"] = masking.query(wire["watch"]["query"])
    for attempt in wire["attempts"]:
        attempt["description"] = masking.text(attempt["description"] or "") or None
    return wire


def masked_call(wire: Mapping[str, Any], masking: Masking) -> dict[str, Any]:
    """A call, as JSON."""
    masked = {
        "document_id": [masking.text(member) for member in wire["document_id"]],
        "parameters": masking.value(wire["parameters"]),
    }
    if comment := wire.get("comment"):
        masked["comment"] = {**comment, "text": masking.text(comment["text"])}
    return {**wire, **masked}


def as_read(text: str) -> str:
    """The text as a reader sees it: entities and escapes decoded, invisible characters gone, rare ones replaced."""
    for _ in range(_ROUNDS):
        if "&" in text:
            text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
        if "\\u" in text:
            text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    return text if text.isascii() else text.translate(_readings())


@dataclass(frozen=True, slots=True)
class KnownTexts:
    """Texts to find in others by their words, in any case; texts of two or three words in any order."""

    by_words: Mapping[int, frozenset[tuple[str, ...]]] = field(repr=False)
    firsts: frozenset[str] = field(repr=False)

    @classmethod
    def of(cls, texts: Iterable[str]) -> KnownTexts:
        """Of these texts, those that have words."""
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
        """How many words from here on form one of the texts; 0: none."""
        for count, known in self.by_words.items():
            if tuple(words[place : place + count]) in known:
                ends = zip(spans[place : place + count - 1], spans[place + 1 : place + count], strict=True)
                if all(after[0] - before[1] <= MOST_BETWEEN for before, after in ends):
                    return count
        return 0


def _lower(text: str) -> str:
    """In lower case, of the same length: a character that would become two stays."""
    lowered = text.lower()
    return (
        lowered if len(lowered) == len(text) else "".join(low if len(low := one.lower()) == 1 else one for one in text)
    )


@functools.cache
def _readings() -> Mapping[int, str]:
    """The ordinary character that people read where a rare one stands."""
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


def excerpt(value: Any, values: int = MOST_VALUES, characters: int = MOST_CHARACTERS) -> tuple[Any, bool]:
    """The first values of JSON, and whether it was cut. Where it was cut, it says how much is missing."""
    room = _Room(values, characters)
    return room.fit(value), room.was_short


def excerpt_of_text(text: str, characters: int = MOST_CHARACTERS) -> tuple[str, bool]:
    """The beginning of a text, and whether it was cut."""
    if len(text) <= characters:
        return text, False
    borders = [match.start() for match in _BORDERS.finditer(text, max(0, characters - _LOOKED_BACK), characters)]
    if borders:
        return text[: borders[-1]], True
    cut = max(0, characters - _LOOKED_BACK)
    beyond = text[: cut + _LOOKED_BACK]
    return text[: next((one.begin for one in find_phones(beyond) if one.begin < cut < one.end), cut)], True


class _Room:
    def __init__(self, values: int, characters: int) -> None:
        self._values = values
        self._characters = characters
        self.was_short = False

    def fit(self, value: Any) -> Any:
        self._values -= 1
        if isinstance(value, dict):
            return self._fit_map(value)
        if isinstance(value, list | tuple):
            return self._fit_list(value)
        if isinstance(value, str):
            return self._fit_text(value)
        self._characters -= 20
        return value

    def _fit_map(self, whole: dict[str, Any]) -> dict[str, Any]:
        fitting: dict[str, Any] = {}
        for name, inner in whole.items():
            if self._is_full():
                fitting["…"] = f"{len(whole) - len(fitting)} more"
                break
            fitting[self._fit_text(str(name))] = self.fit(inner)
        return fitting

    def _fit_list(self, whole: list[Any] | tuple[Any, ...]) -> list[Any]:
        fitting: list[Any] = []
        for inner in whole:
            if self._is_full():
                fitting.append(f"… {len(whole) - len(fitting)} more")
                break
            fitting.append(self.fit(inner))
        return fitting

    def _fit_text(self, text: str) -> str:
        fitting, is_cut = excerpt_of_text(text, min(LONGEST_TEXT, max(0, self._characters)))
        self._characters -= len(fitting)
        if not is_cut:
            return fitting
        self.was_short = True
        return f"{fitting}… {len(text) - len(fitting)} characters more"

    def _is_full(self) -> bool:
        is_full = self._values <= 0 or self._characters <= 0
        self.was_short = self.was_short or is_full
        return is_full
