"""Writing and reading the record. Every write is one script; every step of a delivery is a compare-and-swap.

May be called from any process. Raises RecordUnavailableError where Redis cannot answer, and LostRace where another
process was there first; a caller never sees an exception of redis-py.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from redis import Redis

from relay.core.errors import LostRace, MovedOn
from relay.core.events import Attempt, Delivery, Event
from relay.core.ids import DELIVERY_PREFIX, earliest_id, to_ms
from relay.core.lifecycle import FINAL, EventState, State
from relay.store.record import codec
from relay.store.record.calls import HARD_DEADLINE, add_delivery, claim_call, fields_of_new, settle_call
from relay.store.record.entries import PLAINLY, SINGLE, Allowance, Entry, Load, Manner, Receipt, Settlement
from relay.store.record.packing import Hash
from relay.store.record.reading import Reading
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.scripts import Argument, Script, ScriptCall, run, run_all

__all__ = ["HARD_DEADLINE", "SINGLE", "Allowance", "Entry", "Load", "Manner", "Receipt", "Record", "Settlement"]

LOOK, WAKE, REPLAY = Script.load("look"), Script.load("wake"), Script.load("replay")
PRUNE, LEAVE, KEEP = Script.load("prune"), Script.load("leave", tells_again=True), Script.load("keep")
READY = Script.load("ready")


class Record(Reading):
    """The record as the processes use it.

    replicas: how many have to have what is promised: what was received, and what was claimed before it is sent. All
    else may be forgotten by a failover, and is done again or looked for.
    """

    def __init__(self, redis: Redis, replicas: int = 0) -> None:
        super().__init__(redis)
        self.replicas = replicas
        self.is_open = True
        """Whether its server may be promised anything: a process with a door looks first (Store.begin_or_wait)."""

    @guarded
    def claim(
        self,
        portal: str,
        claim_id: str,
        now: datetime,
        load: Load = SINGLE,
        manner: Manner = PLAINLY,
        *,
        to_send: bool = True,
        lapses_in: timedelta = HARD_DEADLINE,
    ) -> list[Delivery]:
        """Take the oldest deliveries that may be sent to a portal now, as many as the load allows; none: nothing waits.

        claim_id: chosen by the caller. Where the answer was lost, the same claim again returns what it took.
        manner: what is written down of the calls to come.
        to_send: whether what is taken is sent: only then replicas are waited for. lapses_in: unless its process says
        that it lives (`keep`), others take it for dead after that.
        """
        call = claim_call(portal, claim_id, now, load, manner=manner, lapses_in=lapses_in)
        claimed = run(self.redis, call, self.replicas if to_send else 0)
        return self._with_attempts([codec.flat_to_hash(flat) for flat in claimed])

    @guarded
    def forget_claim(self, delivery_id: str) -> None:
        """A delivery that is final is claimed by nobody, whatever the index says."""
        self.redis.zrem(keys.SENDING, delivery_id)

    @guarded
    def look(self, portal: str, now: datetime, *, lapses_in: timedelta = HARD_DEADLINE) -> Delivery | None:
        """Take the uncertain delivery of a portal that is to be looked into now; None: there is none.

        lapses_in: who takes it and dies leaves it to the next after that.
        """
        argv: list[Argument] = [portal, to_ms(now), to_ms(now + lapses_in), secrets.token_hex(8)]
        flat = run(self.redis, ScriptCall(LOOK, [keys.DOUBTFUL + portal], argv))
        return self._with_attempts([codec.flat_to_hash(flat)])[0] if flat else None

    @guarded
    def keep(self, deliveries: Sequence[Delivery], lapse_at: datetime, *, is_doubt: bool = False) -> bool:
        """Their process lives: what it has taken of one portal lapses then, not before. Whether all are its own still.

        is_doubt: they were taken to be looked into.
        """
        index = keys.DOUBTFUL + deliveries[0].call.portal if is_doubt else keys.SENDING
        argv: list[Argument] = [to_ms(lapse_at)]
        for delivery in deliveries:
            argv += (delivery.id, delivery.turn)
        return bool(run(self.redis, ScriptCall(KEEP, [index], argv)))

    @guarded
    def wake(self, portals: Iterable[str], now: datetime) -> int:
        """Wake a worker of every portal where something can be done now; how many were woken."""
        return int(run(self.redis, ScriptCall(WAKE, [], [to_ms(now), *portals])))

    def settle(
        self,
        delivery: Delivery,
        state: State,
        now: datetime,
        *,
        attempt: Attempt | None = None,
        workflow_id: str | None = None,
        reason: str | None = None,
        next_at: datetime | None = None,
        looks: int | None = None,
        after: Delivery | None = None,
    ) -> None:
        """Write what became of a delivery: see Settlement.

        Raises LostRace where it has been moved since it was read, WorkflowTaken where the workflow is another's.
        """
        settlement = Settlement(delivery, state, reason or "", attempt, workflow_id, next_at, looks, after)
        (result,) = self._settle([settlement], now, tells_again=True)
        if result:
            raise result

    def settle_all(self, settlements: Sequence[Settlement], now: datetime) -> list[LostRace | None]:
        """Write several, each for itself, in one round trip: what `settle` would raise, for each.

        Where the answer was lost once, each is a lost race: whoever writes so many has no use for another word.
        """
        return self._settle(settlements, now, tells_again=False)

    @guarded
    def _settle(self, settlements: Sequence[Settlement], now: datetime, *, tells_again: bool) -> list[LostRace | None]:
        calls = [settle_call(settlement, now, tells_again=tells_again) for settlement in settlements]
        answers = run_all(self.redis, calls)
        fault = next((answer for answer in answers if isinstance(answer, Exception)), None)
        if fault:
            # Writing again is safe: what was written has moved on, and says so.
            raise fault
        return [one.result_of(answer) for one, answer in zip(settlements, answers, strict=True)]

    @guarded
    def replay(
        self,
        event: Event,
        replayed: Delivery | None,
        deliveries: Sequence[Delivery],
        person_keys: Sequence[str] = (),
        bulk_id: str | None = None,
        *,
        is_new: bool = False,
    ) -> None:
        """Add deliveries to an event: in the place of a final one, or of an event that had none.

        is_new: the event is not on record yet, and is recorded with them or not at all.
        person_keys: of what the rules have found of a person (persons.py); those it has already stay.
        bulk_id: of the bulk replay that does it, which then knows what it has made.

        Raises LostRace where that has been done before, MovedOn where it is no longer in the state that was read.
        """
        states = sorted(FINAL & {replayed.state}) if replayed else [EventState.REJECTED, EventState.IGNORED]
        argv: list[Argument] = [event.id, replayed.id if replayed else ""]
        argv += [*(fields_of_new(event) if is_new else [0]), len(states), *states]
        argv += [len(person_keys), *person_keys, len(deliveries)]
        for delivery in deliveries:
            add_delivery(argv, delivery)
        made_by = [keys.MADE + bulk_id] if bulk_id else []
        told = run(self.redis, ScriptCall(REPLAY, [keys.EVENT + event.id, *made_by], argv))
        if told < 1:
            raise (MovedOn if told else LostRace)(replayed.id if replayed else event.id)

    @guarded
    def prune(self, event_id: str, before: datetime | None = None) -> bool:
        """Forget an event with its deliveries; False where one is not final, or was not made before this time."""
        youngest = earliest_id(DELIVERY_PREFIX, before) if before else ""
        return bool(run(self.redis, ScriptCall(PRUNE, [keys.EVENT + event_id], [event_id, youngest])) >= 0)

    @guarded
    def leave(self, one: str) -> bool:
        """Count a delivery or event no longer among these, or among those whose end is overdue; whether it was."""
        return bool(run(self.redis, ScriptCall(LEAVE, [], [one])))

    @guarded
    def is_writable(self) -> bool:
        """Whether something new would be taken now, and as many replicas have it as are waited for."""
        return self.is_open and bool(run(self.redis, ScriptCall(READY, [f"{keys.LEASE}ready"], []), self.replicas))

    def _with_attempts(self, hashes: Sequence[Hash]) -> list[Delivery]:
        with self.redis.pipeline(transaction=False) as pipeline:
            for kept in hashes:
                pipeline.lrange(keys.ATTEMPTS + kept[b"id"].decode(), 0, -1)
            attempts = pipeline.execute()
        return [codec.delivery_from_hash(kept, tried) for kept, tried in zip(hashes, attempts, strict=True)]
