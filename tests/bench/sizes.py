"""How many bytes of the record's memory an event takes: while its delivery waits, when it has come to its end, and when
that is packed.

Events come through the real door, with a 300-byte body and the headers of a browser; each has one delivery. Its end is
written by the record's own functions, for a worker would take minutes. Counted is what the server uses beyond what it
used for a first event, without the buffers of its connections.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from redis import Redis

from relay.core.events import Attempt, Delivery
from relay.core.ids import utc_now
from relay.core.lifecycle import State, Verdict
from relay.store.record.compaction import Compaction
from relay.store.record.entries import Load, Settlement
from relay.store.record.record import Record
from tests.bench.load import lead_post, need_wrk, press
from tests.bench.report import Table, Value
from tests.bench.rig import Rig, say

EVENTS, EVENTS_IN_FULL = 10_000, 100_000
AT_ONCE = 50
CALL_MS = 120
COLUMNS = {"bytes an event": ",.0f", "target": ",", "keys": ",", "events": ","}


def measure(*, full: bool) -> list[Table]:
    """Receive, look, finish, look again."""
    need_wrk()
    with Rig() as rig:
        web = rig.start_web()
        press(f"{web.url}/hooks/website", lead_post(), 16, 1, rig.folder)
        redis, first, empty = rig.valkey.redis, rig.ledger().total_events, used(rig.valkey.redis)
        say("  receiving")
        while (count := rig.ledger().total_events - first) < (EVENTS_IN_FULL if full else EVENTS):
            press(f"{web.url}/hooks/website", lead_post(), 64, 3, rig.folder)
        rows = {"waiting": row(redis, count, empty, 3_000)}
        say(f"  finishing {count:,}")
        finish(rig.record, first)
        rows["final: started"] = row(redis, count, empty, None)
        pack(redis)
        rows["packed"] = row(redis, count, empty, 1_500)
    return [Table("Bytes an event", "300-byte body, one delivery with one attempt, with its dedup key", COLUMNS, rows)]


def used(redis: Redis) -> int:
    """Bytes of the server's memory that hold the record."""
    found: Any = redis.info("memory")
    return int(found["used_memory"]) - int(found["mem_clients_normal"]) - int(found["mem_aof_buffer"])


def row(redis: Redis, count: int, empty: int, target: int | None) -> dict[str, Value]:
    """How it is now."""
    keys: Any = redis.dbsize()
    return {"bytes an event": (used(redis) - empty) / count, "target": target, "keys": keys, "events": count}


def finish(record: Record, first: int) -> None:
    """Every delivery to its workflow, as a worker writes it: claimed and settled by the fifty."""
    load = Load(limit=AT_ONCE, budget_ms=AT_ONCE * CALL_MS, unknown_ms=CALL_MS)
    number = first
    while claimed := record.claim("main", f"bench-{number}", utc_now(), load):
        settlements = [ended(delivery, number + place) for place, delivery in enumerate(claimed)]
        number += len(claimed)
        wrong = [result for result in record.settle_all(settlements, utc_now()) if result]
        if wrong:
            raise RuntimeError(f"not settled: {wrong[0]}")


def pack(redis: Redis) -> None:
    """What is final, as the workers' maintenance packs it some minutes later."""
    compaction, place, later = Compaction(redis), None, utc_now() + timedelta(hours=1)
    while not (found := compaction.packable(later, place, 500)).is_end or found.keys:
        compaction.pack(found.keys)
        place = found.last


def ended(delivery: Delivery, number: int) -> Settlement:
    """What a worker writes of a call that has started the workflow."""
    at = utc_now() - timedelta(milliseconds=CALL_MS)
    attempt = Attempt(1, at, CALL_MS, Verdict.STARTED, 200, batch_size=AT_ONCE)
    return Settlement(delivery, State.STARTED, attempt=attempt, workflow_id=f"65e5a2c0.{number:013d}")
