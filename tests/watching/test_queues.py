"""RQ's own view at /rq: for operators, for reading unless switched on, and its looser policy is for its pages only."""

from __future__ import annotations

import re

import pytest
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from relay.lifecycle import State
from relay.web.dashboard.frame import POLICY
from tests.support.folders import WEB_SECRETS
from tests.support.making import bring_to
from tests.watching.conftest import enter

SAME = {"Origin": "http://localhost", "Accept": "text/html"}
QUEUE = "portal-main"


@pytest.fixture
def job(record, redis):
    """The job of a pending delivery, as RQ sees it."""
    bring_to(record, State.PENDING)
    (queue,) = Queue.all(connection=redis, serializer=JSONSerializer)
    (found,) = queue.get_job_ids()
    return found


@pytest.fixture
def paths(app, job):
    """Every address under /rq, with its method."""
    names = {
        "instance_number": "0", "queue_name": QUEUE, "registry_name": "queued", "per_page": "8", "order": "asc",
        "page": "1", "job_id": job, "filename": "css/main.css",
    }  # fmt: skip
    found = []
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("rq_dashboard."):
            path = re.sub(r"<(?:\w+:)?(\w+)>", lambda match: names[match[1]], rule.rule)
            found += [(method, path) for method in sorted(rule.methods - {"HEAD", "OPTIONS"})]
    return found


def reading(paths):
    """The pages and what they fetch, without files."""
    others = (f"/rq/requeue/{QUEUE}", "/rq/favicon.ico", "/rq/static/css/main.css")
    return [path for method, path in paths if method == "GET" and path not in others]


def test_every_address_is_for_operators(app, viewer, operator, paths):
    assert len(paths) > 15
    for method, path in paths:
        answer = app.test_client().open(path, method=method, headers=SAME)
        if answer.status_code == 308:
            answer = app.test_client().get(answer.headers["Location"], headers=SAME)
        assert (answer.status_code, answer.headers.get("Location", "")[:6]) == (303, "/login"), path
        answer = viewer.open(path, method=method, headers=SAME, follow_redirects=True)
        assert answer.status_code == 403, path
    for path in reading(paths):
        assert operator.get(path, headers=SAME, follow_redirects=True).status_code == 200, path


def test_it_changes_nothing_unless_it_is_switched_on(operator, paths, redis, job):
    for method, path in paths:
        if method == "POST":
            assert operator.post(path, headers=SAME).status_code == 403, path
    assert operator.get(f"/rq/requeue/{QUEUE}", headers=SAME).status_code == 405
    assert operator.open(f"/rq/job/{job}/delete", method="POST", headers={"Accept": "text/html"}).status_code == 403

    assert redis.lrange(f"rq:queue:{QUEUE}", 0, -1) == [job.encode()]


def test_switched_on_it_acts_by_post_from_our_own_pages_only(make_app, valkey, redis, job):
    client = enter(make_app(valkey, rq_actions=True), WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"])
    path = f"/rq/queue/{QUEUE}/queued/empty"

    assert client.get(f"/rq/requeue/{QUEUE}", headers=SAME).status_code == 405
    assert client.post(path, headers={"Origin": "https://evil.test"}).status_code == 403
    assert redis.llen(f"rq:queue:{QUEUE}") == 1
    assert client.post(path, headers=SAME).status_code == 200
    assert redis.llen(f"rq:queue:{QUEUE}") == 0


def test_the_policy_is_loosened_for_its_pages_only(operator, viewer):
    policy = operator.get("/rq/", headers=SAME).headers["Content-Security-Policy"]
    (nonce,) = re.findall(r"'nonce-([\w-]+)'", policy)

    assert "'unsafe-eval'" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert nonce not in operator.get("/rq/", headers=SAME).text
    for path in ("/", "/portals", "/login", "/rq/static/js/x.js", "/rq/0/data/queues.json", "/rqx", "/healthz"):
        assert operator.get(path, headers=SAME).headers["Content-Security-Policy"] == POLICY, path
    assert viewer.get("/rq/", headers=SAME).headers["Content-Security-Policy"] == POLICY


def test_every_inline_script_carries_the_nonce_and_no_page_is_kept(operator, paths):
    for path in reading(paths):
        answer = operator.get(path, headers=SAME, follow_redirects=True)
        assert answer.headers["Cache-Control"] == "no-store", path
        if answer.mimetype == "text/html":
            policy = answer.headers["Content-Security-Policy"]
            nonce = re.search(r"'nonce-([\w-]+)'", policy)[1]
            inline = re.findall(r"<script(?![^>]*(?:src=|text/template))[^>]*>", answer.text)
            assert inline
            assert all(f'nonce="{nonce}"' in tag for tag in inline), path


def test_markup_in_a_job_is_text(operator, redis, job):
    redis.hset(f"rq:job:{job}", "description", "<img src=x onerror=alert(1)>")

    answer = operator.get(f"/rq/0/data/job/{job}.json", headers=SAME)
    assert answer.get_json()["description"] == "&lt;img src=x onerror=alert(1)&gt;"
    # The page of the list escapes these by itself.
    listed = operator.get(f"/rq/0/data/jobs/{QUEUE}/queued/8/asc/1.json", headers=SAME)
    assert listed.get_json()["jobs"][0]["description"] == "<img src=x onerror=alert(1)>"
    assert (listed.mimetype, listed.headers["X-Content-Type-Options"]) == ("application/json", "nosniff")


def test_workers_are_seen_also_while_one_works(operator, redis, job):
    worker = SimpleWorker([QUEUE], connection=redis, serializer=JSONSerializer)
    worker.register_birth()
    worker.prepare_execution(Job.fetch(job, connection=redis, serializer=JSONSerializer))

    (seen,) = operator.get("/rq/0/data/workers.json", headers=SAME).get_json()["workers"]

    assert (seen["name"], seen["queues"], seen["current_job"]["job_id"]) == (worker.name, [QUEUE], job)
    worker.register_death()


def test_the_address_of_the_record_is_not_shown(operator, valkey):
    assert valkey.url not in operator.get("/rq/", headers=SAME).text


def test_a_job_that_is_gone_is_not_found(operator):
    assert operator.get("/rq/0/view/job/nobody", headers=SAME).status_code == 404
