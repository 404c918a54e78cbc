"""Recording an event: once, whole, in one round trip, with a job that RQ takes for its own."""

from __future__ import annotations

import json
import signal
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from rq import Queue, SimpleWorker
from rq.job import JobStatus
from rq.serializers import JSONSerializer

from relay.core.errors import NotFoundError
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.queue.jobs import JOB_TIMEOUT_S, SERVE_JOB, queue_name
from relay.store.record.entries import Bounds
from relay.store.record.record import Record
from relay.store.redis import keys
from relay.store.redis.connection import connect
from tests.support.making import NOON, claim_one, make_call, make_delivery, make_entry, write, write_one
from tests.support.waiting import until
from workers.delivery.worker import job_class


def commands_during(redis, action):
    """What the server was asked from outside while the action ran; what a script does inside is not in it."""
    with redis.monitor() as monitor:
        redis.ping()  # so that no connection has to be made later
        action()
        redis.echo("the end")
        seen = []
        for command in monitor.listen():
            if command["client_type"] == "lua":
                continue
            if command["command"].startswith("ECHO"):
                return seen[seen.index("PING") + 1 :]
            seen.append(command["command"].split()[0])
    return seen


def test_an_event_with_its_deliveries_indexes_and_jobs_is_one_command(redis, record):
    write(record, make_entry())  # the server knows the script from now on

    seen = commands_during(redis, lambda: write(record, make_entry(["one", "two"], digest="d")))

    assert seen == ["EVALSHA"]


def test_what_was_recorded_is_read_back_as_it_was(record):
    entry = make_entry(["one", "two"], body=b"\x00\xff\xfe raw")

    receipt = write(record, entry)

    assert record.event(entry.event.id) == entry.event
    assert record.deliveries(entry.event.deliveries) == list(entry.deliveries)
    assert (receipt.event_id, receipt.state) == (entry.event.id, EventState.ACCEPTED)
    assert (receipt.deliveries, receipt.duplicate) == (entry.event.deliveries, False)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"N": 1, "F": 1.5, "L": ["a", 2], "E": ""},
        {"Text": 'quotes " and \\ and \n and 🙂 and \u2028'},
        {"Long": "x" * 100_000},
    ],
)
def test_parameters_are_kept_with_their_types(record, parameters):
    delivery = make_delivery("evt_1", call=make_call(parameters=parameters))
    entry = make_entry()
    write(record, replace(entry, deliveries=[delivery]))

    assert record.delivery(delivery.id).call.parameters == parameters


def test_what_is_not_on_record_is_said_to_be_missing(record):
    with pytest.raises(NotFoundError, match="no event evt_x"):
        record.event("evt_x")
    with pytest.raises(NotFoundError, match="no delivery dlv_x"):
        record.delivery("dlv_x")
    assert record.deliveries(["dlv_x"]) == []


def test_the_job_that_wakes_a_worker_is_one_of_rqs_own_and_says_only_where_there_is_work(redis, record):
    write_one(record)

    queue = Queue(queue_name("main"), connection=redis, serializer=JSONSerializer)
    (job,) = queue.get_jobs()

    assert (job.func_name, job.args, job.kwargs) == (SERVE_JOB, ["main"], {})
    assert (job.origin, job.timeout, job.get_status()) == ("portal-main", JOB_TIMEOUT_S, JobStatus.QUEUED)
    assert queue in Queue.all(connection=redis, serializer=JSONSerializer)
    kept = b"".join(redis.hgetall(f"rq:job:{job.id}").values())
    assert b"user_1" not in kept
    assert b"LEAD_1" not in kept


@pytest.fixture
def signals_of_before():
    """RQ's worker takes the signals of its process; they are given back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_worker_of_rq_runs_such_a_job_and_leaves_nothing_of_it(redis, record, signals_of_before):
    ran = []
    write_one(record)

    SimpleWorker(
        [queue_name("main")],
        connection=redis,
        serializer=JSONSerializer,
        job_class=job_class(lambda: ran.append(True)),
        default_result_ttl=0,
    ).work(burst=True)

    assert ran == [True]
    assert redis.keys("rq:job:*") == []


def test_the_same_command_again_changes_nothing(redis, record):
    entry = make_entry(["one", "two"], digest="d")
    first = write(record, entry)
    before = record.counts()

    assert write(record, entry) == first
    assert record.counts() == before
    assert redis.llen("rq:queue:portal-main") == 1


def test_an_event_without_a_rule_is_kept_with_no_job(redis, record):
    entry = make_entry([])

    assert write(record, entry).state is EventState.IGNORED
    assert record.event(entry.event.id).deliveries == ()
    assert not redis.exists("rq:queue:portal-main")


def test_a_repeat_is_answered_with_the_first_event_and_counted_on_it(redis, record):
    first = write(record, make_entry(["one"], digest="d"))

    second = write(record, make_entry(["one"], digest="d"))
    third = write(record, make_entry(["one"], digest="d"))

    assert (second.duplicate, third.duplicate) == (True, True)
    assert second == replace(first, duplicate=True)
    assert record.event(first.event_id).duplicates == 2
    assert record.counts().since_start["event:duplicate"] == 2
    assert record.counts().total_events == 1
    assert redis.llen("rq:queue:portal-main") == 1


@pytest.mark.parametrize("other", [{"digest": "e"}, {"digest": "d", "source": "github"}, {"digest": None}])
def test_another_key_another_source_or_no_key_is_no_repeat(record, other):
    write(record, make_entry(digest="d"))

    assert not write(record, make_entry(**other)).duplicate


@pytest.mark.parametrize("senders", [2, 20])
def test_of_equal_events_at_the_same_instant_one_stands_and_the_others_are_told_its_id(valkey, record, senders):
    write(record, make_entry())
    barrier = threading.Barrier(senders)
    receipts = []

    def send():
        own = Record(connect(valkey.url))
        own.redis.ping()
        entry = make_entry(digest="d")
        barrier.wait()
        receipts.append(write(own, entry))
        own.redis.close()

    threads = [threading.Thread(target=send) for _ in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(receipts) == senders
    assert sum(not receipt.duplicate for receipt in receipts) == 1
    assert len({receipt.event_id for receipt in receipts}) == 1
    assert record.event(receipts[0].event_id).duplicates == senders - 1


def test_a_dedup_key_lasts_as_long_as_its_window(redis, record):
    write(record, make_entry(digest="d", window=timedelta(hours=72)))

    left_ms = redis.pttl(keys.dedup("website", "d"))

    assert timedelta(hours=71) < timedelta(milliseconds=left_ms) <= timedelta(hours=72)


def test_after_its_window_an_equal_event_is_a_new_one(redis, record):
    first = write(record, make_entry(digest="d", window=timedelta(milliseconds=40)))
    until(lambda: not redis.exists(keys.dedup("website", "d")), "the window to end")

    second = write(record, make_entry(digest="d"))

    assert not second.duplicate
    assert second.event_id != first.event_id


def test_a_key_whose_event_was_pruned_stands_in_nobodys_way(redis, record):
    first = write(record, make_entry(digest="d"))
    redis.delete(keys.EVENT + first.event_id)

    second = write(record, make_entry(digest="d"))

    assert not second.duplicate
    assert redis.get(keys.dedup("website", "d")).decode() == second.event_id
    assert write(record, make_entry(digest="d")).event_id == second.event_id


def test_of_refused_events_only_the_newest_are_kept(record):
    kept = make_entry(["one"])
    write(record, kept)
    refused = [make_entry([], state=EventState.REFUSED, at=NOON + timedelta(seconds=n)) for n in range(5)]

    for entry in refused:
        write(record, replace(entry, bounds=Bounds(kept=3, kept_bytes=1_000_000)))

    assert record.page(keys.EVENTS_BY_STATE + "refused") == [entry.event.id for entry in reversed(refused[2:])]
    assert record.events([entry.event.id for entry in refused[:2]]) == []
    assert record.page(keys.EVENTS)[-1] == kept.event.id
    ledger = record.counts()
    assert (ledger.imbalances, ledger.total_events, ledger.since_start["event:refused"]) == ([], 4, 5)


def test_a_server_that_forgot_the_scripts_learns_them_again(redis, record):
    write(record, make_entry())
    redis.script_flush()
    delivery = write_one(record)
    redis.script_flush()
    claimed = claim_one(record, delivery, NOON)
    redis.script_flush()
    record.settle(claimed, State.STARTED, NOON, workflow_id="wf")

    assert record.delivery(delivery.id).state is State.STARTED


def test_what_was_answered_survives_the_death_of_the_server(own_valkey):
    record = Record(own_valkey.redis)
    entry = make_entry(["one"], at=utc_now())
    write(record, entry)

    own_valkey.kill()
    own_valkey.start()

    assert record.event(entry.event.id) == entry.event
    assert record.counts().imbalances == []
    assert own_valkey.redis.llen("rq:queue:portal-main") == 1


def test_the_keys_of_the_record_are_those_that_are_drawn(redis, record):
    delivery = write_one(record, digest="d")
    claimed = claim_one(record, delivery, NOON)
    record.settle(claimed, State.UNCERTAIN, NOON)
    redis.set(keys.LEASE + "sweep", "me", px=1000)

    drawn = [line.split()[0] for line in keys.__doc__.splitlines() if line.startswith("    relay:")]
    bare = [pattern.partition("{")[0] for pattern in drawn]
    found = [key.decode() for key in redis.keys("relay:*")]

    assert all(any(key == name or (name.endswith(":") and key.startswith(name)) for name in bare) for key in found)
    without_end = {key for key in found if redis.ttl(key) == -1}
    ending = ("dedup:", "lease:", "minute:", "hour:", "claim:", "told-before:")
    ends = {key for key in found if key.removeprefix("relay:").startswith(ending)}
    assert ends == set(found) - without_end - {keys.FULL}


def test_errors_and_headers_are_kept_as_they_are(record):
    entry = make_entry([], state=EventState.REJECTED)
    event = replace(
        entry.event, errors={"lead_id": ["expected a whole number"]}, reason="rule_not_filled", query="q=%20"
    )
    write(record, replace(entry, event=event))

    assert record.event(event.id) == event
    assert json.loads(json.dumps(record.event(event.id).to_wire()))["errors"] == {
        "lead_id": ["expected a whole number"]
    }
