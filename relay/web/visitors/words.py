"""What the pages say, in the languages that they speak: a file each in words/, whose keys are those of en.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

LANGUAGES = ("en", "ru", "uk", "de", "fr", "es", "pl", "pt")
"""As in Accept-Language and `lang` (BCP 47); the first is spoken where a visitor's is none of them."""
MISTAKES: tuple[tuple[str, str], ...] = (
    ("missing", r"missing: .*"),
    ("email", r"expected an e-mail address"),
    ("phone", r"expected a telephone number of (\d+) to (\d+) digits"),
    ("address", r"expected an http or https address"),
    ("whole", r"expected a whole number"),
    ("number", r"expected a number"),
    ("date", r"expected a date .*"),
    ("choice", r"expected one of (.*)"),
    ("between", r"expected from (\S+) to (\S+)"),
    ("least", r"expected at least (\S+)"),
    ("most", r"expected at most (\S+)"),
    ("length", r"expected at most (\d+) characters"),
    ("entries", r"expected at most (\d+) entries"),
    ("other", r".*"),
)
"""What relay/rules/values.py says of a value, in English and for developers; in brackets what is said again."""


@dataclass(frozen=True, slots=True)
class Words:
    """One language. sayings: title and text by name. entries: what is wrong with an entry, by the names of MISTAKES."""

    language: str
    sayings: Mapping[str, tuple[str, str]]
    back: str
    way_back: str
    entries: Mapping[str, str]

    def of_entry(self, message: str) -> str:
        """A rule's message for a visitor; what an operator has written, such as choices, stays as it is."""
        found = ((kind, re.fullmatch(pattern, message, re.DOTALL)) for kind, pattern in MISTAKES)
        kind, match = next((kind, match) for kind, match in found if match)
        return self.entries[kind].format(*match.groups())


@cache
def words_of(language: str) -> Words:
    """The words of one of LANGUAGES."""
    content = yaml.safe_load(files(__package__).joinpath("words", f"{language}.yaml").read_text("utf-8"))
    back, way_back, entries = content.pop("back"), content.pop("way_back"), content.pop("entries")
    sayings = {name: (saying["title"], saying["text"]) for name, saying in content.items()}
    return Words(language, sayings, back, way_back, entries)
