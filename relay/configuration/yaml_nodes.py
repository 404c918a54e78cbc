"""Text as YAML's nodes, within bounds that hold while it is scanned: a small text can take a scanner minutes.

What the nodes mean is for whoever asks. The last few texts are remembered, for a page looks at one several times.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from relay.core.faults import fault

SHORT, MAX_TOKENS_OF_SHORT, MAX_TOKENS = 64_000, 30_000, 150_000
"""Characters of a text as a browser may send it, and the words and signs of such a one and of any."""
MAX_DEPTH = 32
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_UNSEEN = fault("yaml_unseen")
_NO_TEXT = re.compile("[\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Nodes:
    """What a text is made of. root: None of an empty text. problem: why it is no YAML, and in which line; 0: none."""

    root: yaml.Node | None = field(default=None, repr=False)
    has_aliases: bool = False
    problem: str = ""
    line: int = 0


@functools.lru_cache(maxsize=4)
def nodes_of(text: str) -> Nodes:
    """The nodes of one YAML document, every scalar of which is a text."""
    if turning := _TURNING.search(text):
        return Nodes(problem=_UNSEEN, line=text.count("\n", 0, turning.start()) + 1)
    loader = None
    try:
        loader = _Loader(text)
        return Nodes(loader.get_single_node(), loader.has_aliases)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        reached = getattr(error, "problem_mark", None) or loader
        problem = getattr(error, "problem", None) or type(error).__name__
        return Nodes(problem=problem, line=reached.line + 1 if reached else 0)


class _Loader(yaml.SafeLoader):
    """Leaves every scalar as text, so that others say what is a number: `off`, `012`, `1:30` are not."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - the name and the type are PyYAML's

    def __init__(self, text: str) -> None:
        self.has_aliases = False
        self.most_tokens = MAX_TOKENS if len(text) > SHORT else MAX_TOKENS_OF_SHORT
        super().__init__(text)

    # What follows is called by PyYAML's scanner as it goes.

    def fetch_more_tokens(self) -> Any:
        """The next one, or some."""
        if self.tokens_taken + len(self.tokens) > self.most_tokens:
            raise self._error(fault("yaml_many_tokens", most=self.most_tokens))
        return super().fetch_more_tokens()

    def fetch_flow_collection_start(self, token: Any) -> None:
        """A bracket is opened; for each that is open, the scanner looks at all of them at every token."""
        if self.flow_level >= MAX_DEPTH:
            raise self._error(fault("yaml_deep", most=MAX_DEPTH))
        super().fetch_flow_collection_start(token)

    def add_indent(self, column: int) -> bool:
        """A block begins, if it does."""
        if len(self.indents) > MAX_DEPTH:
            raise self._error(fault("yaml_deep", most=MAX_DEPTH))
        return bool(super().add_indent(column))

    def fetch_alias(self) -> None:
        """`*name`."""
        self.has_aliases = True
        super().fetch_alias()

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """A word, in which an escape may stand for what is no character."""
        node = super().compose_scalar_node(anchor)
        if not node.value.isascii() and (found := _NO_TEXT.search(node.value)):
            problem = _UNSEEN if _TURNING.match(found[0]) else fault("yaml_half_character")
            raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
        return node

    def _error(self, problem: str) -> yaml.YAMLError:
        return yaml.scanner.ScannerError(None, None, problem, self.get_mark())
