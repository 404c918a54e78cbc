"""Reads what an operator wrote: the text of files, YAML with the line of every key, and all files as one set.

A mistake becomes a Mistake with its file and line in the collector that the caller passes on, and reading continues, so
that all mistakes are reported at once. A draft can stand for a file until it is written (`instead_of_files`). This
module knows nothing of sources, portals or rules, builds no objects from YAML tags, and limits the work that a small
file can cause: by aliases, by nesting, or by tokens. Secrets are not read here; only that the file of one has changed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import stat
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from marshmallow import Schema, ValidationError

from relay.core.errors import ConfigError, Mistake
from relay.core.faults import Fault, fault

MANY = 20


class Mistakes:
    """Collects mistakes, each once, sorted by file and line; those of one line keep their order."""

    def __init__(self) -> None:
        self._found: dict[Mistake, None] = {}

    def __iter__(self) -> Iterator[Mistake]:
        return iter(sorted(self._found, key=lambda mistake: (mistake.file, mistake.line)))

    def __len__(self) -> int:
        return len(self._found)

    @property
    def are_many(self) -> bool:
        """Whether there are so many that hints for more are not worth the time."""
        return len(self._found) >= MANY

    def add(self, *mistakes: Mistake) -> None:
        """Add mistakes; duplicates count once."""
        self._found |= dict.fromkeys(mistakes)

    @contextmanager
    def catching(self) -> Iterator[None]:
        """Collect the mistakes of a ConfigError raised inside, and continue after it."""
        try:
            yield
        except ConfigError as error:
            self.add(*error.mistakes)

    def raise_any(self) -> None:
        """Raise ConfigError with all mistakes, if there are any."""
        if self._found:
            raise ConfigError(tuple(self))


@contextmanager
def collecting(handed_down: Mistakes | None) -> Iterator[Mistakes]:
    """The collector of the caller; without one, a new one that raises ConfigError at the end."""
    mistakes = Mistakes() if handed_down is None else handed_down
    yield mistakes
    if handed_down is None:
        mistakes.raise_any()


SUFFIXES = (".yaml", ".yml")
MAX_BYTES = 1_000_000
"""Larger files are not read: no person wrote them."""

_NOTHING: Mapping[Path, bytes | None] = MappingProxyType({})
_INSTEAD: ContextVar[Mapping[Path, bytes | None]] = ContextVar("instead", default=_NOTHING)


class NotAFileError(OSError):
    """The path is a pipe, a device or a folder."""


@contextmanager
def instead_of_files(texts: Mapping[Path, bytes | None]) -> Iterator[None]:
    """Replace files by these texts inside the context, for this thread or greenlet only. None means no such file.

    Paths must be written as the loaders write them: the folder of the configuration and the path below it.
    """
    token = _INSTEAD.set({**_INSTEAD.get(), **texts})
    try:
        yield
    finally:
        _INSTEAD.reset(token)


def read_text_of(path: Path) -> bytes:
    """The bytes of a file, cut if it is too large. Raises FileNotFoundError or another OSError."""
    instead = _INSTEAD.get()
    if path not in instead:
        return bytes_on_disk(path)
    text = instead[path]
    if text is None:
        raise FileNotFoundError(path)
    time.sleep(0)  # a large set takes a second to load: let a web process serve requests between two files
    return text


def bytes_on_disk(path: Path) -> bytes:
    """The bytes on disk, even if a text replaces the file. Pipes, which block, and devices, which never end, are
    refused.

    Raises FileNotFoundError, NotAFileError, or another OSError.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # opening some devices has an effect
        raise NotAFileError(path)
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise NotAFileError(path)
        return stream.read(MAX_BYTES + 1)


def yaml_files(folder: Path) -> list[Path]:
    """The *.yaml and *.yml of a folder by name; empty if the folder is missing. Raises OSError."""
    instead = {path: text for path, text in _INSTEAD.get().items() if path.parent == folder}
    there = {*folder.iterdir()} if folder.is_dir() else set()
    found = (there | instead.keys()) - {path for path, text in instead.items() if text is None}
    return sorted(path for path in found if path.suffix in SUFFIXES)


def is_file(path: Path) -> bool:
    """Whether there is such a file."""
    instead = _INSTEAD.get()
    return instead[path] is not None if path in instead else path.is_file()


SHORT, MAX_TOKENS_OF_SHORT, MAX_TOKENS = 64_000, 30_000, 150_000
"""Length of a text that a browser may send, in characters, and the most tokens of such a text and of any text."""
MAX_DEPTH = 32
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_UNSEEN = fault("yaml_unseen")
_NO_TEXT = re.compile("[\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Nodes:
    """The YAML nodes of a text. root: None for an empty text. problem: why it is not YAML. line: of the problem, or
    0.
    """

    root: yaml.Node | None = field(default=None, repr=False)
    has_aliases: bool = False
    problem: str = ""
    line: int = 0


@functools.lru_cache(maxsize=4)
def nodes_of(text: str) -> Nodes:
    """Parse one YAML document; every scalar stays a text. The last few texts are cached: a page reads one several
    times.
    """
    if turning := _TURNING.search(text):
        return Nodes(problem=_UNSEEN, line=text.count("\n", 0, turning.start()) + 1)
    loader = None
    try:
        loader = _Loader(text)
        return Nodes(loader.get_single_node(), loader.has_aliases)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        reached = getattr(error, "problem_mark", None) or loader
        return Nodes(problem=_problem_of(error), line=reached.line + 1 if reached else 0)


_PROBLEMS: Mapping[str, str] = {
    "mapping values are not allowed here": "yaml_colon",
    "could not find expected ':'": "yaml_no_colon",
    "expected <block end>": "yaml_indentation",
    "invalid indentation": "yaml_indentation",
    "expected ',' or": "yaml_bracket",
    "expected the node content": "yaml_no_value",
    "found unexpected end of stream": "yaml_quote",
    "found unexpected document separator": "yaml_quote",
    "found character": "yaml_character",
    "sequence entries are not allowed here": "yaml_dash",
    "found unknown escape character": "yaml_escape",
    "expected escape sequence": "yaml_escape",
    "found undefined alias": "yaml_alias",
    "second occurrence": "yaml_anchor",
    "but found another document": "yaml_documents",
}
"""The code of a fault by the beginning of what PyYAML says of it."""


def _problem_of(error: Exception) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        return fault("yaml_control")
    words = getattr(error, "problem", None) or type(error).__name__
    if isinstance(words, Fault):  # of the loader below
        return words
    code = next((code for beginning, code in _PROBLEMS.items() if words.startswith(beginning)), None)
    return fault(code) if code else fault("yaml_other", words=words)


class _Loader(yaml.SafeLoader):
    """Leaves every scalar as text, because YAML would take `off`, `012` and `1:30` for other values."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - the name and the type are PyYAML's

    def __init__(self, text: str) -> None:
        self.has_aliases = False
        self.most_tokens = MAX_TOKENS if len(text) > SHORT else MAX_TOKENS_OF_SHORT
        super().__init__(text)

    # PyYAML's scanner calls the following methods.

    def fetch_more_tokens(self) -> Any:
        """Scan the next tokens."""
        if self.tokens_taken + len(self.tokens) > self.most_tokens:
            raise self._error(fault("yaml_many_tokens", most=self.most_tokens))
        return super().fetch_more_tokens()

    def fetch_flow_collection_start(self, token: Any) -> None:
        """A bracket opens. At every token, the scanner goes through all open ones."""
        if self.flow_level >= MAX_DEPTH:
            raise self._error(fault("yaml_deep", most=MAX_DEPTH))
        super().fetch_flow_collection_start(token)

    def add_indent(self, column: int) -> bool:
        """A block may begin."""
        if len(self.indents) > MAX_DEPTH:
            raise self._error(fault("yaml_deep", most=MAX_DEPTH))
        return bool(super().add_indent(column))

    def fetch_alias(self) -> None:
        """`*name`."""
        self.has_aliases = True
        super().fetch_alias()

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """A scalar. Escapes in it may mean invalid characters."""
        node = super().compose_scalar_node(anchor)
        if not node.value.isascii() and (found := _NO_TEXT.search(node.value)):
            problem = _UNSEEN if _TURNING.match(found[0]) else fault("yaml_half_character")
            raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
        return node

    def _error(self, problem: str) -> yaml.YAMLError:
        return yaml.scanner.ScannerError(None, None, problem, self.get_mark())


MAX_NODES = 20_000

KeyPath = tuple[str | int, ...]  # where something stands in a file: the keys and indexes that lead to it

_PLAIN_TAGS: Mapping[type[yaml.Node], str] = {
    yaml.MappingNode: "tag:yaml.org,2002:map",
    yaml.SequenceNode: "tag:yaml.org,2002:seq",
    yaml.ScalarNode: "tag:yaml.org,2002:str",
}


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file that was read: its content, the line of each key, and the collector of its mistakes."""

    file: str
    content: Any = field(repr=False)
    lines: Mapping[KeyPath, int] = field(repr=False)
    mistakes: Mistakes = field(repr=False)

    @property
    def is_right(self) -> bool:
        """Whether no mistake was found in it so far."""
        return all(mistake.file != self.file for mistake in self.mistakes)

    def add_mistake(self, place: KeyPath, fault: str) -> None:
        """Note a mistake at this path of keys, or at the closest path above it that the file has."""
        known = next((place[:size] for size in range(len(place), -1, -1) if place[:size] in self.lines), ())
        self.mistakes.add(Mistake(self.file, self.lines.get(known, 1), fault, place))

    def check(self, schema: Schema) -> dict[str, Any]:
        """Load the content with the schema. After a mistake, the correct part is returned: any key may be missing."""
        try:
            content: dict[str, Any] = schema.load(self.content)
        except ValidationError as error:
            self._add_mistakes((), error.messages)
            return error.valid_data if isinstance(error.valid_data, dict) else {}
        return content

    def _add_mistakes(self, place: KeyPath, messages: Any) -> None:
        if isinstance(messages, dict):
            for key, inner in messages.items():
                self._add_mistakes(place if key == "_schema" else (*place, key), inner)
            return
        for message in messages:
            self.add_mistake(place, self._completed(place, message))

    def _completed(self, place: KeyPath, wrong: str) -> str:
        # Add what was found to what was expected, except where somebody may have pasted a secret in place of the name
        # of a variable, and where the file is a single word: a link to the file of a secret is.
        if not isinstance(wrong, Fault) or not wrong.is_expectation:
            return wrong
        if place not in self.lines:
            return fault("missing", expected=wrong)
        here = functools.reduce(lambda content, step: content[step], place, self.content)
        if "secrets" in place or (not place and isinstance(here, str)):
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
    """Read one YAML document; None if it is missing, unreadable or not YAML, which is then noted."""
    try:
        return _Builder(str(path), mistakes).build(_text_of(path))
    except ConfigError as error:
        mistakes.add(*error.mistakes)
        return None


def names_in(path: Path, table: str) -> Collection[str] | None:
    """The names in a table of a file, even with mistakes in their entries; None if they cannot be read.

    Mistakes of the file are reported by the loader.
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
    """Turns YAML nodes into plain values, and notes lines and mistakes."""

    def __init__(self, file: str, mistakes: Mistakes) -> None:
        self.file = file
        self.mistakes = mistakes
        self.lines: dict[KeyPath, int] = {}

    def build(self, text: str) -> ConfigFile:
        """Build the content. Raises ConfigError if there is none."""
        nodes = nodes_of(text)
        if nodes.problem:
            raise ConfigError([Mistake(self.file, nodes.line, fault("yaml_invalid", problem=nodes.problem))])
        content = None if nodes.root is None else self._value(nodes.root, ())
        return ConfigFile(self.file, content, self.lines, self.mistakes)

    def _value(self, node: yaml.Node, place: KeyPath) -> Any:
        line: int = node.start_mark.line + 1
        self.lines.setdefault(place, line)
        if len(self.lines) > MAX_NODES or len(place) > MAX_DEPTH:
            # Aliases count as if written out, which also stops one that contains itself.
            wrong = fault("yaml_too_much", values=MAX_NODES, levels=MAX_DEPTH)
            raise ConfigError([Mistake(self.file, line, wrong)])
        if node.tag != _PLAIN_TAGS[type(node)]:
            self._wrong(line, fault("yaml_tag"))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*place, index)) for index, item in enumerate(node.value)]
        return _plain(node.value) if isinstance(node, yaml.ScalarNode) and node.style is None else node.value

    def _mapping(self, node: yaml.MappingNode, place: KeyPath) -> dict[str, Any]:
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


FILES = ("portals.yaml", "sources.yaml", "alerts.yaml")
FOLDERS = ("rules", "profiles")
OF_WORKERS = ("PORTAL_", "ALERT_", "RELAY_SEAL_KEY")
"""Beginnings of the names of secrets that only the workers read. All others but REDIS_URL are the web process's."""
FOLLOWED = ("SOURCE_", *OF_WORKERS)
"""Prefixes of the secrets whose files may change while the relay runs."""
SIDES = ("web", "workers")
"""Folders that RELAY_SECRETS may have: each process then uses its own, and need not be able to read the other's."""
KEPT_SECRET = re.compile(rf"(?:{'|'.join(FOLLOWED)}|RELAY_)[A-Z0-9_]{{1,100}}")


def kept_secret_file(environ: Mapping[str, str], name: str) -> Path | None:
    """The file in RELAY_SECRETS for the secret of this name, which need not exist; None if there can be none."""
    folder = kept_folder(environ, side_of(name))
    return folder / name if folder and KEPT_SECRET.fullmatch(name) else None


def kept_folder(environ: Mapping[str, str], side: str) -> Path | None:
    """The folder for the secrets of this side, in RELAY_SECRETS or that itself; None if RELAY_SECRETS is not set."""
    folder = environ.get("RELAY_SECRETS")
    if not folder:
        return None
    own = Path(folder, side)
    return own if os.path.isdir(own) else Path(folder)  # noqa: PTH112 - it raises nothing


def side_of(name: str) -> str:
    """The process that reads the secret of this name: web or workers."""
    return "workers" if name.startswith(OF_WORKERS) else "web"


def file_elsewhere(environ: Mapping[str, str], name: str) -> str | None:
    """The path that NAME_FILE gives, unless it is the file in RELAY_SECRETS anyway."""
    path = environ.get(f"{name}_FILE")
    return path if path and Path(path) != kept_secret_file(environ, name) else None


def _kept_secrets(environ: Mapping[str, str]) -> list[Path]:
    found: list[Path] = []
    for folder in {kept_folder(environ, side) for side in SIDES}:
        with suppress(OSError):  # of the other process
            found += folder.iterdir() if folder else []
    return sorted(path for path in found if path.name.startswith(FOLLOWED) and KEPT_SECRET.fullmatch(path.name))


Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class FileSet:
    """The files of a configuration at one moment, by their path in the folder, such as `rules/seed.yaml`."""

    folder: Path
    texts: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def read(cls, folder: Path) -> FileSet:
        """Read them from disk, except unreadable ones, whose mistakes the loader reports."""
        texts = {}
        for path in _paths(folder):
            try:
                texts[path.relative_to(folder).as_posix()] = bytes_on_disk(path)
            except OSError:
                continue
        return cls(folder, texts)

    @property
    def digest(self) -> str:
        """A digest that is different for every other set."""
        total = hashlib.sha256()
        for name, text in sorted(self.texts.items()):
            total.update(f"{name}\0{len(text)}\0".encode() + text)
        return total.hexdigest()

    def differences(self, before: FileSet) -> list[str]:
        """The names of the files that differ from another set."""
        names = before.texts.keys() | self.texts.keys()
        return sorted(name for name in names if before.texts.get(name) != self.texts.get(name))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside the context, reading the folder reads this set, even if the disk has changed."""
        there = dict.fromkeys(_paths(self.folder))
        with instead_of_files({**there, **{self.folder / name: text for name, text in self.texts.items()}}):
            yield

    def packed(self) -> bytes:
        """The set as bytes for the record."""
        wire = {name: text.decode("utf-8", "surrogateescape") for name, text in self.texts.items()}
        return zlib.compress(json.dumps(wire).encode("utf-8"))

    @classmethod
    def unpacked(cls, folder: Path, packed: bytes) -> FileSet:
        """Read what `packed` wrote."""
        wire: dict[str, str] = json.loads(zlib.decompress(packed))
        return cls(folder, {name: text.encode("utf-8", "surrogateescape") for name, text in wire.items()})


class FileWatch:
    """Notices changed files by their metadata; one look is a few system calls.

    A change is reported when two looks see the same state, so that no half-written file is read.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder, self._environ = folder, environ
        self._secrets = [
            Path(path)
            for name, path in environ.items()
            if path and name.startswith(FOLLOWED) and name.endswith("_FILE")
        ]
        self._reported = self._last = self._stamp()

    def has_changed(self) -> bool:
        """Whether something changed since the last report."""
        now = self._stamp()
        is_still, self._last = now == self._last, now
        if now == self._reported or not is_still:
            return False
        self._reported = now
        return True

    def _stamp(self) -> Stamp:
        return tuple(_stamps([*_paths(self._folder), *self._secrets, *_kept_secrets(self._environ)]))


def _paths(folder: Path) -> list[Path]:
    inner: list[Path] = []
    for name in FOLDERS:
        try:
            inner += yaml_files(folder / name)
        except OSError:
            continue
    return [folder / name for name in FILES if (folder / name).exists()] + inner


def _stamps(paths: Iterable[Path]) -> Iterator[tuple[str, int, int, int]]:
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            yield str(path), 0, 0, 0
        else:
            yield str(path), found.st_mtime_ns, found.st_size, found.st_ino
