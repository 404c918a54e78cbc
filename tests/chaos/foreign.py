"""What people use instead: fast-bitrix24 starting workflows with its own batches, and what becomes of them
when 5 % of calls are cut after execution. `run.py` prints it beside our own rows."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import Any

from fast_bitrix24 import BitrixAsync

from tests.chaos.cut import SHARE
from tests.chaos.stage import Stage, doubles

# What it leaves behind when it gives up is not our table.
logging.getLogger("asyncio").setLevel(logging.CRITICAL)

PLAN = "{plan: standard, own_id: off, batch: 50}"
START = "bizproc.workflow.start"


def calls(count: int) -> list[dict[str, Any]]:
    """Starts, each on a document of its own."""
    return [
        {
            "TEMPLATE_ID": 1,
            "DOCUMENT_ID": ["crm", "CCrmDocumentLead", f"LEAD_{1000 + number}"],
            "PARAMETERS": {"Parameter1": "user_1", "Email": "", "Phone": "", "Note": f"n{number}"},
        }
        for number in range(count)
    ]


def start_all(url: str, count: int, **options: Any) -> tuple[float, str]:
    """Seconds, and how it ended for the caller."""

    async def run() -> None:
        await BitrixAsync(f"{url}/rest/1/sandbox/", verbose=False, **options).call(START, calls(count))

    begin = time.monotonic()
    try:
        asyncio.run(run())
    except Exception as error:  # noqa: BLE001 - whatever its caller would get is the result
        return time.monotonic() - begin, type(error).__name__
    return time.monotonic() - begin, "no error"


def foreign(count: int) -> str:
    """One row: on a portal that does nothing wrong."""
    with Stage() as stage:
        sandbox = stage.add_portal("main", PLAN)
        took, end = start_all(sandbox.url, count)
        workflows = sandbox.workflows()
    doubled = doubles(workflows)
    return f"fast-bitrix24, the same {count}: {took:.1f} s, {len(workflows)} workflows, {doubled} doubled, {end}"


def foreign_cut(count: int, batch: int) -> str:
    """One row: while some calls are executed and their answers lost."""
    with Stage() as stage:
        sandbox = stage.add_portal("main", PLAN, rate=None)
        sandbox.post("faults", [{"kind": "drop_after_start", "share": SHARE}])
        took, end = start_all(sandbox.url, count, batch_size=batch, requests_per_second=200.0)
        workflows = sandbox.workflows()
    return (
        f"fast-bitrix24, cut 5 % of {count}, batches of {batch}: {took:.1f} s, {len(workflows)} workflows, "
        f"{doubles(workflows)} doubled, {end}"
    )


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    print(foreign(count), flush=True)
    print(foreign_cut(count, 10), flush=True)
