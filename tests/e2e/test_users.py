"""Web and workers with a user each in the record's server, as docker-compose.yml has them: all goes on, and the web
process can neither say where a portal's credential goes nor read what opens the portal.
"""

from __future__ import annotations

import json

import pytest
import requests
from redis.exceptions import NoPermissionError, RedisError

from relay.core.errors import RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.queue import jobs
from relay.store import Store
from relay.store.portals.applications import Administrator, Installation, InstallationState
from relay.store.record.record import Record
from relay.store.redis import keys
from relay.store.redis.connection import connect
from tests.support.folders import CONFIG, WEB_SECRETS
from tests.support.senders import SEED, dump, github, website
from tests.support.users import ServerWithUsers
from tests.support.waiting import until

WORKERS_ALONE = {
    keys.PACE, keys.TOKENS, keys.BUCKET, keys.FOUND, keys.CLAIM, keys.DRIFT, keys.TEMPLATE_NAMES, keys.CHECKED_RULES,
    keys.ARCHIVES, keys.CHANNELS, keys.CHANNEL, keys.MESSAGES, keys.ALERT_STATE, keys.SUBSCRIBERS, keys.DEATHS,
    keys.RETENTION, keys.TOKENS_OF, keys.APPLICATION, keys.APPLICATION_WAITS, keys.ADMINISTRATORS,
}  # fmt: skip
"""What the web process does not write. A new key has to be decided: here, or in users.acl."""
NO_KEYS = {keys.PREFIX, keys.WAITED}
"""The beginning of all names, and a channel."""
INSTALLATION = Installation(
    "local.1", "m" * 32, "other.bitrix24.com", "https://other.bitrix24.com/rest/", InstallationState.WAITING, utc_now()
)
AUTH = {"Authorization": f"Bearer {WEB_SECRETS['RELAY_API_TOKEN']}"}


@pytest.fixture(scope="module")
def server():
    with ServerWithUsers() as running:
        yield running


def every_key():
    names = {value for name, value in vars(keys).items() if name.isupper() and isinstance(value, str)}
    return {name: f"{name}x" if name.endswith(":") else name for name in names - NO_KEYS}


def test_the_web_process_writes_all_but_what_workers_alone_write(server):
    web, denied = server.as_user("web"), set()
    for name, key in every_key().items():
        try:
            web.delete(key)
        except NoPermissionError:
            denied.add(name)

    assert denied == WORKERS_ALONE


@pytest.mark.parametrize("name", [jobs.WORKERS_KEY, "rq:worker:one", "rq:failed:portal-main", "other"])
def test_the_web_process_writes_nothing_of_workers_and_nothing_of_others(server, name):
    with pytest.raises(NoPermissionError):
        server.as_user("web").delete(name)


def test_the_web_process_cannot_say_where_a_credential_goes_nor_read_what_opens_a_portal(server):
    store = Store(server.as_user("web"))
    portal = store.portal("main")

    for act in (
        lambda: portal.learn({"host": "https://evil.example"}),
        lambda: portal.keep_tokens({"access": "a", "refresh": "b", "endpoint": "https://evil.example/rest/"}),
        portal.tokens,
        lambda: portal.remember_found("digest", 1, 60),
    ):
        with pytest.raises(Exception, match="NoPermission"):
            act()
    assert portal.learned().host is None


def test_the_web_process_leaves_an_opening_and_can_neither_read_its_box_nor_say_what_is_installed(server):
    web, workers = Store(server.as_user("web")).applications, Store(server.as_user("worker")).applications
    opening_id = web.arrive("main", b"box", "en", utc_now())

    for act in (
        lambda: server.as_user("web").get(keys.TOKENS_SENT + opening_id),
        lambda: web.take("main", utc_now()),
        lambda: web.pairs("main"),
        lambda: web.keep_pair("main", "1", "box"),
        lambda: web.bind("main", INSTALLATION),
        lambda: web.wait_for_operator("main", INSTALLATION),
        lambda: web.keep_administrator("main", Administrator("1", "Ada", utc_now())),
    ):
        with pytest.raises((NoPermissionError, RecordUnavailableError)):
            act()
    workers.wait_for_operator("main", INSTALLATION)
    assert web.turn(opening_id, 0)
    assert web.accept("main", INSTALLATION.member_id, "an operator", utc_now())
    assert web.installation("main").is_accepted
    assert workers.take("main", utc_now()) == (opening_id, b"box")


@pytest.mark.parametrize(
    "command",
    ["FLUSHALL", "SHUTDOWN", "CONFIG SET dir /tmp", "ACL LIST", "REPLICAOF 192.0.2.1 6379", "DEBUG SLEEP 0", "SYNC"],
)
def test_the_web_process_is_no_master_of_the_server(server, command):
    with pytest.raises(RedisError):
        server.as_user("web").execute_command(*command.split())


@pytest.mark.parametrize("command", ["SET relay:ledger 1", "GET relay:tokens:main", "INFO", "CONFIG GET dir"])
def test_who_has_no_password_learns_only_that_the_server_is_there(server, command):
    assert server.as_user(None).ping()
    with pytest.raises(NoPermissionError):
        server.as_user(None).execute_command(*command.split())


def test_the_web_process_may_write_down_what_an_address_is_to_be_told(server):
    web = server.as_user("web")

    assert web.hgetall(keys.SUBSCRIBERS) == {}
    assert web.zadd(f"{keys.OUTBOX}crm", {"{}": 1}) == 1
    assert web.hincrby(keys.EVENTS_LOST, "crm", 1) == 1


def test_an_event_goes_its_whole_way_and_nobody_is_refused_anything_by_the_server(server, processes, sandbox, tmp_path):
    web = processes.start("relay", "serve", REDIS_URL_FILE=str(server.secrets / "redis_url_web"))
    web.wait_for_url()
    as_worker = {
        "REDIS_URL_FILE": str(server.secrets / "redis_url_worker"),
        "PORTAL_MAIN_WEBHOOK_URL": f"{sandbox.url}/rest/1/sandbox/",
        "RELAY_SECRET_KEY": "",
    }
    worker = processes.start("workers", **as_worker)
    record = Record(connect((server.secrets / "redis_url_worker").read_text("utf-8").strip()))

    sample = json.loads((CONFIG / "samples" / "callback-a-stranger.json").read_text("utf-8"))
    issue = dump({"action": "opened", "issue": {"number": 7, "title": "t"}})
    receipts = [
        requests.post(f"{web.url}/hooks/website", data=dump(body), headers=website(), timeout=10).json()
        for body in (SEED, sample["body"])
    ]
    headers = github(issue, "issues", "d-1")
    receipts.append(requests.post(f"{web.url}/hooks/github", data=issue, headers=headers, timeout=10).json())
    ids = [delivery for receipt in receipts for delivery in receipt["deliveries"]]
    until(
        lambda: {one.state for one in record.deliveries(ids)} == {State.STARTED}, f"them to start\n{worker.log()}", 30
    )
    replayed = requests.post(f"{web.url}/api/v1/deliveries/{ids[0]}/replay", json={}, headers=AUTH, timeout=10)
    paused = requests.post(f"{web.url}/api/v1/portals/main/pause", json={}, headers=AUTH, timeout=10)
    resumed = requests.post(f"{web.url}/api/v1/portals/main/resume", json={}, headers=AUTH, timeout=10)
    until(lambda: record.counts().deliveries["started"] == len(ids) + 1, "the replay to start", 30)
    pinged = processes.run("workers", "ping", **as_worker)
    saved = processes.run("relay", "backup", str(tmp_path / "backup.tar"), **as_worker)
    record.redis.close()

    assert len(ids) == 3
    assert [one.status_code for one in (replayed, paused, resumed)] == [201, 200, 200]
    assert pinged.returncode == 0, pinged.stdout + pinged.stderr
    assert saved.returncode == 0, saved.stdout + saved.stderr
    for running in (web, worker):
        assert "NoPermission" not in running.log()
        assert "NOPERM" not in running.log()
