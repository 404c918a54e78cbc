"""What was archived is listed and shown in a terminal, put back on record by a replay, and reached by erasing."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from datetime import timedelta

import pytest

from relay.cli.main import main
from relay.core.events import CallbackState, CommentProgress, CommentState
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.core.plan import Comment
from relay.operations.erase import Eraser
from relay.operations.replay import NotReplayableError, Replayer, edit_of
from relay.operations.unarchive import put_back
from relay.rules import RuleBook
from relay.store import Store
from relay.store.archive import archive as module
from relay.store.archive.archive import Archive
from relay.store.operators.audit_log import read_acts
from relay.store.record.comments import CommentOutcome
from relay.store.record.entries import Entry
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Endings
from relay.store.redis import keys
from tests.support.archiving import OLD, all_rows, forget, write_final, write_watched
from tests.support.folders import WEB_SECRETS
from tests.support.making import (
    DAY,
    NOON,
    claim_one,
    make_call,
    make_delivery,
    make_entry,
    write,
)
from workers.maintenance.retention import Cursors, Terms, keep, prune

HOUR = timedelta(hours=1)
EMAIL = "ada@example.com"
PERSONS = PersonIndex(WEB_SECRETS["RELAY_SECRET_KEY"])


@pytest.fixture
def terminal(valkey, monkeypatch, config, archive):
    monkeypatch.setenv("REDIS_URL", valkey.url)
    monkeypatch.setenv("RELAY_CONFIG", str(config))
    monkeypatch.setenv("RELAY_SECRET_KEY", WEB_SECRETS["RELAY_SECRET_KEY"])
    monkeypatch.setenv("RELAY_ARCHIVE", str(archive.folder))


def test_archived_events_are_listed_and_shown_without_the_record(terminal, record, archive, monkeypatch, capsys):
    row = write_final(record)
    forget(record, archive)
    monkeypatch.setenv("REDIS_URL", "unix:///nobody/listens/here.sock")

    assert main(["events", "--archive", "--state", "dead"]) == 0
    assert row.event.id in capsys.readouterr().out
    assert main(["events", "--archive", "--source", "github"]) == 0
    assert "no such event" in capsys.readouterr().err
    assert main(["show", "--archive", row.deliveries[0].id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        **row.event.to_wire(), "deliveries": [row.deliveries[0].to_wire()],
    }  # fmt: skip
    assert main(["show", "--archive", "evt_01kt1h5ce8ac00a7htkq1waa3q"]) == 1
    for wanted in ("nonsense", "evt_OoOoOoOoOo", "dlv_zzzzzzzzzz", "evt_"):
        assert main(["show", "--archive", wanted]) == 1
    assert "no evt_ in" in capsys.readouterr().err


def test_without_an_archive_it_is_said_what_is_missing(terminal, monkeypatch, capsys):
    assert main(["events", "--archive"]) == 1
    assert "RELAY_ARCHIVE" in capsys.readouterr().err
    monkeypatch.delenv("RELAY_ARCHIVE")
    assert main(["events", "--archive"]) == 1
    assert "RELAY_ARCHIVE: it is not set" in capsys.readouterr().err


def test_an_archived_delivery_is_back_on_record_when_it_is_replayed(terminal, record, archive, capsys):
    row = write_final(record, person_keys=("k",))
    (old,) = row.deliveries
    forget(record, archive)

    assert main(["replay", old.id, "--archive"]) == 0

    event = record.event(row.event.id)
    assert replace(event, deliveries=row.event.deliveries) == row.event
    _, fresh = record.deliveries(event.deliveries)
    assert record.delivery(old.id) == replace(old, replayed_by=fresh.id)
    assert (fresh.state, fresh.replay_of, fresh.call) == (State.PENDING, old.id, old.call)
    assert record.due("main", utc_now()) == 1
    assert record.events_of_person("k") == [event.id]
    assert [act.what for act in read_acts(record.redis)] == ["replay", "restore"]
    assert record.counts().imbalances == []
    capsys.readouterr()
    assert main(["replay", old.id, "--archive"]) == 1
    assert "replayed before" in capsys.readouterr().err


def test_it_is_not_forgotten_again_before_its_replay_is_old_and_then_archived_with_it(terminal, record, archive):
    row = write_final(record, utc_now() - 100 * DAY)
    forget(record, archive, utc_now())
    assert main(["replay", row.deliveries[0].id, "--archive"]) == 0
    _, fresh = record.deliveries(record.event(row.event.id).deliveries)
    record.settle(claim_one(record, fresh, fresh.created_at), State.STARTED, utc_now(), workflow_id="wf-2")

    forget(record, archive, fresh.created_at - HOUR)
    assert record.delivery(fresh.id).workflow_id == "wf-2"

    forget(record, archive, fresh.created_at + HOUR)
    assert record.counts().total == 0
    (again,) = all_rows(archive)
    assert [one.id for one in again.deliveries] == [row.deliveries[0].id, fresh.id]


def test_what_was_replayed_before_it_was_archived_cannot_be_replayed_again(terminal, record, archive, capsys):
    row = write_final(record)
    fresh = make_delivery(row.event.id, at=NOON)
    record.replay(row.event, row.deliveries[0], [replace(fresh, replay_of=row.deliveries[0].id)])
    record.settle(claim_one(record, fresh), State.DEAD, NOON, reason="x")
    forget(record, archive)

    assert main(["replay", row.deliveries[0].id, "--archive"]) == 1
    assert "replayed before" in capsys.readouterr().err


def test_an_archived_event_that_no_rule_could_use_is_replayed_with_todays_rules(terminal, record, archive, capsys):
    entry = make_entry([], state=EventState.REJECTED, body=b'{"lead": {"id": 1}, "user": 1}')
    write(record, entry)
    forget(record, archive)

    assert main(["replay", entry.event.id, "--archive", "--rules", "current"]) == 0

    event = record.event(entry.event.id)
    assert (event.state, len(event.deliveries)) == (EventState.ACCEPTED, 1)
    assert record.counts().imbalances == []


def test_a_started_one_is_asked_for_first(terminal, record, archive, capsys):
    row = write_final(record, state=State.STARTED)
    forget(record, archive)

    assert main(["replay", row.deliveries[0].id, "--archive"]) == 1
    assert record.counts().total_events == 0
    assert main(["replay", row.deliveries[0].id, "--archive", "--yes"]) == 0
    assert record.delivery_of_workflow(row.deliveries[0].workflow_id) == row.deliveries[0].id


def test_an_end_that_nobody_waits_for_any_more_is_left_where_it_comes_back(store, record, archive):
    delivery = write_watched(record)
    forget(record, archive)
    (row,) = all_rows(archive)
    assert row.deliveries[0].watched.state is CallbackState.WAITING

    assert store.compaction.restore(row.event, row.deliveries)
    assert not store.compaction.restore(row.event, row.deliveries)

    back = record.delivery(delivery.id)
    assert back == replace(delivery, watched=replace(delivery.watched, state=CallbackState.LEFT))
    assert not record.redis.exists(keys.AWAITED, keys.OVERDUE)
    assert Endings(record.redis).finish(delivery.watched.address.rpartition("/")[2], OLD, "s=late").is_first


def test_an_end_that_was_heard_of_comes_back_with_all_that_came(store, record, archive):
    delivery = write_watched(record)
    Endings(record.redis).finish(delivery.watched.address.rpartition("/")[2], NOON + HOUR, "s=ok", ("crm", "D", "1"))
    ended = record.delivery(delivery.id)
    forget(record, archive)
    (row,) = all_rows(archive)

    store.compaction.restore(row.event, row.deliveries)

    assert record.delivery(delivery.id) == ended


@pytest.mark.parametrize(
    ("written", "restored"),
    [
        (CommentProgress(), CommentProgress(CommentState.MISSING)),
        (CommentProgress(CommentState.MISSING, "cut", NOON), CommentProgress(CommentState.MISSING, "cut", NOON)),
        (CommentProgress(CommentState.SENT, "", NOON), CommentProgress(CommentState.SENT, "", NOON)),
    ],
)
def test_what_became_of_a_comment_comes_back_and_nothing_more_is_said(store, record, archive, written, restored):
    call = replace(make_call(), comment=Comment("Ada has asked"))
    delivery = write_watched(record, call=call, comment=CommentProgress())
    if written.at:
        (claimed,) = store.comments.claim("main", "c", NOON, 1)
        store.comments.note([CommentOutcome(claimed, written.state, written.reason)], NOON)
    assert record.delivery(delivery.id).comment == written
    forget(record, archive)
    (row,) = all_rows(archive)

    store.compaction.restore(row.event, row.deliveries)

    back = record.delivery(delivery.id)
    assert (back.call, back.comment) == (delivery.call, restored)
    assert store.comments.waiting(["main"], OLD) == {}


def quietly(_seen, _total):
    """No progress is shown."""


def test_a_person_is_erased_from_the_archive_and_nobody_else_is(store, record, archive):
    hers = [
        write_final(record, NOON, body=EMAIL.encode()),
        write_final(record, NOON + DAY, parameters={"Email": EMAIL}),
    ]
    marked = write_final(record, NOON, person_keys=PERSONS.keys_of([EMAIL]))
    other = write_final(record, NOON)
    forget(record, archive)
    eraser, files = Eraser(store, PERSONS, archive), []

    traces = eraser.find(EMAIL, quietly, lambda *step: files.append(step))
    eraser.erase(EMAIL, traces, "someone", cancel=False)

    assert set().union(*traces.archived.values()) == {*(row.event.id for row in hers), marked.event.id}
    assert files == [(1, 2), (2, 2)]
    assert all_rows(archive) == [other]
    assert [path.name[:10] for path in archive.files()] == ["2026-06-01"], "a file of nobody is gone"
    assert not eraser.find(EMAIL, quietly)
    assert EMAIL.encode() not in b"".join(gzip.decompress(path.read_bytes()) for path in archive.files())


def test_who_is_killed_while_erasing_leaves_the_file_as_it_was(store, record, archive, monkeypatch):
    row = write_final(record, body=EMAIL.encode())
    forget(record, archive)
    eraser = Eraser(store, PERSONS, archive)
    traces = eraser.find(EMAIL, quietly)
    monkeypatch.setattr(module.os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        eraser.erase(EMAIL, traces, "someone", cancel=False)
    monkeypatch.undo()

    assert all_rows(archive) == [row]
    eraser.erase(EMAIL, traces, "someone", cancel=False)
    assert not eraser.find(EMAIL, quietly)
    assert {path.name for path in archive.folder.iterdir()} == {".lock"}


def test_the_command_to_erase_reaches_the_archive_and_names_those_it_does_not(terminal, record, archive, capsys):
    write_final(record, body=EMAIL.encode())
    store, other = Store(record.redis), Archive(archive.folder.with_name("elsewhere"))
    keep(store, Terms(90 * DAY, archive=archive), Cursors(), OLD + HOUR)
    keep(store, Terms(90 * DAY, archive=other), Cursors(), OLD + HOUR)

    assert main(["erase", "--value", EMAIL, "--yes"]) == 0

    printed = capsys.readouterr()
    assert "1 archived event in 1 file" in printed.out
    assert str(other.folder) in printed.err
    assert str(archive.folder) not in printed.err


def test_old_files_may_be_removed_by_hand(record, archive):
    write_final(record)
    forget(record, archive)
    shutil.rmtree(archive.folder)

    row = write_final(record, NOON + DAY)
    forget(record, archive)

    assert all_rows(archive) == [row]


def test_what_was_replayed_with_an_edited_body_is_not_replayed_again_from_the_archive(store, record, archive):
    row = write_final(record)
    (old,) = row.deliveries
    own = edit_of(row.event, b'{"lead": {"id": 2}}', OLD)
    write(record, Entry(own))
    fresh = replace(make_delivery(own.id, at=OLD), replay_of=old.id)
    record.replay(own, old, [fresh])
    record.settle(claim_one(record, fresh, OLD), State.STARTED, OLD, workflow_id="wf-1")
    replayer = Replayer(record, {}, RuleBook([], ""), PERSONS)
    prune(record, OLD + DAY, archive=archive)
    assert record.deliveries([old.id, fresh.id]) == []

    with archive.locked():
        put_back(archive, store, old.id, "somebody")

    assert record.delivery(old.id).replayed_by == fresh.id
    with pytest.raises(NotReplayableError, match="replayed before"):
        replayer.replay(old.id, current_rules=False)


def test_an_edited_replay_can_be_replayed_when_the_event_it_came_from_is_forgotten(record):
    row = write_final(record)
    later = OLD + 89 * DAY
    own = edit_of(row.event, b'{"lead": {"id": 2}}', later)
    write(record, Entry(own))
    fresh = replace(make_delivery(own.id, at=later), replay_of=row.deliveries[0].id)
    record.replay(own, row.deliveries[0], [fresh])
    record.settle(claim_one(record, fresh, later), State.DEAD, later, reason="error_not_found")
    prune(record, OLD + DAY)

    (again,) = Replayer(record, {}, RuleBook([], ""), PERSONS).replay(fresh.id, current_rules=False)

    assert again.replay_of == fresh.id


def test_a_person_is_erased_from_every_line_of_an_event(store, record, archive):
    entry = make_entry(at=OLD, body=f'{{"mail": "{EMAIL}"}}'.encode())
    write(record, entry)
    record.settle(claim_one(record, entry.deliveries[0], OLD), State.DEAD, OLD, reason="x")
    keep(store, Terms(90 * DAY, None, archive), Cursors(), utc_now())
    with archive.locked():
        put_back(archive, store, entry.event.id, "somebody")
    keep(
        store, Terms(90 * DAY, 30 * DAY, archive), Cursors(), utc_now()
    )  # bodies go from now on: the last line has none
    (path,) = archive.files()
    assert [row.event.body_removed_at is None for row in archive.every_row(path)] == [True, False]

    eraser = Eraser(store, PERSONS, archive)
    eraser.erase(EMAIL, eraser.find(EMAIL, lambda *_: None), "somebody", cancel=False)

    assert not [path for path in archive.files() if EMAIL.encode() in gzip.decompress(path.read_bytes())]


def test_workers_without_an_archive_leave_the_forgetting_to_those_of_another_host_that_have_one(store, record, archive):
    now = utc_now()
    keep(store, Terms(90 * DAY, None, archive), Cursors(), now)
    write_final(record)

    keep(store, Terms(90 * DAY, None, None), Cursors(), now)
    assert record.event_count() == 1

    keep(store, Terms(90 * DAY, None, None), Cursors(), now + 8 * DAY)  # nothing was heard of it for a week
    assert record.event_count() == 0
