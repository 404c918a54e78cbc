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

from tests.support.senders import website

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


class MissingError(Exception):
    """A program that a measurement needs is not on this machine."""


@dataclass(frozen=True, slots=True)
class Load:
    """The result of one run.

    rate: answers a second; p50, p99 in ms; failed: answers that were none of 2xx and 3xx; count: all answers.
    """

    rate: float
    p50: float
    p99: float
    failed: int
    count: int


@dataclass(frozen=True, slots=True)
class Run:
    """One contender in one round. cpu_us: of an event, microseconds in all of its processes."""

    load: Load
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Post:
    """What is sent: a body with a number between two texts that is new each time."""

    before: str
    after: str
    headers: Mapping[str, str]


BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/130.0 Safari/537.36", "Accept": "*/*"}


def lead_post(size: int = 300, *, is_repeated: bool = False, is_refused: bool = False) -> Post:
    """What the website sends, in so many bytes; always the same event, or with a token that is wrong."""
    headers = website() | BROWSER | ({"X-Relay-Token": "not the token of the test"} if is_refused else {})
    unique = '"submission_id": "same", "n": "' if is_repeated else '"submission_id": "'
    before, after = '{"lead": {"id": 1}, "user": 1, ' + unique, '", "text": "'
    filling = "x" * max(0, size - len(before) - len(after) - 20)
    return Post(before, after + filling + '"}', headers)


def need_wrk() -> None:
    """Fetch wrk where it is missing. Raises MissingError where that cannot be."""
    if not has_debian("wrk"):
        raise MissingError("wrk is needed, and was not found: on Debian, apt-get install wrk")


def has_debian(package: str) -> bool:
    """Whether the program of this name is here, or could be fetched: root may ask apt."""
    if shutil.which(package) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        fetch = ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", package]
        subprocess.run(fetch, capture_output=True, check=False)
    return shutil.which(package) is not None


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
        int(re.search(r"(\d+) requests in ", printed)[1]),  # type: ignore[index] # likewise
    )


def _quoted(text: str) -> str:
    return f"[==[{text}]==]"


def _ms(printed: str, share: str) -> float:
    found = re.search(rf"{share}\s+([\d.]+)(us|ms|s|m)", printed)
    return float(found[1]) * _UNITS[found[2]] if found else 0.0
