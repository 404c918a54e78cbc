"""The commands about what an operator writes. Rules: check, try, draft, compare, undo. Sources: list, profiles, send a
sample.

They print and log nothing. `undo` writes a file, `sources forget-secret` forgets a secret, and `sources test` sends a
webhook to the running relay.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from relay.cli.commands import open_record, settings_here
from relay.cli.terminal import MOMENT, busy
from relay.configuration.alerts import load_alerting
from relay.configuration.fields import suggestion
from relay.configuration.files import FileSet, Mistakes, names_in
from relay.configuration.settings import Settings
from relay.core.errors import NotFoundError, RelayError, UnreadableError, UnsignableError, UnsupportedTypeError
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.core.plan import Call, StepKind
from relay.core.printing import say
from relay.operations.configure import load_config
from relay.operations.deciding import contexts_of
from relay.operations.drafting import rule_name, tree_of, whole_draft
from relay.operations.editor_schemas import schema_text
from relay.operations.ingest import near_misses
from relay.operations.operator_acts import OperatorActs
from relay.operations.preview import Prospect, RulePreview, StepPreview, read_given, try_event, try_rules
from relay.operations.rule_files import RuleFiles
from relay.operations.sampling import Answered, Fate, SampleTracker, post, sample_of
from relay.rules import Rule
from relay.runtime.secret_file import kept_secrets
from relay.sources import Source, load_sources
from relay.sources.finding import find_profiles
from relay.sources.loading import OWN_PROFILES, Profile, Profiles, warn_of_secrets
from relay.sources.proof.verifier import words_of
from relay.sources.recognition import UNKNOWN, likenesses
from relay.sources.schemas import COUNTRY, KINDS
from relay.store import Store
from relay.store.operators.audit_log import who_in_terminal

SHOWN = 500
"""Characters of an answer that are printed."""


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
    """Print every mistake in the named folders or rule files, one a line, and warn of each weak secret that is set."""
    return check_files([Path(path) for path in options.paths or [config_folder()]])


def check_files(paths: Sequence[Path]) -> int:
    """Print every mistake in these folders or rule files; 1 if there is any."""
    mistakes = Mistakes()
    rules = sum(_check(path, mistakes) for path in paths)
    for mistake in mistakes:
        say(mistake)
    for folder in dict.fromkeys(path if path.is_dir() else config_folder() for path in paths):
        for warning in warn_of_secrets(folder / "sources.yaml", os.environ):
            say(f"warning: {warning}", error=True)
    if not mistakes:
        say(f"{rules} rule{'s' if rules != 1 else ''}: no mistakes")
    return 1 if mistakes else 0


def print_schema(options: argparse.Namespace) -> int:
    """Print the JSON Schema of a kind of file."""
    say(schema_text(options.name).rstrip())
    return 0


def try_rule(options: argparse.Namespace) -> int:
    """The call that a rule makes of a body or an event, or the errors by field. Changes nothing."""
    if options.event:
        if options.body or options.header:
            options.parser.error("--event brings its own body and headers")
        return _try_on_event(options)
    if not options.rule or not options.body:
        options.parser.error("expected RULE and BODY.json, or --event ID")
    config = load_config(config_folder(), None)
    rule = config.rules.get(options.rule)
    headers = options.header
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
        if comment := tried.call.comment:
            how = "people are notified of it" if comment.is_loud else "quietly"
            say(f"and after the start, {how}, in the timeline of the document:", error=True)
            say(json.dumps({"comment": comment.text}, ensure_ascii=False, indent=2))
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


def draft_rule(options: argparse.Namespace) -> int:
    """The YAML of a rule for events like this one, with the paths and types of its values."""
    settings = settings_here()
    config, event = load_config(settings.config, None), Store.open(settings.redis_url).record.event(options.event)
    source = config.sources.get(event.source)
    if source is None:
        raise NotFoundError(f"the source {event.source} of {event.id} is no longer configured")
    try:
        contexts = [] if event.body_removed_at else contexts_of(source, event)
    except (UnreadableError, UnsupportedTypeError) as error:
        raise RelayError(f"{event.id} cannot be read: {error}") from None
    if not contexts:
        raise RelayError(f"{event.id} has nothing to draft from: its body was removed, or it is an empty batch")
    profile = Profiles(settings.config / OWN_PROFILES).get(source.profile or "", Mistakes())
    tree = tree_of(contexts[0], places=profile.places if profile else None)
    name = options.name or rule_name(source.name, tree, {rule.name for rule in config.rules.all()})
    portal = options.portal or min(config.portals, default="main")
    say(whole_draft(name, source.name, portal, tree, event.id).rstrip("\n"))
    say(
        f"write it to {settings.config}/rules/{name}.yaml, fill in template and parameters, then: rules check",
        error=True,
    )
    return 0


def history(options: argparse.Namespace) -> int:
    """The newest changes, a line each; with --text what each has changed."""
    for change in _files(options.rule).history(options.rule, options.limit):
        what = "made" if change.before is None else "removed" if change.after is None else "changed"
        say(f"{change.id}  {change.at:{MOMENT}}  {what} {change.name} ({change.file})  {change.who}")
        if options.text:
            _say_lines(_compared(change.file, change.before, change.after))
    return 0


def undo(options: argparse.Namespace) -> int:
    """Make a file what it was before a change."""
    change = _files(None).undo(options.change, who_in_terminal())
    _say_lines(_compared(change.file, change.before, change.after))
    say(f"{change.file} is as it was before {options.change}; running web processes take it within seconds")
    return 0


def diff(_options: argparse.Namespace) -> int:
    """Print the differences between the files here and those in force, and why files wait; 1 if there are any."""
    settings = settings_here()
    store = Store.open(settings.redis_url)
    last, here = store.files.in_force(), FileSet.read(settings.config)
    if last is None:
        raise RelayError("no web process has put files in force yet: nothing to compare with")
    in_force = FileSet.unpacked(settings.config, last.packed)
    names = here.differences(in_force)
    for name in names:
        _say_lines(_compared(name, _text_in(in_force, name), _text_in(here, name)))
    for waiting in store.files.waiting(utc_now()):
        say(f"{waiting.who} waits since {waiting.since:{MOMENT}}:", error=True)
        for mistake in waiting.mistakes:
            say(f"  {mistake}", error=True)
    if not names:
        say(f"the {len(here.texts)} files are in force since {last.since:{MOMENT}}")
    return 1 if names else 0


def _files(rule: str | None) -> RuleFiles:
    settings = settings_here()
    store = Store.open(settings.redis_url)
    files = RuleFiles(store, settings.config, settings.public_url)
    if rule and not files.history(rule, 1):
        files.read(rule)  # a wrong name is an error, and no empty answer
    return files


def _text_in(files: FileSet, name: str) -> str | None:
    text = files.texts.get(name)
    return None if text is None else text.decode("utf-8", "replace")


def _compared(name: str, before: str | None, after: str | None) -> Iterator[str]:
    old, new = ((text or "").splitlines() for text in (before, after))
    names = [name if text is not None else "nothing" for text in (before, after)]
    return difflib.unified_diff(old, new, f"{names[0]} (before)", f"{names[1]} (after)", lineterm="")


def _say_lines(lines: Iterator[str]) -> None:
    for line in lines:
        say(line)


def list_sources(options: argparse.Namespace) -> int:
    """List every source: its proof, its last event, and its problems. With --profiles, list profiles; 1 if none."""
    if options.profiles is not None:
        return _list_profiles(options)
    if options.kind or options.country:
        options.parser.error("--kind and --country: expected with --profiles")
    settings = settings_here()
    config, store = load_config(settings.config, None), Store.open(settings.redis_url)
    presence = store.statistics.of_sources(list(config.sources))
    for source in config.sources.values():
        newest = presence[source.name].newest
        say(source.name + (f" ({source.profile})" if source.profile else ""))
        say(f"  address: {_address(settings, source.name)}")
        say(f"  proof: {words_of(source.verifier, source.addresses)}")
        say(f"  last event: {format(newest, MOMENT) if newest else 'never'}")
        for problem in _problems(store, source, has_rules=bool(config.rules.for_source(source.name))):
            say(f"  problem: {problem}")
    return 0


def _list_profiles(options: argparse.Namespace) -> int:
    if options.kind and options.kind not in KINDS:
        options.parser.error(f"--kind {options.kind!r}: expected one of {', '.join(KINDS)}")
    if options.country and not COUNTRY.fullmatch(options.country.upper()):
        options.parser.error(f"--country {options.country!r}: expected two letters, such as RU")
    mistakes = Mistakes()
    every = Profiles(config_folder() / OWN_PROFILES).every(mistakes)
    found = find_profiles(every, " ".join(options.profiles), kind=options.kind, country=options.country)
    _say_profiles(found)
    if not found:
        say("no profile has these words: `sources show inbox` takes anything, and says which profile fits", error=True)
    mistakes.raise_any()
    return 0 if found else 1


def _say_profiles(profiles: Sequence[Profile]) -> None:
    """A line each: the name for sources.yaml, the kind, the title with other spellings, and the countries."""
    for profile in profiles:
        others = f" ({', '.join(profile.names)})" if profile.names else ""
        say(f"{profile.name:20} {profile.kind:11} {profile.title}{others} {' '.join(profile.countries)}".rstrip())


def show_profile(options: argparse.Namespace) -> int:
    """Print a profile and what to enter at the sender; without a name, list every profile. Raises NotFoundError."""
    profiles, mistakes = Profiles(config_folder() / OWN_PROFILES), Mistakes()
    if options.profile is None:
        _say_profiles(profiles.every(mistakes))
        mistakes.raise_any()
        return 0
    if not profiles.is_known(options.profile):
        raise NotFoundError(profiles.unknown(options.profile))
    found = profiles.get(options.profile, mistakes)
    mistakes.raise_any()
    if found:
        _describe(found)
    return 0


def test_source(options: argparse.Namespace) -> int:
    """Send a signed sample to the relay; 0 if it got through and each of its deliveries was decided and none died."""
    settings, now = settings_here(), utc_now()
    var = Path("var")  # of `up`
    environ = {**kept_secrets(var / "secrets.env"), "RELAY_SECRETS": str(var / "kept-secrets"), **os.environ}
    source = _one(load_sources(config_folder() / "sources.yaml", environ, only=options.source), options.source)
    store = Store.open(settings.redis_url)
    given = store.senders.secret(source.name) if source.keeps_secret and not source.has_secrets else None
    address = options.url or f"http://{settings.host}:{settings.port}"
    profile = Profiles(config_folder() / OWN_PROFILES).get(source.profile, Mistakes()) if source.profile else None
    try:
        signing = source.with_secret(given.secret) if given else source
        webhook = sample_of(signing, profile, settings.public_url or address.rstrip("/"), now)
    except UnsignableError as error:
        say(f"{error}: send a test from its own settings", error=True)
        if profile:
            say_steps(profile, source, settings)
        return 1
    watch = SampleTracker(store, source.name, now)
    answer = post(webhook, address, source.name)
    _say_answer(answer)
    with busy("waiting for its workflow"):
        fate = watch.wait()
    return _say_fate(fate, answer)


def guess_sender(options: argparse.Namespace) -> int:
    """Guess the sender of an event in an inbox; 1 if no profile fits. Raises NotFoundError."""
    settings = settings_here()
    config, store = load_config(settings.config, None), Store.open(settings.redis_url)
    event = store.record.event(options.event)
    found = likenesses(_one(config.sources, event.source), event, settings.config)
    if found is None:
        raise NotFoundError(f"{event.source} is no inbox: expected an event of a source with profile: inbox")
    for one in found:
        say(f"It looks like {one.profile.title}, by {'; '.join(one.signs)}. In {settings.config / 'sources.yaml'}:\n")
        say(f"{one.profile.entry(one.profile.name)}\n")
        say(f"What to enter at the sender: python -m relay sources show {one.profile.name}\n")
    if not found:
        say(UNKNOWN)
    return 0 if found else 1


def forget_secret(options: argparse.Namespace) -> int:
    """Forget the secret that a sender gave. Raises RelayError if there is none."""
    settings = settings_here()
    store, config = Store.open(settings.redis_url), load_config(settings.config, None)
    _one(config.sources, options.source)
    OperatorActs.of(store, config, None, None).forget_secret(options.source, who_in_terminal())
    say(f"forgotten: let the sender of {options.source} set its webhook up again")
    return 0


def _one(sources: Mapping[str, Source], name: str) -> Source:
    if name not in sources:
        raise NotFoundError(f"no source {name!r}{suggestion(name, sources)}")
    return sources[name]


def _problems(store: Store, source: Source, *, has_rules: bool) -> list[str]:
    """The reasons on record why its events do not become workflows."""
    found = [] if has_rules else ["no rule is for its events"]
    if source.keeps_secret and not source.has_secrets and store.senders.secret(source.name) is None:
        found.append("its sender has given no secret yet: set its webhook up there")
    return found + [f"{count} refused: {words}" for words, count in near_misses(store, source.name).items()]


def _address(settings: Settings, name: str) -> str:
    return f"{settings.public_url or f'http://{settings.host}:{settings.port}'}/hooks/{name}"


def _describe(profile: Profile) -> None:
    """A profile, and what to enter at the sender for the source that uses it."""
    settings = settings_here(with_record=False)
    config = load_config(settings.config, None)
    users = [one for one in config.sources.values() if one.profile == profile.name]
    say(f"{profile.title}\n")
    if not users:
        say(f"No source uses it yet. In {settings.config / 'sources.yaml'}:\n")
        say(f"{profile.entry(profile.name)}\n")
        say_steps(profile, None, settings)
    for source in users:
        say_steps(profile, source, settings)
    budget = f"{profile.budget_s:g} s" if profile.budget_s else "its documentation does not say how long"
    for name, text in (
        ("proves itself", words_of(profile.verifier, profile.addresses)),
        ("waits for an answer", budget),
        ("repeats", profile.repeats),
        ("a repeat is known by", profile.dedup_words),
        ("a payload lacks", profile.thin or "nothing"),
    ):
        say(f"{name + ':':22} {text}")
    for doubt in profile.doubts:
        say(f"{'not certain:':22} {doubt}")
    say("\n".join(["", "from:", *(f"  {link}" for link in profile.docs)]))


def say_steps(profile: Profile, source: Source | None, settings: Settings) -> None:
    """The steps, with the address of this relay and the names of the variables."""
    name = source.name if source else profile.name
    variables = {"url": _address(settings, name), **(source.variables if source else profile.variables(name))}
    if source:
        say(f"The source {source.name}:")
    for number, text in enumerate(profile.filled_steps(variables), 1):
        # A program to paste begins a line of its own.
        say(f"{number}.\n{text}" if "\n" in text else f"{number}. {text}")
    say("")


def _say_answer(answer: Answered) -> None:
    say(f"answer: {answer.status} {answer.content_type}")
    if answer.body:
        say("\n".join(f"  {line}" for line in answer.body[:SHOWN].splitlines()))


def _say_fate(fate: Fate, answer: Answered) -> int:
    """Print the result of the sample. Returns 0 if it got through."""
    for event in fate.events:
        say(f"event: {event.id} {event.state}" + (f" ({event.reason})" if event.reason else ""))
        for name, messages in event.errors.items():
            say(f"  {name}: {' '.join(messages)}")
    for one in fate.deliveries:
        say(f"delivery: {one.id} {one.rule} {one.state} {one.workflow_id or one.reason or ''}".rstrip())
    if fate.repeats:
        say(f"{fate.repeats} repeat{'s' if fate.repeats > 1 else ''} of what is on record: the sample was sent before")
    if fate.probes:
        say("answered as a probe: no event was made")
    if not fate.is_settled:
        say("it still waits: do the workers run?", error=True)
    died = [one for one in fate.deliveries if one.state is State.DEAD]
    is_through = answer.is_success and bool(fate.events or fate.repeats or fate.probes)
    return 0 if is_through and fate.is_settled and not died else 1
