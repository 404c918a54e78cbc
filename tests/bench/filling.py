"""Fills a record with very many events, each with one delivery that has come to its end, as the scripts would leave it.

One script call writes hundreds at once, for a million must not take an hour. That it writes what the record's own
scripts write is not believed but compared, field by field and index by index: see `check_likeness`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import islice
from typing import Any

from redis import Redis

from relay.core.call import Call
from relay.core.events import Attempt, Delivery, Event
from relay.core.ids import new_delivery_id, new_event_id, to_ms
from relay.core.lifecycle import EventState, State, Verdict
from relay.store.record import codec
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Entry, Record
from relay.store.redis import keys
from relay.store.redis.scripts import Script, run

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
SPREAD = timedelta(days=80)
AT_ONCE = 250
PERSONS = 50_000

# ids, then the fields of one event and one delivery as templates in which @name@ stands for what differs.
WRITE = """
local shape = cjson.decode(ARGV[1])
local function filled(pairs_, values)
  local flat = {}
  for i, text in ipairs(pairs_) do
    flat[i] = i % 2 == 1 and text or (text:gsub('@(%w+)@', values))
  end
  return flat
end
for i = 2, #ARGV do
  local v = cjson.decode(ARGV[i])
  redis.call('HSET', KEY.event .. v.event, unpack(filled(shape.event, v)))
  redis.call('ZADD', KEY.events, 0, v.event)
  redis.call('ZADD', KEY.events_by_state .. 'accepted', 0, v.event)
  redis.call('ZADD', KEY.events_by_source .. v.source, 0, v.event)
  redis.call('ZADD', KEY.marks .. v.mark, 0, v.event)
  redis.call('HSET', KEY.delivery .. v.delivery, unpack(filled(shape.delivery, v)))
  redis.call('ZADD', KEY.deliveries, 0, v.delivery)
  redis.call('ZADD', KEY.deliveries_by_state .. v.state, 0, v.delivery)
  index(v.delivery, 'ZADD')
  redis.call('RPUSH', KEY.attempts .. v.delivery, (shape.attempt:gsub('@(%w+)@', v)))
  if v.state == 'dead' then redis.call('ZADD', KEY.buried, 0, v.delivery) end
  if v.workflow ~= '' then redis.call('HSET', KEY.workflows, v.workflow, v.delivery) end
end
redis.call('SADD', KEY.portals, 'main')
redis.call('HINCRBY', KEY.ledger, 'event:accepted', #ARGV - 1)
redis.call('HINCRBY', KEY.ledger, 'delivery:created', #ARGV - 1)
return #ARGV - 1
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a share of the events is about."""

    source: str
    rule: str
    template_id: int
    code: str


KINDS = (
    Kind("website", "demo-request", 12, "error_no_document"),
    Kind("website", "seed-example", 1, "access_denied"),
    Kind("github", "github-push", 7, "error_wrong_template"),
    Kind("open-form", "open-form-contact", 3, "attempts_spent"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One event to write, as its number says."""

    number: int
    total: int
    dead: int

    @property
    def is_dead(self) -> bool:
        """Spread evenly over the whole time."""
        return self.number * self.dead // self.total != (self.number + 1) * self.dead // self.total

    @property
    def kind(self) -> Kind:
        """Half of the events are of the first kind; the last is rare."""
        place = self.number * 2_654_435_761 % 1000
        return KINDS[0 if place < 500 else 1 if place < 800 else 2 if place < 999 else 3]

    @property
    def at(self) -> datetime:
        return FIRST + SPREAD * (self.number / self.total)

    @property
    def email(self) -> str:
        return f"person{self.number % PERSONS}@example.com"


def entry_of(sample: Sample, persons: PersonIndex) -> Entry:
    """The event and its delivery, still waiting, as the door makes them."""
    kind, at = sample.kind, sample.at
    event_id, delivery_id = new_event_id(at), new_delivery_id(at)
    lead = sample.number % 400_000
    body = json.dumps({"form": "demo", "lead": {"id": lead}, "email": sample.email, "comment": "c" * 200}).encode()
    call = Call(
        "main",
        kind.template_id,
        ("crm", "CCrmDocumentLead", f"LEAD_{lead}"),
        {"Email": sample.email, "Manager": "user_1"},
    )
    event = Event(
        id=event_id,
        source=kind.source,
        state=EventState.ACCEPTED,
        received_at=at,
        method="POST",
        content_type="application/json",
        query="",
        headers={"content-type": "application/json", "user-agent": "a browser", "host": "relay.example.com"},
        body=body,
        deliveries=(delivery_id,),
        person_keys=persons.keys_of([sample.email]),
    )
    delivery = Delivery(delivery_id, event_id, kind.rule, call, State.PENDING, at, at)
    return Entry(event, [delivery])


def attempt_of(sample: Sample) -> Attempt:
    """The one try of the delivery."""
    verdict = Verdict.REJECTED if sample.is_dead else Verdict.STARTED
    code = sample.kind.code.upper() if sample.is_dead else None
    return Attempt(1, sample.at, 120, verdict, 400 if sample.is_dead else 200, code, None)


def workflow_of(sample: Sample) -> str:
    """The id of the workflow that was started; empty where none was."""
    return "" if sample.is_dead else hashlib.sha256(str(sample.number).encode()).hexdigest()[:22]


def write_by_the_scripts(record: Record, sample: Sample, persons: PersonIndex) -> tuple[str, str]:
    """The same through the record's own scripts: recorded, claimed, settled. The ids of event and delivery."""
    entry = entry_of(sample, persons)
    run(record.redis, record.entries_call([entry]))
    (delivery,) = entry.deliveries
    (claimed,) = record.claim(delivery.call.portal, "likeness", sample.at)
    state = State.DEAD if sample.is_dead else State.STARTED
    reason = sample.kind.code if sample.is_dead else None
    workflow_id = workflow_of(sample) or None
    record.settle(claimed, state, sample.at, attempt=attempt_of(sample), reason=reason, workflow_id=workflow_id)
    return entry.event.id, delivery.id


def fill(redis: Redis, samples: Iterator[Sample], persons: PersonIndex) -> int:
    """Write them; how many."""
    written = 0
    script = _script()
    redis.script_load(script.text)
    while group := list(islice(samples, AT_ONCE)):
        values = [values_of(sample, persons) for sample in group]
        written += int(redis.evalsha(script.sha, 0, SHAPE, *(json.dumps(value) for value in values)))
    return written


def values_of(sample: Sample, persons: PersonIndex) -> dict[str, str]:
    """What differs between one event and another."""
    kind, at = sample.kind, sample.at
    return {
        "event": new_event_id(at), "delivery": new_delivery_id(at), "source": kind.source, "rule": kind.rule,
        "template": str(kind.template_id), "lead": str(sample.number % 400_000), "email": sample.email,
        "mark": persons.key_of(sample.email), "at": str(to_ms(at)), "state": "dead" if sample.is_dead else "started",
        "reason": kind.code if sample.is_dead else "", "workflow": workflow_of(sample),
        "attempt": codec.attempt_to_json(attempt_of(sample)),
    }  # fmt: skip


def check_likeness(redis: Redis, persons: PersonIndex) -> None:
    """Compare what `fill` leaves with what the record's scripts leave. Raises AssertionError; empties the server."""
    seen = []
    for number in (4, 5):
        sample = Sample(number, 10, 2)
        for write in ("scripts", "fill"):
            redis.flushall()
            if write == "scripts":
                write_by_the_scripts(Record(redis), sample, persons)
            else:
                fill(redis, iter([sample]), persons)
            seen.append(_contents(redis))
        assert seen[-1] == seen[-2], _difference(seen[-1], seen[-2])
    redis.flushall()


def _contents(redis: Redis) -> dict[str, Any]:
    """Every key of the record and what it holds, with ids made alike, for they are chance. RQ's jobs are left out."""
    found: dict[str, Any] = {}
    (event,), (delivery,) = redis.zrange(keys.EVENTS, 0, 0), redis.zrange(keys.DELIVERIES, 0, 0)
    for key in redis.scan_iter(f"{keys.PREFIX}*"):
        kind = redis.type(key)
        name = key.decode()
        # Of bounded size, or gone after a minute.
        if name.startswith((keys.LEDGER, keys.MINUTE, keys.HOUR, keys.CODES, keys.CLAIM, keys.WAKES)):
            continue
        read = {
            b"hash": redis.hgetall, b"set": redis.smembers, b"zset": lambda k: redis.zrange(k, 0, -1, withscores=True),
            b"list": lambda k: redis.lrange(k, 0, -1), b"string": redis.get,
        }[kind]  # fmt: skip
        text = repr(read(key)) if kind != b"hash" else repr(sorted(read(key).items()))
        for one, word in ((event.decode(), "EVENT"), (delivery.decode(), "DELIVERY")):
            name, text = name.replace(one, word), text.replace(one, word)
        found[name] = text
    return found


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    return "\n".join(
        f"{key}: {one.get(key)} / {other.get(key)}"
        for key in one.keys() | other.keys()
        if one.get(key) != other.get(key)
    )


def _script() -> Script:
    known = Script.load("prune")  # for the shared part and the names of the keys
    own = files("relay.store.redis").joinpath("lua", "prune.lua").read_text("utf-8")
    text = known.text.removesuffix(own) + WRITE
    return replace(known, name="fill", text=text, sha=hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _shape() -> str:
    """The fields of a finished event and delivery, with @name@ for what differs."""
    marks = {"event": "@event@", "delivery": "@delivery@", "source": "@source@", "rule": "@rule@"}
    event = Event(
        id=marks["event"], source=marks["source"], state=EventState.ACCEPTED, received_at=FIRST, method="POST",
        content_type="application/json", query="",
        headers={"content-type": "application/json", "user-agent": "a browser", "host": "relay.example.com"},
        body=b'{"form": "demo", "lead": {"id": @lead@}, "email": "@email@", "comment": "' + b"c" * 200 + b'"}',
        deliveries=(marks["delivery"],), person_keys=("@mark@",),
    )  # fmt: skip
    call = Call("main", 1, ("crm", "CCrmDocumentLead", "LEAD_@lead@"), {"Email": "@email@", "Manager": "user_1"})
    delivery = Delivery(marks["delivery"], marks["event"], marks["rule"], call, State.DEAD, FIRST, FIRST)
    events, deliveries = dict(codec.event_fields(event)), dict(codec.delivery_fields(delivery))
    events["received_at"] = deliveries["created_at"] = deliveries["updated_at"] = "@at@"
    deliveries |= {
        "state": "@state@", "template_id": "@template@", "workflow_id": "@workflow@", "reason": "@reason@",
        "attempts": "1", "turn": "2",
        "call": str(deliveries["call"]).replace('"template_id":1', '"template_id":@template@'),
    }  # fmt: skip
    flat = [[part if isinstance(part, str) else part.decode() if isinstance(part, bytes) else str(part)
             for pair in fields.items() for part in pair] for fields in (events, deliveries)]  # fmt: skip
    return json.dumps({"event": flat[0], "delivery": flat[1], "attempt": "@attempt@"})


SHAPE = _shape()
