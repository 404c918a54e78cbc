"""Every page in Russian, over a record with every fault, reason, alert and act: no English but names and codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from xml.etree.ElementTree import Element

from relay.core.catalogue import BODIES, NEAR_MISSES, NOTES, SKIPPED, VALUES
from relay.core.errors import Mistake
from relay.core.faults import Fault, as_text
from relay.core.ids import utc_now
from relay.core.labels import REASONS
from relay.core.lifecycle import EventState, State
from relay.core.phrases import Moment
from relay.operations.ingest import PROOF
from relay.store import Store
from relay.store.operators.audit_log import Act, log_act
from relay.store.operators.bulk_replays import Bulk, BulkState
from relay.store.portals.gate import Gate
from relay.store.redis import keys
from relay.web.presenters.audit import DEEDS
from tests.support.making import bring_to, hold, make_entry, write
from tests.support.pages import SAME, Page
from tests.watching.words.test_uncertain_wording import ALERTS

RUSSIAN = {"Accept-Language": "ru"}
PLACE = re.compile(r"%\((\w+)\)s")
CODE = {"code", "pre", "script", "style", "textarea", "option", "svg", "kbd", "samp"}
"""What stands in these is as somebody has written it."""
WORDS = "the is are was of and or to not has have with for it in no be by on at this that until open dead done found"
ENGLISH = re.compile(rf"(?<![\w-])({'|'.join(WORDS.split())})(?![\w-])")
NOT_OURS = ("mono", "wire", "masked")
"""Classes of ids, names and payloads."""


def fault_of_every_value(code: str, message: str) -> Fault:
    names = set(PLACE.findall(message))
    values = {name: Moment(utc_now()) if name in {"until", "opened"} else "7" for name in names}
    return Fault(code, values)


def fill(record, redis) -> list[str]:
    """Everything that pages have words for; the events whose pages say much."""
    store, now = Store(redis), utc_now()
    gate = Gate(redis, "main")
    for kind, values in ALERTS:
        gate.alert(kind, now, **values)
    for what in DEEDS:
        log_act(redis, Act(now, "operator", what, "main", ""))
    for code, message in NOTES.items():
        log_act(redis, Act(now, "operator", "replay", "main", "", fault_of_every_value(code, message)))
    errors = {f"field{n}": [fault_of_every_value(code, text)] for n, (code, text) in enumerate(VALUES.items())}
    rejected = make_entry([], state=EventState.REJECTED, at=now)
    write(record, replace(rejected, event=replace(rejected.event, reason="rule_not_filled", errors=errors)))
    for code, text in BODIES.items():
        entry = make_entry([], state=EventState.REJECTED, at=now)
        write(record, replace(entry, event=replace(entry.event, reason=fault_of_every_value(code, text))))
    for code, text in NEAR_MISSES.items():
        entry = make_entry([], state=EventState.REFUSED, at=now)
        near = {PROOF: [fault_of_every_value(code, text)]}
        write(record, replace(entry, event=replace(entry.event, reason="token_mismatch", errors=near)))
    skipped = {as_text(fault_of_every_value(code, text)): 1 for code, text in SKIPPED.items()}
    store.operators.bulk_replays.keep(Bulk("rpl_1", BulkState.FINISHED, "original", skipped=skipped))
    wrong = Fault("missing", {"expected": Fault("expected_text")})
    store.files.say_waiting("workers@here", [Mistake("rules/a.yaml", 6, wrong, ("start",))], now)
    made = []
    for state, reason in product((State.DEAD, State.UNCERTAIN), REASONS):
        made.append(bring_to(record, state, now))
        redis.hset(keys.DELIVERY + made[-1].id, "reason", reason)
    hold(redis, "main", "expired_token", now)
    return [rejected.event.id, *(one.event_id for one in made)]


def texts(element: Element) -> Iterator[str]:
    """What a reader sees that is ours."""
    is_ours = element.tag not in CODE and not set(element.attrib.get("class", "").split()) & set(NOT_OURS)
    if is_ours:
        yield element.text or ""
        for name in ("title", "aria-label", "placeholder"):
            yield element.attrib.get(name, "")
        for child in element:
            yield from texts(child)
    yield element.tail or ""


PATHS = (
    "/", "/events", "/events?tab=person", "/needs", "/numbers", "/numbers?by=source",
    "/portals", "/sources", "/rules", "/rules/changes",
    "/rules/try", "/alerts", "/log", "/sessions", "/erase", "/bulk", "/bulk/rpl_1",
)  # fmt: skip


def english_on(client, path, **headers: str) -> list[str]:
    answer = client.get(path, headers=SAME | headers)
    assert answer.status_code == 200, path
    return sorted({text.strip() for text in texts(Page(answer.text).at(".//body")) if ENGLISH.search(text)})


def test_every_word_of_ours_on_a_russian_page_is_russian(operator, record, redis):
    paths = [*PATHS, *(f"/events/{event}" for event in fill(record, redis))]

    in_russian = {path: found for path in paths if (found := english_on(operator, path, **RUSSIAN))}
    in_english = [path for path in paths if not english_on(operator, path)]

    assert (in_russian, in_english) == ({}, [])
