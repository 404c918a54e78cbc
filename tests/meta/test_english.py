"""English is no protocol: no code finds out what happened by matching, splitting or comparing our own sentences."""

from __future__ import annotations

import ast
import codecs
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.core.catalogue import MESSAGES
from relay.core.labels import REASONS
from relay.core.reasons import BY_CODE

ROOT = Path(__file__).parents[2]
SENTENCES = [text % dict.fromkeys(re.findall(r"%\((\w+)\)s", text), "7") for text in MESSAGES.values()]
SENTENCES += [*REASONS.values(), *BY_CODE.values()]
IN_RE = {"compile", "match", "fullmatch", "search", "findall", "finditer", "split", "sub"}
ON_TEXT = {
    "startswith", "endswith", "partition", "rpartition", "split", "rsplit", "removeprefix", "removesuffix", "index",
    "find", "replace",
}  # fmt: skip
MAKERS = {"say", "said", "say_fault", "words", "phrase", "phrases", "fault", "name_of_reason", "explain", "sentence_of"}
"""What makes words: nothing looks into what they return."""
SHORTEST = 5
"""Letters; a shorter word says nothing of a sentence."""


def offences(source: str) -> list[str]:
    """What a module does with our sentences, by line."""
    return [f"{line}: {what}" for line, what in _offences(ast.parse(source))]


def _offences(module: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            if isinstance(node, ast.Compare) and any(_is_ours(one) for one in (node.left, *node.comparators)):
                yield node.lineno, "compares a sentence"
            continue
        name, on = node.func.attr, node.func.value
        if isinstance(on, ast.Name) and on.id == "re" and name in IN_RE:
            if any(_matches_ours(text) for text in _texts(node.args[:1])):
                yield node.lineno, "has a pattern of a sentence"
        elif name in ON_TEXT:
            if any(map(_is_part_of_ours, _texts(node.args[:1]))):
                yield node.lineno, f"{name}: a part of a sentence"
            if isinstance(on, ast.Call) and _name_of(on.func) in MAKERS:
                yield node.lineno, f"{name} on words that were made"


def _name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _texts(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        for one in node.elts if isinstance(node, ast.Tuple) else [node]:
            if isinstance(one, ast.Constant) and isinstance(one.value, str):
                yield one.value


def _is_ours(node: ast.expr) -> bool:
    return any(" " in text and text in SENTENCES for text in _texts([node]))


def _is_part_of_ours(text: str) -> bool:
    """Whether a sentence begins or ends with it, or holds several words of it."""
    words = text.strip(" :;,.")
    if sum(map(str.isalpha, words)) < SHORTEST or not re.fullmatch(r"[A-Za-z' ]+", words):
        return False
    around = re.compile(rf"^{re.escape(words)}\b|\b{re.escape(words)}$" if " " not in words else re.escape(words))
    return any(around.search(sentence) for sentence in SENTENCES)


def _matches_ours(pattern: str) -> bool:
    """Whether it matches several words of a sentence for what they are: turned into nonsense, it does not."""
    compiled = re.compile(pattern)
    found = ((sentence, compiled.match(sentence)) for sentence in SENTENCES)
    return any(
        match is not None and " " in match[0] and not compiled.match(codecs.encode(sentence, "rot13"))
        for sentence, match in found
    )


@pytest.mark.parametrize(
    "source",
    [
        'import re\nre.compile(r"not valid JSON at line (\\d+), column (\\d+)")',
        'import re\nre.fullmatch(r"missing: .*", text)',
        'text.startswith("expected")',
        'reason.endswith("bytes were not kept")',
        'note.removeprefix("until ")',
        'if reason == "no answer in time":\n    pass',
        'name_of_reason(reason).partition(": ")',
    ],
)
def test_a_pattern_or_a_split_of_our_own_words_is_found(source: str) -> None:
    assert offences(source)


@pytest.mark.parametrize(
    "source",
    [
        'import re\nre.compile(r"[a-z]+ [a-z ]+")',
        'event_id.startswith("evt_")',
        'if fault.code == "json_invalid": pass',
    ],
)
def test_what_says_nothing_of_our_words_is_not(source: str) -> None:
    assert not offences(source)


def test_no_code_matches_splits_or_compares_our_own_sentences() -> None:
    found = {
        str(path.relative_to(ROOT)): wrong
        for path in sorted([*(ROOT / "relay").rglob("*.py"), *(ROOT / "workers").rglob("*.py")])
        if "sandbox" not in path.parts and (wrong := offences(path.read_text("utf-8")))
    }
    assert found == {}
