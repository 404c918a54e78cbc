"""The table of figures in config/guide/performance.md, made of what a run of `make bench` has found; measures nothing.

A line stands for what a reader decides by; what was not measured has none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

HEAD = "| | ratio | the relay | beside |\n|---|---|---|---|"
SLOT = re.compile(r"\{([^|}]+)\|([^|}]+)\|([^|}]+)\|([^|}]*)\}")
"""{title|row|column|format}; a row `*` means the greatest figure of the column."""


def at_each(rows: Sequence[str], title: str, column: str, spec: str) -> str:
    """The same figure of several rows."""
    return " / ".join(f"{{{title}|{row}|{column}|{spec}}}" for row in rows)


def receiving(who: str, column: str, spec: str) -> str:
    """A figure at each number of connections."""
    return at_each([f"{count} connections: {who}" for count in (16, 64, 256)], "Receiving", column, spec)


def cpu(who: str) -> str:
    """Of the web processes and of the record's server."""
    row = f"64 connections: {who}"
    return f"{{Receiving|{row}|CPU us|,.0f}} + {{Receiving|{row}|server us|,.0f}} us"


def memory(column: str, spec: str) -> str:
    """A figure of the web process and of the workers."""
    return at_each(["web", "workers"], "Memory of processes", column, spec)


WORKERS = [f"workers, {count}" for count in (1, 2, 4)]
RQS = [f"RQ's bare worker, {count}" for count in (1, 2, 4)]
PORTALS = [f"portals: {count}" for count in (1, 20, 100)]
COMMANDS = ["serve", "workers", "up"]
RECORDED, ANSWERED = "recorded: the workflow id", "answered: it is on disk"
UP_TO_ID = "From POST to recorded workflow id"
ONE_BY_ONE = "fast-bitrix24, handed 50 at a time"
LINES = (
    ("posts a second at 16 / 64 / 256 connections, beside code by hand: Flask, marshmallow, `Queue.enqueue`",
     receiving("relay", "of by hand", ".2f"), receiving("relay", "posts/s", ",.0f"),
     receiving("by hand", "posts/s", ",.0f")),
    ("… beside Node-RED, HTTP in to HTTP response: nothing kept",
     receiving("relay", "of Node-RED", ".2f"), receiving("relay", "posts/s", ",.0f"),
     receiving("Node-RED", "posts/s", ",.0f")),
    ("… beside a Flask route that reads the JSON: nothing kept",
     receiving("relay", "of bare", ".2f"), receiving("relay", "posts/s", ",.0f"),
     receiving("bare route", "posts/s", ",.0f")),
    ("CPU a post at 64 connections, web + record, beside by hand",
     "{Receiving|64 connections: relay|CPU of by hand|.2f}", cpu("relay"), cpu("by hand")),
    ("slowest answer of a hundred (p99), beside by hand", "",
     receiving("relay", "p99 ms", ".0f") + " ms", receiving("by hand", "p99 ms", ".0f") + " ms"),
    ("… at 16 connections while 10,000 wait and the workers run, beside the same with nothing waiting",
     "{The door while many wait|16 connections, busy|p99 of idle|.2f}",
     "{The door while many wait|16 connections, busy|p99 ms|.0f} ms",
     "{The door while many wait|16 connections, idle|p99 ms|.0f} ms"),
    ("posts a second of 10 KB, beside 300 bytes",
     "{Receiving|10 KB: relay|of plain|.2f}", "{Receiving|10 KB: relay|posts/s|,.0f}",
     "{Receiving|10 KB: relay|plain/s|,.0f}"),
    ("… with 200 rules loaded, beside one",
     "{Receiving|200 rules loaded: relay|of plain|.2f}", "{Receiving|200 rules loaded: relay|posts/s|,.0f}",
     "{Receiving|200 rules loaded: relay|plain/s|,.0f}"),
    ("from POST to recorded workflow id, p50 / p95", "",
     f"{{{UP_TO_ID}|{RECORDED}|p50|.1f}} / {{{UP_TO_ID}|{RECORDED}|p95|.1f}} ms", ""),
    ("deliveries a second without limits, 1 / 2 / 4 workers, beside RQ's own bare worker",
     at_each(WORKERS, "Delivering", "of RQ's", ".2f"), at_each(WORKERS, "Delivering", "deliveries/s", ",.0f"),
     at_each(RQS, "Delivering", "deliveries/s", ",.0f")),
    ("{Catching up|*|workflows|,} waiting at 2 requests a second: time by what the limit allows, beside fast-bitrix24",
     "{Catching up|workers, 2|of the limit|.2f}", "{Catching up|workers, 2|s|.0f} s",
     f"{{Catching up|{ONE_BY_ONE}|of the limit|.2f}}"),
    ("memory of the record an event, waiting / final / packed", "",
     at_each(["waiting", "final: started", "packed"], "Bytes an event", "bytes an event", ",.0f") + " bytes", ""),
    ("slowest of all pages and API calls (p95) with {Pages and API|*|events|,} events on record", "",
     "{Pages and API|*|p95 ms|.0f} ms", ""),
    ("until `serve` / `workers` / `up` are ready", "", at_each(COMMANDS, "Start", "s", ".1f") + " s", ""),
    ("memory at rest, web / workers", "", memory("MB at rest", ".0f") + " MB", ""),
    ("… growth while {Memory of processes|web|events|,} are received, {Memory of processes|workers|events|,} delivered",
     "", memory("growth MB", "+.1f") + " MB", ""),
    ("… of the workers with 1 / 20 / 100 portals", "", at_each(PORTALS, "Memory of workers", "MB", ",.0f") + " MB", ""),
)  # fmt: skip


def markdown(document: Mapping[str, Any]) -> str:
    """The table, a line a figure."""
    lines = [HEAD]
    for cells in LINES:
        try:
            lines.append("| " + " | ".join(filled(cell, document["tables"]) for cell in cells) + " |")
        except KeyError:
            continue
    return "\n".join(lines)


def filled(cell: str, tables: Mapping[str, Any]) -> str:
    """A cell with its figures. KeyError where one was not measured."""

    def figure(slot: re.Match[str]) -> str:
        title, name, column, spec = slot.groups()
        rows = tables[title]["rows"]
        chosen = rows.values() if name == "*" else [rows[name]]
        values = [row[column] for row in chosen if row.get(column) is not None]
        if not values:
            raise KeyError(column)
        return format(max(values), spec)

    return SLOT.sub(figure, cell)
