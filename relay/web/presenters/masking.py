"""What persons' values look like on pages and in exports: masked, unless an operator asked to see those of an event.

Masked is what today's rules mark as personal, whatever looks like an e-mail address or a phone number, and what has the
name of a secret; however it is spelled, as long as it reads as the same (spellings.py). Pure: it reads neither request
nor record. Every expression is linear: bodies may be a megabyte of anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, unquote_plus

from relay.core.phones import Phone, find_phones
from relay.rules import Rule
from relay.rules.compose import Template
from relay.sources.redaction import is_secret_name
from relay.web.presenters.spellings import KnownTexts, as_read

DOTS = "•••"
_EMAIL = re.compile(
    r"(?<![\w.+%-])(?P<name>(?:[\w.+-]|%(?!40)[0-9A-Fa-f]{2})++)(?P<at>@|%40)"
    r"(?:(?P<host>(?:[\w-]|%(?!40)[0-9A-Fa-f]{2})++)(?P<rest>(?:\.[\w-]++)++)|[^\W\d_][\w-]{2,}+|\[[0-9A-Fa-f.:]{2,45}\])"
)
"""Also at a machine of one word, and at an IP address."""
_PLUS = re.compile(r"\+|%2[Bb]")
_ENCODED = re.compile(r"[^\s&=?#;\"'<>,]++")
"""What may be percent-encoded: what stands between the delimiters of an address."""
_LAST_NAME = re.compile(r'[A-Za-z_]\w*|"[^"]+"')
MOST_KNOWN = 300
"""Of an event with more personal values every text is masked: looking for each of them in all would take too long."""
SHORTEST_KNOWN = 4
"""A personal value shorter than this is masked where it stands alone only, not inside other text."""


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
        """A query string, with its values masked by their names too; what needs no mask stays as it was encoded."""
        if self.revealed:
            return text
        return "&".join(self._pair(pair) for pair in text.split("&"))

    def _pair(self, pair: str) -> str:
        name, equals, value = pair.partition("=")
        decoded = unquote_plus(value)
        shown = self.value(decoded, _last_key(unquote_plus(name)))
        return f"{self.text(name)}{equals}{value if shown == decoded else shown}"

    def _decoded(self, match: re.Match[str]) -> str:
        """What was percent-encoded, once or twice, decoded where it shows a person only then."""
        text = match[0]
        for _ in range(2):
            if (decoded := unquote(text)) == text:
                break
            text = decoded
            if (shown := self._read(text)) != text:
                return shown
        return match[0]

    def _read(self, text: str) -> str:
        """As people read it; as it is written where there is nothing to mask."""
        if (read := as_read(text)) != text and (shown := self._plain(read)) != read:
            return shown
        return self._plain(text)

    def _plain(self, text: str) -> str:
        if text.strip() in self.known:
            return cover(text)
        text = self._known.sub(cover, self._covered(text))
        if "@" in text or "%40" in text:
            text = _EMAIL.sub(_shade_email, text)
        return _shade_phones(text)

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
        """Headers, or anything else by name."""
        return {name: str(self.value(value, name)) for name, value in found.items()}


def masking_of(rules: Iterable[Rule], known: Collection[str] = (), *, revealed: bool = False) -> Masking:
    """The masking for an event that these rules may want, and whose personal values are known."""
    names = {name.casefold() for rule in rules for name in _personal_names(rule)}
    return Masking(frozenset(names), frozenset(value for value in known if value.strip()), revealed)


def cover(text: str) -> str:
    """A value as its kind shows it: an address or number by its ends, anything else by its first character."""
    bare = text.strip()
    if email := _EMAIL.fullmatch(bare):
        return _shade_email(email)
    if (phone := next(find_phones(bare), None)) and phone.text == bare:
        return _shade_phone(phone)
    return bare[:1] + DOTS if len(bare) > 1 and not bare.isdigit() else DOTS


def pretty(value: Any) -> str:
    """JSON for people."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def _last_key(name: str) -> str:
    """`lead[phone]` and `lead.phone` are named as their value is: phone."""
    return re.split(r"[\[.]", name.replace("[]", "").rstrip("]"))[-1].strip("]")


def _personal_names(rule: Rule) -> Iterable[str]:
    personal = set(rule.extractor.personal)
    for name in personal:
        yield name
        for expression in rule.extractor.picks[name]:
            words = _LAST_NAME.findall(expression.text)
            if words:
                yield words[-1].strip('"')
    for fields in (rule.composer.parameters, *(step.fields for step in rule.steps)):
        for name, parameter in fields.items():
            if any(personal & set(template.names) for template in _templates_in(parameter)):
                yield name


def _templates_in(parameter: Any) -> Iterable[Template]:
    if isinstance(parameter, Template):
        yield parameter
    elif isinstance(parameter, list):
        for part in parameter:
            yield from _templates_in(part)


def _shade_email(match: re.Match[str]) -> str:
    shown = f"{match['name'][0]}{DOTS}{match['at']}"
    return f"{shown}{match['host'][0]}{DOTS}.{match['rest'].rpartition('.')[2]}" if match["host"] else shown + DOTS


def _shade_phones(text: str) -> str:
    pieces, done = [], 0
    for phone in find_phones(text):
        pieces += [text[done : phone.begin], _shade_phone(phone)]
        done = phone.end
    return "".join([*pieces, text[done:]]) if done else text


def _shade_phone(phone: Phone) -> str:
    plus = _PLUS.match(phone.text)
    return f"{plus[0] if plus else ''}{phone.digits[0]}{DOTS}{phone.digits[-2:]}"
