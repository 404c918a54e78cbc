"""How long it takes to read a body of 100 KB, of each kind that senders send.

One process and no server: while a body is read, a web process does nothing else. The kinds take turns, so that whatever
else the machine does falls on all of them.
"""

from __future__ import annotations

import gzip
import itertools
import json
import statistics
import time
from collections.abc import Callable
from urllib.parse import urlencode

from relay.sources.bodies import FORM, JSON, MULTIPART, BodyReader, unpack
from tests.bench.report import Table

SIZE = 100_000
ROUNDS, WARM_UP = 60, 5
TARGET_MS = 50.0
TEXT = "Заявка: call me after 18:00"
READER = BodyReader(json_values=("events",), fallback_charset="windows-1251")


def measure(*, full: bool) -> list[Table]:
    """Each kind in turn, again and again."""
    bodies = kinds()
    times: dict[str, list[float]] = {name: [] for name in bodies}
    for number in range(WARM_UP + ROUNDS):
        for name, (content_type, encoding, body) in bodies.items():
            begun = time.process_time()
            READER.read("POST", content_type, "", unpack(encoding, body, 2 * SIZE))
            if number >= WARM_UP:
                times[name].append((time.process_time() - begun) * 1000)
    rows = {}
    for name, (_, _, body) in bodies.items():
        tenths = statistics.quantiles(times[name], n=10)
        rows[name] = {
            "median ms": statistics.median(times[name]), "p10": tenths[0], "p90": tenths[-1], "bytes": len(body)
        }  # fmt: skip
    columns = {"median ms": ".2f", "p10": ".2f", "p90": ".2f", "bytes": ","}
    return [Table("Reading a body of 100 KB", f"CPU, {ROUNDS} times each; target {TARGET_MS:g} ms", columns, rows)]


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
