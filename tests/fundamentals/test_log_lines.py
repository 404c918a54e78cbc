"""Every line of a log names its process, whatever thread or greenlet writes it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.folders import REPOSITORY

IN_A_THREAD = """
import threading
from relay.core.telemetry import configure, get_logger
configure("web")
thread = threading.Thread(target=lambda: get_logger().info("event.received", size=1))
thread.start()
thread.join()
"""


@pytest.mark.parametrize("patched", [[], ["-m", "gevent.monkey"]], ids=["threads", "greenlets"])
def test_a_line_names_its_process_whoever_writes_it(tmp_path, patched):
    script = tmp_path / "script.py"
    script.write_text(IN_A_THREAD, "utf-8")

    done = subprocess.run(
        [sys.executable, *patched, script], cwd=REPOSITORY, env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip

    line = json.loads(done.stderr)
    assert (line["process"], line["event"], line["size"]) == ("web", "event.received", 1)
