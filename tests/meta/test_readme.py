"""The README and the guide show what is so: the rule is the shipped one, variables, commands and targets are named."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from relay.cli.configuration import AnySecret, start_arguments
from relay.configuration.portals import load_portals
from relay.operations.preview import try_rules
from relay.rules import load_rules
from relay.sources import load_sources

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
CONFIG = ROOT / "config"
SETTINGS = (CONFIG / "guide" / "settings.md").read_text("utf-8")
BODY = b'{"lead": {"id": 1}, "user": 1}'


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found, language
    return found[1]


def test_the_rule_in_the_readme_is_the_shipped_one():
    assert yaml.safe_load(block("yaml")) == yaml.safe_load((CONFIG / "rules" / "seed-example.yaml").read_text("utf-8"))


def test_the_rule_makes_the_call_that_stands_beside_it():
    sources = load_sources(CONFIG / "sources.yaml", AnySecret())
    book = load_rules(CONFIG / "rules", sources=sources, portals=load_portals(CONFIG / "portals.yaml"))

    (tried,) = try_rules(sources["website"], [book.get("seed-example")], "application/json", BODY, {})

    assert tried.call is not None
    assert BODY.decode() in README
    assert json.loads(block("json")) == start_arguments(tried.call)


def test_every_variable_that_the_code_reads_is_in_the_table():
    assert {name for name in read_variables() if not is_documented(name)} == set()


def test_every_variable_in_the_table_is_read_by_the_code():
    read = {variable.rpartition("*")[2] for variable in read_variables()}
    unread = {name for name in documented_variables() if not any(name == one or name.endswith(one) for one in read)}
    assert unread == {"SOURCE_*", "ALERT_*"}, "these are named in files of the operator"


def test_the_search_for_variables_finds_those_that_are_known():
    assert read_variables() >= {
        *("REDIS_URL", "RELAY_CONFIG", "RELAY_HOST", "RELAY_PORT", "RELAY_PUBLIC_URL", "RELAY_TRUSTED_PROXIES"),
        *("RELAY_SECRET_KEY", "RELAY_DASHBOARD_PASSWORD", "RELAY_API_TOKEN", "RELAY_RETENTION_DAYS"),
        *("*WEBHOOK_URL", "*ENDPOINT", "*OAUTH_SERVER"),
        *("*CLIENT_ID", "*CLIENT_SECRET", "*ACCESS_TOKEN", "*REFRESH_TOKEN"),
        "*_FILE",
    }


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("reader.secret('RELAY_NEW_TOKEN')", {"RELAY_NEW_TOKEN"}),
        ("os.environ['REDIS_NEW']", {"REDIS_NEW"}),
        ("os.environ.get(f'{prefix}NEW_SECRET')", {"*NEW_SECRET"}),
        ("read_secret(environ, f'PORTAL_{name}_NEW')", {"PORTAL_*_NEW"}),
        (
            "NEW = ('ONE_KEY', 'TWO_KEY')\n{name: read_secret(environ, prefix + name) for name in NEW}",
            {"*ONE_KEY", "*TWO_KEY"},
        ),
        ("f'{prefix}WEBHOOK_URL is not set'", set()),
        ("without = ('RELAY_API_', 'PORTAL_')", set()),
    ],
)
def test_the_search_for_variables_misses_no_way_of_reading_one(code, names):
    assert variables_in(ast.parse(code)) == names


FAMILY = re.compile(r"(RELAY|REDIS|SOURCE|ALERT|OTEL)(_[A-Z]+)+")
"""What a variable's name looks like, wherever it stands in the code: many are handed to a function that reads them."""


@cache
def read_variables() -> frozenset[str]:
    """The environment variables that relay, workers and config read; `*` stands for what is filled in."""
    files = [path for room in ("relay", "workers", "config") for path in (ROOT / room).rglob("*.py")]
    trees = [ast.parse(path.read_text("utf-8")) for path in files if "sandbox" not in path.parts]
    return frozenset().union(*map(variables_in, trees))


def variables_in(tree: ast.Module) -> set[str]:
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    tuples = {
        target.id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple) and is_literal(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.comprehension | ast.For)]
    values = {loop.target.id: tuples.get(loop.iter.id, ()) for loop in loops if is_plain(loop)}
    built = {name for node in ast.walk(tree) for name in shapes(key_read(node), values)}
    return {text for text in texts if FAMILY.fullmatch(text)} | {name for name in built if re.search("[A-Z]", name)}


def is_literal(node: ast.Tuple) -> bool:
    return all(isinstance(item, ast.Constant) for item in node.elts)


def is_plain(loop: ast.comprehension | ast.For) -> bool:
    return isinstance(loop.target, ast.Name) and isinstance(loop.iter, ast.Name)


def key_read(node: ast.AST) -> ast.expr | None:
    """What is asked of the environment here, if anything is."""
    if isinstance(node, ast.Subscript) and is_environ(node.value):
        return node.slice
    if not isinstance(node, ast.Call):
        return None
    if isinstance(node.func, ast.Attribute) and is_environ(node.func.value) and node.args:
        return node.args[0]
    if isinstance(node.func, ast.Name) and node.func.id == "read_secret":
        return node.args[1]
    return None


def is_environ(node: ast.expr) -> bool:
    return getattr(node, "attr", getattr(node, "id", "")) == "environ"


def shapes(key: ast.expr | None, values: dict[str, tuple[str, ...]]) -> set[str]:
    """The names that a key can be; nothing for what is no text built here."""
    if isinstance(key, ast.JoinedStr):
        return {"".join(part.value if isinstance(part, ast.Constant) else "*" for part in key.values)}
    if isinstance(key, ast.BinOp) and isinstance(key.right, ast.Name):
        return {f"*{value}" for value in values.get(key.right.id, ())}
    return set()


def documented_variables() -> set[str]:
    """Those of the table; `_CLIENT_SECRET` there is the one before it with another end."""
    found: set[str] = set()
    for row in re.findall(r"^\| (`[A-Z][^|]*) \|", SETTINGS, re.MULTILINE):
        names = [name.replace("<NAME>", "*") for name in re.findall(r"`([^`]+)`", row)]
        stem = "PORTAL_*" if names[0].startswith("PORTAL_") else ""
        found |= {stem + name if name.startswith("_") else name for name in names}
    return found


def is_documented(variable: str) -> bool:
    if variable == "*_FILE":
        return "`<NAME>_FILE`" in SETTINGS
    end = variable.rpartition("*")[2]
    return any(name == variable or ("*" in variable and name.endswith(end)) for name in documented_variables())


PAGES = [*sorted(path for path in (ROOT / ".github").glob("*.md") if path.name != "CHANGELOG.md")]
PAGES += [ROOT / "README.md", CONFIG / "README.md", *sorted((CONFIG / "guide").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_make_target_that_is_named_exists(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:`|\$ )make ([a-z]+)", page.read_text("utf-8"))) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_variable_that_is_named_is_one_that_the_reference_has(page):
    named = set(re.findall(r"\bRELAY_[A-Z_]+[A-Z]\b", page.read_text("utf-8"))) - {"RELAY_SCREENSHOTS"}
    assert {name.removesuffix("_FILE") for name in named} <= {*documented_variables(), "RELAY"}
