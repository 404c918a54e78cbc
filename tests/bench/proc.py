"""What the kernel says of running processes: whose children they are, their CPU time, their memory. Reads only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")
TICKS_S = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process with its children, grandchildren and so on, those that live."""
    parents = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _fields(int(entry.name))) and fields[0] != "Z":
            parents[int(entry.name)] = int(fields[1])
    found = [pid] if pid in parents else []
    for one in found:  # grows while it is walked
        found += [child for child, parent in parents.items() if parent == one]
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """Seconds of CPU that these have used so far, in user and kernel mode together."""
    return sum(int(fields[11]) + int(fields[12]) for pid in pids if (fields := _fields(pid))) / TICKS_S


def pss_mb(pid: int) -> float:
    """Megabytes of memory of one process, where what several share is divided among them. 0 where it has ended."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0) / 1024


def _fields(pid: int) -> list[str]:
    """/proc/PID/stat after the name, which may hold anything: the state, the parent, ...; nothing where it is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
