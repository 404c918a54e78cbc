"""How long it takes to read a body of 100 KB, of each kind that senders send. Prints a table; asserts nothing.

One process and no server: while a body is read, a web process does nothing else. The kinds take turns, so that whatever
else the machine does falls on all of them.
"""

from __future__ import annotations

import gzip
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from relay.sources.body_reader import BodyReader
from relay.sources.parsers import FORM, JSON, MULTIPART
from relay.sources.unpacking import unpack

SIZE = 100_000
ROUNDS, WARM_UP = 60, 5
TARGET_MS = 50.0
TEXT = "Заявка: call me after 18:00"
READER = BodyReader(json_values=("events",), fallback_charset="windows-1251")


def main() -> int:
    """Measure and print."""
    bodies = kinds()
    times: dict[str, list[float]] = {name: [] for name in bodies}
    for number in range(WARM_UP + ROUNDS):
        for name, (content_type, encoding, body) in bodies.items():
            begun = time.perf_counter()
            READER.read("POST", content_type, "", unpack(encoding, body, 2 * SIZE))
            if number >= WARM_UP:
                times[name].append((time.perf_counter() - begun) * 1000)
    print(f"{'a body of 100 KB':<26}{'bytes':>9}{'median ms':>11}{'p10':>8}{'p90':>8}   target {TARGET_MS:g} ms")
    for name, (_, _, body) in bodies.items():
        tenths = statistics.quantiles(times[name], n=10)
        print(f"{name:<26}{len(body):>9}{statistics.median(times[name]):>11.2f}{tenths[0]:>8.2f}{tenths[-1]:>8.2f}")
    return 0


def kinds() -> dict[str, tuple[str, str, bytes]]:
    """By its name: content type, content encoding, and the body."""
    leads = filled(lambda n: json.dumps({"id": n, "name": TEXT, "tags": ["a", "b"]}, ensure_ascii=False), ",", SIZE)
    events = filled(lambda n: json.dumps({"id": n, "name": "call me", "tags": ["a", "b"]}), ",", SIZE // 2)
    part = '--x\r\nContent-Disposition: form-data; name="field {n}"\r\n\r\n{text}\r\n'
    return {
        "form, flat": form(lambda n: {f"field {n}": TEXT}),
        "form, short fields": form(lambda n: {f"f{n}": n}),
        "form, a[b][c]=": form(lambda n: {f"lead[{n}][name]": "x"}, fields=3_300),
        "form, brackets 60 deep": form(lambda n: {"a" + f"[k{n}]" * 59: "x"}, fields=165),
        "form in windows-1251": form(lambda n: {f"поле {n}": TEXT}, charset="windows-1251"),
        "form, JSON in a field": (FORM, "", urlencode({"events": f"[{events}]"}).encode()),
        "multipart, many parts": (
            f"{MULTIPART}; boundary=x", "", filled(lambda n: part.format(n=n, text=TEXT), "", SIZE).encode() + b"--x--"
        ),
        "JSON": (JSON, "", f"[{leads}]".encode()),
        "JSON, packed with gzip": (JSON, "gzip", gzip.compress(f"[{leads}]".encode())),
    }  # fmt: skip


def form(
    field: Callable[[int], dict[str, object]], fields: int = 9_900, charset: str = "utf-8"
) -> tuple[str, str, bytes]:
    """A form of so many fields, or as many as have room."""
    return FORM, "", filled(lambda n: urlencode(field(n), encoding=charset), "&", SIZE, fields).encode()


def filled(item: Callable[[int], str], between: str, size: int, most: int = 100_000) -> str:
    """Items until there are so many bytes of them, or so many of them."""
    found: list[str] = []
    room = size
    for number in itertools.count():
        room -= len((text := item(number) + between).encode())
        if room < 0 or number == most:
            return between.join(found)
        found.append(text.removesuffix(between))
    raise AssertionError


if __name__ == "__main__":
    sys.exit(main())
