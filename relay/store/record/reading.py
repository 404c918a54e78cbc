"""Reading the record: events, deliveries, and how many there are. Writes nothing.

May be called from any process. Methods raise RecordUnavailableError where Redis cannot answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.errors import NotFoundError
from relay.core.events import Delivery, Event
from relay.core.ids import to_ms
from relay.core.phrases import phrase
from relay.store.record import codec
from relay.store.record.ledger import Ledger, read_ledger
from relay.store.record.packing import Hash
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.scripts import as_hash, read_together


class Reading:
    """The record as it is now."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

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
        """The id of the delivery that is on record as having started a workflow."""
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
        # At one moment: packing moves the attempts into the hash.
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

    def _hashes(self, prefix: str, ids: Iterable[str]) -> list[Hash]:
        wanted = list(ids)
        with self.redis.pipeline(transaction=False) as pipeline:
            for one in wanted:
                pipeline.hgetall(prefix + one)
            return [_with_id(one, kept) for one, kept in zip(wanted, pipeline.execute(), strict=True) if kept]


def _with_id(one: str, kept: Hash) -> Hash:
    return {**kept, b"id": one.encode()}
