"""The record's scripts write RQ's jobs without RQ: its names of keys are compared with ours."""

from rq import Queue
from rq.job import Job
from rq.worker_registration import REDIS_WORKER_KEYS

from relay.queue.jobs import JOB_KEY_PREFIX, QUEUE_KEY_PREFIX, QUEUES_KEY, WORKERS_KEY


def test_rqs_keys_have_the_names_that_we_write() -> None:
    assert Job.redis_job_namespace_prefix == JOB_KEY_PREFIX
    assert Queue.redis_queue_namespace_prefix == QUEUE_KEY_PREFIX
    assert Queue.redis_queues_keys == QUEUES_KEY
    assert REDIS_WORKER_KEYS == WORKERS_KEY
