"""What CI runs of others is named by what it is, not by a name that somebody else can move."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_action_is_taken_by_a_tag_that_can_be_moved(path):
    text = path.read_text("utf-8")
    jobs = yaml.safe_load(text)["jobs"].values()
    used = [part["uses"] for job in jobs for part in (job, *job.get("steps", ())) if "uses" in part]

    assert used
    assert [name for name in used if not PINNED.fullmatch(name) and not name.startswith("./")] == []
    lines = [line for line in text.splitlines() if "uses:" in line]
    assert all(re.search(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line) for line in lines), "which version that is"
