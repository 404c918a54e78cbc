"""Reads what an operator wrote: YAML with the line of every key, checked by a marshmallow schema.

Every fault becomes a Mistake with its file and line, and all of them are reported together. It knows nothing of
sources, portals or rules; it builds no objects from tags, and an alias cannot make a small file large.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from marshmallow import RAISE, Schema, ValidationError, fields

from relay.core.errors import ConfigError, Mistake

MAX_BYTES = 1_000_000
MAX_NODES = 20_000
MAX_DEPTH = 32
NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")

Place = tuple[str | int, ...]  # where something stands in a file: the keys and indexes that lead to it

SECONDS: Mapping[str, float] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
BYTES: Mapping[str, float] = {"B": 1, "KB": 1000, "MB": 1_000_000, "KiB": 1024, "MiB": 1_048_576}
_QUANTITY = re.compile(r"([0-9]{1,9})\s*([A-Za-z]{1,3})")
_PREFIX = "tag:yaml.org,2002:"


def suggestion(word: str, known: Collection[str]) -> str:
    """`; did you mean 'x'?` for the closest known word, else the list of what is known."""
    if close := difflib.get_close_matches(word, known, n=1):
        return f"; did you mean {close[0]!r}?"
    return f"; expected one of {', '.join(sorted(known))}" if known else ""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file that was read: its content, and the line of each place in it."""

    file: str
    content: Any = field(repr=False)
    lines: Mapping[Place, int] = field(repr=False)

    def mistake(self, place: Place, text: str) -> Mistake:
        """A Mistake at this place, or at the closest one around it that the file has."""
        known = next((place[:size] for size in range(len(place), -1, -1) if place[:size] in self.lines), ())
        named = ".".join(str(step) for step in place)
        return Mistake(self.file, self.lines.get(known, 1), f"{named}: {text}" if named else text)

    def check(self, schema: Schema) -> Any:
        """The content as the schema loads it. Raises ConfigError with every mistake."""
        try:
            return schema.load(self.content)
        except ValidationError as error:
            raise ConfigError(self._mistakes((), error.messages)) from None

    def _mistakes(self, place: Place, messages: Any) -> list[Mistake]:
        if isinstance(messages, dict):
            inner = ((place if key == "_schema" else (*place, key), value) for key, value in messages.items())
            return [mistake for step, value in inner for mistake in self._mistakes(step, value)]
        return [self.mistake(place, self._worded(place, str(message))) for message in messages]

    def _worded(self, place: Place, message: str) -> str:
        # A message that begins with "expected" is completed with what stands there, but never with what may be a
        # secret that was pasted where the name of a variable belongs.
        if not message.startswith("expected"):
            return message
        if place not in self.lines:
            return f"missing: {message}"
        here = functools.reduce(lambda content, step: content[step], place, self.content)
        return message if "secrets" in place else f"found {_found(here)}, {message}"


def _found(content: Any) -> str:
    if isinstance(content, dict | list):
        return "a map" if isinstance(content, dict) else "a list"
    if content is None:
        return "nothing"
    text = str(content).lower() if isinstance(content, bool) else repr(content)
    return text if len(text) <= 40 else text[:37] + "..."


def read_yaml(path: Path) -> ConfigFile:
    """Read one YAML document. Raises ConfigError where it is missing, unreadable or not YAML."""
    file = str(path)
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError([Mistake(file, 0, "no such file: expected a YAML file here")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Mistake(file, 0, f"cannot be read as UTF-8 text: {type(error).__name__}")]) from None
    if len(raw) > MAX_BYTES:
        raise ConfigError([Mistake(file, 0, f"larger than {MAX_BYTES} bytes: expected a file a person wrote")])
    return _Builder(file).build(text)


class _PlainLoader(yaml.SafeLoader):
    """Leaves every scalar as text, so that `_plain` alone says what is a number: `off`, `012`, `1:30` are not."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - the name and the type are PyYAML's


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

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[Place, int] = {}
        self.mistakes: list[Mistake] = []

    def build(self, text: str) -> ConfigFile:
        try:
            root = yaml.compose(text, Loader=_PlainLoader)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", type(error).__name__)
            line = mark.line + 1 if mark else 0
            raise ConfigError([Mistake(self.file, line, f"not valid YAML: {problem}")]) from None
        content = self._value(root, ())
        if self.mistakes:
            raise ConfigError(self.mistakes)
        return ConfigFile(self.file, content, self.lines)

    def _value(self, node: yaml.Node | None, place: Place) -> Any:
        if node is None:
            return None
        line: int = node.start_mark.line + 1
        self.lines.setdefault(place, line)
        if len(self.lines) > MAX_NODES or len(place) > MAX_DEPTH:
            # Counted with every alias written out, which also ends one that contains itself.
            wrong = f"more than {MAX_NODES} values or {MAX_DEPTH} levels with every alias written out"
            raise ConfigError([*self.mistakes, Mistake(self.file, line, wrong)])
        if isinstance(node, yaml.MappingNode) and node.tag == _PREFIX + "map":
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode) and node.tag == _PREFIX + "seq":
            return [self._value(item, (*place, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag == _PREFIX + "str":
            return _plain(node.value) if node.style is None else node.value
        self.mistakes.append(Mistake(self.file, line, "tags such as !name are not read: expected plain YAML"))
        return None

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.mistakes.append(Mistake(self.file, line, "a key is not a word: expected `key: value`"))
                continue
            if key.value in content:
                first = self.lines[*place, key.value]
                self.mistakes.append(Mistake(self.file, line, f"{key.value!r} is here twice, first in line {first}"))
                continue
            self.lines[*place, key.value] = line
            content[key.value] = self._value(value, (*place, key.value))
        return content


class StrictSchema(Schema):
    """A schema that names unknown keys and what was probably meant."""

    class Meta:
        unknown = RAISE

    error_messages = {"type": "expected a map of keys and values"}  # noqa: RUF012 - the type is marshmallow's

    def handle_error(self, error: ValidationError, data: Any, *, many: bool, **kwargs: Any) -> None:  # noqa: ARG002 - marshmallow's signature
        known = [item.data_key or name for name, item in self.load_fields.items()]
        messages = error.messages_dict
        messages |= {
            key: [f"unknown key{suggestion(key, known)}"] for key in messages if key not in (*known, "_schema")
        }


class Wanted(fields.Field[Any]):
    """A field that says what it expects. A subclass gives `expected` and `read`, which raises ValueError."""

    expected = "a value"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, error_messages=dict.fromkeys(("required", "null"), f"expected {self.expected}"))

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:  # noqa: ARG002 - marshmallow's signature
        try:
            return self.read(value)
        except ValueError:
            raise ValidationError(f"expected {self.expected}") from None

    def read(self, value: Any) -> Any:
        """The value as the program wants it. Raises ValueError where it is not what is expected."""
        raise NotImplementedError


class Text(Wanted):
    """Text, not empty; `pattern` must match all of it."""

    def __init__(self, expected: str = "text", pattern: str = r".+", **options: Any) -> None:
        self.expected, self.pattern = expected, re.compile(pattern, re.DOTALL)
        super().__init__(**options)

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not self.pattern.fullmatch(value):
            raise ValueError
        return value


class Number(Wanted):
    """A number within bounds; whole unless `fraction`."""

    def __init__(self, least: float, most: float, *, fraction: bool = False, **options: Any) -> None:
        self.least, self.most, self.kinds = least, most, (int, float) if fraction else (int,)
        self.expected = f"a {'' if fraction else 'whole '}number from {least} to {most}"
        super().__init__(**options)

    def read(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, self.kinds) or not self.least <= value <= self.most:
            raise ValueError
        return value


class Choice(Wanted):
    """One of some words or numbers."""

    def __init__(self, *choices: str | int, **options: Any) -> None:
        self.choices = choices
        self.expected = f"one of {', '.join(str(choice) for choice in choices)}"
        super().__init__(**options)

    def read(self, value: Any) -> str | int:
        if isinstance(value, bool) or not isinstance(value, str | int) or value not in self.choices:
            raise ValueError
        return value


class Quantity(Wanted):
    """A whole number with a unit: `60s`, `24h` in seconds (SECONDS), `500KB`, `1MB` in bytes (BYTES)."""

    def __init__(self, units: Mapping[str, float], most: str, **options: Any) -> None:
        self.units, self.most = units, quantity(most, units)
        self.expected = f"a whole number with one of {', '.join(units)}, at most {most}"
        super().__init__(**options)

    def read(self, value: Any) -> float:
        amount = quantity(value, self.units)
        if amount > self.most:
            raise ValueError
        return amount


def quantity(value: Any, units: Mapping[str, float]) -> float:
    """A number with one of these units, as the base unit. Raises ValueError."""
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in units:
        raise ValueError
    return int(match[1]) * units[match[2]]


class Table(fields.Field[dict[str, Any]]):
    """A map from names that the operator chose to entries of one schema."""

    expected = "expected a map from names to entries"

    def __init__(self, schema: Schema) -> None:
        super().__init__(required=True, error_messages=dict.fromkeys(("required", "null"), self.expected))
        self.schema = schema

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ARG002 - marshmallow's signature
        if not isinstance(value, dict):
            raise ValidationError(self.expected)
        content: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for name, entry in value.items():
            if not NAME.fullmatch(name):
                errors[name] = ["not a name: expected a-z, 0-9, - and _, beginning with a letter"]
                continue
            try:
                content[name] = self.schema.load(entry)
            except ValidationError as error:
                errors[name] = error.messages
        if errors:
            raise ValidationError(errors)
        return content
