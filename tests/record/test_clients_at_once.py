"""Two clients at once do what they like to a delivery: what each is told can have happened one after the other."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from relay.core.errors import LostRace
from relay.core.events import Delivery
from relay.core.lifecycle import FINAL, TRANSITIONS, State
from relay.store.record.record import Record
from relay.store.redis.connection import connect
from tests.support.linear import Call, is_linearizable
from tests.support.making import NOON, make_delivery, write_one

CLAIMABLE = {State.PENDING, State.RETRYING}
FRESH = (State.PENDING, 1, False, False)
"""A delivery as the model knows it: its state, its turn, whether it is to be looked into, whether it was replayed."""


def answer(known, what):
    """What the record has to answer in this state, and the state after it."""
    state, turn, is_doubtful, is_replayed = known
    match what:
        case ("read",):
            return (state, turn), known
        case ("claim",) if state in CLAIMABLE:
            return turn + 1, (State.SENDING, turn + 1, False, is_replayed)
        case ("look",) if is_doubtful:
            return turn + 1, (state, turn + 1, False, is_replayed)
        case ("settle", seen, seen_turn, following):
            if (seen, seen_turn) != (state, turn):
                return False, known
            return True, (following, turn, following is State.UNCERTAIN, is_replayed)
        case ("replay", seen):
            is_done = state in FINAL and seen is state and not is_replayed
            return is_done, (state, turn, is_doubtful, is_replayed or is_done)
    return None, known


class Client:
    """One of those that work on a delivery, with a connection of its own. seen: the delivery as it knows it."""

    def __init__(self, url: str, delivery: Delivery, counter: itertools.count) -> None:
        self.record, self.seen, self.counter = Record(connect(url)), delivery, counter
        self.history: list[Call] = []

    def work(self, program, barrier: threading.Barrier) -> None:
        barrier.wait()
        for step, choice in program:
            what = self.plan(step, choice)
            begun = next(self.counter)
            said = self.do(what)
            self.history.append(Call(begun, next(self.counter), what, said))
        self.record.redis.close()

    def plan(self, step: str, choice: int):
        if step == "replay":
            return ("replay", self.seen.state)
        if step != "settle":
            return (step,)
        allowed = [state for state in TRANSITIONS[self.seen.state] if state is not State.SENDING]
        return ("settle", self.seen.state, self.seen.turn, allowed[choice % len(allowed)]) if allowed else ("read",)

    def do(self, what):
        match what:
            case ("read",):
                self.seen = self.record.delivery(self.seen.id)
                return (self.seen.state, self.seen.turn)
            case ("claim",):
                return self.take(self.record.claim("main", f"claim-{next(self.counter)}", NOON))
            case ("look",):
                found = self.record.look("main", NOON)
                return self.take([found] if found else [])
            case ("settle", _, _, following):
                return self.is_done(lambda: self.record.settle(self.seen, following, NOON, next_at=NOON))
        fresh = make_delivery(self.seen.event_id, call=replace(self.seen.call, portal="elsewhere"))
        return self.is_done(lambda: self.record.replay(self.record.event(fresh.event_id), self.seen, [fresh]))

    def take(self, found: list[Delivery]) -> int | None:
        for self.seen in found:
            return self.seen.turn
        return None

    def is_done(self, write) -> bool:
        try:
            write()
        except LostRace:
            return False
        return True


STEPS = st.tuples(
    st.sampled_from(["claim", "claim", "settle", "settle", "settle", "look", "replay", "read"]),
    st.sampled_from([1, 2, 3, 1, 2, 3, 0, 4]),  # mostly to what can be claimed or looked into again
)
PROGRAMS = st.lists(STEPS, min_size=4, max_size=14)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=PROGRAMS, second=PROGRAMS)
@example(first=[("claim", 0), ("settle", 0), ("replay", 0)], second=[("claim", 0), ("settle", 0), ("replay", 0)])
def test_what_two_clients_are_told_can_have_happened_one_after_the_other(valkey, record, first, second):
    record.redis.flushall()
    delivery, counter, barrier = write_one(record), itertools.count(), threading.Barrier(2)
    clients = [Client(valkey.url, delivery, counter) for _ in range(2)]
    programs = zip(clients, (first, second), strict=True)
    threads = [threading.Thread(target=client.work, args=(program, barrier)) for client, program in programs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    history = [call for client in clients for call in client.history]
    assert len(history) == len(first) + len(second)
    assert is_linearizable(history, FRESH, answer), history
    assert record.counts().imbalances == []


def test_two_claims_that_both_win_cannot_have_happened():
    both = [Call(0, 2, ("claim",), 2), Call(1, 3, ("claim",), 2)]

    assert not is_linearizable(both, FRESH, answer)
    assert is_linearizable([both[0], replace(both[1], answer=None)], FRESH, answer)


def test_a_read_that_is_behind_a_write_that_had_ended_cannot_have_happened():
    claimed, read = Call(0, 1, ("claim",), 2), Call(2, 3, ("read",), (State.PENDING, 1))

    assert not is_linearizable([claimed, read], FRESH, answer)
    assert is_linearizable([replace(claimed, ended=4), read], FRESH, answer)
