"""A click edits the text of a rule: what comes of it is valid and says the rest as before, or the click is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as some

from relay.operations.rule_text import UneditableError, put

CLICKS = (
    (("when",), "body.form"),
    (("start", "parameters", "Z"), '"{name}"'),
    (("start", "parameters", "A"), "'w'"),
    (("start", "template_id"), "9"),
    (("start", "document_id"), "{lead: 1}"),
    (("extract", "y", "from"), "body.y"),
    (("source",), "website"),
)
TEXTS = {
    "a comment behind the last value of braces": "name: a\nstart: {portal: main, # 1\n  template_id: 1 # 2\n}\n",
    "a comma and a comment at the end": "name: a\nstart:\n  parameters: {\n    A: 1,\n    B: 2, # 1\n  }\n",
    "empty braces with a comment": "name: a\nstart: { # 1\n}\n",
    "a list at the column of its key": "name: a\nstart:\n  document_id:\n  - crm\n  - X\n  - Y # 1\n  # 2\n",
    "a map below its key": "name: a\nstart:\n  document_id:\n    lead: 2 # 1\n",
    "nothing, written as ~": "name: a\nstart: ~ # 1\n",
    "nothing on a line of its own": "name: a\nstart:\n  ~\n# 1\n",
    "nothing in braces": "name: a\nstart: {parameters: ~}\n",
    "? before a key": "? name\n: a # 1\nsource: s\n",
    "the byte order mark": "\ufeffname: a # 1\n",
    "the byte order mark before a later key": "\ufeffwhen: x # 1\nstart:\n  portal: main\n",
    "CR LF": "name: a\r\nstart: {portal: main} # 1\r\n",
    "a block of text": "name: a\nwhen: |\n  body.x\n\n# 1\n",
}
COMMENT = re.compile(r"# \d+")


def read(text):
    """By PyYAML's own reader, with every value as text: it builds maps, lists and texts only."""
    return yaml.load(text, yaml.BaseLoader)  # noqa: S506


def after_click(text, place, value):
    """What a text should say after a click, by a reader of its own."""
    content = read(text) or {}
    inner = content
    for key in place[:-1]:
        if not isinstance(inner.get(key), dict):
            inner[key] = {}
        inner = inner[key]
    inner[place[-1]] = read(value)
    return content


def of_value(text, place):
    """The comments that stand within the value that a click replaces."""
    node = yaml.compose(text, yaml.BaseLoader)
    for key in place:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        node = next((value for name, value in pairs if name.value == key), None)
        if node is None:
            return set()
    return set(COMMENT.findall(text[node.start_mark.index : last_of(node)]))


def last_of(node):
    """Where the last word of a node ends, without the comments that follow it."""
    inner = [node.end_mark.index] if isinstance(node, yaml.ScalarNode) or node.flow_style else []
    for one in node.value if not isinstance(node, yaml.ScalarNode) else ():
        inner += [last_of(each) for each in (one if isinstance(one, tuple) else (one,))]
    return max(inner)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize(("place", "value"), CLICKS, ids=[".".join(place) for place, _ in CLICKS])
def test_a_click_edits_whatever_style_a_person_writes_in(text, place, value):
    edited = put(text, place, value)

    assert read(edited) == after_click(text, place, value)
    assert set(COMMENT.findall(edited)) == set(COMMENT.findall(text)) - of_value(text, place)


class Writer:
    """Writes a map as people do, in every way that YAML has. draw: hypothesis's."""

    def __init__(self, draw) -> None:
        self.draw = draw
        self.comments = 0

    def pick(self, *choices):
        return self.draw(some.sampled_from(choices))

    def comment(self) -> str:
        if self.draw(some.booleans()):
            return ""
        self.comments += 1
        return f"{self.pick(' ', '  ')}# {self.comments}"

    def rest(self, column: int) -> list[str]:
        """Lines between others: empty, or a comment somewhere."""
        kind = self.pick("", "", "", "empty", "comment")
        if kind == "empty":
            return [" " * self.pick(0, column)]
        self.comments += kind == "comment"
        return [f"{' ' * self.pick(0, column, column + 2)}# {self.comments}"] if kind == "comment" else []

    def word(self) -> str:
        return self.pick(
            "a", "body.x", "'it''s # no'", '"a: {b}"', "12", "-", "''", "x y", '"\\u00e9"', "ё", "&w a", "!!str b"
        )

    def flow(self, depth: int) -> str:
        kind = self.pick("word", "map", "list") if depth else "word"
        if kind == "word":
            return self.pick("a", "'b, c'", "1", '"{x}"', "~")
        ends = "{}" if kind == "map" else "[]"
        names = some.sampled_from(["A", "Z", "template_id", "'q r'", "lead"])
        keys = self.draw(some.lists(names, max_size=3, unique=True))
        inner = [f"{key}: {self.flow(depth - 1)}" if kind == "map" else self.flow(depth - 1) for key in keys]
        broken = self.draw(some.booleans())
        text = ends[0] + self.space(broken)
        for one in inner:
            is_last = one is inner[-1]
            text += one + ("," if not is_last or self.draw(some.booleans()) else "") + (self.space(broken) or " ")
        return text + ends[1]

    def space(self, broken: bool) -> str:
        return f"{self.comment()}\n          " if broken and self.draw(some.booleans()) else ""

    def value(self, column: int, depth: int, inner: Sequence[str]) -> list[str]:
        """What stands behind a key of this column, and the lines below it."""
        kind = self.pick("word", "flow", "empty", "text", "list", *(["map"] * 4 if depth else []))
        if kind in {"word", "flow"}:
            word = self.word() if kind == "word" else self.flow(2)
            below = self.draw(some.booleans()) and not word.startswith(("&", "!"))
            written = f"{word}{self.comment()}"
            return [self.comment(), f"{' ' * (column + 2)}{written}"] if below else [f" {written}"]
        if kind == "empty":
            return [self.pick("", " ~", " null") + self.comment()]
        if kind == "text":
            head = f" {self.pick('|', '>')}{self.pick('', '-', '+')}{self.comment()}"
            return [head, f"{' ' * (column + 2)}body.x", *self.pick([], [""], [f"{' ' * (column + 2)}  more", ""])]
        if kind == "list":
            indent = " " * (column + self.pick(0, 2) if column else self.pick(0, 2))
            return [self.comment(), *(f"{indent}- {self.pick('crm', 'X', '{a: b}')}{self.comment()}" for _ in range(2))]
        return [self.comment(), *self.block(column + self.pick(1, 2, 4), depth - 1, inner)]

    def block(self, column: int, depth: int, keys: Sequence[str]) -> list[str]:
        lines: list[str] = []
        for key in self.draw(some.lists(some.sampled_from(keys), min_size=1, max_size=4, unique=True)):
            lines += self.rest(column)
            name = self.pick(key, key, key, f"'{key}'", f'"{key}"')
            colon = self.pick(":", ":", " :")
            first, *below = self.value(column, depth, INNER.get(key, ("A", "Z", "from")))
            heads = [f"{name}{colon}"] * 9 + [f"? {name}\n{' ' * column}:"]
            lines += [f"{' ' * column}{self.pick(*heads)}{first}", *below]
        return lines + self.rest(column)


INNER = {
    "start": ("portal", "template_id", "document_id", "parameters", "watch"),
    "extract": ("x", "y"),
}


@some.composite
def texts(draw):
    writer = Writer(draw)
    head = writer.pick("", "", "\ufeff", "---\n", "# 0\n")
    lines = writer.block(0, 2, ("name", "source", "when", "extract", "start", "on_uncertain"))
    ends = writer.pick("\n", "\n", "", "\n...\n")
    return head + "\n".join(lines).replace("\n", writer.pick("\n", "\n", "\n", "\r\n")) + ends


@given(texts(), some.sampled_from(CLICKS))
@settings(max_examples=120, deadline=None)
def test_a_click_on_any_text_keeps_the_rest_or_is_refused(text, click):
    place, value = click
    try:
        before = read(text)
    except yaml.YAMLError:
        before = None
    try:
        edited = put(text, place, value)
    except UneditableError:
        return

    assert before is not None
    assert read(edited) == after_click(text, place, value)
    assert set(COMMENT.findall(text)) - of_value(text, place) <= set(COMMENT.findall(edited))
