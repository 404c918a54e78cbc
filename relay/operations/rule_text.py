"""Edits the text of a rule in place, so that comments, order and style of its author stay.

Pure: text comes in, text goes out. This module does not know the meaning of the text (relay/rules), and edits only YAML
maps. YAML can be written in more ways than this module knows, so every edit is parsed again and refused if its content
is not as intended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from relay.configuration.files import nodes_of
from relay.core.errors import RelayError
from relay.core.phrases import phrase

ORDER = (
    "name",
    "source",
    "title",
    "enabled",
    "when",
    "on_uncertain",
    "order_by",
    "extract",
    "find",
    "make",
    "trigger",
    "start",
)
INSIDE = {
    "start": ("portal", "template_id", "document_id", "parameters", "watch", "comment", "loud"),
    "make": ("contact", "lead", "deal"),
}
"""The order of keys in a rule and in parts of it, as in config/guide/rules.md. New keys are inserted in this order: a
lead or a deal may name the contact that is made before it."""
LONGEST_TEXT = 64_000
"""Characters of a text that can be edited; files written by people are shorter."""
MOST_BREAKS, A_RULE = 8, 8_000
"""How often the text above a broken line is tried; less often if the text is much longer than a rule."""
BOM = "\ufeff"
"""The byte order mark, with which some editors begin a file."""
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_WORDS = frozenset({"true", "false", "null"})


class UneditableError(RelayError):
    """The text cannot be edited by a click, only by hand; the message says why. line: the first broken one; 0: none."""

    def __init__(self, text: str, line: int = 0) -> None:
        super().__init__(text)
        self.line = line


def put(text: str, place: Sequence[str], value: str) -> str:
    """Put a value at a place in the text, and add missing maps on the way.

    place: keys, such as ("start", "template_id"). value: YAML of one line. Raises UneditableError.
    """
    root = _root(text)
    edited = _put(text, root, place, value) if root else _joined(text, _block(place, value, 0))
    after = nodes_of(edited)
    if after.problem or not after.root or _content(after.root) != _with(_content(root) if root else {}, place, value):
        raise UneditableError(phrase("this cannot be put there by a click: write it into the text by hand"))
    return edited


def _put(text: str, root: yaml.MappingNode, place: Sequence[str], value: str) -> str:
    node: yaml.Node = root
    for depth, key in enumerate(place):
        found = _child(node, key)
        if found is None:
            order = ORDER if depth == 0 else INSIDE.get(place[0], ()) if depth == 1 else ()
            return _insert(text, node, place[depth:], value, order)
        parent, (name, node) = node, found
        if _is_empty(node) and depth < len(place) - 1:
            rest = place[depth + 1 :]
            if isinstance(parent, yaml.MappingNode) and parent.flow_style:
                return _replace(text, name, node, f"{{{_flow(rest, value)}}}")
            at, end = node.start_mark.index, node.end_mark.index
            bare = f"{text[:at].rstrip(' ')}{text[end:]}"  # without an explicit null, such as ~
            column = _indent(text, name.start_mark.index) + 2
            return _put_line(bare, _line_end(bare, name.end_mark.index), _block(rest, value, column))
    return _replace(text, name, node, value)


def _with(content: Any, place: Sequence[str], value: str) -> Any:
    """The expected content after an edit."""
    if not place:
        node = nodes_of(value).root
        return _content(node) if node else ""
    held = content if isinstance(content, dict) else {}
    return held | {place[0]: _with(held.get(place[0]), place[1:], value)}


def has(text: str, place: Sequence[str]) -> bool:
    """Whether there is a value at this place. False if the text cannot be read."""
    try:
        node: yaml.Node | None = _root(text)
    except UneditableError:
        return False
    for key in place:
        found = _child(node, key) if node else None
        if found is None:
            return False
        node = found[1]
    return node is not None and not _is_empty(node)


def content_of(text: str) -> Mapping[str, Any]:
    """The text as plain maps and texts, even if it is no valid rule; empty if it is not a map.

    If it is broken YAML, such as while somebody types, the part above the broken line is read.
    """
    looked_at = 0
    for _ in range(MOST_BREAKS):
        looked_at += len(text)
        if looked_at > MOST_BREAKS * A_RULE and looked_at > len(text):
            break
        try:
            root = _root(text)
        except UneditableError as error:
            if not error.line:
                break
            lines = text.splitlines(keepends=True)
            text = "".join(lines[: min(error.line, len(lines)) - 1])
        else:
            return _content(root) if root else {}
    return {}


def scalar(text: str) -> str:
    """Write a text as a YAML scalar on one line, also inside braces."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(_escaped(character) for character in text) + '"'


def line(text: str) -> str:
    """Write a text as a YAML scalar after a key, with as few quotes as possible."""
    is_plain = text.isprintable() and text[:1].isalpha() and ": " not in text and " #" not in text
    return text if is_plain and not text.endswith((" ", ":")) and text.lower() not in _WORDS else scalar(text)


def filled(name: str) -> str:
    """The template that consists of this value only."""
    return json.dumps(f"{{{name}}}")


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _root(text: str) -> yaml.MappingNode | None:
    if len(text) > LONGEST_TEXT:
        raise UneditableError(phrase("a rule has at most %(longest_text)s characters here", longest_text=LONGEST_TEXT))
    nodes = nodes_of(text)
    if nodes.has_aliases:
        raise UneditableError(phrase("a text with aliases is not edited by a click"))
    if nodes.problem:
        raise UneditableError(phrase("the text is not valid YAML: mend it first"), nodes.line)
    if nodes.root is not None and not isinstance(nodes.root, yaml.MappingNode):
        raise UneditableError(phrase("the text is no map of keys: expected `name: …` and so on"))
    return nodes.root


def _content(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {name.value: _content(value) for name, value in node.value if isinstance(name, yaml.ScalarNode)}
    return [_content(one) for one in node.value] if isinstance(node, yaml.SequenceNode) else node.value


def _child(node: yaml.Node, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    """The node of a key and the node of its value."""
    if not isinstance(node, yaml.MappingNode):
        if _is_empty(node):
            return None
        raise UneditableError(phrase("%(key)s cannot be put into what stands there: expected a map", key=key))
    return next(((name, value) for name, value in node.value if name.value == key), None)


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in ("", "~", "null")


def _insert(text: str, node: yaml.Node, place: Sequence[str], value: str, order: Sequence[str]) -> str:
    """Insert into a map without the first of these keys. order: the order of its keys."""
    if not isinstance(node, yaml.MappingNode):
        raise UneditableError(phrase("%(place)s cannot be put into what stands there: expected a map", place=place[0]))
    if node.flow_style:
        # Directly after the last value, because a comment may follow.
        at = node.value[-1][1].end_mark.index if node.value else node.start_mark.index + 1
        return f"{text[:at]}{', ' if node.value else ''}{_flow(place, value)}{text[at:]}"
    block = _block(place, value, _indent(text, node.value[0][0].start_mark.index))
    behind = order[order.index(place[0]) + 1 :] if place[0] in order else ()
    if later := [name for name, _ in node.value if name.value in behind]:
        at = _line_start(text, later[0].start_mark.index)
        return f"{text[:at]}{block}\n{text[at:]}"
    return _put_line(text, _line_end(text, _end(node)), block)


def _replace(text: str, name: yaml.Node, node: yaml.Node, value: str) -> str:
    start, end = node.start_mark.index, _end(node)
    # An empty value comes directly after its colon.
    before = "" if start == 0 or text[start - 1].isspace() else " "
    if node.start_mark.line > name.start_mark.line:
        # Only the items of a list may be as far left as their key.
        before = " " * (name.start_mark.column + 2 - node.start_mark.column)
    after = "\n" if text[start:end].endswith("\n") else ""
    return f"{text[:start]}{before}{value}{after}{text[end:]}"


def _end(node: yaml.Node) -> int:
    """The end of its last character. PyYAML includes what follows a block, such as comments."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    return int(node.end_mark.index)


def _line_start(text: str, index: int) -> int:
    at = text.rfind("\n", 0, index) + 1
    return at + text.startswith(BOM, at)


def _indent(text: str, index: int) -> int:
    """The indentation of the line with this character."""
    line = text[_line_start(text, index) : index]
    return len(line) - len(line.lstrip(" "))


def _line_end(text: str, index: int) -> int:
    if index and text[index - 1] == "\n":  # a block of text ends with its line
        return index - 1
    found = text.find("\n", index)
    return len(text) if found < 0 else found


def _put_line(text: str, at: int, block: str) -> str:
    return f"{text[:at]}\n{block}{text[at:] or chr(10)}"


def _joined(text: str, block: str) -> str:
    return f"{text.rstrip()}\n{block}\n".lstrip("\n")


def _block(place: Sequence[str], value: str, column: int) -> str:
    lines = [f"{' ' * (column + 2 * depth)}{_key(key)}:" for depth, key in enumerate(place)]
    return "\n".join(lines) + f" {value}"


def _flow(place: Sequence[str], value: str) -> str:
    first, *rest = place
    return f"{_key(first)}: {{{_flow(rest, value)}}}" if rest else f"{_key(first)}: {value}"


def _key(name: str) -> str:
    return scalar(name)
