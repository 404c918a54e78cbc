"""Who may import whom: the contracts of .importlinter hold. What they say is said there, and not repeated here."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_import_contracts_hold() -> None:
    command = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_stands_beside_the_rooms() -> None:
    for side in ("relay", "workers"):
        loose = {path.name for path in (ROOT / side).iterdir() if path.is_file()}
        assert loose == {"__init__.py", "__main__.py", "README.md"}, side


def test_each_room_opens_with_what_it_is_for() -> None:
    for side in ("relay", "workers"):
        for room in (ROOT / side).rglob("__init__.py"):
            assert room.read_text("utf-8").startswith('"""'), room


def test_no_key_and_no_connection_is_seen_outside_the_store() -> None:
    seen = []
    for path in [*(ROOT / "relay").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]:
        if "store" in path.relative_to(ROOT).parts or "sandbox" in path.relative_to(ROOT).parts:
            continue
        seen += [
            f"{path.relative_to(ROOT)}:{node.lineno}"
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Attribute) and (node.attr in {"redis", "_redis"} or _names_keys(node))
        ]
    assert seen == []


def test_the_walk_of_one_event_leads_through_functions_that_there_are() -> None:
    steps = [
        line for line in (ROOT / "relay" / "README.md").read_text("utf-8").splitlines() if re.match(r"\d+\. ", line)
    ]
    assert 10 < len(steps) < 20
    for step in steps:
        for file, name in re.findall(r"`([\w/]+\.(?:py|lua)):([\w.]+)`", step):
            path = ROOT / file if file.startswith("workers/") else ROOT / "relay" / file
            path = path if path.exists() else ROOT / "relay" / "store" / "redis" / "lua" / file
            assert re.search(rf"(def|class|function) {name.rpartition('.')[2]}\b", path.read_text("utf-8")), step


def _names_keys(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "keys" and node.attr.isupper()
