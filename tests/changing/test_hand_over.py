"""One version takes over from another under load, as on a server: no post is refused, lost or doubled."""

import contextlib
import http.client
import json
import os
from collections import Counter

import pytest
import requests

from relay.store import Store
from relay.store.record.upgrade import LAYOUT
from relay.store.redis import keys
from tests.chaos.swapped import RULE, Senders
from tests.support.activation import Services, add_checkout
from tests.support.folders import SECRETS, WEB_SECRETS, copy_config
from tests.support.senders import SEED, website
from tests.support.waiting import until


@pytest.fixture(scope="module")
def services(tmp_path_factory, shared_valkey):
    """A server that runs the checkout `1`; `2` is another version, and `broken` cannot start."""
    shared_valkey.make_fresh()
    base = tmp_path_factory.mktemp("server")
    add_checkout(base, "1", "first")
    add_checkout(base, "2", "second")
    (add_checkout(base, "broken", "broken") / ".venv").unlink()
    config = copy_config(base)
    with (config / "gunicorn.conf.py").open("a") as file:
        file.write("workers = 1\n")
    (config / "rules" / "swapped.yaml").write_text(RULE % 1, "utf-8")
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    with Services(base, kept | SECRETS | WEB_SECRETS | {"RELAY_CONFIG": str(config)}, shared_valkey.url) as made:
        assert made.switch_to("1").returncode == 0, made.log.read_text()
        yield made


def version(services):
    return requests.get(f"http://127.0.0.1:{services.port}/readyz", timeout=20).json()["version"]


def test_a_version_that_takes_over_under_load_refuses_loses_and_doubles_nothing(services, shared_valkey):
    before = version(services)
    senders = Senders(services.port, rate_per_s=100)
    threads = senders.run()
    try:
        until(lambda: len(senders.acknowledged) > 50, "posts before the switch")
        switched = services.switch_to("2")
        after = len(senders.acknowledged) + 50
        until(lambda: len(senders.acknowledged) > after, "posts after the switch")
    finally:
        senders.stop.set()
        for thread in threads:
            thread.join()

    assert switched.returncode == 0, services.log.read_text()
    assert (before.partition("-")[0], version(services).partition("-")[0]) == ("first", "second")
    assert senders.failures == Counter()
    assert senders.asked_again == 0
    record = Store.open(shared_valkey.url).record
    assert record.event_count() == len(senders.acknowledged)
    assert all(record.event(event_id).deliveries for event_id in senders.acknowledged)


def test_a_version_that_cannot_start_replaces_nothing(services):
    before, running = (services.base / "current").readlink(), services.running["relay-web"].pid

    switched = services.switch_to("broken")

    assert switched.returncode == 1
    assert "the one before goes on" in switched.stderr
    assert (services.base / "current").readlink() == before
    assert services.running["relay-web"].pid == running
    assert requests.post(f"http://127.0.0.1:{services.port}/hooks/website", json=SEED, headers=website(), timeout=20).ok


def test_a_version_that_does_not_know_the_layout_of_the_record_replaces_nothing(services, shared_valkey):
    before, layout = (services.base / "current").readlink(), shared_valkey.redis.get(keys.FORMAT)
    shared_valkey.redis.set(keys.FORMAT, LAYOUT + 1)

    switched = services.switch_to("1")

    shared_valkey.redis.set(keys.FORMAT, layout)
    assert switched.returncode == 1
    assert (services.base / "current").readlink() == before
    assert requests.post(f"http://127.0.0.1:{services.port}/hooks/website", json=SEED, headers=website(), timeout=20).ok


def test_a_process_that_stops_says_so_in_its_last_answer_on_a_connection_that_was_kept(services):
    connection = http.client.HTTPConnection("127.0.0.1", services.port, timeout=20)
    answers = []

    def is_last():
        connection.request("POST", "/hooks/website", json.dumps(SEED), website())
        answer = connection.getresponse()
        answer.read()
        answers.append((answer.status, answer.getheader("Connection")))
        return answer.will_close

    with contextlib.closing(connection):
        assert not is_last()
        services.running["relay-web"].terminate()
        until(is_last, "the last answer")

    assert {status for status, _ in answers} == {200}
    assert [said for _, said in answers] == ["keep-alive"] * (len(answers) - 1) + ["close"]
