"""The tokens of an application, with real processes: what the web process could read of them, if somebody else ran it.

It gets tokens from browsers and seals them to the workers. Memory that it has freed may still hold a form that a
browser has posted, until that is overwritten. What workers have fetched since, and call with, is nowhere: not in its
memory and environment, not in the record as it may read it, and not in the record's files.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import requests
from redis.exceptions import NoPermissionError

from relay.configuration.sealing import Opener, new_seal_key
from relay.sandbox.server import SandboxServer
from tests.support.folders import SECRETS, WEB_SECRETS
from tests.support.frames import APPLICATION, token_in, with_application
from tests.support.processes import Processes, free_port
from tests.support.senders import website
from tests.support.users import ServerWithUsers
from tests.support.waiting import until

CLIENT_SECRET = "client-secret-of-the-test, which is long"
ADMINISTRATOR, EMPLOYEE = 1, 2
REFRESHES = 100
LENGTH = 70
RUN = re.compile(rb"[0-9a-f]{%d,}" % LENGTH)
"""A token of the sandbox, with what else is like it around it."""


@pytest.fixture(scope="module")
def server():
    with ServerWithUsers() as running:
        yield running


class Portal:
    """A sandbox, web and workers, with all tokens that were given out and those that a browser has posted."""

    def __init__(self, sandbox: SandboxServer, server: ServerWithUsers, processes: Processes) -> None:
        self.sandbox, self.posted = sandbox, set[bytes]()
        key, port = new_seal_key(), free_port()
        url = f"http://127.0.0.1:{port}"
        keys = {"client_id": APPLICATION, "client_secret": CLIENT_SECRET, "handler": f"{url}/app/main"}
        requests.post(f"{sandbox.url}/sandbox/application", json=keys, timeout=10).raise_for_status()
        self.web = processes.start(
            "relay",
            "serve",
            port=port,
            REDIS_URL_FILE=str(server.secrets / "redis_url_web"),
            RELAY_SEAL_PUBLIC_KEY=Opener.from_text(key).public_text,
            RELAY_PUBLIC_URL=url,
        )
        self.web.wait_for_url()
        self.workers = processes.start(
            "workers",
            REDIS_URL_FILE=str(server.secrets / "redis_url_worker"),
            RELAY_SECRET_KEY="",
            RELAY_SEAL_KEY=key,
            RELAY_PUBLIC_URL=url,
            PORTAL_MAIN_CLIENT_SECRET=CLIENT_SECRET,
            PORTAL_MAIN_OAUTH_SERVER=f"{sandbox.url}/oauth",
        )

    @property
    def application(self):
        return self.sandbox.portal.applications.find(APPLICATION)

    def given_out(self) -> set[bytes]:
        """Every access and refresh token of the application that there was."""
        grants = self.sandbox.portal.tokens._grants
        return {one.encode() for one, grant in grants.items() if grant.application is self.application}

    def good(self) -> set[bytes]:
        """The administrator's refresh tokens that the authorisation server still takes."""
        kept, now = self.sandbox.portal.tokens, self.sandbox.portal.clock()
        found = [one for one, end in kept._refresh.items() if end > now and kept._grants[one].user_id == ADMINISTRATOR]
        return {one.encode() for one in found} & self.given_out()

    def open(self, user: int) -> requests.Response:
        """Open the application's page as this user's browser does; what it shows at last."""
        order = {"client_id": APPLICATION, "user": user}
        frame = requests.post(f"{self.sandbox.url}/sandbox/frame", json=order, timeout=10).json()
        self.posted |= {frame["fields"][name].encode() for name in ("AUTH_ID", "REFRESH_ID")}
        seen = [requests.post(frame["address"], data=frame["fields"], timeout=10)]

        def is_answered() -> bool:
            seen.append(requests.post(f"{self.web.url}/app/main/page", data={"token": token_in(seen[-1])}, timeout=10))
            return "<h1>One moment" not in seen[-1].text

        until(is_answered, f"the page of user {user}", 60)
        return seen[-1]

    def start_one(self, number: int) -> None:
        """Have every access token expire, and a delivery need one."""
        with self.sandbox.portal.lock:
            self.sandbox.portal.tokens.expire(self.application, None)
        body = {"lead": {"id": number}, "user": 1}
        before = len(self.sandbox.portal.workflows)
        requests.post(f"{self.web.url}/hooks/website", json=body, headers=website(), timeout=10).raise_for_status()
        until(lambda: len(self.sandbox.portal.workflows) > before, f"a start for lead {number}", 30)


def test_nothing_that_the_web_process_can_read_holds_a_token_that_workers_call_with(server, tmp_path, config):
    folder = with_application(config, tmp_path)
    processes = Processes(tmp_path, folder, SECRETS | WEB_SECRETS)
    try:
        with SandboxServer(settings={"rate": None}) as sandbox:
            portal = Portal(sandbox, server, processes)
            pages = [portal.open(user) for user in (ADMINISTRATOR, EMPLOYEE)]
            for number in range(REFRESHES):
                portal.start_one(1_000 + number)
            given_out, posted, good = portal.given_out(), portal.posted, portal.good()
            memories = [found_in_memory(pid) for pid in portal.web.family()]
            environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in portal.web.family()]
            refreshes, refused = (portal.application.counts[name] for name in ("refreshes", "refused_refreshes"))
    finally:
        processes.clean_up()

    readable, denied = everything_as(server, "web")
    whole, _ = everything_as(server, "worker")
    server.as_user("worker").save()
    files = b"".join(path.read_bytes() for path in (server.folder / "data").rglob("*") if path.is_file())

    assert all("The last day" in page.text for page in pages)
    assert refreshes >= REFRESHES
    assert refused == 0
    assert len(given_out) >= 2 * REFRESHES
    assert b"relay:tokens-of:main" in denied
    assert b"relay:tokens-of:main" in whole
    for place in (*environments, readable, whole, files):
        assert not given_out & tokens_in(place)
    assert len(memories) >= 2
    for tokens, has_secret in memories:
        assert has_secret  # so what was looked through is what holds secrets
        # Forms that were freed and are not overwritten yet: the workers have replaced the pair in them.
        assert given_out & tokens <= posted
    assert len(good) == 1
    assert not good & posted


def tokens_in(content: bytes) -> set[bytes]:
    """What is like a token; also where something like it stands right before or behind."""
    return {run[at : at + LENGTH] for run in RUN.findall(content) for at in range(len(run) - LENGTH + 1)}


def found_in_memory(pid: int) -> tuple[set[bytes], bool]:
    """What is like a token in the memory of a process, and whether a secret that it has is there, too."""
    secret, tokens, has_secret = WEB_SECRETS["RELAY_SECRET_KEY"].encode(), set[bytes](), False
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            span, permissions, *_ = line.split()
            if not permissions.startswith("rw"):
                continue  # code and files
            begin, end = (int(one, 16) for one in span.split("-"))
            memory.seek(begin)
            content = memory.read(end - begin)
            tokens |= tokens_in(content)
            has_secret = has_secret or secret in content
    return tokens, has_secret


def everything_as(server: ServerWithUsers, user: str) -> tuple[bytes, set[bytes]]:
    """Every key with its value as this user of the record's server may read it, and the keys that it may not."""
    redis, found, denied = server.as_user(user), [], set()
    read = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1),
        b"stream": redis.xrange,
    }
    for key in server.as_user("worker").scan_iter():
        try:
            found += [key, repr(read[redis.type(key)](key)).encode()]
        except NoPermissionError:
            denied.add(key)
    return b"\n".join(found), denied
