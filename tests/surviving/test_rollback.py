"""A record that has gone back in time is noticed, and nothing is started twice because it has forgotten."""

from __future__ import annotations

import threading

import pytest

from relay.core.events import CommentState
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.core.plan import Call, Comment, Plan, Step, StepKind
from relay.store import Store
from relay.store.portals.gate import GateState
from relay.store.record.entries import Settlement
from tests.delivering.contexts import add, send, work_off
from tests.delivering.plans import PHONE, find, made, make, planned
from tests.support.making import make_entry, write
from tests.support.setbacks import go_back_to, size_of
from tests.support.waiting import until
from workers.delivery.comments import Sender
from workers.delivery.deliver import prepare
from workers.maintenance.repair import sweep


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


def starts(sandbox):
    return len(sandbox.portal.started())


def test_a_worker_that_starts_on_a_record_that_was_cut_sends_nothing_twice(
    open_worker, own_valkey, sandbox, folder, clock
):
    worker = open_worker(folder)
    deliveries = [add(worker.record, lead=number) for number in range(1, 13)]
    before = size_of(own_valkey)
    work_off(worker)
    worker.store.high_water.keep()
    assert starts(sandbox) == 12

    go_back_to(own_valkey, before)
    worker = open_worker(folder)
    assert worker.store.reached(clock()) is None
    work_off(worker)

    assert starts(sandbox) == 12
    gate = worker.gate.look()
    assert (gate.state, gate.reason, gate.by_person) == (GateState.PAUSED, "went_back", True)
    states = [(one.state, one.reason) for one in worker.record.deliveries(one.id for one in deliveries)]
    assert states == [(State.UNCERTAIN, "went_back")] * 12
    assert worker.record.counts().imbalances == []

    worker.gate.resume(clock())
    clock.advance(61)
    work_off(worker)
    assert starts(sandbox) == 12
    assert {one.state for one in worker.record.deliveries(one.id for one in deliveries)} == {State.STARTED}


def test_a_worker_that_runs_while_the_server_comes_back_cut_notices_before_it_claims(open_worker, own_valkey, sandbox):
    worker = open_worker(None)
    first, _ = add(worker.record, lead=1), add(worker.record, lead=2)
    before = size_of(own_valkey)
    assert send(worker, first).state is State.STARTED

    go_back_to(own_valkey, before)
    work_off(worker)

    assert starts(sandbox) == 1
    assert worker.record.delivery(first.id).state is State.UNCERTAIN


def test_a_claim_alone_that_was_forgotten_is_missed(open_worker, own_valkey, sandbox, clock):
    worker = open_worker(None)
    delivery = add(worker.record)
    worker.store.reached(clock())
    before = size_of(own_valkey)
    reached = worker.store.reached(clock())
    worker.record.claim("main", "c", clock())
    worker.store.high_water.note_promise_after(reached)

    go_back_to(own_valkey, before)
    work_off(worker)

    assert starts(sandbox) == 0
    assert worker.record.delivery(delivery.id).state is State.UNCERTAIN


def test_what_is_received_after_that_waits_and_goes_when_a_person_resumes(
    open_worker, own_valkey, sandbox, folder, clock
):
    worker = open_worker(folder)
    add(worker.record, lead=1)
    before = size_of(own_valkey)
    add(worker.record, lead=2)
    worker.store.reached(clock())
    go_back_to(own_valkey, before)
    worker.store.reached(clock())

    new = add(worker.record, lead=3)
    assert work_off(worker) == 0
    worker.gate.resume(clock())

    assert send(worker, new).state is State.STARTED
    assert worker.store.reached(clock()) is not None, "it is told once"


def test_another_machine_that_knows_a_higher_mark_of_before_holds_nothing_a_second_time(
    open_worker, own_valkey, tmp_path, clock
):
    one, other = open_worker(tmp_path / "one"), open_worker(tmp_path / "other")
    add(one.record)
    before = size_of(own_valkey)
    for number in range(5):
        add(one.record, lead=number)
    assert other.store.reached(clock())
    assert one.store.reached(clock())
    other.store.high_water.keep()
    go_back_to(own_valkey, before)
    assert one.store.reached(clock()) is None
    one.gate.resume(clock())

    assert open_worker(tmp_path / "other").store.reached(clock()) is not None
    assert one.gate.look().is_open


def test_a_document_that_may_have_been_made_is_looked_for_before_it_is_made(open_worker, own_valkey, clock):
    worker = open_worker(None)
    entry = make_entry()
    (delivery,) = entry.deliveries
    plan = Plan(delivery.id, (Step("lead", StepKind.MAKE, "lead", 1, {"title": "t"}),), delivery.call)
    fields = {name: getattr(delivery, name) for name in delivery.__dataclass_fields__} | {"plan": plan}
    write(worker.record, type(entry)(entry.event, [type(delivery)(**fields)]))
    before = size_of(own_valkey)
    add(worker.record)
    worker.store.reached(clock())

    go_back_to(own_valkey, before)
    worker.store.reached(clock())

    held = worker.record.delivery(delivery.id)
    assert (held.state, held.unsure) == (State.UNCERTAIN, ("lead",))
    assert worker.record.unresolved_uncertain() == 1, "how far it went, the portal does not tell"


def test_what_had_been_claimed_for_a_step_does_not_go_on_by_itself_to_what_may_have_been_done_since(
    open_worker, own_valkey, sandbox, clock
):
    worker = open_worker(None)
    delivery = planned(worker.record, find("client", "contact", {"phone": PHONE}), make("lead", "lead"))
    worker.store.reached(clock())
    worker.record.claim("main", "c", clock())
    before = size_of(own_valkey)
    worker.record.settle_all([Settlement(worker.record.delivery(delivery.id), State.PENDING)], clock())
    work_off(worker)
    worker.store.reached(clock())
    assert starts(sandbox) == 1

    go_back_to(own_valkey, before)
    assert worker.store.reached(clock()) is None
    worker.gate.resume(clock())
    sweep(worker.record, clock.advance(121), {})
    work_off(worker)

    assert (starts(sandbox), len(made(sandbox.portal))) == (1, 1)
    held = worker.record.delivery(delivery.id)
    assert (held.state, held.reason, held.unsure) == (State.UNCERTAIN, "went_back", ("lead",))


def test_the_mark_is_kept_while_a_process_runs_and_is_shared_by_those_of_one_machine(own_valkey, folder):
    store, other, stop = (
        Store.open(own_valkey.url, state=folder),
        Store.open(own_valkey.url, state=folder),
        threading.Event(),
    )
    threads = [threading.Thread(target=each.watch_high_water, args=(stop,)) for each in (store, other)]
    for thread in threads:
        thread.start()
    add(store.record)
    before = size_of(own_valkey)
    add(store.record)

    (mark,) = until(lambda: [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"], "a mark")
    until(lambda: mark.read_text() == "0 2\n", "it to be kept")
    stop.set()
    for thread in threads:
        thread.join()
    go_back_to(own_valkey, before)
    assert Store.open(own_valkey.url, state=folder).reached(utc_now()) is None


def test_an_empty_record_where_there_was_one_is_said_in_the_log_and_used(own_valkey, folder, capsys):
    store = Store.open(own_valkey.url, state=folder)
    add(store.record)
    store.reached(utc_now())
    store.high_water.keep()

    own_valkey.redis.flushall()
    assert Store.open(own_valkey.url, state=folder).reached(utc_now()) is not None

    assert "record.empty" in "".join(capsys.readouterr())
    add(store.record)
    assert store.reached(utc_now()) is not None


def test_a_record_that_goes_on_is_never_taken_for_one_that_went_back(own_valkey, folder):
    stores = [Store.open(own_valkey.url, state=folder) for _ in range(4)]
    failed = []

    def work(store):
        for number in range(50):
            reached = store.reached(utc_now())
            if reached is None:
                failed.append(number)
                return
            add(store.record)
            if store.record.claim("main", f"{id(store)}-{number}", utc_now()):
                store.high_water.note_promise_after(reached)
            store.high_water.keep()

    threads = [threading.Thread(target=work, args=(store,)) for store in stores * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


@pytest.mark.parametrize("forgotten", ["the start", "its outcome", "the claim of the comment"])
def test_a_comment_that_was_sent_since_is_not_sent_again(open_worker, own_valkey, sandbox, clock, forgotten):
    worker = open_worker(None)
    call = Call("main", 1, ("crm", "CCrmDocumentLead", "LEAD_1"), {}, Comment("it has begun"))
    delivery = planned(worker.record, call=call)
    sizes = {"the start": size_of(own_valkey)}
    reached = worker.store.reached(clock())
    claimed = worker.record.claim("main", "c", clock())
    worker.store.high_water.note_promise_after(reached)
    sizes["its outcome"] = size_of(own_valkey)
    calls, _ = prepare(worker, claimed)
    answer = worker.client.call(calls[0].method, calls[0].parameters)
    worker.record.settle(claimed[0], State.STARTED, clock(), workflow_id=answer.result)
    sizes["the claim of the comment"] = size_of(own_valkey)
    Sender(worker).work()
    assert len(sandbox.portal.comments) == 1

    go_back_to(own_valkey, sizes[forgotten])
    assert worker.store.reached(clock()) is None
    sweep(worker.record, clock.advance(3600), {})
    worker.gate.resume(clock.advance(3600))
    add(worker.record, lead=2)
    work_off(worker)
    Sender(worker).work()

    assert len(sandbox.portal.comments) == 1
    found = worker.record.delivery(delivery.id)
    assert (found.state, found.comment.state, found.comment.reason) == (
        State.STARTED,
        CommentState.MISSING,
        "went_back",
    )
