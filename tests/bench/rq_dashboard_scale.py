"""rq-dashboard on 200,000 dead jobs: what `scale.py` measures of our pages, beside it.

    python tests/bench/rq_dashboard_scale.py [JOBS [TIMES]]

A private Valkey with so many failed jobs in RQ's own form, and the package's pages through its WSGI entrance.
"""

from __future__ import annotations

import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import rq_dashboard
from flask import Flask
from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer
from rq_dashboard import web

from tests.support.valkey import Valkey

JOBS, TIMES = 200_000, 20
NAME = "portal-main"
PATHS = (
    "/rq/0/data/queues.json",
    f"/rq/0/data/jobs/{NAME}/failed/50/asc/1.json",
    f"/rq/0/data/jobs/{NAME}/failed/50/asc/4000.json",
)


def fill(redis: Redis, count: int) -> None:
    """Failed jobs, as RQ keeps them."""
    queue = Queue(NAME, connection=redis, serializer=JSONSerializer)
    registry = FailedJobRegistry(queue=queue)
    redis.sadd("rq:queues", queue.key)
    job = Job.create(
        "workers.jobs.deliver", args=["dlv_0", 1], connection=redis, origin=NAME, serializer=JSONSerializer,
        status=JobStatus.FAILED,
    )  # fmt: skip
    job.enqueued_at = job.ended_at = datetime.now(UTC)
    fields, now = job.to_dict(), time.time()
    for begin in range(0, count, 5_000):
        with redis.pipeline(transaction=False) as pipeline:
            for number in range(begin, min(begin + 5_000, count)):
                pipeline.hset(f"rq:job:dlv_{number}-1", mapping=fields)
                pipeline.zadd(registry.key, {f"dlv_{number}-1": now + 86_400 + number})
            pipeline.execute()


def main() -> int:
    """Fill, measure, print."""
    jobs, times = (int(text) for text in sys.argv[1:3]) if len(sys.argv) > 2 else (JOBS, TIMES)
    valkey = Valkey().start()
    try:
        redis = valkey.redis
        redis.config_set("appendonly", "no")
        fill(redis, jobs)
        app = Flask("beside")
        web.config.serializer = JSONSerializer
        app.config.update(RQ_DASHBOARD_REDIS_URL=(valkey.url,))
        app.redis_conn = redis  # type: ignore[attr-defined]
        app.register_blueprint(rq_dashboard.blueprint, url_prefix="/rq")
        app.before_request_funcs[rq_dashboard.blueprint.name] = []
        client = app.test_client()
        print(f"rq-dashboard with {jobs} failed jobs          p50      p95  ms")
        for path in PATHS:
            took = []
            for _ in range(times):
                begin = time.perf_counter()
                status = client.get(path).status_code
                took.append((time.perf_counter() - begin) * 1000)
            p95 = statistics.quantiles(took, n=20)[18]
            print(f"{path:44} {statistics.median(took):8.1f} {p95:8.1f}  status {status}")
    finally:
        valkey.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
