"""README.md and its Russian sister say the same: what is added to one is missed in the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENGLISH = ROOT / "README.md"
RUSSIAN = ROOT / ".github" / "README.ru.md"
FENCE = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"\s+# .*$", re.MULTILINE)
SHAPE = re.compile(r"^(#+(?= )|- |\d+\. |!(?=\[)|\*\*(?=[^*]+\.\*\*))", re.MULTILINE)
"""Where a heading, an item of a list, a picture or a paragraph with a title of its own begins."""
ROW = re.compile(r"^\| (`.*?) \|", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
TYPED = re.compile(r"(?:python -m|make|docker) .+|.*(?:--[a-z]|\b(?:REDIS|RELAY|SOURCE|ALERT|PORTAL)_).*", re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)")


def sections(path: Path) -> dict[str, str]:
    """The text by sections, named by the headings of README.md."""
    names = [part.partition("\n")[0].lstrip("# ") for part in parts(ENGLISH)]
    return dict(zip(names, parts(path), strict=True))


def parts(path: Path) -> list[str]:
    return re.split(r"^(?=## )", path.read_text("utf-8"), flags=re.MULTILINE)


def shape(text: str) -> list[str]:
    return [re.sub(r"\d+", "1", mark) for mark in SHAPE.findall(FENCE.sub("", text))]


def fences(text: str) -> list[tuple[str, str]]:
    return [(language, COMMENT.sub("", code)) for language, code in FENCE.findall(text)]


def rows(text: str) -> list[list[str]]:
    """What stands as code in the first cell of each row: commands, variables, states."""
    return [CODE.findall(cell) for cell in ROW.findall(text)]


def typed(text: str) -> set[str]:
    """Commands, options and variables, wherever in the text they are named."""
    spans = [" ".join(span.split()) for span in CODE.findall(FENCE.sub("", text))]
    return {span for span in spans if TYPED.fullmatch(span)}


def targets(path: Path) -> list[tuple[str, str]]:
    """The file, seen from the repository, and the anchor of each link."""
    found = LINK.findall(path.read_text("utf-8"))
    return [(str((path.parent / file).resolve().relative_to(ROOT)), anchor) for file, anchor in found]


@pytest.mark.parametrize("look", [shape, fences, rows, typed])
def test_the_russian_readme_has_what_the_english_one_has(look):
    english, russian = sections(ENGLISH), sections(RUSSIAN)
    assert {name: look(text) for name, text in russian.items()} == {name: look(text) for name, text in english.items()}


@pytest.mark.parametrize(
    ("look", "line"),
    [
        (shape, "- One more limit.\n"),
        (shape, "**One more title.** And what it is about.\n"),
        (shape, "### One more heading\n"),
        (fences, "```console\n$ make more\n```\n"),
        (rows, "| `more` | a state more |\n"),
        (rows, "| `python -m relay more` | a command more |\n"),
        (typed, "Or `python -m relay\nmore`, which does more.\n"),
        (typed, "`events --more` finds more.\n"),
        (typed, "With `RELAY_MORE`, there is more.\n"),
    ],
)
def test_what_is_added_to_one_of_the_two_readmes_is_seen(look, line):
    for text in (*sections(ENGLISH).values(), *sections(RUSSIAN).values()):
        assert look(f"{text}\n{line}") != look(text)


def test_both_readmes_lead_to_the_same_pages():
    """But to each other, which is where they begin."""
    assert targets(RUSSIAN)[1:] == targets(ENGLISH)[1:]


def test_each_of_the_two_readmes_begins_with_a_link_to_the_other():
    for path, other in ((ENGLISH, RUSSIAN), (RUSSIAN, ENGLISH)):
        assert targets(path)[0] == (str(other.relative_to(ROOT)), "")
