"""How near to a portal's own limit what waits is sent: time by the time that the limit allows, beside fast-bitrix24.

Two requests a second, batches of fifty, a bucket of five that is full at first. From the first workflow to the last.
"""

from __future__ import annotations

import asyncio
import time

from fast_bitrix24 import BitrixAsync

from relay.core.lifecycle import State
from tests.bench.report import Table, Value
from tests.bench.rig import say
from tests.chaos.foreign import START, calls, start_all
from tests.chaos.stage import Stage, doubles
from tests.support.waiting import until

WAITING, WAITING_IN_FULL = 2_000, 10_000
RATE, BURST, BATCH = 2.0, 5, 50
PLAN = f"{{plan: standard, own_id: echo, batch: {BATCH}, burst: {BURST - 1}}}"
WORKERS = 2
COLUMNS = {
    "of the limit": ".2f", "s": ".1f", "the limit's s": ".1f", "workflows": ",", "doubled": ",", "ended with": "",
}  # fmt: skip


def measure(*, full: bool) -> list[Table]:
    """Ours, then fast-bitrix24's."""
    count = WAITING_IN_FULL if full else WAITING
    say(f"  {count:,} by ours")
    rows = {f"workers, {WORKERS}": by_us(count)}
    say(f"  {count:,} by fast-bitrix24")
    rows["fast-bitrix24, handed all at once"] = by_fast_bitrix24(count)
    rows[f"fast-bitrix24, handed {BATCH} at a time"] = by_fast_bitrix24(count, BATCH)
    how = f"{count:,} wait at a portal of {RATE:g} requests a second; batches of {BATCH}, a bucket of {BURST}"
    return [Table("Catching up", how, COLUMNS, rows)]


def by_us(count: int) -> dict[str, Value]:
    """All of them through the workers."""
    with Stage() as stage:
        sandbox = stage.add_portal("main", PLAN, rate=RATE, burst=BURST)
        stage.fill("main", count)
        stage.start_workers("main", WORKERS)
        until(lambda: stage.ledger().deliveries[State.STARTED] > 0, "the first to be delivered", 60)
        begun = time.monotonic()
        until(lambda: stage.open_count() == 0, "all to be delivered", 60 + 5 * allowed_s(count))
        return row(count, time.monotonic() - begun, sandbox.workflows(), "no error")


def by_fast_bitrix24(count: int, at_once: int | None = None) -> dict[str, Value]:
    """The same calls through one client of that library, told the portal's limits."""
    with Stage() as stage:
        sandbox = stage.add_portal("main", PLAN, rate=RATE, burst=BURST)
        limits = {"requests_per_second": RATE, "request_pool_size": BURST}
        if at_once is None:
            # It counts a request when it is answered, and so sends more at once than the bucket takes.
            took, ended = start_all(sandbox.url, count, **limits)
        else:
            begun = time.monotonic()
            asyncio.run(_start_in_turn(sandbox.url, count, at_once, limits))
            took, ended = time.monotonic() - begun, "no error"
        return row(count, took, sandbox.workflows(), ended)


async def _start_in_turn(url: str, count: int, at_once: int, limits: dict[str, float]) -> None:
    client = BitrixAsync(f"{url}/rest/1/sandbox/", verbose=False, **limits)
    starts = calls(count)
    for first in range(0, count, at_once):
        await client.call(START, starts[first : first + at_once])


def allowed_s(count: int) -> float:
    """The least time in which the portal takes so many."""
    return (count / BATCH - BURST) / RATE


def row(count: int, took: float, workflows: list[dict[str, object]], ended: str) -> dict[str, Value]:
    """One way of doing it. `of the limit` is no figure where not all were started."""
    return {
        "of the limit": took / allowed_s(count) if len(workflows) >= count else None,
        "s": took,
        "the limit's s": allowed_s(count),
        "workflows": len(workflows),
        "doubled": doubles(workflows),
        "ended with": ended,
    }
