"""Puts load on an address with wrk, Debian's, and reads what it prints. Root fetches it where it is missing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SCRIPT = """
local n = 0
local id = os.time()
function request()
  n = n + 1
  local body = %(before)s .. id .. "-" .. n .. %(after)s
  return wrk.format("POST", nil, %(headers)s, body)
end
"""
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, slots=True)
class Load:
    """What one run came to. rate: answers a second; p50, p99 in ms; failed: answers that were none of 2xx and 3xx."""

    rate: float
    p50: float
    p99: float
    failed: int


@dataclass(frozen=True, slots=True)
class Post:
    """What is sent: a body with a number between two texts that is new each time."""

    before: str
    after: str
    headers: Mapping[str, str]


def need_wrk() -> bool:
    """Whether wrk is here, or could be fetched."""
    if shutil.which("wrk") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        fetch = ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", "wrk"]
        subprocess.run(fetch, capture_output=True, check=False)
    return shutil.which("wrk") is not None


def press(url: str, post: Post, connections: int, seconds: float, folder: Path) -> Load:
    """Post for some seconds over so many connections."""
    table = "{" + ", ".join(f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in post.headers.items()) + "}"
    script = folder / "post.lua"
    script.write_text(
        SCRIPT % {"before": _quoted(post.before), "after": _quoted(post.after), "headers": table}, "utf-8"
    )
    how = ["-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "20s", "--latency", "-s", str(script)]
    printed = subprocess.run(
        ["wrk", *how, url], capture_output=True, text=True, check=True, timeout=seconds + 60
    ).stdout
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", printed)
    return Load(
        float(re.search(r"Requests/sec:\s+([\d.]+)", printed)[1]),  # type: ignore[index] # wrk always prints it
        _ms(printed, "50%"),
        _ms(printed, "99%"),
        int(refused[1]) if refused else 0,
    )


def _quoted(text: str) -> str:
    return f"[==[{text}]==]"


def _ms(printed: str, share: str) -> float:
    found = re.search(rf"{share}\s+([\d.]+)(us|ms|s|m)", printed)
    return float(found[1]) * _UNITS[found[2]] if found else 0.0
