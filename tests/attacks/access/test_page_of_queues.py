"""RQ is told of on a page of ours: no package's page runs script in the dashboard, and no job tells what it carries."""

from __future__ import annotations

import pytest
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer

from relay.web.answers import PROTECTION
from tests.support.folders import WEB_SECRETS
from tests.watching.conftest import enter

HTML = {"Accept": "text/html"}
SAID = "+49 170 1234567 of https://portal.test/rest/1/SECRET/"


def fail(*_: object) -> None:
    raise ValueError(SAID)


@pytest.fixture
def operator(app):
    return enter(app, WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"])


@pytest.fixture
def queue(redis):
    return Queue("portal-main", connection=redis, serializer=JSONSerializer)


def work_off(queue):
    SimpleWorker([queue], connection=queue.connection, serializer=JSONSerializer).work(
        burst=True, logging_level="ERROR"
    )


def test_a_name_in_the_address_does_not_run_as_script(operator):
    answer = operator.get("/rq/0/view/jobs/x');alert(1);('/queued/8/asc/1", headers=HTML)

    assert "alert(1)" not in answer.text
    assert answer.status_code == 404


def test_no_page_gets_a_looser_policy_than_the_others(app, operator):
    pages = [rule.rule for rule in app.url_map.iter_rules() if "GET" in rule.methods and not rule.arguments]

    policy = PROTECTION["Content-Security-Policy"]
    for path in [*pages, "/rq/", "/rq/0/view/jobs"]:
        assert operator.get(path, headers=HTML).headers["Content-Security-Policy"] == policy, path


def test_failed_jobs_do_not_go_unseen_and_do_not_tell_what_they_carried(operator, queue):
    assert "0 in the queue, 0 workers" in operator.get("/portals").text
    for _ in range(5):
        queue.enqueue(fail, args=["jane@example.com"], failure_ttl=600)
    assert "5 in the queue" in operator.get("/portals").text

    work_off(queue)

    page = operator.get("/portals").text
    assert "5 jobs have failed by an error of the relay" in page
    assert page.count("ValueError in access/test_page_of_queues.py, line ") == 3
    for told in ("jane@example.com", "1234567", "SECRET", "tests.attacks"):
        assert told not in page


def test_failures_whose_time_is_over_are_not_counted(operator, queue, redis):
    redis.zadd("rq:failed:portal-main", {"old": 1})

    assert "failed by an error" not in operator.get("/portals").text
