"""Who may import whom: the contracts of .importlinter hold. What they say is said there, and not repeated here."""

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
