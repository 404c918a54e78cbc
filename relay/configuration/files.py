"""Reads what an operator wrote: YAML with the line of every key, checked by a marshmallow schema.

Every fault becomes a Mistake with its file and line in the collector that was handed down, and reading goes on. It
knows nothing of sources, portals or rules; it builds no objects from tags, and an alias cannot make a small file large.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from marshmallow import Schema, ValidationError

from relay.configuration.mistakes import Mistakes
from relay.configuration.texts import MAX_BYTES, read_text_of
from relay.configuration.yaml_nodes import MAX_DEPTH, nodes_of
from relay.core.errors import ConfigError, Mistake
from relay.core.faults import Fault, fault

MAX_NODES = 20_000

Place = tuple[str | int, ...]  # where something stands in a file: the keys and indexes that lead to it

_PLAIN_TAGS: Mapping[type[yaml.Node], str] = {
    yaml.MappingNode: "tag:yaml.org,2002:map",
    yaml.SequenceNode: "tag:yaml.org,2002:seq",
    yaml.ScalarNode: "tag:yaml.org,2002:str",
}


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file that was read: its content, the line of each place in it, and where its mistakes are collected."""

    file: str
    content: Any = field(repr=False)
    lines: Mapping[Place, int] = field(repr=False)
    mistakes: Mistakes = field(repr=False)

    @property
    def is_right(self) -> bool:
        """Whether no mistake was found in it so far."""
        return all(mistake.file != self.file for mistake in self.mistakes)

    def add_mistake(self, place: Place, fault: str) -> None:
        """Note a mistake at this place, or at the closest one around it that the file has."""
        known = next((place[:size] for size in range(len(place), -1, -1) if place[:size] in self.lines), ())
        self.mistakes.add(Mistake(self.file, self.lines.get(known, 1), fault, place))

    def check(self, schema: Schema) -> dict[str, Any]:
        """The content as the schema loads it; after a mistake, what is right of it: any key may be missing then."""
        try:
            content: dict[str, Any] = schema.load(self.content)
        except ValidationError as error:
            self._add_mistakes((), error.messages)
            return error.valid_data if isinstance(error.valid_data, dict) else {}
        return content

    def _add_mistakes(self, place: Place, messages: Any) -> None:
        if isinstance(messages, dict):
            for key, inner in messages.items():
                self._add_mistakes(place if key == "_schema" else (*place, key), inner)
            return
        for message in messages:
            self.add_mistake(place, self._completed(place, message))

    def _completed(self, place: Place, wrong: str) -> str:
        # What was expected is completed with what stands there, but never with what may be a secret that was pasted
        # where the name of a variable belongs.
        if not isinstance(wrong, Fault) or not wrong.is_expectation:
            return wrong
        if place not in self.lines:
            return fault("missing", expected=wrong)
        here = functools.reduce(lambda content, step: content[step], place, self.content)
        if "secrets" in place:
            return wrong
        return (
            fault("found_nothing", expected=wrong)
            if here is None
            else fault("found", what=_found(here), expected=wrong)
        )


def _found(content: Any) -> str:
    if isinstance(content, dict | list):
        return fault("a_map") if isinstance(content, dict) else fault("a_list")
    text = str(content).lower() if isinstance(content, bool) else repr(content)
    return text if len(text) <= 40 else text[:37] + "..."


def read_yaml(path: Path, mistakes: Mistakes) -> ConfigFile | None:
    """Read one YAML document. None where it is missing, unreadable or not YAML, which is among the mistakes then."""
    try:
        return _Builder(str(path), mistakes).build(_text_of(path))
    except ConfigError as error:
        mistakes.add(*error.mistakes)
        return None


def names_in(path: Path, table: str) -> Collection[str] | None:
    """The names that a file has in a table, whatever is wrong with their entries; None where it does not tell.

    What is wrong with the file is said by whoever loads it.
    """
    config = read_yaml(path, Mistakes())
    entries = config.content.get(table) if config and isinstance(config.content, dict) else None
    return entries.keys() if isinstance(entries, dict) else None


def _text_of(path: Path) -> str:
    file = str(path)
    try:
        raw = read_text_of(path)
        text = raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError([Mistake(file, 0, fault("file_missing"))]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Mistake(file, 0, fault("file_unreadable", kind=type(error).__name__))]) from None
    if len(raw) > MAX_BYTES:
        raise ConfigError([Mistake(file, 0, fault("file_too_large", most=MAX_BYTES))])
    return text


_PLAIN: tuple[tuple[re.Pattern[str], Any], ...] = (
    (re.compile(r"-?(0|[1-9][0-9]{0,17})"), int),
    (re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,17}"), float),
    (re.compile(r"true|false"), lambda text: text == "true"),
    (re.compile(r"null|~|"), lambda _: None),
)


def _plain(text: str) -> Any:
    return next((convert(text) for pattern, convert in _PLAIN if pattern.fullmatch(text)), text)


class _Builder:
    """Turns YAML nodes into plain values, and notes lines and mistakes on the way."""

    def __init__(self, file: str, mistakes: Mistakes) -> None:
        self.file = file
        self.mistakes = mistakes
        self.lines: dict[Place, int] = {}

    def build(self, text: str) -> ConfigFile:
        """Raises ConfigError where no content can be had."""
        nodes = nodes_of(text)
        if nodes.problem:
            raise ConfigError([Mistake(self.file, nodes.line, fault("yaml_invalid", problem=nodes.problem))])
        content = None if nodes.root is None else self._value(nodes.root, ())
        return ConfigFile(self.file, content, self.lines, self.mistakes)

    def _value(self, node: yaml.Node, place: Place) -> Any:
        line: int = node.start_mark.line + 1
        self.lines.setdefault(place, line)
        if len(self.lines) > MAX_NODES or len(place) > MAX_DEPTH:
            # Counted with every alias written out, which also ends one that contains itself.
            wrong = fault("yaml_too_much", values=MAX_NODES, levels=MAX_DEPTH)
            raise ConfigError([Mistake(self.file, line, wrong)])
        if node.tag != _PLAIN_TAGS[type(node)]:
            self._wrong(line, fault("yaml_tag"))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*place, index)) for index, item in enumerate(node.value)]
        return _plain(node.value) if isinstance(node, yaml.ScalarNode) and node.style is None else node.value

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._wrong(line, fault("yaml_key"))
                continue
            if key.value in content:
                first = self.lines[*place, key.value]
                self._wrong(line, fault("yaml_twice", key=repr(key.value), line=first))
                continue
            self.lines[*place, key.value] = line
            content[key.value] = self._value(value, (*place, key.value))
        return content

    def _wrong(self, line: int, wrong: str) -> None:
        self.mistakes.add(Mistake(self.file, line, wrong))
