"""The server: a thread that comes and goes, and connections that stay open until told otherwise."""

from __future__ import annotations

import http.client
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import gevent.ssl
import pytest
import requests

from relay.sandbox.portal import Portal
from relay.sandbox.server import SandboxServer
from relay.sandbox.settings import UsageError

SERVE = """
from relay.sandbox.server import serve
serve("127.0.0.1", 0, "b", lambda url: print(url, flush=True))
print("ended", flush=True)
"""
START_PATCHED = """
from gevent import monkey; monkey.patch_all()
from relay.sandbox.server import SandboxServer
SandboxServer().start()
"""


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "sandbox-portal"]


def test_a_server_has_an_address_while_it_runs_and_leaves_no_thread():
    before = threads()
    with SandboxServer(profile="b", settings={"rate": 5}) as server:
        answer = requests.get(server.url + "/sandbox/settings", timeout=5).json()
        assert len(threads()) == len(before) + 1

    assert (answer["profile"], answer["rate"]) == ("b", 5)
    assert server.url.startswith("http://127.0.0.1:")
    assert threads() == before
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url, timeout=5)


def test_stopping_is_quick_although_a_client_is_idle_and_an_answer_is_slow():
    server = SandboxServer().start()
    server.portal.add_faults({"kind": "slow", "seconds": 60})
    idle = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
    waiting = threading.Thread(target=_call_and_be_cut_off, args=(server.url,))
    waiting.start()
    while not server.portal.log.counters()["total"]:
        time.sleep(0.001)  # until the slow request has arrived
    before = time.monotonic()

    server.stop()

    assert time.monotonic() - before < 30  # and not as long as the other would hang
    waiting.join(timeout=5)
    idle.close()
    assert not waiting.is_alive()


def _call_and_be_cut_off(url):
    with pytest.raises(requests.ConnectionError):
        requests.post(url + "/rest/1/sandbox/profile", timeout=30)


def test_a_slow_answer_holds_up_nobody_else():
    with SandboxServer() as server:
        server.portal.add_faults({"kind": "slow", "seconds": 60, "method": "profile"})
        waiting = threading.Thread(target=_call_and_be_cut_off, args=(server.url,))
        waiting.start()
        while not server.portal.log.counters()["total"]:
            time.sleep(0.001)  # until the slow request has arrived

        assert requests.post(server.url + "/rest/1/sandbox/scope", timeout=5).status_code == 200
    waiting.join(timeout=5)


def test_stopping_twice_or_before_starting_is_harmless():
    server = SandboxServer()
    server.stop()
    server.start()
    server.stop()
    server.stop()


def test_a_server_can_be_started_again_and_its_portal_remembers(client, portal):
    own = Portal()
    for _ in range(2):
        with SandboxServer(portal=own) as server:
            requests.post(server.url + "/rest/1/sandbox/profile", timeout=5)

    assert own.log.counters()["total"] == 2


def test_two_servers_have_two_portals():
    with SandboxServer() as first, SandboxServer() as second:
        requests.post(first.url + "/rest/1/sandbox/profile", timeout=5)

        assert first.portal.log.counters()["total"] == 1
        assert second.portal.log.counters()["total"] == 0


def test_a_taken_address_is_an_error_at_the_start():
    with SandboxServer() as first:
        second = SandboxServer(port=int(first.url.rpartition(":")[2]))
        with pytest.raises(OSError, match="in use"):
            second.start()


def test_an_unusable_setting_is_an_error_before_the_start():
    with pytest.raises(UsageError, match="profile"):
        SandboxServer(profile="c")


def test_a_connection_serves_many_requests(server, portal):
    with requests.Session() as session:
        connections = {_local_port(session, server.url) for _ in range(5)}

    assert len(connections) == 1


def _local_port(session, url):
    response = session.post(url + "/rest/1/sandbox/profile", stream=True, timeout=5)
    port = response.raw.connection.sock.getsockname()[1]
    assert response.json()["result"]
    return port


def test_many_clients_at_once_are_all_served_and_all_recorded(server, client, portal):
    client.order("settings", {"rate": None})
    callers = [threading.Thread(target=_start_ten, args=(server.url,)) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert len({workflow["id"] for workflow in client.started()}) == 80


def _start_ten(url):
    body = {"TEMPLATE_ID": 1, "DOCUMENT_ID": ["crm", "CCrmDocumentLead", "LEAD_7"]}
    with requests.Session() as session:
        for _ in range(10):
            session.post(url + "/rest/1/sandbox/bizproc.workflow.start", json=body, timeout=10)


def anonymous(context):
    """Encryption without a certificate, so that the test needs to make none."""
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")
    return context


def test_over_https_everything_is_the_same(capfd):
    context = anonymous(gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    with SandboxServer(ssl_context=context) as server:
        trusting = anonymous(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(server.url.removeprefix("https://"), context=trusting, timeout=5)
        connection.request("POST", "/rest/1/sandbox/profile")
        status = connection.getresponse().status
        connection.close()
        with pytest.raises(requests.exceptions.SSLError):
            requests.post(server.url, timeout=5)

    assert server.url.startswith("https://")
    assert status == 200
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_served_in_the_foreground_it_announces_its_address_and_ends_cleanly_on_a_signal(number):
    with subprocess.Popen([sys.executable, "-W", "error", "-c", SERVE], stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        profile = requests.get(url + "/sandbox/settings", timeout=5).json()["profile"]
        process.send_signal(number)
        rest, _ = process.communicate(timeout=10)

    assert (profile, rest, process.returncode) == ("b", "ended\n", 0)


def test_a_process_whose_threads_gevent_has_patched_is_told_so():
    run = subprocess.run([sys.executable, "-c", START_PATCHED], capture_output=True, text=True, timeout=20, check=False)

    assert run.returncode == 1
    assert "needs a thread of its own" in run.stderr
