"""Writing and reading the record. Every write is one script; every step of a delivery is a compare-and-swap.

May be called from any process. Raises RecordUnavailableError where Redis cannot answer, and LostRace where another
process got there first; a caller never sees an exception of redis-py.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from relay.core.errors import LostRace, MovedOn, NotFoundError
from relay.core.events import SETTLE_S, Attempt, Delivery, Event, digest_of
from relay.core.ids import DELIVERY_PREFIX, earliest_id, to_ms
from relay.core.lifecycle import FINAL, EventState, State, advance, states_before
from relay.core.phrases import phrase
from relay.store.record import codec
from relay.store.record.codec import Hash
from relay.store.record.entries import PLAINLY, SINGLE, Entry, Load, Manner, Settlement
from relay.store.record.ledger import Ledger, read_ledger
from relay.store.redis import keys
from relay.store.redis.scripts import Argument, Script, ScriptCall, as_hash, guarded, pairs, read_together, run, run_all

HARD_DEADLINE = timedelta(seconds=120)
"""The longest time in `sending`. A call ends after 70 s at most (workers/bitrix24/client.py)."""

RECORD, CLAIM, SETTLE = (Script.load(name) for name in ("record", "claim", "settle"))
SETTLE_ONE = Script.load("settle", tells_again=True)


def record_call(requests: Sequence[Sequence[Entry]]) -> ScriptCall:
    """Record the entries of several requests: of each request all of them, or none."""
    argv: list[Argument] = [len(requests)]
    for entries in requests:
        argv.append(len(entries))
        for entry in entries:
            _add_entry(argv, entry)
    return ScriptCall(RECORD, (), argv)


def _add_entry(argv: list[Argument], entry: Entry) -> None:
    """An event with its deliveries, in the order that `entry_at` in lua/record.lua reads."""
    event, claims = entry.event, entry.claims
    argv += (event.id, event.state.value, event.source, len(claims))
    for claim in claims:
        argv += (keys.dedup(event.source, claim.digest), _ms(claim.window), claim.more)
    argv += (
        entry.bounds.to_json(),
        event.body,
        codec.event_facts(event),
        codec.ids_to_json(event.deliveries),
        *pairs(codec.further_event_fields(event)),
        len(entry.deliveries),
    )
    for delivery in entry.deliveries:
        add_delivery(argv, delivery)


def fields_of_new(event: Event) -> list[Argument]:
    """An event to be recorded by the script that adds its deliveries (lua/replay.lua)."""
    fields: list[tuple[str, Argument]] = [("state", event.state.value), ("source", event.source)]
    fields += [("body", event.body), ("facts", codec.event_facts(event)), *codec.further_event_fields(event)]
    return pairs(fields)


def add_delivery(argv: list[Argument], delivery: Delivery) -> None:
    """A new delivery, in the order that `create` in lua/common.lua reads."""
    call = delivery.call
    argv += (
        delivery.id,
        "" if delivery.errors else to_ms(delivery.created_at),
        delivery.event_id,
        delivery.rule,
        call.portal,
        call.template_id or "",
        call.document_id[2],
        codec.order_key(delivery),
        codec.call_to_json(call),
        codec.delivery_facts(delivery),
        *pairs(codec.further_delivery_fields(delivery)),
    )


def claim_call(
    portal: str, claim_id: str, now: datetime, load: Load, *, manner: Manner, lapses_in: timedelta
) -> ScriptCall:
    """Take the oldest that may be sent to a portal now, as many as the load allows."""
    claimable = states_before(State.SENDING)
    settle_ms = "" if manner.settle_s == SETTLE_S else round(manner.settle_s * 1000)
    argv: list[Argument] = [portal, to_ms(now), to_ms(now + lapses_in), _ms(HARD_DEADLINE), manner.own_id_at, settle_ms]
    argv += [load.limit, load.budget_ms, load.unknown_ms, len(claimable), *claimable, len(load.allowances)]
    for method, allowance in load.allowances.items():
        until = to_ms(allowance.until) if allowance.until else ""
        argv += (method, allowance.limit, allowance.left_ms, until, int(allowance.is_alone))
    for key, takes_ms in load.takes_ms.items():
        argv += (key, takes_ms)
    return ScriptCall(CLAIM, [keys.WAITING + portal, keys.CLAIM + claim_id], argv)


def settle_call(settlement: Settlement, now: datetime, *, tells_again: bool) -> ScriptCall:
    """Write the outcome of a turn. tells_again: see Script. Raises IllegalTransitionError."""
    delivery, state = settlement.delivery, settlement.state
    # The swap compares with the state that was read, not with every legal state before.
    before = (state,) if settlement.looks is not None else (delivery.state,)
    if settlement.looks is None:
        advance(delivery.state, state)
    next_at = to_ms(settlement.next_at) if settlement.next_at and state not in FINAL else ""
    fields: list[tuple[str, Argument]] = [("next_attempt_at", next_at), ("reason", settlement.reason)]
    fields.append(("stepped_at", to_ms(now) if settlement.steps_back else ""))
    if settlement.workflow_id:
        fields.append(("workflow_id", settlement.workflow_id))
    if settlement.looks is not None:
        fields.append(("looks", settlement.looks))
    if settlement.after:
        fields += codec.next_fields(settlement.after)
        fields.append(("own_id_at", settlement.after.own_id_at))
    argv: list[Argument] = [delivery.id, delivery.turn, state.value, to_ms(now), _due_at(settlement, next_at, now)]
    argv += [codec.attempt_to_json(settlement.attempt) if settlement.attempt else ""]
    argv += [len(before), *before, *pairs(fields)]
    return ScriptCall(SETTLE_ONE if tells_again else SETTLE, [keys.DELIVERY + delivery.id], argv)


def _due_at(settlement: Settlement, next_at: Argument, now: datetime) -> Argument:
    if next_at or settlement.state is State.UNCERTAIN:
        return next_at
    # A delivery that is pending again has not failed, so it keeps its order.
    return to_ms(min(settlement.delivery.created_at, now) if settlement.state is State.PENDING else now)


def _ms(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)


MOST_BEHIND = 100


def _with_id(one: str, kept: Hash) -> Hash:
    return {**kept, b"id": one.encode()}


LOOK, NOTIFY, REPLAY = Script.load("look"), Script.load("notify"), Script.load("replay")
PRUNE, LEAVE, KEEP = Script.load("prune"), Script.load("leave", tells_again=True), Script.load("keep")
READY = Script.load("ready")


class Record:
    """The record as the processes use it.

    replicas: number that must have each promise: received events, and claims before their calls. A failover may forget
    anything else; it is done again or looked for.
    """

    def __init__(self, redis: Redis, replicas: int = 0) -> None:
        self.redis = redis
        self.replicas = replicas
        self.is_open = True
        """Whether promises may be made: the web process checks its server first (Store.begin_or_wait)."""

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
        """Claim the oldest deliveries that may be sent to a portal now, as many as the load allows.

        claim_id: chosen by the caller. After a lost answer, the same claim returns the same deliveries. manner: it is
        recorded with the claim. to_send: whether calls follow; only then replicas are waited for. lapses_in: the claim
        lapses after this time, unless its process renews it (`keep`).
        """
        call = claim_call(portal, claim_id, now, load, manner=manner, lapses_in=lapses_in)
        claimed = run(self.redis, call, self.replicas if to_send else 0)
        return self._with_attempts([codec.flat_to_hash(flat) for flat in claimed])

    @guarded
    def forget_claim(self, delivery_id: str) -> None:
        """Remove a final delivery from the index of claims."""
        self.redis.zrem(keys.SENDING, delivery_id)

    @guarded
    def look(self, portal: str, now: datetime, *, lapses_in: timedelta = HARD_DEADLINE) -> Delivery | None:
        """Claim the uncertain delivery of a portal that is due; None: there is none.

        lapses_in: after a death, the next process may claim it after this time.
        """
        argv: list[Argument] = [portal, to_ms(now), to_ms(now + lapses_in), secrets.token_hex(8)]
        flat = run(self.redis, ScriptCall(LOOK, [keys.DOUBTFUL + portal], argv))
        return self._with_attempts([codec.flat_to_hash(flat)])[0] if flat else None

    @guarded
    def keep(self, deliveries: Sequence[Delivery], lapse_at: datetime, *, is_doubt: bool = False) -> bool:
        """Renew claims at one portal until `lapse_at`. Returns whether all are still held.

        is_doubt: they were claimed for reconciliation.
        """
        index = keys.DOUBTFUL + deliveries[0].call.portal if is_doubt else keys.SENDING
        argv: list[Argument] = [to_ms(lapse_at)]
        for delivery in deliveries:
            argv += (delivery.id, delivery.turn)
        return bool(run(self.redis, ScriptCall(KEEP, [index], argv)))

    @guarded
    def notify(self, portals: Iterable[str], now: datetime) -> int:
        """Notify a worker of every portal where something can be done now. Returns the number of portals."""
        return int(run(self.redis, ScriptCall(NOTIFY, [], [to_ms(now), *portals])))

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
        """Write the outcome of a turn: see Settlement.

        Raises LostRace where the delivery has moved since it was read, WorkflowTaken where the workflow is another's.
        """
        settlement = Settlement(delivery, state, reason or "", attempt, workflow_id, next_at, looks, after)
        (result,) = self._settle([settlement], now, tells_again=True)
        if result:
            raise result

    def settle_all(self, settlements: Sequence[Settlement], now: datetime) -> list[LostRace | None]:
        """Write several settlements in one round trip. Returns for each the error that `settle` would raise, or None.

        After a lost answer each is a lost race, which is enough for a caller that writes so many.
        """
        return self._settle(settlements, now, tells_again=False)

    @guarded
    def _settle(self, settlements: Sequence[Settlement], now: datetime, *, tells_again: bool) -> list[LostRace | None]:
        calls = [settle_call(settlement, now, tells_again=tells_again) for settlement in settlements]
        answers = run_all(self.redis, calls)
        fault = next((answer for answer in answers if isinstance(answer, Exception)), None)
        if fault:
            # Writing again is safe: a delivery that was written has moved on.
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
        """Add deliveries to an event: as the replay of a final one, or of an event without deliveries.

        is_new: the event is not on record yet, and is recorded with them or not at all.
        person_keys: keys of the persons that the rules have found (persons.py); existing ones stay.
        bulk_id: the bulk replay that does it, which keeps a list of its deliveries.

        Raises LostRace where it was replayed before, MovedOn where its state has changed since it was read.
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
        """Forget an event with its deliveries. Returns False if one is not final, or was not made before this time."""
        youngest = earliest_id(DELIVERY_PREFIX, before) if before else ""
        return bool(run(self.redis, ScriptCall(PRUNE, [keys.EVENT + event_id], [event_id, youngest])) >= 0)

    @guarded
    def leave(self, one: str) -> bool:
        """Mark a delivery or event as resolved, and its end as no longer overdue. Returns whether it was open."""
        return bool(run(self.redis, ScriptCall(LEAVE, [], [one])))

    @guarded
    def is_writable(self) -> bool:
        """Whether a new event would be recorded now, on as many replicas as are waited for."""
        return self.is_open and bool(run(self.redis, ScriptCall(READY, [f"{keys.LEASE}ready"], []), self.replicas))

    @guarded
    def doubtful(self, portal: str, now: datetime) -> int:
        """Number of uncertain deliveries of this portal that are due for reconciliation."""
        count: Any = self.redis.zcount(keys.DOUBTFUL + portal, "-inf", to_ms(now))
        return int(count)

    @guarded
    def due(self, portal: str, now: datetime) -> int:
        """Number of deliveries of this portal that could be sent now."""
        count: Any = self.redis.zcount(keys.WAITING + portal, "-inf", to_ms(now))
        return int(count)

    @guarded
    def lapsed(self, now: datetime, limit: int) -> list[Delivery]:
        """Claimed deliveries whose hard deadline has passed, the longest overdue first."""
        found: Any = self.redis.zrangebyscore(keys.SENDING, "-inf", to_ms(now), start=0, num=limit)
        return self.deliveries([member.decode() for member in found])

    @guarded
    def oldest(self, before: str, after: str | None, limit: int) -> list[str]:
        """Event ids below a bound, oldest first; `after`: where an earlier call ended."""
        found: Any = self.redis.zrange(
            keys.EVENTS, f"({after}" if after else "-", f"({before}", bylex=True, offset=0, num=limit
        )
        return [member.decode() for member in found]

    @guarded
    def delivery_of_workflow(self, workflow_id: str) -> str | None:
        """The id of the delivery that started a workflow, according to the record."""
        owner: Any = self.redis.hget(keys.WORKFLOWS, workflow_id)
        return owner.decode() if owner is not None else None

    @guarded
    def event(self, event_id: str) -> Event:
        """Raises NotFoundError."""
        kept: Any = self.redis.hgetall(keys.EVENT + event_id)
        if not kept:
            raise NotFoundError(phrase("no event %(event_id)s", event_id=event_id))
        return codec.event_from_hash(_with_id(event_id, kept))

    @guarded
    def delivery(self, delivery_id: str) -> Delivery:
        """Raises NotFoundError."""
        found = self.deliveries([delivery_id])
        if not found:
            raise NotFoundError(phrase("no delivery %(delivery_id)s", delivery_id=delivery_id))
        return found[0]

    @guarded
    def events(self, event_ids: Iterable[str]) -> list[Event]:
        """The events of these ids that are on record, in this order."""
        return [codec.event_from_hash(kept) for kept in self._hashes(keys.EVENT, event_ids)]

    @guarded
    def deliveries(self, delivery_ids: Iterable[str]) -> list[Delivery]:
        """The deliveries of these ids that are on record, in this order."""
        wanted = list(delivery_ids)
        # Read at one moment, for packing moves the attempts into the hash.
        found = read_together(
            self.redis,
            *(
                read
                for one in wanted
                for read in (("HGETALL", keys.DELIVERY + one), ("LRANGE", keys.ATTEMPTS + one, 0, -1))
            ),
        )
        read = zip(wanted, found[::2], found[1::2], strict=True)
        return [
            codec.delivery_from_hash(_with_id(one, as_hash(kept)), attempts) for one, kept, attempts in read if kept
        ]

    @guarded
    def page(self, index: str, *, before: str | None = None, since: str | None = None, limit: int = 50) -> list[str]:
        """Ids of an index, newest first. before: the cursor, the last id of the page above; since: a lower bound."""
        newest, oldest = f"({before}" if before else "+", f"[{since}" if since else "-"
        found: Any = self.redis.zrange(index, newest, oldest, desc=True, bylex=True, offset=0, num=limit)
        return [member.decode() for member in found]

    @guarded
    def unresolved_uncertain(self) -> int:
        """Number of uncertain deliveries that only a person can decide."""
        return self.size(keys.UNDECIDED)

    @guarded
    def unresolved_dead(self) -> int:
        """Number of dead deliveries that nobody has replayed, cancelled, given up or left as they are."""
        return self.size(keys.BURIED)

    @guarded
    def unresolved_rejected(self) -> int:
        """Number of rejected events that nobody has replayed or left as they are."""
        return self.size(keys.UNMENDED)

    @guarded
    def is_unresolved_dead(self, delivery_id: str) -> bool:
        """Whether a dead delivery is unresolved."""
        return self.redis.zscore(keys.BURIED, delivery_id) is not None

    @guarded
    def is_unresolved_rejected(self, event_id: str) -> bool:
        """Whether a rejected event is unresolved."""
        return self.redis.zscore(keys.UNMENDED, event_id) is not None

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
        """Ids of the events with this key of a person (persons.py)."""
        found: Any = self.redis.zrange(keys.PERSON_INDEX + person_key, 0, -1)
        return [member.decode() for member in found]

    @guarded
    def event_count(self) -> int:
        """Number of events on record."""
        return self.size(keys.EVENTS)

    @guarded
    def size(self, index: str) -> int:
        """Number of ids in an index."""
        count: Any = self.redis.zcard(index)
        return int(count)

    @guarded
    def counts(self) -> Ledger:
        """Every number that must agree, read at one moment."""
        return read_ledger(self.redis)

    @guarded
    def behind(self, delivery: Delivery) -> list[str]:
        """Ids of the deliveries that wait until this one is final, the next one first; none without an order.

        At most MOST_BEHIND.
        """
        order = codec.order_key(delivery)
        if not order or delivery.state in FINAL:
            return []
        found: Any = self.redis.zrangebylex(keys.ORDER + order, f"({delivery.id}", "+", start=0, num=MOST_BEHIND)
        return [member.decode() for member in found]

    @guarded
    def replaced(self, delivery_ids: Sequence[str]) -> dict[str, str]:
        """The replay of each of these deliveries that was replayed."""
        with self.redis.pipeline(transaction=False) as pipeline:
            for one in delivery_ids:
                pipeline.hget(keys.DELIVERY + one, "replayed_by")
            answers: list[Any] = pipeline.execute()
        return {one: kept.decode() for one, kept in zip(delivery_ids, answers, strict=True) if kept}

    @guarded
    def newest_unproven(self, source: str, count: int) -> list[str]:
        """Ids of the newest events of a source without proof, newest first; some may be gone."""
        found: Any = self.redis.lrange(keys.UNPROVEN + source, -count, -1)
        return [entry.decode().partition(" ")[2] for entry in reversed(found)]

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


DONE, OVERDUE = Script.load("done"), Script.load("overdue")
OVERDUE_PER_PASS = 500
"""Deliveries found overdue at once: a bound on the use of Redis."""


@dataclass(frozen=True, slots=True)
class Ending:
    """A call of a one-time address, the completion callback. is_first: whether it is the one that counts.

    replayed_by: the replay of a delivery that was dead until this call, which may have started, too.
    """

    delivery_id: str
    is_first: bool
    replayed_by: str | None = None


class Endings:
    """Ends of workflows: completion callbacks, and overdue ones. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def is_known(self, token: str) -> bool:
        """Whether the start of a delivery on record carries the address with this token."""
        return bool(self._redis.hexists(keys.ADDRESSES, digest_of(token)))

    @guarded
    def finish(self, token: str, now: datetime, query: str = "", document_id: Sequence[str] = ()) -> Ending | None:
        """Note a completion callback; None where no delivery on record carries this token.

        It proves that the workflow has started, even if the delivery was uncertain or given up. During a call for the
        delivery, the worker settles its state, and the record holds it to this proof (lua/settle.lua).
        """
        proves = [state for state in states_before(State.STARTED) if state is not State.SENDING]
        argv: list[Argument] = [digest_of(token), to_ms(now), query, json.dumps(list(document_id), ensure_ascii=False)]
        answer: Any = run(self._redis, ScriptCall(DONE, [keys.ADDRESSES], [*argv, len(proves), *proves]))
        return Ending(answer[0].decode(), bool(answer[1]), answer[2].decode() or None) if answer else None

    @guarded
    def note_overdue(self, now: datetime) -> list[str]:
        """Mark deliveries without a completion callback in time as overdue. Returns the new ones."""
        found: Any = run(self._redis, ScriptCall(OVERDUE, [keys.AWAITED], [to_ms(now), OVERDUE_PER_PASS]))
        return [member.decode() for member in found]

    @guarded
    def overdue(self) -> int:
        """Number of overdue deliveries that nobody has left or replayed."""
        count: Any = self._redis.zcard(keys.OVERDUE)
        return int(count)
