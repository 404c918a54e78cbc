"""How large the code is: modules, lines of each kind, imports, the longest function. Nothing of it is run.

make bench ARGS=house
.venv/bin/python tests/bench/house.py ANOTHER_FOLDER     another work tree, of an older commit
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
sys.path.append(str(HERE))

from tests.bench.report import Table, Value, as_text  # noqa: E402 - the line above finds it

COLUMNS = {
    "modules": ",", "lines": ",", "code": ",", "docstrings": ",", "comments": ",", "imports": ",",
    "edges": ",", "longest module": ",", "longest function": ",",
}  # fmt: skip
SKIPPED = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER, tokenize.ENCODING}


@dataclass
class Module:
    """One file. Every line is of one kind; what is left over is blank. edges: modules of ours that it imports."""

    name: str
    lines: int
    docstrings: set[int] = field(default_factory=set)
    imports: set[int] = field(default_factory=set)
    comments: set[int] = field(default_factory=set)
    code: set[int] = field(default_factory=set)
    edges: set[str] = field(default_factory=set)
    longest: int = 0


def measure(*, full: bool) -> list[Table]:
    """The code beside this file. full: makes no difference."""
    return [table(HERE)]


def table(folder: Path) -> Table:
    """A row for each room of relay/, for workers/, and for all together."""
    names = {_name(path, folder) for path in _paths(folder)}
    modules = [_read(path, folder, names) for path in _paths(folder)]
    rooms: dict[str, list[Module]] = {}
    for module in modules:
        rooms.setdefault(_room(module.name), []).append(module)
    rows = {room: _row(found) for room, found in sorted(rooms.items())}
    return Table(
        "The house", "lines by kind; edges are imports between modules", COLUMNS, rows | {"all": _row(modules)}
    )


def _row(modules: Iterable[Module]) -> dict[str, Value]:
    found = list(modules)
    return {
        "modules": len(found),
        "lines": sum(one.lines for one in found),
        "code": sum(len(one.code) for one in found),
        "docstrings": sum(len(one.docstrings) for one in found),
        "comments": sum(len(one.comments) for one in found),
        "imports": sum(len(one.imports) for one in found),
        "edges": sum(len(one.edges) for one in found),
        "longest module": max(one.lines for one in found),
        "longest function": max(one.longest for one in found),
    }


def _paths(folder: Path) -> Iterator[Path]:
    for root in ("relay", "workers"):
        yield from sorted((folder / root).rglob("*.py"))


def _name(path: Path, folder: Path) -> str:
    return ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")


def _room(name: str) -> str:
    return "/".join(name.split(".")[:2]) if name.startswith("relay.") else "workers"


def _read(path: Path, folder: Path, names: set[str]) -> Module:
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    module = Module(_name(path, folder), text.count("\n"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module.imports |= _lines_of(node)
            module.edges |= set(_imported(node, names)) - {module.name}
        if _is_docstring(node):
            module.docstrings |= _lines_of(node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            module.longest = max(module.longest, len(_lines_of(node)))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        lines = set(range(token.start[0], token.end[0] + 1))
        if token.type == tokenize.COMMENT:
            module.comments |= lines
        elif token.type not in SKIPPED:
            module.code |= lines
    module.code -= module.docstrings | module.imports
    module.comments -= module.code | module.docstrings | module.imports
    return module


def _is_docstring(node: ast.AST) -> bool:
    """A text that stands alone: of a module, class or function, or under a constant."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _lines_of(node: ast.AST) -> set[int]:
    return set(range(node.lineno, (node.end_lineno or node.lineno) + 1))  # type: ignore[attr-defined]


def _imported(node: ast.Import | ast.ImportFrom, names: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (one.name for one in node.names if one.name in names)
        return
    for one in node.names:
        inner = f"{node.module}.{one.name}"
        if inner in names or node.module in names:
            yield inner if inner in names else str(node.module)


if __name__ == "__main__":
    print(as_text(table(Path(sys.argv[1]) if sys.argv[1:] else HERE)))
