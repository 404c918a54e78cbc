"""A portal that is away for a while: 60 delivered, 300 waiting, then 20 s of nothing but trouble.

How long after its return until the last of the 300 has started, with worker loop, batches and the gate's pauses as they
are: nothing is called by hand. Deliveries whose call may have been executed wait for `settle_after`, whatever the gate
does.
"""

from __future__ import annotations

import time
from typing import Any

from relay.core.lifecycle import State
from tests.chaos.stage import Sandbox, Stage, doubles, until

TROUBLES: dict[str, dict[str, Any]] = {
    "503 page": {"kind": "html_503"},
    "503 throttled": {"kind": "http_503"},
    "dropped": {"kind": "drop_before"},
    "time limit": {"kind": "error", "code": "OPERATION_TIME_LIMIT", "status": 429},
}
TIMED, WAITING, AWAY_S, PATIENCE_S = 60, 300, 20.0, 420.0


def started(stage: Stage) -> int:
    """How many deliveries have their workflow."""
    return stage.ledger().deliveries[State.STARTED]


def in_line(stage: Stage) -> int:
    """How many deliveries are neither started nor uncertain."""
    counts = stage.ledger().deliveries
    return TIMED + WAITING - counts[State.STARTED] - counts[State.UNCERTAIN]


def fall_and_rise(stage: Stage, sandbox: Sandbox, fault: dict[str, Any], first: int) -> float:
    """Be away for a while; the time of the return."""
    stage.fill("main", WAITING, first)
    sandbox.post("faults", [{**fault, "share": 1.0}])
    time.sleep(AWAY_S)
    sandbox.clear_faults()
    return time.monotonic()


def outage(trouble: str, batch: int, own_id: str = "echo") -> str:
    """One row."""
    with Stage() as stage:
        sandbox = stage.add_portal("main", f"{{plan: standard, own_id: {own_id}, batch: {batch}, settle_after: 60s}}")
        stage.start_workers("main", 1)
        stage.fill("main", TIMED)
        until(lambda: started(stage) == TIMED, "the template is timed", 120)
        back = fall_and_rise(stage, sandbox, TROUBLES[trouble], 5_000)
        try:
            until(lambda: in_line(stage) == 0, "all but the uncertain ones have started", PATIENCE_S)
            first_end = time.monotonic() - back
            until(lambda: started(stage) == TIMED + WAITING, "all have started", PATIENCE_S)
            end = f"started after its return: what waited {first_end:.0f} s, the last {time.monotonic() - back:.0f} s"
        except TimeoutError:
            left = TIMED + WAITING - started(stage)
            end = f"{left} of {WAITING} not started {PATIENCE_S:.0f} s after its return"
        ledger, workflows = stage.ledger(), sandbox.workflows()
        attempts = {name: count for name, count in ledger.since_start.items() if name.startswith("attempt:")}
    return (
        f"outage of {AWAY_S:.0f} s, {trouble:13}, batches of {batch:2}: {end}, {len(workflows)} workflows, "
        f"{doubles(workflows)} doubled, attempts {attempts}, "
        f"ledger {'balances' if not ledger.imbalances else ledger.imbalances}"
    )
