"""A warm process that forks a child for each order: a journey then costs milliseconds, and may be killed for real.

Run as `python -m tests.support.nursery MODULE`; the module's `run(order)` does the work, in the child. Orders come as
lines of JSON, and so do answers: what `run` has returned or raised, and how the child has ended.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from tests.support.folders import REPOSITORY

ANSWERS = 20
"""The file descriptor of the answers."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child has ended. result: what it has returned; None where it was killed before."""

    status: int
    result: Any = None

    @property
    def was_killed(self) -> bool:
        return os.WIFSIGNALED(self.status)


class Nursery:
    """Has children run orders, one at a time. Use as a context manager."""

    def __init__(self, module: str, environ: Mapping[str, str]) -> None:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.nursery", module],
            cwd=REPOSITORY,
            env={**plain, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            assert self._process.stdin
            self._process.stdin.close()

    def begin(self, order: Mapping[str, Any]) -> None:
        """Have a child begin."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def wait(self) -> Ended:
        """Until it has ended. AssertionError where it has raised what it does not name in its result."""
        answer: dict[str, Any] = {}
        assert self._process.stdout
        for line in self._process.stdout:
            answer |= json.loads(line)
            if "status" in answer:
                assert "error" not in answer, answer["error"]
                return Ended(answer["status"], answer.get("result"))
        raise AssertionError("the nursery has ended")


def _serve(module: str) -> None:
    os.dup2(1, ANSWERS)
    os.dup2(2, 1)  # what a child prints is no answer
    run = importlib.import_module(module).run
    gc.collect()
    gc.disable()
    gc.freeze()  # a child that lives for milliseconds need not copy what it shares
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _be_child(run, json.loads(line))
        _say({"status": os.waitpid(child, 0)[1]})


def _be_child(run: Any, order: Any) -> None:
    try:
        _say({"result": run(order)})
    except BaseException:  # noqa: BLE001 - who has ordered it is told
        _say({"error": traceback.format_exc()})
    finally:
        os._exit(0)


def _say(said: Mapping[str, Any]) -> None:
    os.write(ANSWERS, json.dumps(said).encode() + b"\n")


if __name__ == "__main__":
    _serve(sys.argv[1])
