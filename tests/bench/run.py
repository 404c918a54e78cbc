"""`make bench`: every measurement in turn, or those that are named. Tables on stdout, progress on stderr.

make bench                                      all of them, shortened, in ten minutes at most
make bench ARGS="receiving latency"             these
make bench ARGS="--full --json var/bench.json"  with the numbers that the guide shows; also as JSON
make bench ARGS="readme"                        all of them, as the table of the guide (--from FILE: of an earlier run)
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import readme
from tests.bench.report import Table, as_document, as_text
from tests.bench.rig import say

INTERRUPTED = 130
BUSY = 1.0
"""A load average above this disturbs what is measured by the clock."""
README = "readme"


@dataclass(frozen=True, slots=True)
class Part:
    """One measurement: `measure` of the module of this name. seconds: about so long it takes, shortened and in full."""

    name: str
    seconds: tuple[int, int]
    text: str

    def measure(self, *, full: bool) -> list[Table]:
        """Run it."""
        # Only now: what a part needs is no business of the others.
        found: list[Table] = importlib.import_module(f"tests.bench.{self.name}").measure(full=full)
        return found


PARTS = (
    Part("receiving", (195, 375), "posts a second beside a bare route, code by hand, Node-RED and webhook"),
    Part("busy", (40, 50), "how long the door takes while 10,000 wait and the workers run"),
    Part("served", (35, 60), "CPU of a post in served web processes, in user and in system"),
    Part("hot", (30, 110), "CPU of an event at the door, without a socket"),
    Part("reading", (8, 8), "how long a body of 100 KB is read, of each kind"),
    Part("latency", (10, 10), "from POST to recorded workflow id"),
    Part("delivering", (50, 120), "deliveries a second at a portal without limits, by 1, 2 and 4 workers"),
    Part("catching_up", (45, 200), "a portal's limit and what waits: how near the limit, beside fast-bitrix24"),
    Part("sizes", (20, 130), "bytes an event: waiting, final, packed"),
    Part("start", (25, 25), "how long serve, workers and up take until they are ready"),
    Part("memory", (100, 300), "memory of each process at rest, after many events, with 1, 20 and 100 portals"),
    Part("scale", (40, 400), "pages and API where very much is on record"),
    Part("walks", (1, 1), "how many calls and modules a post, a delivery and a replay go through"),
    Part("house", (1, 1), "how large the code is, room by room"),
)
ALONE = (
    Part("record", (170, 260), "events on disk a second and core, beside others, and what kills lose; only if named"),
)
"""Measured only if they are named: all parts together have ten minutes."""
KNOWN = (*PARTS, *ALONE)


def main(arguments: Sequence[str] | None = None) -> int:
    """0; 1 where a part has failed; 2 for bad usage; 130 after Ctrl-C, with everything ended that was started."""
    options = parser().parse_args(arguments)
    if options.source:
        document = json.loads(options.source.read_text("utf-8"))
        failed: list[str] = []
    else:
        wanted = {name for name in options.parts if name != README}
        parts = [part for part in KNOWN if part.name in wanted] if wanted else list(PARTS)
        try:
            document, failed = measured(parts, full=options.full, show=README not in options.parts)
        except KeyboardInterrupt:
            say("stopped; nothing is left running")
            return INTERRUPTED
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    if README in options.parts:
        print(readme.markdown(document))
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def measured(parts: Sequence[Part], *, full: bool, show: bool) -> tuple[dict[str, Any], list[str]]:
    """Run these; print their tables as they come, if they are to be shown. The document, and the parts that failed."""
    tables: list[Table] = []
    failed = []
    if (load := os.getloadavg()[0]) > BUSY:
        say(f"this machine is busy (load {load:.1f}): rely on ratios of one round and on CPU, not on seconds")
    for number, part in enumerate(parts, 1):
        say(f"[{number}/{len(parts)}] {part.name}: {part.text}; about {part.seconds[full]} s")
        begun = time.monotonic()
        try:
            found = part.measure(full=full)
        except Exception:  # noqa: BLE001 - the other parts are measured all the same
            say(traceback.format_exc())
            failed.append(part.name)
            continue
        tables += found
        if show:
            print("\n\n".join(map(as_text, found)), end="\n\n", flush=True)
        say(f"[{number}/{len(parts)}] {part.name}: {time.monotonic() - begun:.0f} s")
    return as_document(tables), failed


def parser() -> argparse.ArgumentParser:
    """What may be asked, with a line a part."""
    lines = [f"  {part.name:12} {part.text} ({part.seconds[0]} s, in full {part.seconds[1]} s)" for part in KNOWN]
    parser = argparse.ArgumentParser(
        "make bench",
        description=f"{__doc__}\nparts:\n" + "\n".join(lines),
        usage='make bench ARGS="[--full] [--json FILE] [--from FILE] [PART ...]"',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = (*(part.name for part in KNOWN), README)
    parser.add_argument("parts", nargs="*", type=_one_of(known), metavar="PART", help="absent: all of them")
    parser.add_argument("--full", action="store_true", help="the large numbers: about an hour")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything, with each round, to this file")
    parser.add_argument("--from", type=Path, dest="source", metavar="FILE", help="of readme: an earlier run's JSON")
    return parser


def _one_of(known: Sequence[str]) -> Callable[[str], str]:
    def check(name: str) -> str:
        if name not in known:
            raise argparse.ArgumentTypeError(f"there is no {name}, but {', '.join(known)}")
        return name

    return check


def _leave(_number: int, _frame: FrameType | None) -> None:
    # Once: who presses again while everything is being ended would leave something running.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    for wanted in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted, _leave)
    sys.exit(main())
