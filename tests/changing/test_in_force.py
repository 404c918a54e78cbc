"""Changed files are in force within seconds, without a restart; those with a mistake are not, and everybody is told."""

import re
import signal
import socket
from urllib.parse import urlsplit

import pytest
import requests

from relay.core.ids import utc_now
from relay.store import Store
from tests.changing.test_written_rules import ANOTHER, RULE
from tests.support.folders import SECRETS, WEB_SECRETS, copy_config
from tests.support.processes import Processes
from tests.support.senders import website
from tests.support.waiting import until

NEW_SOURCE = """
  later:
    verify: {kind: token, header: X-Token, secrets: [SOURCE_WEBSITE_TOKEN]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return copy_config(tmp_path_factory.mktemp("in-force"))


@pytest.fixture(scope="module")
def running(folder, start_web):
    """`python -m relay serve` with a configuration of its own, for all tests of this file."""
    return start_web(folder)


@pytest.fixture
def redis(running, shared_valkey):
    """The record, with what the web process has told it at its start."""
    return shared_valkey.redis


@pytest.fixture
def served(running, folder, redis):
    """The web process; at the end, its files are as they were and in force."""
    sources = (folder / "sources.yaml").read_text()
    yield running
    (folder / "sources.yaml").write_text(sources)
    (folder / "rules" / "new-lead.yaml").unlink(missing_ok=True)
    everywhere(running, lambda: calls_of(running, redis) is None, "no rule")
    everywhere(running, lambda: ready(running)["configuration"]["waiting"] is None, "nothing to wait")
    until(lambda: not Store(redis).files.waiting(utc_now()), "the record to forget it", 10)


def send(served, form="new", number=1):
    body = {"form": form, "id": number, "lead": None}
    return requests.post(f"{served.url}/hooks/website", json=body, headers=website(), timeout=10)


def ready(served):
    return requests.get(f"{served.url}/readyz", timeout=10).json()


def everywhere(served, condition, what):
    """Until each of the web processes has said so: gunicorn runs two, and whichever is free answers."""
    until(lambda: all(condition() for _ in range(12)), f"{what}\n{served.log()}", 20)


def calls_of(served, redis):
    """The template that the newest delivery asks for; None where no rule wanted it."""
    made = send(served).json()["deliveries"]
    return Store(redis).record.delivery(made[0]).call.template_id if made else None


def test_a_new_a_changed_and_a_removed_rule_are_in_force_without_a_restart(served, folder, redis):
    assert calls_of(served, redis) is None
    file = folder / "rules" / "new-lead.yaml"
    for text, template in ((RULE, 1), (ANOTHER, 2)):
        file.write_text(text)
        everywhere(served, lambda template=template: calls_of(served, redis) == template, f"template {template}")
    file.unlink()
    everywhere(served, lambda: calls_of(served, redis) is None, "no rule")


def test_a_new_source_takes_webhooks_without_a_restart(served, folder):
    def status():
        headers = {"X-Token": SECRETS["SOURCE_WEBSITE_TOKEN"]}
        return requests.post(f"{served.url}/hooks/later", json={}, headers=headers, timeout=10).status_code

    assert status() == 404
    with (folder / "sources.yaml").open("a") as file:
        file.write(NEW_SOURCE)
    everywhere(served, lambda: status() == 200, "the source to be there")


def test_the_record_follows_what_is_in_force(served, folder, redis):
    store = Store(redis)
    before, _ = store.rules.read()
    (folder / "rules" / "new-lead.yaml").write_text(RULE)
    until(lambda: store.rules.read()[0] != before, "the digest to follow", 20)
    everywhere(served, lambda: ready(served)["rules"] == store.rules.read()[0], "all to run with it")
    assert "new-lead" in {requirement.rule for requirement in store.rules.read()[1]}


def test_files_with_a_mistake_are_not_in_force_and_everybody_is_told_why(served, folder, redis):
    file = folder / "rules" / "new-lead.yaml"
    file.write_text(RULE)
    everywhere(served, lambda: calls_of(served, redis) == 1, "the rule")
    good = ready(served)["rules"]

    file.write_text(ANOTHER.replace("main", "nowhere"))
    everywhere(served, lambda: ready(served)["configuration"]["waiting"], "the mistake to be told")

    told = ready(served)
    assert (told["status"], told["rules"]) == ("ready", good)
    assert f"{file}:6: start.portal: unknown portal 'nowhere'" in told["configuration"]["waiting"]["mistakes"][0]
    far = {"X-Forwarded-For": "192.0.2.1"}
    for_strangers = requests.get(f"{served.url}/readyz", headers=far, timeout=10).json()
    assert for_strangers["configuration"]["waiting"]["mistakes"] == [f"{file}:6"]
    assert calls_of(served, redis) == 1
    until(lambda: Store(redis).files.waiting(utc_now()), "the record to know", 10)
    (waiting,) = Store(redis).files.waiting(utc_now())
    assert waiting.who.startswith("web@")

    file.write_text(ANOTHER)
    everywhere(served, lambda: calls_of(served, redis) == 2, "the mended rule")
    everywhere(served, lambda: ready(served)["configuration"]["waiting"] is None, "nothing to wait")
    until(lambda: not Store(redis).files.waiting(utc_now()), "the record to forget it", 10)


def test_a_secret_in_a_file_is_followed(tmp_path, redis, shared_valkey):
    secret, folder = tmp_path / "token", copy_config(tmp_path)
    secret.write_text("the-first-token-of-the-site")
    kept = {name: value for name, value in SECRETS.items() if name != "SOURCE_WEBSITE_TOKEN"}
    starter = Processes(tmp_path, folder, kept | WEB_SECRETS)
    served = starter.start("relay", "serve", REDIS_URL=shared_valkey.url, SOURCE_WEBSITE_TOKEN_FILE=str(secret))
    try:
        served.wait_for_url()

        def status(token):
            headers = {"X-Relay-Token": token}
            return requests.post(f"{served.url}/hooks/website", json={}, headers=headers, timeout=10).status_code

        assert status("the-first-token-of-the-site") == 200
        secret.write_text("the-second-token-of-the-site")
        everywhere(served, lambda: status("the-second-token-of-the-site") == 200, "the new token")
        assert status("the-first-token-of-the-site") == 401
    finally:
        starter.clean_up()


def test_new_web_processes_run_with_what_was_in_force_where_the_files_have_a_mistake(served, folder, redis):
    (folder / "rules" / "new-lead.yaml").write_text(RULE)
    everywhere(served, lambda: calls_of(served, redis) == 1, "the rule")
    (folder / "rules" / "new-lead.yaml").write_text("name: [")
    before = set(served.family()) - {served.pid}

    served.process.send_signal(signal.SIGHUP)

    until(lambda: not before & set(served.family()), "the old ones to end", 30)
    everywhere(served, lambda: calls_of(served, redis) == 1, "the rule")
    everywhere(served, lambda: ready(served)["configuration"]["waiting"], "the mistake to be told")
    assert served.process.poll() is None


def test_a_request_ends_with_the_rules_that_it_has_begun_with(served, folder, redis):
    file = folder / "rules" / "new-lead.yaml"
    file.write_text(RULE)
    everywhere(served, lambda: calls_of(served, redis) == 1, "the first")
    body = b'{"form": "new", "id": 77}'
    fields = {"Host": "relay", **website(), "Content-Length": str(len(body))}
    head = [f"{name}: {text}" for name, text in fields.items()]
    address = urlsplit(served.url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as slow:
        slow.sendall("\r\n".join(["POST /hooks/website HTTP/1.1", *head, "", ""]).encode() + body[:5])
        file.write_text(ANOTHER)
        until(lambda: calls_of(served, redis) == 2, "the second", 20)
        slow.sendall(body[5:])
        answer = slow.recv(65_536)
        while b"}" not in answer:
            answer += slow.recv(65_536)

    delivery_id = re.search(rb"dlv_\w+", answer)[0].decode()
    assert Store(redis).record.delivery(delivery_id).call.template_id == 1


def test_a_first_start_with_a_mistake_is_refused(tmp_path, valkey):
    folder = copy_config(tmp_path)
    (folder / "rules" / "new-lead.yaml").write_text("name: [")
    ended = Processes(tmp_path, folder, SECRETS | WEB_SECRETS).run("relay", "serve", REDIS_URL=valkey.url)
    assert ended.returncode == 1
    assert "new-lead.yaml:1: not valid YAML" in ended.stderr
