"""What a failover could forget is named, with what helps: at start, on the first page, in alerts and metrics."""

import json
from contextlib import suppress
from pathlib import Path

import pytest

from relay.core.ids import utc_now
from relay.health.assessment import DEFAULT, Grade, IssueCode, assess, say_topology_warning, take_snapshot
from relay.store import Store
from relay.store.record.servers import Servers, TopologyCode, TopologyWarning, rewrite_files
from tests.support.cluster import Cluster
from tests.support.folders import WEB_SECRETS
from tests.support.making import make_entry, write
from tests.support.processes import Processes
from tests.support.waiting import until

SAME = {"Origin": "http://localhost", "Accept": "text/html"}
FIT = {"min-replicas-to-write": "1", "min-replicas-max-lag": "10", "replica-priority": "100"}


@pytest.fixture
def fitting(pair):
    """Both as they should be, before and after."""
    for server in pair.servers:
        for name, value in FIT.items():
            server.redis.config_set(name, value)
    yield pair
    pair.replicas[0].thaw()
    for server in pair.servers:
        for name, value in {**FIT, "min-replicas-to-write": "0", "appendfsync": "always"}.items():
            server.redis.config_set(name, value)


def codes(record, replicas=1):
    return [(warning.code, warning.server) for warning in Servers(record.redis, replicas).look()]


def test_a_primary_and_a_replica_that_are_set_as_they_should_be_fit(fitting, record):
    assert codes(record) == []


def test_one_server_alone_gives_no_topology_warning(valkey):
    assert Servers(valkey.redis, 0).look() == []


def test_replicas_that_nobody_waits_for_are_named(fitting, record):
    assert codes(record, 0) == [(TopologyCode.UNWAITED, "")]


@pytest.mark.parametrize(("replicas", "code"), [(2, TopologyCode.TOO_FEW)])
def test_replicas_that_are_missing_are_named(fitting, record, replicas, code):
    assert (code, "") in codes(record, replicas)


def test_a_replica_more_than_is_waited_for_is_named_for_it_may_be_the_one_that_lags():
    with Cluster((100, 0), sentinels=0) as cluster:
        found = Servers(cluster.primary.redis, 1).look()

    assert TopologyWarning(TopologyCode.TOO_MANY, found="2", wanted="1") in found
    assert TopologyWarning(TopologyCode.NEVER_PROMOTED, f"127.0.0.1:{cluster.replicas[1].port}") in found


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        ("appendfsync", "everysec", TopologyCode.NOT_DURABLE),
        ("min-replicas-to-write", "0", TopologyCode.WRITES_ALONE),
        ("min-replicas-max-lag", "60", TopologyCode.LONG_LAG),
        ("replica-priority", "0", TopologyCode.NEVER_PROMOTED),
    ],
)
def test_a_setting_of_a_replica_that_does_not_fit_is_named_with_the_server(fitting, record, setting, value, code):
    replica = fitting.replicas[0]
    replica.redis.config_set(setting, value)

    assert codes(record) == [(code, f"127.0.0.1:{replica.port}")]


def test_a_replica_that_does_not_answer_is_named(fitting, record):
    replica = fitting.replicas[0]
    replica.freeze()

    assert codes(record) == [(TopologyCode.UNREACHABLE, f"127.0.0.1:{replica.port}")]


@pytest.mark.parametrize("code", list(TopologyCode))
def test_each_topology_warning_is_said_in_words(code):
    assert len(say_topology_warning(TopologyWarning(code, "a:1", "2", "3"))) > 30


def needs(url, replicas):
    with_replicas = Store.open(url, replicas)
    try:
        found = assess(take_snapshot(with_replicas, [], [], utc_now()), DEFAULT, utc_now())
    finally:
        with_replicas.close()
    return [(need.grade, need.code) for need in found]


def test_a_failover_that_may_forget_is_a_need_and_without_enough_replicas_a_bad_one(fitting, pair_url):
    assert needs(pair_url, 1) == []
    assert needs(pair_url, 0) == [(Grade.CALM, IssueCode.FAILOVER)]
    assert needs(pair_url, 2) == [(Grade.BAD, IssueCode.FAILOVER)]


def test_the_first_page_says_what_a_failover_may_forget(pair_url, make_app, valkey, fitting):
    client = make_app(valkey, redis_url=pair_url, replicas=0).test_client()
    client.post("/login", data={"password": WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]}, headers=SAME)

    assert "RELAY_REPLICAS is not set" in client.get("/").text


def test_web_and_workers_say_at_start_what_a_failover_may_forget(pair_url, tmp_path, config, fitting):
    processes = Processes(tmp_path, config, {"REDIS_URL": pair_url})
    try:
        workers = processes.start("workers", PORTAL_MAIN_WEBHOOK_URL="http://127.0.0.1:1/rest/1/sandbox/")
        said = until(lambda: workers.lines("record.misfit"), "the workers to say so")
    finally:
        processes.clean_up()

    assert [line["code"] for line in said] == ["unwaited"]
    assert "RELAY_REPLICAS" in json.dumps(said)


def test_a_server_alone_that_would_forget_gives_a_topology_warning(valkey):
    valkey.redis.config_set("appendfsync", "everysec")

    (found,) = Servers(valkey.redis, 0).look()

    assert (found.code, found.server, found.found) == (TopologyCode.NOT_DURABLE, "primary", "appendfsync everysec")


def test_erasing_has_each_server_write_its_file_anew_and_names_those_that_have_not(pair, record):
    write(record, make_entry(body=b'{"mail": "ada@example.com"}'))
    folders = [Path(server.settings["dir"]) for server in (pair.primary, pair.replicas[0])]

    def hold_it():
        return [folder for folder in folders if any(b"ada@example.com" in one for one in files_in(folder))]

    until(lambda: len(hold_it()) == 2, "both files to hold it")
    record.redis.flushall()

    assert rewrite_files(record.redis) == []
    until(lambda: not hold_it(), f"neither to hold it {hold_it()}")

    pair.replicas[0].freeze()
    (left,) = rewrite_files(record.redis)
    assert left.endswith(f":{pair.replicas[0].port}")


def files_in(folder):
    """What its files hold. The server may take one away meanwhile."""
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError, IsADirectoryError):
            yield path.read_bytes()
