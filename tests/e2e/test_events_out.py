"""An operator's address is told what becomes of deliveries: at least once, signed, and never at their expense."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from relay.configuration.alerts import ALERT, EVENTS, Hook, load_alerting
from relay.core.errors import ConfigError
from relay.core.faults import fault
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.operations.deciding import NOT_FILLED
from relay.store import Store
from relay.store.operators import outbox
from relay.store.record.entries import Load, Settlement
from relay.store.redis import keys
from tests.delivering.contexts import Clock
from tests.support.folders import copy_config
from tests.support.making import bring_to, claim_one, make_entry, write, write_one
from tests.support.processes import kill
from tests.support.receivers import Receiver
from tests.support.waiting import until
from workers.alerts.announcer import GIVEN_UP_AFTER, Announcer, content_of, id_of
from workers.alerts.messengers import open_channels

SECRET = "whsec_" + base64.b64encode(b"a-secret-of-the-test").decode()
ALL = tuple(EVENTS)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


@pytest.fixture
def store(redis) -> Store:
    return Store(redis)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def announcer_for(store, receiver, clock, events=ALL, **options) -> Announcer:
    """One that has subscribed its address."""
    announcer = Announcer(
        store, Hook("crm", f"{receiver.url}/events", SECRET, events), "https://relay.example.com", clock, **options
    )
    store.operators.outbox.subscribe("crm", announcer.hook.states, clock())
    return announcer


def send(announcer: Announcer) -> float:
    return announcer.send_due(threading.Event())


def row_of(store, clock):
    store.operators.alerts.note_channel("crm", "webhook", "127.0.0.1", clock())
    return store.operators.alerts.channels(clock())[0]


def test_each_end_of_a_delivery_is_told_with_a_signature_that_the_specification_accepts(store, record, receiver):
    clock = Clock()
    announcer = announcer_for(store, receiver, clock)
    ended = {state: bring_to(record, state, clock()) for state in (State.STARTED, State.DEAD, State.UNCERTAIN)}
    bring_to(record, State.PENDING, clock())

    send(announcer)

    told = [Webhook(SECRET).verify(body, headers) for headers, body in receiver.taken]
    assert {one["type"]: one["data"]["delivery_id"] for one in told} == {
        f"delivery.{state}": delivery.id for state, delivery in ended.items()
    }
    started = next(one for one in told if one["type"] == "delivery.started")["data"]
    delivery = ended[State.STARTED]
    assert started == {
        "delivery_id": delivery.id,
        "event_id": delivery.event_id,
        "source": "website",
        "rule": "a-rule",
        "portal": "main",
        "template_id": 1,
        "state": "started",
        "needs_person": False,
        "reason": "because",
        "workflow_id": f"wf-{delivery.id}",
        "link": f"https://relay.example.com/deliveries/{delivery.id}",
    }
    assert receiver.paths == ["/events"] * 3


def test_an_address_gets_only_what_it_has_asked_for(store, record, receiver, clock):
    announcer = announcer_for(store, receiver, clock, events=("delivery.dead",))
    for state in (State.STARTED, State.UNCERTAIN, State.DEAD):
        bring_to(record, state, clock())

    send(announcer)

    assert [one["type"] for one in receiver.contents] == ["delivery.dead"]


def test_what_only_a_person_can_decide_is_told_apart_from_what_the_relay_still_looks_into(
    store, record, receiver, clock
):
    announcer = announcer_for(store, receiver, clock)
    claimed = claim_one(record, write_one(record, clock()), clock())
    record.settle(claimed, State.UNCERTAIN, clock(), reason="timed_out", next_at=clock() + timedelta(seconds=60))
    send(announcer)
    record.settle(record.delivery(claimed.id), State.UNCERTAIN, clock(), reason="not_seen_running", looks=3)
    send(announcer)

    assert [(one["data"]["needs_person"], one["data"]["reason"]) for one in receiver.contents] == [
        (False, "timed_out"),
        (True, "not_seen_running"),
    ]


def test_a_delivery_that_is_dead_from_the_beginning_is_told(store, record, receiver, clock):
    announcer = announcer_for(store, receiver, clock)
    entry = make_entry(("a-rule", "another"), at=clock())
    first, second = entry.deliveries
    dead = type(second)(
        **{name: getattr(second, name) for name in second.__dataclass_fields__}
        | {"state": State.DEAD, "reason": NOT_FILLED, "errors": {"email": [fault("expected_email")]}}
    )
    write(record, type(entry)(entry.event, [first, dead]))

    send(announcer)

    assert [(one["type"], one["data"]["delivery_id"]) for one in receiver.contents] == [("delivery.dead", dead.id)]


def test_without_an_address_nothing_is_kept_for_it(store, record, clock):
    bring_to(record, State.DEAD, clock())

    assert record.redis.keys(f"{keys.OUTBOX}*") == []


def test_an_address_that_no_worker_has_had_for_days_is_kept_nothing(store, record, receiver, clock):
    announcer_for(store, receiver, clock)
    bring_to(record, State.DEAD, clock() + outbox.SUBSCRIBED + timedelta(seconds=1))

    assert store.operators.outbox.due("crm", clock() + timedelta(days=9), 10) == []


def test_what_was_not_taken_is_sent_again_with_the_same_id_and_a_fresh_time(store, record, receiver, clock):
    announcer = announcer_for(store, receiver, clock)
    bring_to(record, State.DEAD, clock())
    (entry,) = store.operators.outbox.due("crm", clock(), 10)
    receiver.status = 503

    rest_s = send(announcer)

    assert (rest_s, receiver.refused) == (2.0, 1)
    assert row_of(store, clock).fault == "HTTP 503"
    receiver.status = 200
    send(announcer)
    assert receiver.taken == []  # not due yet
    clock.advance(3_600)
    send(announcer)
    ((headers, _),) = receiver.taken
    assert headers["webhook-id"] == id_of(entry)
    assert int(headers["webhook-timestamp"]) == int(clock().timestamp())
    assert (row_of(store, clock).fault, row_of(store, clock).waiting) == ("", 0)


def test_a_process_that_is_killed_before_it_can_note_the_answer_sends_it_again_with_the_same_id(
    store, record, receiver, clock, monkeypatch
):
    announcer = announcer_for(store, receiver, clock)
    bring_to(record, State.DEAD, clock())

    class KilledError(BaseException):
        pass

    def die(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(outbox.Outbox, "remove", die)
        with pytest.raises(KilledError):
            send(announcer)
    send(announcer_for(store, receiver, clock))
    send(announcer_for(store, receiver, clock))

    first, second = (headers["webhook-id"] for headers, _ in receiver.taken)
    assert first == second


def test_what_nobody_takes_for_three_days_is_given_up_and_counted(store, record, receiver, clock):
    announcer = announcer_for(store, receiver, clock)
    bring_to(record, State.DEAD, clock())
    receiver.status = 500
    send(announcer)
    assert row_of(store, clock).waiting == 1
    clock.advance(GIVEN_UP_AFTER.total_seconds())

    send(announcer)

    assert (row_of(store, clock).waiting, row_of(store, clock).lost) == (0, 1)


def test_a_message_that_is_always_refused_holds_up_no_other(store, record, receiver, clock):
    announcer = announcer_for(store, receiver, clock)
    bring_to(record, State.DEAD, clock())
    receiver.status = 400
    send(announcer)
    receiver.status = 200
    bring_to(record, State.STARTED, clock())

    send(announcer)

    assert [one["type"] for one in receiver.contents] == ["delivery.started"]
    assert row_of(store, clock).waiting == 1


def test_a_thousand_starts_are_told_completely(store, record, receiver, clock):
    announcer = announcer_for(store, receiver, clock, pause_s=0.0)
    ids = start_many(record, 1_000, clock())

    while send(announcer) == 0.0:  # its turn is over before all is sent
        pass

    assert sorted(_told(receiver)) == sorted(ids)
    assert len({headers["webhook-id"] for headers, _ in receiver.taken}) == 1_000


def start_many(record, count: int, at) -> list[str]:
    """Start so many at once, as a worker does with batches."""
    entries = [make_entry([f"rule-{n}" for n in range(50)], at=at) for _ in range(count // 50)]
    for entry in entries:
        write(record, entry)
    started: list[str] = []
    while claimed := record.claim("main", f"claim-{len(started)}", at, Load(50, 600_000, 1)):
        started += [one.id for one in claimed]
        settlements = [Settlement(one, State.STARTED, workflow_id=f"wf-{one.id}") for one in claimed]
        assert record.settle_all(settlements, at) == [None] * len(claimed)
    assert len(started) == count
    return started


def test_messages_are_paced(store, record, receiver, clock):
    pauses: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0.0)
            return False

    announcer = announcer_for(store, receiver, clock)
    for _ in range(3):
        bring_to(record, State.STARTED, clock())

    announcer.send_due(Stop())

    assert pauses == [0.02] * 3


def test_an_outbox_that_is_full_counts_what_it_cannot_keep(store, record, receiver, clock):
    announcer_for(store, receiver, clock)
    record.redis.zadd(f"{keys.OUTBOX}crm", {f"filling-{n}": 0 for n in range(50_000)})

    bring_to(record, State.DEAD, clock())

    assert (row_of(store, clock).waiting, row_of(store, clock).lost) == (50_000, 1)


def start_workers(processes, sandbox, valkey, receiver):
    config = processes.folder / "config"
    if not config.exists():
        copy_config(processes.folder)
    (config / "alerts.yaml").write_text(
        f"webhooks:\n  crm: {{url: ALERT_URL, secret: ALERT_SECRET, events: [{', '.join(ALL)}]}}\n", "utf-8"
    )
    return processes.start(
        "workers",
        REDIS_URL=valkey.url,
        RELAY_CONFIG=str(config),
        PORTAL_MAIN_WEBHOOK_URL=f"{sandbox.url}/rest/1/sandbox/",
        ALERT_URL=receiver.url,
        ALERT_SECRET=SECRET,
    )


def test_a_receiver_that_hangs_holds_up_no_delivery_and_a_kill_loses_no_event(processes, sandbox, valkey, receiver):
    record = Store(valkey.redis).record
    receiver.answers.clear()
    worker = start_workers(processes, sandbox, valkey, receiver)
    until(lambda: valkey.redis.hexists(keys.SUBSCRIBERS, "crm"), "the subscription\n" + worker.log())
    ids = [write_one(record, utc_now()).id for _ in range(20)]
    record.notify(["main"], utc_now())

    until(
        lambda: {one.state for one in record.deliveries(ids)} == {State.STARTED},
        "all to start while the receiver hangs\n" + worker.log(),
    )

    assert receiver.taken == []
    for pid in (worker.pid, *worker.family()):
        kill(pid)
    worker.kill()
    valkey.redis.delete(f"{keys.LEASE}events:crm")  # its time passes
    receiver.answers.set()
    second = start_workers(processes, sandbox, valkey, receiver)
    until(lambda: set(_told(receiver)) == set(ids), "all to be told\n" + second.log())
    assert second.stop() == 0


def _told(receiver: Receiver) -> list[str]:
    return [one["data"]["delivery_id"] for one in receiver.contents]


def test_a_message_holds_nothing_of_the_document_or_the_call(store, record, receiver, clock):
    announcer_for(store, receiver, clock)
    bring_to(record, State.STARTED, clock(), body=b'{"email": "somebody@example.com", "lead": {"id": 77}}')
    (entry,) = store.operators.outbox.due("crm", clock(), 10)

    text = content_of(entry, None).decode()

    assert "somebody" not in text
    assert "LEAD_" not in text
    assert "user_1" not in text


ENVIRON = {"ALERT_URL": "https://crm.example.com/relay", "ALERT_SECRET": SECRET}


def load(tmp_path, events: str):
    (tmp_path / "alerts.yaml").write_text(
        f"webhooks:\n  crm: {{url: ALERT_URL, secret: ALERT_SECRET{events}}}\n", "utf-8"
    )
    return load_alerting(tmp_path, ENVIRON)


def test_a_webhook_is_told_of_alerts_unless_it_says_what_else(tmp_path):
    alerting = load(tmp_path, "")
    assert alerting is not None
    assert (alerting.hooks[0].events, alerting.hooks[0].states) == ((ALERT,), frozenset())
    assert [one.wants_alerts for one in open_channels(alerting)] == [True]

    alerting = load(tmp_path, ", events: [delivery.dead, delivery.uncertain]")
    assert alerting is not None
    assert alerting.hooks[0].states == {State.DEAD, State.UNCERTAIN}
    assert [one.wants_alerts for one in open_channels(alerting)] == [False]


@pytest.mark.parametrize("events", ["[]", "[delivery.pending]", "delivery.dead"])
def test_a_webhook_that_names_no_event_that_there_is_is_a_mistake_with_its_line(tmp_path, events):
    with pytest.raises(ConfigError, match=r"alerts\.yaml:2"):
        load(tmp_path, f", events: {events}")
