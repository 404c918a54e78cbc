"""The commands that check the rules, or try one, in a terminal. Prints; logs nothing, records nothing."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from relay.cli.commands import open_record
from relay.configuration.alerts import load_alerting
from relay.configuration.files import Mistakes, names_in
from relay.core.errors import NotFoundError, RelayError
from relay.core.plan import Call, StepKind
from relay.core.printing import say
from relay.operations.configure import load_config
from relay.operations.preview import Prospect, RulePreview, StepPreview, read_given, try_event, try_rules
from relay.rules import Rule
from relay.sources.loading import warn_of_secrets


class AnySecret(Mapping[str, str]):
    """An environment in which every secret is set: rules are checked where no secret is at hand, such as in CI."""

    def __getitem__(self, name: str) -> str:
        if name.endswith("_FILE"):
            raise KeyError(name)
        return "b25seSBjaGVja2VkIGZvciBiZWluZyB0aGVyZQ=="  # base64, for a source may want that

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def check_rules(options: argparse.Namespace) -> int:
    """Every mistake of the named folders or rule files, a line each, and what is weak of secrets that are set here."""
    mistakes, paths = Mistakes(), [Path(path) for path in options.paths or [config_folder()]]
    rules = sum(_check(path, mistakes) for path in paths)
    for mistake in mistakes:
        say(mistake)
    for folder in dict.fromkeys(path if path.is_dir() else config_folder() for path in paths):
        for warning in warn_of_secrets(folder / "sources.yaml", os.environ):
            say(f"warning: {warning}", error=True)
    if not mistakes:
        say(f"{rules} rule{'s' if rules != 1 else ''}: no mistakes")
    return 1 if mistakes else 0


def try_rule(options: argparse.Namespace) -> int:
    """The call that a rule makes of a body or an event, or the errors by field. Changes nothing."""
    if options.event:
        if options.body or options.header:
            options.refuse("--event brings its own body and headers")
        return _try_on_event(options)
    if not options.rule or not options.body:
        options.refuse("expected RULE and BODY.json, or --event ID")
    config = load_config(config_folder(), None)
    rule = config.rules.get(options.rule)
    headers = [(name.strip(), value.strip()) for name, _, value in (text.partition(":") for text in options.header)]
    content_type = {name.lower(): value for name, value in headers}.get("content-type", "application/json")
    given = read_given(options.given, [rule])
    body = _read_body(options.body)
    every = try_rules(config.sources[rule.source], [rule], content_type, body, dict(headers), given=given)
    if not every:
        say(f"the rule {rule.name} sees nothing: this is an empty batch")
    return max((_say_tried(rule, tried) for tried in every), default=1)


def _try_on_event(options: argparse.Namespace) -> int:
    """One rule, or every rule of the event's source; 0 where any of them makes a call. Raises NotFoundError."""
    config, event = load_config(config_folder(), None), open_record().event(options.event)
    if event.source not in config.sources:
        raise NotFoundError(f"the source {event.source} of {event.id} is no longer configured")
    if event.body_removed_at:
        raise RelayError(f"the body of {event.id} was removed: RELAY_BODY_DAYS is over")
    rules = [config.rules.get(options.rule)] if options.rule else config.rules.for_source(event.source)
    for rule in rules:
        if rule.source != event.source:
            raise RelayError(f"the rule {rule.name} is for the source {rule.source}: {event.id} is of {event.source}")
    every = try_event(config.sources[event.source], rules, event, read_given(options.given, rules))
    if not every:
        say(f"no rule is for the source {event.source}")
    return min((_say_tried(config.rules.get(tried.rule), tried) for tried in every), default=1)


def _say_tried(rule: Rule, tried: RulePreview) -> int:
    if not tried.matches:
        say(f"the rule {rule.name} does not want this: its `when` does not hold")
        return 1
    if tried.call is None:
        say(json.dumps({"errors": tried.errors}, ensure_ascii=False, indent=2))
        return 1
    for number, step in enumerate(tried.steps, 1):
        _say_step(number, step, tried.call.portal)
    if tried.call.starts_workflow and not any(step.prospect is Prospect.STOPS for step in tried.steps):
        say(f"bizproc.workflow.start on portal {tried.call.portal}:", error=True)
        say(json.dumps(start_arguments(tried.call), ensure_ascii=False, indent=2))
        if watch := rule.policy.watch:
            say(f"and {watch.parameter}: a one-time address, made for each delivery", error=True)
    return 0


def _say_step(number: int, foreseen: StepPreview, portal: str) -> None:
    step = foreseen.step
    what = "fire a trigger" if step.kind is StepKind.TRIGGER else f"{step.kind} a {step.entity}"
    then = {
        Prospect.UNKNOWN: "",
        Prospect.GIVEN: f", given {foreseen.value}",
        Prospect.INSTEAD: f", nothing: {foreseen.value} instead",
        Prospect.NOTHING: ", nothing",
        Prospect.TAKEN: f", not made: {step.unless} is {foreseen.value}",
        Prospect.STOPS: ", nothing: the delivery ends here",
    }[foreseen.prospect]
    say(f"{number}. {step.name}: {what}, {step.method} on portal {portal}{then}", error=True)
    say(json.dumps(dict(foreseen.fields), ensure_ascii=False, indent=2))


def start_arguments(call: Call) -> dict[str, Any]:
    """A call in Bitrix24's own words, as `bizproc.workflow.start` takes it."""
    wire = call.to_wire()
    return {name.upper(): wire[name] for name in ("template_id", "document_id", "parameters")}


def config_folder() -> Path:
    """The configuration folder."""
    return Path(os.environ.get("RELAY_CONFIG") or "config")


def _check(path: Path, mistakes: Mistakes) -> int:
    """The number of rules in a folder or file; mistakes in it, and in what stands around it, are added."""
    folder = path if path.is_dir() else config_folder()
    # Where it is not set, this may be another machine than the relay's.
    base = os.environ.get("RELAY_PUBLIC_URL") or None
    config = load_config(folder, None, mistakes, rules=None if path.is_dir() else path, base=base)
    sources, portals = (names_in(folder / f"{kind}.yaml", kind) for kind in ("sources", "portals"))
    load_alerting(folder, AnySecret(), sources, portals, mistakes)
    return len(config.rules.all())


def _read_body(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise RelayError(f"{name}: {error.strerror}") from None
