"""Writing and reading the record. Every write is one script; every step of a delivery is a compare-and-swap.

May be called from any process. Raises RecordUnavailableError where Redis cannot answer, and LostRace where another
process was there first; a caller never sees an exception of redis-py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.errors import LostRace, NotFoundError
from relay.core.events import Attempt, Delivery, Event
from relay.core.ids import DELIVERY_PREFIX, earliest_id, to_ms
from relay.core.lifecycle import FINAL, EventState, State
from relay.store.record import codec
from relay.store.record.calls import HARD_DEADLINE, add_delivery, claim_call, settle_call
from relay.store.record.entries import SINGLE, Allowance, Entry, Load, Receipt, Settlement
from relay.store.record.ledger import Ledger, read_ledger
from relay.store.record.packing import Hash
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.scripts import Argument, Script, ScriptCall, run, run_all

__all__ = ["HARD_DEADLINE", "SINGLE", "Allowance", "Entry", "Load", "Receipt", "Record", "Settlement"]

LOOK, WAKE, REPLAY, PRUNE, LEAVE = (Script.load(name) for name in ("look", "wake", "replay", "prune", "leave"))


class Record:
    """The record as the processes use it."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    @guarded
    def claim(self, portal: str, claim_id: str, now: datetime, load: Load = SINGLE) -> list[Delivery]:
        """Take the oldest deliveries that may be sent to a portal now, as many as the load allows; none: nothing waits.

        claim_id: chosen by the caller. Where the answer was lost, the same claim again returns what it took.
        """
        claimed = run(self.redis, claim_call(portal, claim_id, now, load))
        return self._with_attempts([codec.flat_to_hash(flat) for flat in claimed])

    @guarded
    def look(self, portal: str, now: datetime) -> Delivery | None:
        """Take the uncertain delivery of a portal that is to be looked into now; None: there is none.

        Who takes it and dies leaves it to the next after the hard deadline.
        """
        argv: list[Argument] = [portal, to_ms(now), to_ms(now + HARD_DEADLINE)]
        flat = run(self.redis, ScriptCall(LOOK, [keys.DOUBTFUL + portal], argv))
        return self._with_attempts([codec.flat_to_hash(flat)])[0] if flat else None

    @guarded
    def wake(self, portals: Iterable[str], now: datetime) -> int:
        """Wake a worker of every portal where something can be done now; how many were woken."""
        return int(run(self.redis, ScriptCall(WAKE, [], [to_ms(now), *portals])))

    @guarded
    def doubtful(self, portal: str, now: datetime) -> int:
        """How many uncertain deliveries of this portal are to be looked into now."""
        count: Any = self.redis.zcount(keys.DOUBTFUL + portal, "-inf", to_ms(now))
        return int(count)

    @guarded
    def due(self, portal: str, now: datetime) -> int:
        """How many deliveries of this portal could be sent now."""
        count: Any = self.redis.zcount(keys.WAITING + portal, "-inf", to_ms(now))
        return int(count)

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
        (result,) = self.settle_all([settlement], now)
        if result:
            raise result

    @guarded
    def settle_all(self, settlements: Sequence[Settlement], now: datetime) -> list[LostRace | None]:
        """Write several, each for itself, in one round trip: what `settle` would raise, for each."""
        calls = [settle_call(settlement, now) for settlement in settlements]
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
    ) -> None:
        """Add deliveries to an event: in the place of a final one, or of an event that had none.

        person_keys: of what the rules have found of a person (persons.py); those it has already stay.
        bulk_id: of the bulk replay that does it, which then knows what it has made.

        Raises LostRace where that has been done before, or the one to be replayed is not final.
        """
        states = sorted(FINAL) if replayed else [EventState.REJECTED, EventState.IGNORED]
        argv: list[Argument] = [event.id, replayed.id if replayed else "", len(states), *states]
        argv += [len(person_keys), *person_keys, len(deliveries)]
        for delivery in deliveries:
            add_delivery(argv, delivery)
        made_by = [keys.MADE + bulk_id] if bulk_id else []
        if not run(self.redis, ScriptCall(REPLAY, [keys.EVENT + event.id, *made_by], argv)):
            raise LostRace(replayed.id if replayed else event.id)

    @guarded
    def lapsed(self, now: datetime, limit: int) -> list[Delivery]:
        """Claimed deliveries whose hard deadline has passed, the longest overdue first."""
        found: Any = self.redis.zrangebyscore(keys.SENDING, "-inf", to_ms(now), start=0, num=limit)
        return self.deliveries([member.decode() for member in found])

    @guarded
    def prune(self, event_id: str, before: datetime | None = None) -> bool:
        """Forget an event with its deliveries; False where one is not final, or was not made before this time."""
        youngest = earliest_id(DELIVERY_PREFIX, before) if before else ""
        return bool(run(self.redis, ScriptCall(PRUNE, [keys.EVENT + event_id], [event_id, youngest])) >= 0)

    @guarded
    def oldest(self, before: str, after: str | None, limit: int) -> list[str]:
        """Event ids below a bound, oldest first; `after`: where an earlier call ended."""
        found: Any = self.redis.zrange(
            keys.EVENTS, f"({after}" if after else "-", f"({before}", bylex=True, offset=0, num=limit
        )
        return [member.decode() for member in found]

    @guarded
    def delivery_of_workflow(self, workflow_id: str) -> str | None:
        """The id of the delivery that is on record as having started a workflow."""
        owner: Any = self.redis.hget(keys.WORKFLOWS, workflow_id)
        return owner.decode() if owner is not None else None

    @guarded
    def event(self, event_id: str) -> Event:
        """Raises NotFoundError."""
        kept: Any = self.redis.hgetall(keys.EVENT + event_id)
        if not kept:
            raise NotFoundError(f"no event {event_id}")
        return codec.event_from_hash(_with_id(event_id, kept))

    @guarded
    def delivery(self, delivery_id: str) -> Delivery:
        """Raises NotFoundError."""
        found = self.deliveries([delivery_id])
        if not found:
            raise NotFoundError(f"no delivery {delivery_id}")
        return found[0]

    @guarded
    def events(self, event_ids: Iterable[str]) -> list[Event]:
        """The events of these ids that are on record, in this order."""
        return [codec.event_from_hash(kept) for kept in self._hashes(keys.EVENT, event_ids)]

    @guarded
    def deliveries(self, delivery_ids: Iterable[str]) -> list[Delivery]:
        """The deliveries of these ids that are on record, in this order."""
        wanted = list(delivery_ids)
        # At one moment: packing moves the attempts into the hash.
        with self.redis.pipeline(transaction=True) as pipeline:
            for one in wanted:
                pipeline.hgetall(keys.DELIVERY + one)
                pipeline.lrange(keys.ATTEMPTS + one, 0, -1)
            found = pipeline.execute()
        read = zip(wanted, found[::2], found[1::2], strict=True)
        return [codec.delivery_from_hash(_with_id(one, kept), attempts) for one, kept, attempts in read if kept]

    @guarded
    def page(self, index: str, *, before: str | None = None, since: str | None = None, limit: int = 50) -> list[str]:
        """Ids of an index, newest first. before: the cursor, the last id of the page above; since: a lower bound."""
        newest, oldest = f"({before}" if before else "+", f"[{since}" if since else "-"
        found: Any = self.redis.zrange(index, newest, oldest, desc=True, bylex=True, offset=0, num=limit)
        return [member.decode() for member in found]

    @guarded
    def undecided(self) -> int:
        """How many uncertain deliveries only a person can decide."""
        return self.size(keys.UNDECIDED)

    @guarded
    def buried(self) -> int:
        """How many dead deliveries nobody has replayed, cancelled, given up or left as they are."""
        return self.size(keys.BURIED)

    @guarded
    def unmended(self) -> int:
        """How many rejected events nobody has replayed or left as they are."""
        return self.size(keys.UNMENDED)

    @guarded
    def is_buried(self, delivery_id: str) -> bool:
        """Whether a dead delivery is one of these."""
        return self.redis.zscore(keys.BURIED, delivery_id) is not None

    @guarded
    def is_unmended(self, event_id: str) -> bool:
        """Whether a rejected event is one of those."""
        return self.redis.zscore(keys.UNMENDED, event_id) is not None

    @guarded
    def leave(self, one: str) -> bool:
        """Count a delivery or event no longer among these, or among those whose end is overdue; whether it was."""
        return bool(run(self.redis, ScriptCall(LEAVE, [], [one])))

    @guarded
    def of_document(self, document_id: str, limit: int) -> list[str]:
        """Ids of the newest deliveries of a document, by the third part of its id."""
        return self.page(keys.DELIVERIES_BY_DOCUMENT + document_id, limit=limit)

    @guarded
    def is_known(self, facet: str, value: str) -> bool:
        """Whether any delivery has, or lately had, this rule, portal, template_id, document or reason."""
        return bool(self.size(f"{keys.DELIVERIES_BY}{facet}:{value}"))

    @guarded
    def events_of_person(self, person_key: str) -> list[str]:
        """Ids of the events that carry the key of a person's value (persons.py)."""
        found: Any = self.redis.zrange(keys.MARKS + person_key, 0, -1)
        return [member.decode() for member in found]

    @guarded
    def event_count(self) -> int:
        """How many events are on record."""
        return self.size(keys.EVENTS)

    @guarded
    def size(self, index: str) -> int:
        """How many ids an index holds."""
        count: Any = self.redis.zcard(index)
        return int(count)

    @guarded
    def counts(self) -> Ledger:
        """Every number that has to agree, read at one moment."""
        return read_ledger(self.redis)

    @guarded
    def is_writable(self) -> bool:
        """Whether Redis takes writes now."""
        return bool(self.redis.set(f"{keys.LEASE}ready", "1", px=1000))

    def _hashes(self, prefix: str, ids: Iterable[str]) -> list[Hash]:
        wanted = list(ids)
        with self.redis.pipeline(transaction=False) as pipeline:
            for one in wanted:
                pipeline.hgetall(prefix + one)
            return [_with_id(one, kept) for one, kept in zip(wanted, pipeline.execute(), strict=True) if kept]

    def _with_attempts(self, hashes: Sequence[Hash]) -> list[Delivery]:
        with self.redis.pipeline(transaction=False) as pipeline:
            for kept in hashes:
                pipeline.lrange(keys.ATTEMPTS + kept[b"id"].decode(), 0, -1)
            attempts = pipeline.execute()
        return [codec.delivery_from_hash(kept, tried) for kept, tried in zip(hashes, attempts, strict=True)]


def _with_id(one: str, kept: Hash) -> Hash:
    return {**kept, b"id": one.encode()}
