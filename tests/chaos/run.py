"""`make chaos`: the fault suite, a row a scene. With names as arguments (drain cut killed held), only those."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

from tests.chaos import cut, drain, held, killed


def scenes() -> dict[str, Callable[[], Iterator[str]]]:
    """Each scene with what it prints."""
    return {
        "drain": lambda: (drain.drain(10_000, workers) for workers in (2, 4)),
        "cut": lambda: (cut.cut(1_000, own_id, batch) for own_id in ("echo", "off") for batch in (1, 10)),
        "killed": lambda: iter([killed.killed(2_000, 30)]),
        "held": lambda: iter([held.held(5_000, 300)]),
    }


def main(names: list[str]) -> int:
    """Run what is named, or everything. 2 for an unknown name."""
    known = scenes()
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    for name in names or known:
        begin = time.monotonic()
        for row in known[name]():
            print(row, flush=True)
        print(f"  ({name}: {time.monotonic() - begin:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
