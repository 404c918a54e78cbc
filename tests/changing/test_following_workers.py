"""The workers follow changed portals, credentials and alerts without a restart; what the files no more have is told."""

import json
import threading

import pytest

from relay.core.errors import Mistake
from relay.core.faults import fault
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.health.assessment import DEFAULT, Grade, IssueCode, assess, take_snapshot
from relay.health.words import sentence_of
from relay.sandbox.server import SandboxServer
from relay.store import Store
from relay.store.portals.applications import OpeningState
from tests.delivering.installed import SEAL_KEY, SEALER, Pretended
from tests.e2e.test_alerts import SECRET, Receiver
from tests.support.folders import copy_config
from tests.support.making import write_one
from tests.support.processes import Processes, refusing_address
from tests.support.waiting import until

MANY = [f"p{number}" for number in range(9)]
APPLICATION = {"client_id": "local.5a1b5c0d1e0f.12345678", "client_secret": "client-secret-of-the-test"}
ACME = "{plan: standard, application: local.5a1b5c0d1e0f.12345678, card: [deal], menu: true}"
FAST = "{plan: standard, rate: 1000, burst: 10000}"


@pytest.fixture(scope="module")
def sandbox():
    with SandboxServer(settings={"rate": None}) as server:
        yield server


@pytest.fixture(scope="module")
def receiver():
    """Takes alerts."""
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    copied = copy_config(tmp_path_factory.mktemp("following"))
    (copied / "portals.yaml").write_text(f"portals:\n  main: {FAST}\n")
    return copied


@pytest.fixture(scope="module")
def store(shared_valkey):
    shared_valkey.make_fresh()
    return Store(shared_valkey.redis)


@pytest.fixture(scope="module")
def secret(sandbox, folder):
    """The file with the credential of the portal main."""
    file = folder.parent / "credential"
    file.write_text(f"{sandbox.url}/rest/1/sandbox/")
    return file


@pytest.fixture(scope="module")
def environ(sandbox, secret, receiver):
    """Of the workers: every portal that a test may add, and who may be told."""
    url = f"{sandbox.url}/rest/1/sandbox/"
    portals = {f"PORTAL_{name.upper()}_WEBHOOK_URL": url for name in ("second", *MANY)}
    channel = {"ALERT_OPS_URL": receiver.url, "ALERT_OPS_SECRET": SECRET}
    application = {
        "PORTAL_ACME_CLIENT_SECRET": APPLICATION["client_secret"],
        "PORTAL_ACME_OAUTH_SERVER": f"{sandbox.url}/oauth",
        "RELAY_SEAL_KEY": SEAL_KEY,
        "RELAY_PUBLIC_URL": "https://relay.example.com",
    }
    return portals | channel | application | {"PORTAL_MAIN_WEBHOOK_URL_FILE": str(secret)}


@pytest.fixture(scope="module")
def workers(folder, environ, store, shared_valkey):
    """One `python -m workers` for the tests of this file, each of which leaves the portals as they were."""
    starter = Processes(folder.parent, folder)
    running = starter.start("workers", REDIS_URL=shared_valkey.url, **environ)
    until(lambda: workers_of(store) == ["main"], f"the first worker\n{running.log()}", 30)
    yield running
    starter.clean_up()


def deliver(store, portal):
    """A delivery that waits for this portal; its id."""
    return write_one(store.record, utc_now(), portal=portal).id


def workers_of(store):
    return sorted({portal for worker in store.workers() for portal in worker.portals})


def leave_main(folder, store):
    """Only the portal main is left, as at first."""
    (folder / "portals.yaml").write_text(f"portals:\n  main: {FAST}\n")
    until(lambda: workers_of(store) == ["main"], "the other workers to be gone", 30)


def started(store, delivery_id):
    return store.record.delivery(delivery_id).state is State.STARTED


def needs(store, portals=("main",)):
    return assess(take_snapshot(store, portals, [], utc_now()), DEFAULT, utc_now())


def test_a_new_portal_gets_a_worker_and_one_that_is_gone_loses_it(workers, folder, store):
    waiting = deliver(store, "second")

    (folder / "portals.yaml").write_text(f"portals:\n  main: {FAST}\n  second: {FAST}\n")
    until(lambda: started(store, waiting), f"the new portal to be served\n{workers.log()}", 30)

    (folder / "portals.yaml").write_text(f"portals:\n  main: {FAST}\n")
    until(lambda: workers_of(store) == ["main"], f"the worker to be gone\n{workers.log()}", 30)
    late = deliver(store, "second")
    (need,) = [one for one in needs(store) if one.code is IssueCode.PORTAL_REMOVED]
    assert (need.subject, need.count, need.grade) == ("second", 1, Grade.BAD)
    assert "portal second is no longer in portals.yaml, and 1 delivery is waiting for it" in sentence_of(need)

    (folder / "portals.yaml").write_text(f"portals:\n  main: {FAST}\n  second: {FAST}\n")
    until(lambda: started(store, late), "what has waited to be sent", 30)
    leave_main(folder, store)


def test_a_portal_by_application_is_served_from_its_connection_on_without_a_restart(workers, folder, store, sandbox):
    app = Pretended.add(sandbox.url, **APPLICATION)
    bound = sandbox.portal.applications.find(app.keys["client_id"]).placements
    waiting = deliver(store, "acme")

    (folder / "portals.yaml").write_text(f"portals:\n  main: {FAST}\n  acme: {ACME}\n")
    gate = store.portal("acme").gate
    until(lambda: workers_of(store) == ["acme", "main"], "its worker", 30)
    until(lambda: gate.look().reason == "not_connected", f"the gate to say why it waits\n{workers.log()}", 30)
    pids = {one.name for one in store.workers()}
    sealed = SEALER.seal(json.dumps(app.frame()).encode())
    opening_id = store.applications.arrive("acme", sealed, "en", utc_now())

    until(lambda: started(store, waiting), f"what has waited to be sent\n{workers.log()}", 30)
    assert store.applications.opening(opening_id).state is OpeningState.SHOWN
    until(lambda: len(bound) == 2, "the tab and the menu to be bound", 30)
    assert {one.name for one in store.workers()} == pids

    leave_main(folder, store)
    until(lambda: not bound, f"the tab and the menu to be gone\n{workers.log()}", 30)
    until(lambda: store.applications.installation("acme") is None, "the tokens to be forgotten", 30)
    logged = workers.log()
    assert APPLICATION["client_secret"] not in logged
    assert SEAL_KEY not in logged


def test_a_portal_that_joins_the_process_of_others_is_served_and_so_are_they(workers, folder, store):
    names = ["main", *MANY]
    entries = [f"  {name}: {FAST}\n" for name in names]
    (folder / "portals.yaml").write_text("portals:\n" + "".join(entries[:-1]))
    until(lambda: workers_of(store) == names[:-1], "the first workers", 30)

    waiting = [deliver(store, name) for name in names]
    (folder / "portals.yaml").write_text("portals:\n" + "".join(entries))

    for delivery_id in waiting:
        until(lambda made=delivery_id: started(store, made), f"each to be served\n{workers.log()}", 30)
    assert [len(store.record.delivery(one).attempts) for one in waiting] == [1] * len(names)
    leave_main(folder, store)


def test_a_credential_in_a_file_is_followed(workers, secret, store, sandbox):
    with refusing_address() as nowhere:
        secret.write_text(f"http://{nowhere}/rest/1/other/")

        def tried_there():
            made = deliver(store, "main")
            until(lambda: store.record.delivery(made).attempts, "a try", 30)
            return not started(store, made) and made

        waiting = until(tried_there, f"a try at the other address\n{workers.log()}", 60)
        secret.write_text(f"{sandbox.url}/rest/1/sandbox/")
        until(lambda: started(store, waiting), f"the new address to be called\n{workers.log()}", 60)


def test_a_new_portal_without_a_credential_holds_up_no_other_also_when_workers_start(environ, tmp_path, own_valkey):
    config = copy_config(tmp_path)
    (config / "portals.yaml").write_text(f"portals:\n  main: {FAST}\n  later: {FAST}\n")
    kept = tmp_path / "kept"
    kept.mkdir()
    starter = Processes(tmp_path, config)
    store = Store(own_valkey.redis)
    running = starter.start("workers", REDIS_URL=own_valkey.url, RELAY_SECRETS=str(kept), **environ)
    try:
        until(lambda: workers_of(store) == ["main"], f"the portal with a credential to be served\n{running.log()}", 30)
        told = until(lambda: store.files.waiting(utc_now()), "the other one to be told")
        assert "PORTAL_LATER_WEBHOOK_URL is not set" in str(told[0].mistakes[0])

        (kept / "PORTAL_LATER_WEBHOOK_URL").write_text(environ["PORTAL_SECOND_WEBHOOK_URL"])

        until(lambda: workers_of(store) == ["later", "main"], f"both to be served\n{running.log()}", 30)
        until(lambda: not store.files.waiting(utc_now()), "nothing to be told")
    finally:
        starter.clean_up()


def test_portals_with_a_mistake_change_nothing_and_are_told(workers, folder, store):
    (folder / "portals.yaml").write_text(f"portals:\n  main: {FAST}\n  third: {FAST}\n")
    until(lambda: store.files.waiting(utc_now()), f"the mistake to be told\n{workers.log()}", 30)
    (need,) = [one for one in needs(store) if one.code is IssueCode.FILES]
    assert need.subject.startswith("workers@")
    assert "PORTAL_THIRD_WEBHOOK_URL is not set" in sentence_of(need)
    assert started_after(store)

    (folder / "portals.yaml").write_text(f"portals:\n  main: {FAST}\n")
    until(lambda: not store.files.waiting(utc_now()), "it to be settled", 30)


def test_who_is_told_is_followed_and_is_told_of_files_with_a_mistake(workers, folder, store, receiver):
    mistake = Mistake("config/rules/a.yaml", 6, fault("unknown_portal", name="'nowhere'", hint=""))
    store.files.say_waiting("web@here", [mistake], utc_now())
    (folder / "alerts.yaml").write_text("webhooks:\n  ops: {url: ALERT_OPS_URL, secret: ALERT_OPS_SECRET}\n")
    until(lambda: receiver.taken, f"the new channel to be told\n{workers.log()}", 60)

    (body, *_) = [body.decode() for _, body in receiver.taken]
    assert "the web process on here cannot use changed files" in body
    assert "config/rules/a.yaml:6: unknown portal 'nowhere'" in body


def started_after(store):
    made = deliver(store, "main")
    until(lambda: started(store, made), "those in force to be served", 30)
    return True


def test_deliveries_of_a_removed_rule_are_told_until_they_are_final(store):
    made = write_one(store.record, utc_now(), portal="second")  # which nobody serves
    store.files.note_rules([made.rule], [], utc_now())
    (need,) = [one for one in needs(store) if one.code is IssueCode.RULE_REMOVED]
    assert (need.count, need.grade) == (1, Grade.CALM)
    store.files.note_rules([], [made.rule], utc_now())
    assert [one for one in needs(store) if one.code is IssueCode.RULE_REMOVED] == []
