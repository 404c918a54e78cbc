"""A rolling restart by SIGHUP, of `up` too: new web processes, old ones end what they are in, and nobody is refused."""

import contextlib
import logging
import signal
import socket
from datetime import datetime

import pytest
import requests
from gunicorn.config import Config

from relay.core.ids import utc_now
from relay.runtime import web_worker
from relay.web.doorkeeper import Doorkeeper
from tests.support.folders import SECRETS, WEB_SECRETS, copy_config
from tests.support.processes import Processes
from tests.support.senders import SEED, website
from tests.support.waiting import until


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return copy_config(tmp_path_factory.mktemp("restarting"))


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    """The file with the dashboard's password."""
    file = tmp_path_factory.mktemp("secret") / "password"
    file.write_text("the-first-password-of-all")
    return file


@pytest.fixture(scope="module")
def starter(folder, tmp_path_factory):
    kept = {name: text for name, text in (SECRETS | WEB_SECRETS).items() if name != "RELAY_DASHBOARD_PASSWORD"}
    made = Processes(tmp_path_factory.mktemp("processes"), folder, kept)
    yield made
    made.clean_up()


@pytest.fixture(scope="module")
def served(starter, secret, shared_valkey):
    """One web process for the tests that do not need `up`."""
    shared_valkey.make_fresh()
    running = starter.start("relay", "serve", REDIS_URL=shared_valkey.url, RELAY_DASHBOARD_PASSWORD_FILE=str(secret))
    running.wait_for_url()
    return running


def post(running):
    return requests.post(f"{running.url}/hooks/website", json=SEED, headers=website(), timeout=20)


def begun_at(running):
    """When the process that answers has put its files in force, which nobody has changed."""
    told = requests.get(f"{running.url}/readyz", timeout=20).json()["configuration"]
    return datetime.fromisoformat(told["in_force_since"])


@pytest.fixture(autouse=True)
def hang_ups_reach_what_is_started():
    """Under nohup, children inherit that a hang-up is ignored, and `up` leaves it so."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("limits", [None, web_worker.Limits(seconds=5, bytes=8_190, fields=100)])
def test_a_request_that_comes_just_before_its_listener_is_closed_is_served(monkeypatch, limits):
    """gunicorn asks the listener of each request for its name. Closed meanwhile, it raised EBADF, and the connection
    ended without an answer: while 4 clients asked without a pause, 6 in 70 hang-ups cut a request that was not plain.
    """
    named: list[tuple[str, int]] = []
    listener, (ours, theirs) = socket.create_server(("127.0.0.1", 0)), socket.socketpair()
    address = listener.getsockname()
    worker = web_worker.WebWorker.__new__(web_worker.WebWorker)
    worker.log = logging.getLogger()
    worker.cfg, worker.sockets, worker._limits, worker._fast_path = Config(), [listener], limits, None
    worker._keeper, worker._connections = Doorkeeper(10), {}

    def close_and_serve(_worker):
        listener.close()
        worker.handle(listener, ours, ("127.0.0.1", 1))

    def end(_worker, name, *_):
        named.append(name)
        raise StopIteration

    monkeypatch.setattr(web_worker.GeventWorker, "run", close_and_serve)
    monkeypatch.setattr(web_worker.GeventWorker, "handle_request", end)
    with theirs:
        theirs.sendall(b"GET /readyz HTTP/1.1\r\nHost: relay\r\n\r\n")
        worker.run()

    assert named == [address]


def test_up_passes_a_hang_up_on_to_its_web_process_and_stays(starter):
    running = starter.start("relay", "up", "--sandbox")
    until(lambda: "Ctrl-C stops." in running.printed(), "up to say so", 60)
    until(lambda: post(running).status_code == 200, "the web process to take posts", 60)
    hung_up_at = utc_now()

    running.process.send_signal(signal.SIGHUP)

    until(lambda: all(begun_at(running) > hung_up_at for _ in range(12)), f"new web processes\n{running.log()}", 60)
    assert post(running).status_code == 200
    assert running.process.poll() is None
    assert running.lines("process.died") == []
    running.clean_up()


def test_a_password_in_a_file_is_read_again_by_a_hang_up(served, secret):
    def opens(password):
        origin = {"Origin": served.url}
        answer = requests.post(
            f"{served.url}/login", data={"password": password}, headers=origin, timeout=20, allow_redirects=False
        )
        return answer.status_code == 303

    assert opens("the-first-password-of-all")
    secret.write_text("the-second-password-of-all")
    served.process.send_signal(signal.SIGHUP)
    until(lambda: opens("the-second-password-of-all"), f"the new password to open\n{served.log()}", 60)


def test_a_hang_up_survives_a_gunicorn_conf_that_cannot_be_read(served, folder):
    before = set(served.family()) - {served.pid}
    (folder / "gunicorn.conf.py").write_text("workers = (")

    served.process.send_signal(signal.SIGHUP)

    until(lambda: not before & set(served.family()), f"new web processes\n{served.log()}", 60)
    assert post(served).status_code == 200
    assert served.lines("gunicorn.unread")


@pytest.mark.parametrize("loads", [True, False], ids=["one that loads", "one that does not"])
def test_systemd_is_told_that_a_version_is_ready_only_by_a_process_that_has_loaded_it(
    starter, shared_valkey, secret, tmp_path, loads
):
    """gunicorn itself says so before any process has begun: the version before would be stopped for one that ends."""
    config = copy_config(tmp_path)
    if not loads:
        with (config / "gunicorn.conf.py").open("a") as file:
            file.write("\n\ndef post_fork(_server, _worker):\n    raise RuntimeError\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        running = starter.start(
            "relay", "serve", REDIS_URL=shared_valkey.url, RELAY_CONFIG=str(config),
            RELAY_DASHBOARD_PASSWORD_FILE=str(secret), NOTIFY_SOCKET=str(tmp_path / "notify"),
        )  # fmt: skip
        systemd.settimeout(0.2)
        said = b""

        def is_decided():
            nonlocal said
            with contextlib.suppress(TimeoutError):
                said += systemd.recv(1000)
            return b"READY=1" in said or running.process.poll() is not None

        until(is_decided, "a word to systemd, or the end", 60)

    running.process.terminate()
    running.process.wait(90)
    assert (b"READY=1" in said) == loads
