"""An event and its deliveries as a person reads them in a terminal: a line each in a list, or whole. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from relay.cli.terminal import BAD, CALM, Line, styled
from relay.core.events import Attempt, Delivery, Event
from relay.core.labels import name_of_reason
from relay.core.lifecycle import State
from relay.core.reasons import explain_attempt, explain_reason
from relay.store.record.search import Row

NAMES = 12
"""Columns of the names on the left."""
LONGEST_BODY = 20_000
"""Characters of a body that are shown; `--json` has all of it."""


def row_line(row: Row) -> Line:
    """An event in a list: when, which, from whom, what came of it."""
    event = row.event
    head = (f"{event.received_at:%Y-%m-%d %H:%M:%S}  {event.id}  {event.source}  ", "")
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
    yield _named("received", f"{event.received_at:%Y-%m-%d %H:%M:%S} UTC from {event.source}")
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
        yield _named("next", f"{delivery.next_attempt_at:%Y-%m-%d %H:%M:%S} UTC")
    yield from _steps(delivery)
    yield _named("document", " · ".join(call.document_id))
    if call.starts_workflow:
        yield _named("template", str(call.template_id))
    for name, value in call.parameters.items():
        yield [(f"  {name} ", CALM), (_text(value), "")]
    yield _named("attempts", str(len(delivery.attempts) or "none yet"))
    kinds = {step.name: step.kind for step in delivery.plan.steps} if delivery.plan else {}
    for attempt in delivery.attempts:
        yield _attempt(attempt)
        yield from _advice(explain_attempt(attempt, kinds.get(attempt.step)), indent=6)


def _errors(errors: Mapping[str, list[str]]) -> Iterator[Line]:
    """What a rule lacked, by field."""
    for name, messages in errors.items():
        yield [(f"  {name}: ", BAD), (" ".join(messages), "")]


def _steps(delivery: Delivery) -> Iterator[Line]:
    results = {result.name: result for result in delivery.results}
    for step in delivery.plan.steps if delivery.plan else ():
        result = results.get(step.name)
        came_to = f"{result.how} {result.value or ''}".rstrip() if result else "not done yet"
        yield _named("first", f"{step.name}: {step.kind} {step.entity}, {came_to}")


def _attempt(attempt: Attempt) -> Line:
    told = [
        f"{attempt.duration_ms} ms",
        f"step {attempt.step}" if attempt.step else "",
        f"HTTP {attempt.status}" if attempt.status else "",
        f"in a batch of {attempt.batch_size}" if attempt.batch_size > 1 else "",
        attempt.code or "",
        attempt.description or "",
    ]
    head = f"    {attempt.number}  {attempt.at:%Y-%m-%d %H:%M:%S}  "
    return [(head, ""), styled(attempt.verdict), ("  " + ", ".join(filter(None, told)), "")]


def _request(event: Event) -> Iterator[Line]:
    yield [("request ", CALM), (f"{event.method} {event.content_type}".rstrip(), "")]
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
