"""The workers follow changed portals, credentials and alerts without a restart; what the files no more have is told."""

import threading

import pytest
from redis import Redis

from relay.core.errors import Mistake
from relay.core.faults import fault
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.health.assessment import DEFAULT, Grade, IssueCode, assess, take_snapshot
from relay.health.words import sentence_of
from relay.store import Store
from tests.e2e.test_alerts import SECRET, Receiver
from tests.support.folders import copy_config
from tests.support.making import write_one
from tests.support.processes import Processes, refusing_address
from tests.support.waiting import until

FAST = "{plan: standard, rate: 1000, burst: 10000}"


@pytest.fixture
def folder(tmp_path):
    copied = copy_config(tmp_path)
    (copied / "portals.yaml").write_text(f"portals:\n  main: {FAST}\n")
    return copied


@pytest.fixture
def store(redis: Redis):
    return Store(redis)


@pytest.fixture
def start(folder, tmp_path, valkey, sandbox):
    """Starts `python -m workers`."""
    starter = Processes(tmp_path, folder)
    url = f"{sandbox.url}/rest/1/sandbox/"

    def start(**environ):
        given = {"PORTAL_MAIN_WEBHOOK_URL": url, "PORTAL_SECOND_WEBHOOK_URL": url, **environ}
        return starter.start("workers", REDIS_URL=valkey.url, **{name: text for name, text in given.items() if text})

    yield start
    starter.clean_up()


def deliver(store, portal):
    """A delivery that waits for this portal; its id."""
    return write_one(store.record, utc_now(), portal=portal).id


def workers_of(store):
    return sorted({portal for worker in store.workers() for portal in worker.portals})


def started(store, delivery_id):
    return store.record.delivery(delivery_id).state is State.STARTED


def needs(store, portals=("main",)):
    return assess(take_snapshot(store, portals, [], utc_now()), DEFAULT, utc_now())


def test_a_new_portal_gets_a_worker_and_one_that_is_gone_loses_it(start, folder, store):
    waiting = deliver(store, "second")
    workers = start()
    until(lambda: workers_of(store) == ["main"], "the first worker", 30)

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


def test_a_portal_that_joins_the_process_of_others_is_served_and_so_are_they(start, folder, store, sandbox):
    names = [f"p{number}" for number in range(9)]
    entries = [f"  {name}: {FAST}\n" for name in names]
    (folder / "portals.yaml").write_text("portals:\n" + "".join(entries[:-1]))
    url = f"{sandbox.url}/rest/1/sandbox/"
    workers = start(**{f"PORTAL_{name.upper()}_WEBHOOK_URL": url for name in names})
    until(lambda: workers_of(store) == names[:-1], "the first workers", 30)

    waiting = [deliver(store, name) for name in names]
    (folder / "portals.yaml").write_text("portals:\n" + "".join(entries))

    for delivery_id in waiting:
        until(lambda made=delivery_id: started(store, made), f"each to be served\n{workers.log()}", 30)
    assert [len(store.record.delivery(one).attempts) for one in waiting] == [1] * len(names)


def test_a_credential_in_a_file_is_followed(start, tmp_path, store, sandbox):
    secret = tmp_path / "credential"
    with refusing_address() as nowhere:
        secret.write_text(f"http://{nowhere}/rest/1/old/")
        workers = start(PORTAL_MAIN_WEBHOOK_URL="", PORTAL_MAIN_WEBHOOK_URL_FILE=str(secret))
        waiting = deliver(store, "main")
        until(lambda: store.record.delivery(waiting).attempts, "a try at the old address", 30)
        secret.write_text(f"{sandbox.url}/rest/1/sandbox/")
        until(lambda: started(store, waiting), f"the new address to be called\n{workers.log()}", 60)


def test_portals_with_a_mistake_change_nothing_and_are_told(start, folder, store):
    workers = start()
    until(lambda: workers_of(store) == ["main"], "the first worker", 30)

    (folder / "portals.yaml").write_text(f"portals:\n  main: {FAST}\n  third: {FAST}\n")
    until(lambda: store.files.waiting(utc_now()), f"the mistake to be told\n{workers.log()}", 30)
    (need,) = [one for one in needs(store) if one.code is IssueCode.FILES]
    assert need.subject.startswith("workers@")
    assert "PORTAL_THIRD_WEBHOOK_URL is not set" in sentence_of(need)
    assert started_after(store)

    (folder / "portals.yaml").write_text(f"portals:\n  main: {FAST}\n")
    until(lambda: not store.files.waiting(utc_now()), "it to be settled", 30)


def test_who_is_told_is_followed_and_is_told_of_files_with_a_mistake(start, folder, store):
    receiver = Receiver()
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    try:
        workers = start(ALERT_OPS_URL=receiver.url, ALERT_OPS_SECRET=SECRET)
        until(lambda: workers_of(store) == ["main"], "the first worker", 30)
        store.files.say_waiting(
            "web@here",
            [Mistake("config/rules/a.yaml", 6, fault("unknown_portal", name="'nowhere'", hint=""))],
            utc_now(),
        )
        (folder / "alerts.yaml").write_text("webhooks:\n  ops: {url: ALERT_OPS_URL, secret: ALERT_OPS_SECRET}\n")
        until(lambda: receiver.taken, f"the new channel to be told\n{workers.log()}", 60)
    finally:
        receiver.shutdown()
        receiver.server_close()
    (body, *_) = [body.decode() for _, body in receiver.taken]
    assert "the web process on here cannot use changed files" in body
    assert "config/rules/a.yaml:6: unknown portal 'nowhere'" in body


def started_after(store):
    made = deliver(store, "main")
    until(lambda: started(store, made), "those in force to be served", 30)
    return True


def test_deliveries_of_a_removed_rule_are_told_until_they_are_final(store):
    made = write_one(store.record, utc_now())
    store.files.note_rules([made.rule], [], utc_now())
    (need,) = [one for one in needs(store) if one.code is IssueCode.RULE_REMOVED]
    assert (need.count, need.grade) == (1, Grade.CALM)
    store.files.note_rules([], [made.rule], utc_now())
    assert [one for one in needs(store) if one.code is IssueCode.RULE_REMOVED] == []
