"""The commands that look at events in a terminal: a list, one whole, and what comes in while somebody watches.

They print; they log nothing and change nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from argparse import ArgumentTypeError
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any

from marshmallow import ValidationError

from relay.cli.commands import archive_here, open_record, open_store, secret_key_of, settings_here
from relay.cli.terminal import BAD, CALM, MOMENT, Line, busy, progress, say_line, styled
from relay.configuration.fields import suggestion
from relay.configuration.settings import Settings
from relay.core.errors import ConfigError, NotFoundError, RelayError
from relay.core.events import Attempt, Delivery, Event
from relay.core.ids import EVENT_PREFIX, utc_now
from relay.core.labels import name_of_reason
from relay.core.lifecycle import FINAL, EventState, State
from relay.core.printing import say
from relay.core.reasons import explain_attempt, explain_reason
from relay.operations.configure import load_config
from relay.operations.filters import read_filter
from relay.operations.unarchive import find_archived
from relay.store import Store
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Record
from relay.store.record.search import Filter, Row, list_events, parse_state, row_of
from relay.web.presenters.typed_times import read_time

AGE = re.compile(r"(\d{1,6})([smhd])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
FOLLOWED_S = 1.0
MOST_AT_ONCE = 200
"""Events that are read at a time."""
MOST_OPEN = 1_000
"""The most deliveries whose end `--follow` waits for; of more, the oldest are dropped."""
NAMES = 12
"""Columns of the names on the left."""
LONGEST_BODY = 20_000
"""Characters of a body that are shown; `--json` has all of it."""


def events(options: argparse.Namespace) -> int:
    """Events, newest first; or as they come. Raises NotFoundError for an unknown name."""
    settings = settings_here(with_record=not options.archive)
    wanted = _filter_of(options, settings)
    if options.follow:
        return _follow(open_store(settings), wanted, options)
    store, limit = None if options.archive else open_store(settings), options.limit
    found = _rows_of(store.record, wanted) if store else iter(archive_here(settings).search(wanted, limit + 1))
    with busy("searching"):
        first = list(islice(found, 1))
    with progress(beside_output=True) as begin:
        told, number = begin("events"), 0
        for number, row in enumerate(islice(chain(first, found), limit), 1):
            _say_row(row, options)
            told(number, None)
    if not first:
        _check_names(options, settings, store)
        if not options.json:
            say("no such event", error=True)
    if next(found, None):
        say(f"... and older ones: --limit above {limit} shows more", error=True)
    return 0


def _rows_of(record: Record, wanted: Filter) -> Iterator[Row]:
    """All of it, read as it is printed."""
    cursor: str | None = None
    while True:
        page = list_events(record, wanted, cursor, MOST_AT_ONCE)
        yield from page.rows
        cursor = page.cursor
        if cursor is None:
            return


def show(options: argparse.Namespace) -> int:
    """One event or delivery, whole. Raises NotFoundError."""
    is_event = options.id.startswith(EVENT_PREFIX)
    if options.archive:
        with busy("searching the archive"):
            row = find_archived(archive_here(settings_here(with_record=False)), options.id)
    else:
        record = open_record()
        row = row_of(record, record.event(options.id if is_event else record.delivery(options.id).event_id))
    if not is_event:
        row = Row(row.event, tuple(one for one in row.deliveries if one.id == options.id))
    if options.json:
        say(json.dumps(_row_wire(row), ensure_ascii=False))
    else:
        for line in whole(row):
            say_line(line)
    return 0


def _filter_of(options: argparse.Namespace, settings: Settings) -> Filter:
    wanted = filter_named(options, "source", "rule", "portal")
    if not options.person:
        return wanted
    key = secret_key_of(settings)
    if not key:
        raise RelayError("RELAY_SECRET_KEY is needed: without it, what rules extracted is not found")
    return replace(wanted, person_key=PersonIndex(key).key_of(options.person))


def filter_named(options: argparse.Namespace, *names: str) -> Filter:
    """The filter of a command's options: state, since, and these. Ends the process with 2 for a wrong one."""
    given = {name: getattr(options, name) for name in names}
    since = options.since.isoformat() if options.since else None
    try:
        return read_filter(given | {"state": options.state, "since": since})
    except ValidationError as error:
        parser: argparse.ArgumentParser = options.parser
        name, messages = next(iter(error.messages_dict.items()))
        parser.error(f"--{name}: {' '.join(messages)}")


def _check_names(options: argparse.Namespace, settings: Settings, store: Store | None) -> None:
    """Check the names of a filter that found nothing. store: None for the archive.

    A source that is no longer configured is a right name while any of its events are on record.
    """
    known: dict[str, Collection[str]] = {"source": (), "rule": (), "portal": ()}
    with suppress(ConfigError):  # the record may be looked at where there is no configuration
        config = load_config(settings.config, None)
        known = {
            "source": config.sources,
            "rule": [rule.name for rule in config.rules.all()],
            "portal": config.portals,
        }
    for kind, names in known.items():
        name = getattr(options, kind)
        if name is not None and name not in names and not (store and _is_on_record(store, kind, name)):
            raise NotFoundError(f"no {kind} {name!r}{suggestion(name, names)}")


def _is_on_record(store: Store, kind: str, name: str) -> bool:
    if kind == "source":
        return store.statistics.of_sources([name])[name].size > 0
    return store.record.is_known(kind, name)


def _follow(store: Store, wanted: Filter, options: argparse.Namespace) -> int:
    """Print each event that comes from now on, and then how each of its deliveries ends, until Ctrl-C."""
    record = store.record
    _check_names(options, settings_here(), store)
    known = _ids(list_events(record, wanted, limit=MOST_AT_ONCE).rows, wanted)
    awaited: dict[str, Delivery] = {}
    if not options.json:
        say("following; Ctrl-C ends it", error=True)
    with suppress(KeyboardInterrupt):
        while True:
            rows = list_events(record, wanted, limit=MOST_AT_ONCE).rows
            fresh = _fresh(rows, known, wanted)
            known = _ids(rows, wanted)
            if len(fresh) >= MOST_AT_ONCE:
                say("... more came at once than is shown", error=True)
            for row in fresh:
                _say_row(row, options)
                awaited |= {one.id: one for one in row.deliveries if one.state not in FINAL}
            if not options.json:
                _say_ends(record, awaited)
            for delivery_id in list(awaited)[:-MOST_OPEN]:
                del awaited[delivery_id]
            time.sleep(FOLLOWED_S)
    return 0


def _fresh(rows: Sequence[Row], known: Collection[str], wanted: Filter) -> list[Row]:
    """The rows that the look before did not see, oldest first. An id may be recorded after a younger one.

    An id older than all that were seen then is not new: younger ones have been dropped from the look since.
    """
    oldest = min(known) if len(known) >= MOST_AT_ONCE else ""

    def is_new(one: Event | Delivery) -> bool:
        return one.id not in known and one.id > oldest

    if not wanted.is_of_deliveries:
        return [row for row in reversed(rows) if is_new(row.event)]
    # Of one event, another delivery may come to what is asked for later.
    fresh = (Row(row.event, tuple(filter(is_new, row.deliveries))) for row in reversed(rows))
    return [row for row in fresh if row.deliveries]


def _ids(rows: Sequence[Row], wanted: Filter) -> set[str]:
    """The ids of the listed events or deliveries."""
    return {one.id for row in rows for one in (row.deliveries if wanted.is_of_deliveries else (row.event,))}


def _say_ends(record: Record, awaited: dict[str, Delivery]) -> None:
    """Print each delivery whose state has changed, and stop waiting for a final one."""
    for now in record.deliveries(list(awaited)):
        if now.state is not awaited[now.id].state and now.state is not State.SENDING:
            say_line([(f"{'':25}{now.event_id}  ", CALM), *outcome_of(now)], flush=True)
        if now.state in FINAL:
            del awaited[now.id]
        elif now.state is not State.SENDING:
            awaited[now.id] = now


def _say_row(row: Row, options: argparse.Namespace) -> None:
    if options.json:
        say(json.dumps(_row_wire(row), ensure_ascii=False), flush=options.follow)
    else:
        say_line(row_line(row), flush=options.follow)


def state_named(text: str) -> EventState | State:
    """The state of either kind that this names. Raises ArgumentTypeError."""
    state = parse_state(text)
    if state is None:
        known = [one.value for kind in (State, EventState) for one in kind]
        raise ArgumentTypeError(f"no state {text!r}{suggestion(text, known)}")
    return state


def since(text: str) -> datetime:
    """The past time of an age such as 90m, or of a time as pages take it, such as `yesterday 9:00`; in UTC.

    A time without a zone is one of UTC, in which the command line prints. Raises ArgumentTypeError.
    """
    now = utc_now()
    try:
        match = AGE.fullmatch(text)
        found = now - timedelta(**{UNITS[match[2]]: int(match[1])}) if match else read_time(text, now, UTC)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(
            f"{text!r}: expected an age such as 90m, 24h or 7d, or a time such as yesterday or '26.11.2026 14:00'"
        ) from None
    if found > now:
        raise ArgumentTypeError(f"{text!r} is {found:{MOMENT}}, which is still to come: it is {now:{MOMENT}}")
    return found


def _row_wire(row: Row) -> dict[str, Any]:
    return {**row.event.to_wire(), "deliveries": [delivery.to_wire() for delivery in row.deliveries]}


def row_line(row: Row) -> Line:
    """An event in a list: its time, id, source and outcome."""
    event = row.event
    head = (f"{event.received_at:{MOMENT}}  {event.id}  {event.source}  ", "")
    if not row.deliveries:
        return [head, styled(event.state), (f" ({event.reason})" if event.reason else "", CALM)]
    pieces = [head]
    for number, delivery in enumerate(row.deliveries):
        pieces += [("; " if number else "", ""), *outcome_of(delivery)]
    return pieces


def outcome_of(delivery: Delivery) -> Line:
    """A delivery in a few words."""
    end = delivery.watched.state if delivery.watched and delivery.state is State.STARTED else ""
    rest = " ".join(filter(None, [delivery.workflow_id or delivery.reason, end]))
    return [(f"{delivery.rule}: ", ""), styled(delivery.state), (f" {rest}" if rest else "", CALM)]


def whole(row: Row) -> Iterator[Line]:
    """An event with everything that is known of it."""
    yield from _event(row.event)
    for delivery in row.deliveries:
        yield []
        yield from _delivery(delivery)
    if not row.deliveries:
        yield []
        yield [("No call was made from it.", "")]
    yield []
    yield from _request(row.event)


def _event(event: Event) -> Iterator[Line]:
    yield [("event ", CALM), (event.id, "bold"), ("  ", ""), styled(event.state)]
    yield _named("received", f"{event.received_at:{MOMENT}} from {event.source}")
    if event.duplicates:
        yield _named("again", f"{event.duplicates} time{'s' if event.duplicates > 1 else ''}")
    if event.reason:
        yield _named("reason", name_of_reason(event.reason))
        yield from _advice(explain_reason(event.state, event.reason))
    yield from _errors(event.errors)


def _delivery(delivery: Delivery) -> Iterator[Line]:
    call = delivery.call
    yield [
        ("delivery ", CALM), (delivery.id, "bold"), (f"  {delivery.rule} → {call.portal}  ", ""),
        styled(delivery.state),
    ]  # fmt: skip
    if delivery.reason:
        yield _named("reason", name_of_reason(delivery.reason))
        yield from _advice(explain_reason(delivery.state, delivery.reason))
    if delivery.errors:
        yield from _errors(delivery.errors)
        return
    if delivery.workflow_id:
        yield _named("workflow", delivery.workflow_id)
    if delivery.watched:
        yield _named("its end", f"{delivery.watched.state} {delivery.watched.query}".rstrip())
    if delivery.replay_of:
        yield _named("replay of", delivery.replay_of)
    if delivery.next_attempt_at:
        yield _named("next", f"{delivery.next_attempt_at:{MOMENT}}")
    yield from _steps(delivery)
    yield _named("document", " · ".join(call.document_id))
    if call.starts_workflow:
        yield _named("template", str(call.template_id))
    for name, value in call.parameters.items():
        yield [(f"  {name} ", CALM), (_text(value), "")]
    yield from _comment(delivery)
    yield _named("attempts", str(len(delivery.attempts) or "none yet"))
    kinds = {step.name: step.kind for step in delivery.plan.steps} if delivery.plan else {}
    for attempt in delivery.attempts:
        yield _attempt(attempt)
        yield from _advice(explain_attempt(attempt, kinds.get(attempt.step)), indent=6)


def _comment(delivery: Delivery) -> Iterator[Line]:
    if delivery.comment and delivery.call.comment:
        yield _named("comment", " ".join(filter(None, [delivery.comment.state, delivery.comment.reason])))
        yield [("  ", ""), (delivery.call.comment.text, "")]


def _errors(errors: Mapping[str, list[str]]) -> Iterator[Line]:
    """The errors of a rule, by field."""
    for name, messages in errors.items():
        yield [(f"  {name}: ", BAD), (" ".join(messages), "")]


def _steps(delivery: Delivery) -> Iterator[Line]:
    results = {result.name: result for result in delivery.results}
    for step in delivery.plan.steps if delivery.plan else ():
        result = results.get(step.name)
        came_to = f"{result.how} {result.value or ''}".rstrip() if result else "not done yet"
        yield _named("first", f"{step.name}: {step.kind} {step.entity}, {came_to}")


def _attempt(attempt: Attempt) -> Line:
    facts = [
        f"{attempt.duration_ms} ms",
        f"step {attempt.step}" if attempt.step else "",
        f"HTTP {attempt.status}" if attempt.status else "",
        f"in a batch of {attempt.batch_size}" if attempt.batch_size > 1 else "",
        attempt.code or "",
        attempt.description or "",
    ]
    head = f"    {attempt.number}  {attempt.at:{MOMENT}}  "
    return [(head, ""), styled(attempt.verdict), ("  " + ", ".join(filter(None, facts)), "")]


def _request(event: Event) -> Iterator[Line]:
    yield [("request ", CALM), (f"{event.method} {event.content_type}".rstrip(), "")]
    if event.tail:
        yield _named("tail", event.tail)
    if event.query:
        yield _named("query", event.query)
    if event.body_removed_at:
        yield _named("body", f"removed on {event.body_removed_at:%Y-%m-%d}: RELAY_BODY_DAYS is over")
    elif not event.body:
        yield _named("body", "not kept, or empty")
    for line in _body(event).splitlines():
        yield [(f"  {line}", "")]


def _body(event: Event) -> str:
    text = event.body.decode("utf-8", "replace")
    if len(text) <= LONGEST_BODY:
        try:
            return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
        except (ValueError, RecursionError):
            return text
    return f"{text[:LONGEST_BODY]}\n… {len(text) - LONGEST_BODY} characters more: --json has them"


def _named(name: str, value: str) -> Line:
    return [(f"  {name:{NAMES}}", CALM), (value, "")]


def _advice(words: str | None, indent: int = NAMES + 2) -> Iterator[Line]:
    if words:
        yield [(f"{'':{indent}}{words}", CALM)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
