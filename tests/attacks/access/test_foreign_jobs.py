"""Whoever can write to Redis can write jobs. A worker, which holds the credential, runs its own and nothing else."""

from __future__ import annotations

import json
import signal

import pytest
from rq import Queue
from rq.command import send_shutdown_command
from rq.job import Callback, Job
from rq.serializers import JSONSerializer
from structlog.testing import capture_logs

from relay.queue.jobs import queue_key, queue_name
from relay.store.redis.connection import connect
from tests.support.making import write_one
from workers.delivery.worker import Drains, open_worker

RAN = []


def run_by_name(*arguments):
    """What must not run."""
    RAN.append(arguments)


@pytest.fixture
def work(valkey):
    """Runs a worker of two portals until its queues are empty; which it has served."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    RAN.clear()

    def run():
        served = []
        redis = connect(valkey.url)
        worker = open_worker("a-worker", ["main", "other"], Drains(served.append), redis)
        worker.work(burst=True, logging_level="WARNING")
        redis.close()
        return served

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


def plant(redis, **fields):
    """A job as a stranger would write it."""
    job = Job.create(run_by_name, connection=redis, serializer=JSONSerializer, origin=queue_name("main"))
    redis.hset(job.key, mapping={**job.to_dict(), **fields})
    redis.rpush(queue_key("main"), job.id)


@pytest.mark.parametrize(
    "data",
    [
        ["tests.attacks.test_jobs.run_by_name", None, ["os"], {}],
        ["os.system", None, ["true"], {}],
        ["builtins.exec", None, ["1"], {}],
        ["append", ["serve"], ["x"], {}],
        [["serve"], None, [], {}],
        ["serve", None],
        "serve",
    ],
    ids=json.dumps,
)
def test_a_function_that_a_stranger_names_does_not_run(redis, work, data):
    plant(redis, data=json.dumps(data))

    assert (work(), RAN) == ([], [])


UNREADABLE = {
    "created_at": "x",
    "timeout": "abc",
    "status": "odd\x1b[2J",
    "success_callback_timeout": "x",
    "retries_left": "x",
    "ttl": "x",
    "dependency_ids": "{",
    "webhooks": "[1]",
    "meta": "{",
}


@pytest.mark.parametrize(
    "fields",
    [
        {"data": json.dumps(["os.system", None, ["true"], {}])},
        {"data": b"\xff\xfe\x00"},
        {"data": "[" * 100_000},
        {"data": ""},
        *({"data": json.dumps(["serve", None, [], {}]), name: value} for name, value in UNREADABLE.items()),
    ],
    ids=lambda fields: str(fields)[:60],
)
def test_a_job_of_a_stranger_ends_no_worker_and_leaves_no_traceback(redis, work, capfd, fields):
    plant(redis, **fields)
    plant(redis, data=json.dumps(["serve", None, [], {}]))

    assert "main" in work()

    said = capfd.readouterr()
    assert "Traceback" not in said.err + said.out
    assert not [key for key in redis.keys("rq:*") if b":job:" in key or b"failed" in key]
    assert redis.llen(queue_key("main")) == 0


def test_of_a_job_of_a_stranger_one_line_is_written(redis, work):
    plant(redis, data=json.dumps(["os.system", None, ["\x1b[2J"], {}]))

    with capture_logs() as lines:
        work()

    assert [line for line in lines if line["event"] == "job.foreign"] == [
        {"event": "job.foreign", "log_level": "warning", "portal": "main"}
    ]


def test_arguments_that_a_stranger_gives_are_not_taken(redis, work):
    plant(redis, data=json.dumps(["serve", None, ["other"], {"x": 1}]), origin=queue_name("other"))

    assert work() == ["main"]


@pytest.mark.parametrize("when", ["success", "failure", "stopped"])
@pytest.mark.parametrize("name", ["serve", "os.system"])
def test_a_callback_that_a_stranger_names_does_not_run(redis, work, when, name):
    plant(
        redis,
        data=json.dumps([name, None, [], {}]),
        **{f"{when}_callback_name": Callback(run_by_name).name, f"{when}_callback_timeout": 60},
    )

    work()

    assert RAN == []


def test_no_address_that_a_stranger_names_is_called(redis, work, monkeypatch):
    called = []
    monkeypatch.setattr("rq.webhook.urlopen", lambda *arguments, **_: called.append(arguments), raising=False)
    monkeypatch.setattr(Job, "send_webhooks", lambda job, *_, **__: called.extend(job.webhooks))
    hook = {"url": "http://127.0.0.1:9/", "statuses": ["finished", "failed"]}
    for name in ("serve", "os.system"):
        plant(redis, data=json.dumps([name, None, [], {}]), webhooks=json.dumps([hook]))

    work()

    assert called == []


def test_no_command_over_a_channel_stops_a_worker(redis, work):
    write_one_job = Queue(queue_name("main"), connection=redis, serializer=JSONSerializer)
    plant(redis, data=json.dumps(["serve", None, [], {}]))
    send_shutdown_command(redis, "a-worker")

    assert work() == ["main"]
    assert write_one_job.count == 0
    assert redis.execute_command("PUBSUB", "NUMPAT") == 0
    assert redis.execute_command("PUBSUB", "CHANNELS", "rq:*") == []


def test_no_job_of_ours_carries_anything_of_an_event(redis, record):
    delivery = write_one(record)

    (key,) = redis.keys("rq:job:*")
    content = b" ".join(redis.hgetall(key).values()).decode()

    assert delivery.id not in content
    assert "user_1" not in content
