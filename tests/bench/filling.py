"""Fills a record with very many events, each with one delivery that has come to its end, as the scripts would leave it.

One script call writes hundreds at once, for a million must not take an hour. What their hashes hold is learned from one
that the record's own scripts have written; that the rest is as theirs is not believed but compared, field by field and
index by index: see `check_likeness`.
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

from relay.core.events import Attempt, Delivery, Event
from relay.core.ids import new_delivery_id, new_event_id, to_ms
from relay.core.lifecycle import EventState, State, Verdict
from relay.core.plan import Call
from relay.store.record import codec
from relay.store.record.collector import Collector
from relay.store.record.entries import Entry
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Record
from relay.store.redis import keys
from relay.store.redis.scripts import Script

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
SPREAD = timedelta(days=80)
AT_ONCE = 250
PERSONS = 50_000
TEMPLATE = 777_777
"""Stands for what differs, as @name@ does where there is text."""

# The hashes of each state as templates, then what differs of each event.
WRITE = """
local shapes = cjson.decode(ARGV[1])
local function write(key, shape, values)
  local flat = {}
  for i, text in ipairs(shape) do flat[i] = i % 2 == 1 and text or (text:gsub('@(%w+)@', values)) end
  redis.call('HSET', key, unpack(flat))
end
for i = 2, #ARGV do
  local v = cjson.decode(ARGV[i])
  write(KEY.event .. v.event, shapes[v.state].event, v)
  redis.call('ZADD', KEY.events, 0, v.event)
  enter_state(KEY.events_by_state, 'accepted', v.event)
  stand('source:' .. v.source, 1)
  note(KEY.events_by_source .. v.source, v.event)
  redis.call('ZADD', KEY.person_index .. v.mark, 0, v.event)
  count('event:accepted')
  write(KEY.delivery .. v.delivery, shapes[v.state].delivery, v)
  redis.call('ZADD', KEY.deliveries, 0, v.delivery)
  enter_state(KEY.deliveries_by_state, v.state, v.delivery)
  stand('rule:' .. v.rule, 1)
  note_delivery(v.delivery, 'rule', v.rule)
  note_delivery(v.delivery, 'portal', 'main')
  note_delivery(v.delivery, 'template_id', v.template)
  note_delivery(v.delivery, 'reason', v.reason)
  redis.call('ZADD', KEY.deliveries_by_document .. 'LEAD_' .. v.lead, 0, v.delivery)
  redis.call('RPUSH', KEY.attempts .. v.delivery, v.attempt)
  if v.state == 'dead' then redis.call('ZADD', KEY.buried, 0, v.delivery) end
  if v.workflow ~= '' then redis.call('HSET', KEY.workflows, v.workflow, v.delivery) end
  count('delivery:created')
  number('made', v.source, v.rule, 'main', v.template)
  number(v.state == 'dead' and 'dead' or '100', v.source, v.rule, 'main', v.template)
  write_numbers(math.floor(v.at / 3600000))
  numbered = {}
end
write_counts()
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


def entry_of(sample: Sample, persons: PersonIndex, at: datetime | None = None) -> Entry:
    """The event and its delivery, still waiting, as the door makes them. at: if it came at another time."""
    kind, at = sample.kind, at or sample.at
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


def write_by_the_scripts(record: Record, entry: Entry, sample: Sample, workflow_id: str, reason: str) -> None:
    """The same through the record's own scripts: recorded, claimed, settled."""
    Collector(record).record(entry)
    (claimed,) = record.claim("main", entry.event.id, sample.at)
    state = State.DEAD if sample.is_dead else State.STARTED
    record.settle(
        claimed, state, sample.at, attempt=attempt_of(sample), reason=reason or None, workflow_id=workflow_id or None
    )


def fill(redis: Redis, samples: Iterator[Sample], persons: PersonIndex) -> int:
    """Write them into a record in which nothing waits; how many."""
    written = 0
    script, shapes = _script(), json.dumps(_shapes(Record(redis)))
    redis.script_load(script.text)
    while group := list(islice(samples, AT_ONCE)):
        values = [values_of(sample, persons) for sample in group]
        written += int(redis.evalsha(script.sha, 0, shapes, *(json.dumps(value) for value in values)))
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
                reason = sample.kind.code if sample.is_dead else ""
                write_by_the_scripts(Record(redis), entry_of(sample, persons), sample, workflow_of(sample), reason)
            else:
                fill(redis, iter([sample]), persons)
            seen.append(_contents(redis))
        assert seen[-1] == seen[-2], _difference(seen[-1], seen[-2])
    redis.flushall()


def _contents(redis: Any) -> dict[str, Any]:
    """Every key of the record and what it holds, with ids made alike, for they are chance. RQ's jobs are left out."""
    found: dict[str, Any] = {}
    (event,), (delivery,) = redis.zrange(keys.EVENTS, 0, 0), redis.zrange(keys.DELIVERIES, 0, 0)
    # Of bounded size: counts, and what claims leave.
    counts = (keys.LEDGER, keys.HIGH_WATER, keys.MINUTE, keys.HOUR, keys.HOURLY, keys.HOURS_COUNTED)
    for key in redis.scan_iter(f"{keys.PREFIX}*"):
        name = key.decode()
        if name.startswith((*counts, keys.CODES, keys.CLAIM, keys.WAKES)):
            continue
        read = {
            b"hash": lambda k: sorted(redis.hgetall(k).items()), b"set": lambda k: sorted(redis.smembers(k)),
            b"zset": lambda k: redis.zrange(k, 0, -1, withscores=True), b"list": lambda k: redis.lrange(k, 0, -1),
            b"string": redis.get,
        }[redis.type(key)]  # fmt: skip
        text = repr(read(key))
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
    _first, _, rest = own.partition("\n") if own.startswith("#!") else ("", "", own)  # the first line is moved up
    text = known.text.removesuffix(rest) + WRITE
    return replace(known, name="fill", text=text, sha=hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _shapes(record: Record) -> dict[str, dict[str, list[str]]]:
    """By state, the fields of a finished event and delivery as the scripts write them, with @name@ for what differs."""
    shapes = {}
    for number, state in ((4, "dead"), (5, "started")):
        sample = Sample(number, 10, 2)
        entry = _nameless_entry(sample.at)
        workflow_id, reason = ("", "@reason@") if state == "dead" else ("@workflow@", "")
        write_by_the_scripts(record, entry, sample, workflow_id, reason)
        words = {entry.event.id: "@event@", entry.deliveries[0].id: "@delivery@", str(TEMPLATE): "@template@",
                 str(to_ms(sample.at)): "@at@"}  # fmt: skip
        found = {"event": keys.EVENT + entry.event.id, "delivery": keys.DELIVERY + entry.deliveries[0].id}
        shapes[state] = {kind: _with(words, dict[Any, Any](record.redis.hgetall(key))) for kind, key in found.items()}
        record.prune(entry.event.id)
    return shapes


def _with(words: dict[str, str], kept: dict[bytes, bytes]) -> list[str]:
    flat = [part.decode() for pair in kept.items() for part in pair]
    for text, word in words.items():
        flat = [part.replace(text, word) for part in flat]
    return flat


def _nameless_entry(at: datetime) -> Entry:
    """As `entry_of` makes it, with words in the place of what differs."""
    event_id, delivery_id = new_event_id(at), new_delivery_id(at)
    event = Event(
        id=event_id, source="@source@", state=EventState.ACCEPTED, received_at=at, method="POST",
        content_type="application/json", query="",
        headers={"content-type": "application/json", "user-agent": "a browser", "host": "relay.example.com"},
        body=b'{"form": "demo", "lead": {"id": @lead@}, "email": "@email@", "comment": "' + b"c" * 200 + b'"}',
        deliveries=(delivery_id,), person_keys=("@mark@",),
    )  # fmt: skip
    document = ("crm", "CCrmDocumentLead", "LEAD_@lead@")
    call = Call("main", TEMPLATE, document, {"Email": "@email@", "Manager": "user_1"})
    return Entry(event, [Delivery(delivery_id, event_id, "@rule@", call, State.PENDING, at, at)])
