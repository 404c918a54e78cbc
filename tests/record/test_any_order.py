"""Whatever is done to the record in whatever order: it says what a simple model says, and the ledger balances."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from relay.core.errors import IllegalTransitionError, LostRace
from relay.core.lifecycle import FINAL, TRANSITIONS, EventState, State
from relay.store.record.entries import Load
from relay.store.record.record import Record
from tests.support.making import NOON, make_attempt, make_delivery, make_entry, write

CLAIMABLE = {State.PENDING, State.RETRYING}
STEP = timedelta(seconds=1)


class Books(RuleBasedStateMachine):
    """The record beside a model of it: deliveries by id, first events by dedup key."""

    record: Record

    def __init__(self):
        super().__init__()
        self.record.redis.flushall()
        self.now = NOON
        self.states: dict[str, State] = {}
        self.turns: dict[str, int] = {}
        self.attempts: dict[str, int] = {}
        self.replayed: set[str] = set()
        self.doubts: set[str] = set()
        self.claims = 0
        self.firsts: dict[str, str] = {}
        self.events = 0

    def pick(self, number: int) -> str:
        ids = sorted(self.states)
        return ids[number % len(ids)]

    def add(self, delivery_id: str) -> None:
        self.states[delivery_id], self.turns[delivery_id], self.attempts[delivery_id] = State.PENDING, 1, 0

    @rule(rules=st.integers(0, 3), digest=st.none() | st.sampled_from("ab"))
    def receive(self, rules, digest):
        self.now += STEP
        entry = make_entry([f"r{n}" for n in range(rules)], at=self.now, digest=digest)
        receipt = write(self.record, entry)
        assert receipt.duplicate is (digest in self.firsts)
        if receipt.duplicate:
            assert receipt.event_id == self.firsts[digest]
            return
        self.events += 1
        if digest:
            self.firsts[digest] = entry.event.id
        for delivery in entry.deliveries:
            self.add(delivery.id)

    @rule(limit=st.integers(1, 3), again=st.booleans())
    def claim(self, limit, again):
        self.claims += 1
        claimed = self.record.claim("main", f"claim-{self.claims}", self.now, Load(limit))
        waiting = sorted(one for one, state in self.states.items() if state in CLAIMABLE)
        assert len(claimed) == min(limit, len(waiting))
        assert {one.id for one in claimed} <= set(waiting)
        for delivery in claimed:
            self.states[delivery.id] = State.SENDING
            self.turns[delivery.id] += 1
        if again:  # the answer was lost
            assert self.record.claim("main", f"claim-{self.claims}", self.now, Load(limit)) == claimed

    @rule()
    def look(self):
        found = self.record.look("main", self.now)
        assert (found is None) == (not self.doubts)
        if found:
            assert self.states[found.id] is State.UNCERTAIN
            self.doubts.remove(found.id)
            self.turns[found.id] += 1

    @precondition(lambda self: self.states)
    @rule(number=st.integers(0, 50), following=st.sampled_from(State), late=st.booleans(), left=st.booleans())
    def settle(self, number, following, late, left):
        chosen = self.pick(number)
        before = self.record.delivery(chosen)
        self.now += STEP
        legal = following in TRANSITIONS[self.states[chosen]] and following is not State.SENDING and not late
        if following is State.SENDING:
            return
        try:
            old, next_at = replace(before, turn=before.turn - late), None if left else self.now
            self.record.settle(old, following, self.now, attempt=make_attempt(), next_at=next_at)
        except (LostRace, IllegalTransitionError):
            assert not legal
            return
        assert legal
        self.states[chosen] = following
        self.doubts.discard(chosen)
        if following is State.UNCERTAIN and not left:
            self.doubts.add(chosen)
        self.attempts[chosen] += 1

    @precondition(lambda self: self.states)
    @rule(number=st.integers(0, 50))
    def replay(self, number):
        old = self.record.delivery(self.pick(number))
        fresh = make_delivery(old.event_id, at=self.now)
        legal = self.states[old.id] in FINAL and old.id not in self.replayed
        try:
            self.record.replay(self.record.event(old.event_id), old, [fresh])
        except (LostRace, IllegalTransitionError):
            assert not legal
            return
        assert legal
        self.replayed.add(old.id)
        self.add(fresh.id)

    @invariant()
    def the_books_balance(self):
        ledger = self.record.counts()
        assert ledger.imbalances == []
        assert ledger.total_events == self.events
        assert ledger.events[EventState.ACCEPTED] + ledger.events[EventState.IGNORED] == self.events
        counted = list(self.states.values())
        assert ledger.deliveries == {state: counted.count(state) for state in State}

    @invariant()
    def the_record_says_what_the_model_says(self):
        found = {one.id: one for one in self.record.deliveries(self.states)}
        assert {key: one.state for key, one in found.items()} == self.states
        assert {key: one.turn for key, one in found.items()} == self.turns
        assert {key: len(one.attempts) for key, one in found.items()} == self.attempts


def test_in_any_order_the_record_says_what_the_model_says(record):
    machine = type("BooksOnThisServer", (Books,), {"record": record})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
