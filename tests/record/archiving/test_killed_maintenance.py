"""Packing, archiving and forgetting are killed again and again, and nothing is lost, doubled or half."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace

from relay.core.ids import to_ms
from relay.core.lifecycle import EventState, State
from relay.store.archive.archive import Archive
from relay.store.record.compaction import Compaction
from relay.store.record.search import Row, row_of
from relay.store.redis import keys
from tests.support.archiving import OLD, all_rows
from tests.support.folders import REPOSITORY
from tests.support.making import DAY, NOON, claim_one, make_attempt, make_call, make_delivery, make_entry, write
from tests.support.waiting import until
from workers.maintenance import retention
from workers.maintenance.retention import prune

EVENTS = 1_200
KILLS = 4

FORGET = """
import sys
from pathlib import Path
from relay.core.ids import from_ms
from relay.store import Store
from relay.store.archive.archive import Archive
from workers.maintenance import retention
retention.PER_PASS = 20
store, archive, cursor = Store.open(sys.argv[1]), Archive(Path(sys.argv[2])), None
while True:
    cursor = retention.prune(store.record, from_ms(int(sys.argv[3])), cursor, archive)
"""

PACK = """
import sys, threading
from relay.core.ids import from_ms
from relay.store import Store
from workers.maintenance import retention
retention.AT_ONCE, retention.BREATH_S = 10, 0.0
store = Store.open(sys.argv[1])
while True:
    retention.pack(store.compaction, retention.PackCursors(), from_ms(int(sys.argv[3])), threading.Event())
"""


def fill(record):
    """Events without deliveries, and some with one that has started; their rows by id."""
    entries = [make_entry([], at=NOON, state=EventState.REJECTED, body=b"%d" % n) for n in range(EVENTS)]
    for entry in entries:
        write(record, entry)
    rows = [Row(entry.event, ()) for entry in entries]
    for lead in range(30):
        entry = make_entry([], state=EventState.ACCEPTED)
        delivery = make_delivery(entry.event.id, call=make_call(lead=lead))
        write(record, replace(entry, event=replace(entry.event, deliveries=(delivery.id,)), deliveries=[delivery]))
        claimed = claim_one(record, delivery)
        record.settle(claimed, State.STARTED, NOON, attempt=make_attempt(), workflow_id=f"wf-{lead}")
        rows.append(row_of(record, record.event(entry.event.id)))
    return {row.event.id: row for row in rows}


def kill_while(script, url, folder, progress, at):
    """Run a script and kill it when it has come so far, several times. progress: how far it is, from 0 to 1."""
    for number in range(1, KILLS + 1):
        arguments = [sys.executable, "-c", script, url, str(folder), str(to_ms(at))]
        process = subprocess.Popen(arguments, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(
            lambda share=number / (KILLS + 1), process=process: process.poll() is not None or progress() >= share,
            "it to come so far",
        )
        assert process.poll() is None, "it ended by itself"
        process.kill()
        process.wait()


def test_each_event_is_on_record_or_in_the_archive_and_comes_out_of_it_once(record, valkey, tmp_path):
    rows, archive = fill(record), Archive(tmp_path / "archive")

    def check():
        left = record.oldest("evt_~", None, 2 * EVENTS)
        assert set(left) | {row.event.id for row in all_rows(archive)} == rows.keys()

    kill_while(FORGET, valkey.url, archive.folder, lambda: 1 - record.event_count() / len(rows), OLD)
    check()
    cursor = prune(record, OLD, None, archive)
    while cursor:
        cursor = prune(record, OLD, cursor, archive)

    found = all_rows(archive)
    assert {row.event.id: row for row in found} == rows
    assert len(found) == len(rows)
    assert record.counts().imbalances == []
    assert not [key for key in record.redis.keys("relay:*") if key.startswith((b"relay:event:", b"relay:delivery:"))]


def test_what_was_being_packed_reads_as_before(record, valkey, tmp_path):
    rows, now = fill(record), NOON + DAY
    events = [keys.EVENT + event_id for event_id in rows]

    def progress():
        with record.redis.pipeline(transaction=False) as pipeline:
            for name in events:
                pipeline.hexists(name, "z")
            return sum(pipeline.execute()) / len(events)

    kill_while(PACK, valkey.url, tmp_path, progress, now)
    assert {event_id: row_of(record, record.event(event_id)) for event_id in rows} == rows
    retention.pack(Compaction(record.redis), retention.PackCursors(), now, threading.Event())

    assert progress() == 1
    assert {event_id: row_of(record, record.event(event_id)) for event_id in rows} == rows
    assert record.counts().imbalances == []
