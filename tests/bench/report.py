"""What a benchmark has found, as a table for a person and as JSON for a program. Nothing is measured here."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Value = float | int | str | Sequence[float] | None
"""A figure, a word, or one figure a round, of which the table shows the least and the greatest."""
GAP = "  "


@dataclass(frozen=True, slots=True)
class Table:
    """One table. title: a few words by which the JSON is searched; how: under which circumstances.

    columns: by name, how their figures are written, ratios first. rows: by name, figures by column; what is of no
    column is for the JSON only. notes: what was left out, and why.
    """

    title: str
    how: str
    columns: Mapping[str, str]
    rows: Mapping[str, Mapping[str, Value]]
    notes: Sequence[str] = field(default_factory=tuple)


def as_text(table: Table) -> str:
    """The table as a terminal shows it."""
    lines = [["", *table.columns]]
    lines += [[name, *(written(row.get(one), spec) for one, spec in table.columns.items())]
              for name, row in table.rows.items()]  # fmt: skip
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    drawn = [
        GAP.join([first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))])
        for first, *rest in lines
    ]
    return "\n".join([f"{table.title}: {table.how}", *(line.rstrip() for line in drawn), *table.notes])


def as_document(tables: Iterable[Table]) -> dict[str, Any]:
    """Everything, for JSON: the machine, and the tables by title."""
    machine = {
        "cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform(),
        "load": os.getloadavg()[1],
    }  # fmt: skip
    return {"machine": machine, "tables": {table.title: asdict(table) for table in tables}}


def written(value: Value, spec: str) -> str:
    """One cell."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return f"{min(value):{spec}}-{max(value):{spec}}"
    return f"{value:{spec}}"
