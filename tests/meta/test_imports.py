"""Who may import whom: the contracts of .importlinter hold, and they leave nothing out."""

import ast
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOOR = {
    "alerting",
    "configfiles",
    "errors",
    "events",
    "ids",
    "lifecycle",
    "outlines",
    "portals",
    "printing",
    "processes",
    "queueing",
    "settings",
    "store",
    "telemetry",
    "threads",
}
"""What the workers may take from relay."""
PLAIN = ("errors", "events", "ids", "lifecycle")


@pytest.fixture(scope="module")
def contracts() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / ".importlinter")
    return parser


def listed(contracts: ConfigParser, contract: str, key: str) -> set[str]:
    return set(contracts[f"importlinter:contract:{contract}"][key].split())


def test_the_import_contracts_hold() -> None:
    command = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_module_of_relay_is_either_shared_floor_or_forbidden_to_the_workers(contracts: ConfigParser) -> None:
    forbidden = {name.removeprefix("relay.") for name in listed(contracts, "shared-floor", "forbidden_modules")}
    modules = {
        path.stem for path in (ROOT / "relay").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert modules - {"__init__"} == forbidden | FLOOR
    assert not forbidden & FLOOR


@pytest.mark.parametrize("name", PLAIN)
def test_the_nouns_and_the_machine_import_only_each_other_and_the_standard_library(
    name: str, contracts: ConfigParser
) -> None:
    assert f"relay.{name}" in listed(contracts, "plain", "source_modules")
    tree = ast.parse((ROOT / "relay" / f"{name}.py").read_text("utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    allowed = {f"relay.{other}" for other in PLAIN}
    assert {one for one in imported if one.partition(".")[0] not in sys.stdlib_module_names} <= allowed


def test_the_sandbox_imports_nothing_of_ours() -> None:
    for path in (ROOT / "relay" / "sandbox").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
                assert not (node.module or "").startswith("workers"), path
                assert (node.module or "").partition(".")[0] != "relay" or (node.module or "").startswith(
                    "relay.sandbox"
                ), path
