"""What the record forgets is on disk before; it is found, replayed and erased there, and read with public tools."""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
from dataclasses import replace
from datetime import timedelta

import pytest

from relay.core.errors import ArchiveError
from relay.core.events import OnUncertain, Policy
from relay.core.lifecycle import EventState, State
from relay.core.placeholders import Placeholder, PlaceholderValue
from relay.core.plan import How, Plan, Step, StepKind, StepResult
from relay.health.assessment import DEFAULT, IssueCode, assess, take_snapshot
from relay.store.archive import archive as archive_module
from relay.store.archive.archive import Archive
from relay.store.archive.lines import line_of, row_of_line
from relay.store.record.compaction import Compaction
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Endings
from relay.store.record.search import Filter, row_of
from tests.support.archiving import OLD, all_rows, forget, write_final, write_watched
from tests.support.folders import WEB_SECRETS
from tests.support.making import (
    DAY,
    NOON,
    bring_to,
    claim_one,
    make_delivery,
)
from workers.maintenance.retention import Cursors, Terms, keep

HOUR = timedelta(hours=1)
EMAIL = "ada@example.com"
PERSONS = PersonIndex(WEB_SECRETS["RELAY_SECRET_KEY"])


@pytest.mark.parametrize(
    "about",
    [
        {"body": b"{}"},
        {"body": bytes(range(256)), "query": "a=1", "envelope": '{"b": 1}', "person_keys": ("k", "l")},
        {"body": "\u2028\n\U0001f600".encode(), "errors": {"email": ["is none"]}, "reason": "x"},
    ],
)
def test_what_is_forgotten_stands_in_the_file_of_its_day_as_it_was(record, archive, about):
    row = write_final(record, state=State.STARTED, **about)

    forget(record, archive)

    assert record.counts().total_events == record.counts().total == 0
    assert [path.name for path in archive.files()] == ["2026-06-01.jsonl.gz"]
    assert all_rows(archive) == [row]


def test_an_event_whose_body_was_removed_stands_there_too(record, archive):
    row = write_final(record, body=b"x", query="a=1")
    Compaction(record.redis).remove_bodies([row.event.id], NOON + DAY)

    forget(record, archive)

    assert all_rows(archive) == [replace(row, event=row.event.without_body(NOON + DAY))]


def test_a_plan_and_what_came_of_it_stand_there_too(store, record, archive):
    row = write_final(record)
    (delivery,) = row.deliveries
    step = Step("lead", StepKind.MAKE, "lead", 1, {"title": "T", "parentId2": PlaceholderValue((Placeholder("deal"),))})
    made = StepResult("lead", StepKind.MAKE, "lead", 1, 7, How.MADE, NOON)
    policy = Policy(OnUncertain.RESEND, is_ordered=True)
    planned = replace(
        delivery,
        policy=policy,
        plan=Plan(delivery.id, (step,), delivery.call),
        results=(made,),
        looks=2,
        unsure=("lead",),
    )
    with archive.locked():
        archive.append([replace(row, deliveries=(planned,))])
    (kept,) = all_rows(archive)

    record.prune(row.event.id)
    store.compaction.restore(kept.event, kept.deliveries)

    assert record.delivery(delivery.id) == planned


def test_a_line_is_what_the_api_shows_and_reads_back(record):
    delivery = write_watched(record)
    Endings(record.redis).finish(delivery.watched.address.rpartition("/")[2], NOON + HOUR, "s=ok", ("crm", "D", "1"))
    row = row_of(record, record.event(delivery.event_id))

    line = line_of(row)

    assert row_of_line(line) == row
    wire = json.loads(line)
    assert wire.items() >= {**row.event.to_wire(), "deliveries": wire["deliveries"]}.items()
    assert wire["deliveries"][0].items() >= row.deliveries[0].to_wire().items()


def test_only_its_owner_can_read_it(record, archive):
    write_final(record)
    forget(record, archive)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in archive.folder.iterdir()}
    assert stat.S_IMODE(archive.folder.stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}


def test_public_tools_read_the_members_as_one_text(record, archive):
    ids = []
    for hour in range(3):
        ids.append(write_final(record, NOON + hour * HOUR).event.id)
        forget(record, archive)

    (path,) = archive.files()
    text = subprocess.run(["zcat", path], capture_output=True, check=True).stdout
    assert [json.loads(line)["id"] for line in text.splitlines()] == ids


def test_each_day_has_its_file_and_they_are_read_newest_first(record, archive):
    rows = [write_final(record, NOON + day * DAY, source="website") for day in range(3)]
    other = write_final(record, NOON + HOUR, State.STARTED, source="github")
    forget(record, archive)

    assert [path.name[:10] for path in archive.files()] == ["2026-06-03", "2026-06-02", "2026-06-01"]
    assert archive.search(Filter(), 10) == [rows[2], rows[1], other, rows[0]]
    assert archive.search(Filter(), 3) == [rows[2], rows[1], other]
    assert archive.search(Filter(source="github"), 10) == [other]
    assert archive.search(Filter(state=State.DEAD, since=NOON + DAY), 10) == [rows[2], rows[1]]
    assert archive.search(Filter(state=EventState.REJECTED), 10) == []
    assert archive.find(other.deliveries[0].id) == other
    assert archive.find(make_delivery("evt_x", at=NOON).id) is None


def test_what_was_written_twice_counts_once_as_it_was_written_last(record, archive):
    row = write_final(record)
    with archive.locked():
        archive.append([row])
        archive.append([replace(row, event=replace(row.event, duplicates=2))])

    assert [one.event.duplicates for one in all_rows(archive)] == [2]


@pytest.mark.parametrize("at", [(Archive, "_write"), (archive_module, "sync_folder")])
@pytest.mark.parametrize("times", [1, 2])
def test_who_is_killed_while_writing_leaves_what_the_next_one_mends(record, archive, monkeypatch, at, times):
    first, second = write_final(record), write_final(record)
    with archive.locked():
        archive.append([first])
    (where, step), calls = at, iter(range(times))
    go_on = getattr(where, step)

    def die(*args):
        if next(calls, None) == times - 1:
            if step == "_write":  # half of it is there
                go_on(*args[:2], args[2][: len(args[2]) // 2], args[3])
            raise KeyboardInterrupt
        return go_on(*args)

    monkeypatch.setattr(where, step, die)
    with pytest.raises(KeyboardInterrupt), archive.locked():
        archive.append([second])
    monkeypatch.undo()

    assert all_rows(archive) == [first]
    with archive.locked():
        archive.append([second])
    assert all_rows(archive) == [first, second]
    assert gzip.decompress(archive.files()[0].read_bytes()).count(b"\n") == 2


def test_who_is_killed_between_writing_and_forgetting_writes_it_again(record, archive, monkeypatch):
    row = write_final(record)

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(record), "prune", die)
    with pytest.raises(KeyboardInterrupt):
        forget(record, archive)
    monkeypatch.undo()
    forget(record, archive)

    assert all_rows(archive) == [row]
    assert record.counts().total_events == 0


@pytest.fixture
def full(monkeypatch):
    """The disk takes no more than a few bytes of a file."""

    def write(_, path, content, how):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Archive, "_write", write)
    return monkeypatch


def test_what_cannot_be_archived_is_not_forgotten_and_a_person_is_told(store, record, archive, full):
    row, terms, places = write_final(record), Terms(90 * DAY, archive=archive), Cursors()
    now = OLD + HOUR

    keep(store, terms, places, now)

    assert record.event(row.event.id) == row.event
    (need,) = [one for one in needs(store, now) if one.code is IssueCode.ARCHIVE]
    assert "No space left on device" in need.details[0]

    full.undo()
    keep(store, terms, places, now)
    assert [one for one in needs(store, now) if one.code is IssueCode.ARCHIVE] == []
    assert all_rows(archive) == [row]
    assert record.counts().total_events == 0


def needs(store, now):
    return assess(take_snapshot(store, [], [], now), DEFAULT, now)


def test_who_no_longer_writes_an_archive_leaves_no_need_behind(store, record, archive, full):
    write_final(record)
    now = OLD + HOUR
    keep(store, Terms(90 * DAY, archive=archive), Cursors(), now)

    assert IssueCode.ARCHIVE not in [one.code for one in needs(store, now + 2 * HOUR)]


def test_what_waits_for_a_person_is_neither_archived_nor_forgotten(record, archive):
    bring_to(record, State.UNCERTAIN)

    forget(record, archive)

    assert archive.files() == []
    assert record.counts().total_events == 1


def test_what_is_replayed_while_it_is_archived_is_not_forgotten(record, archive, monkeypatch):
    row = write_final(record)
    append = Archive.append
    fresh = make_delivery(row.event.id, at=OLD + DAY)

    def replay_first(self, rows):
        append(self, rows)
        record.replay(row.event, row.deliveries[0], [fresh])
        record.settle(claim_one(record, fresh, OLD + DAY), State.DEAD, OLD + DAY, reason="x")

    monkeypatch.setattr(Archive, "append", replay_first)
    forget(record, archive)

    assert record.delivery(fresh.id).state is State.DEAD


def test_a_file_that_is_damaged_is_named(record, archive):
    write_final(record)
    forget(record, archive)
    (path,) = archive.files()
    content = bytearray(path.read_bytes())
    content[20:40] = bytes(20)
    path.write_bytes(content)

    with pytest.raises(ArchiveError, match=r"2026-06-01\.jsonl\.gz"):
        all_rows(archive)
    path.write_bytes(gzip.compress(b'{"x": 1}\n'))
    with pytest.raises(ArchiveError, match="no event of ours"):
        all_rows(archive)
