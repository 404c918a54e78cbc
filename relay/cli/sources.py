"""The commands about senders: which there are, what to enter at one, whether a sample gets through. Prints only."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from relay.cli.commands import settings_here
from relay.cli.rule_commands import config_folder
from relay.configuration.fields import suggestion
from relay.configuration.files import Mistakes
from relay.configuration.settings import Settings
from relay.core.errors import NotFoundError, UnsignableError
from relay.core.ids import iso, utc_now
from relay.core.lifecycle import State
from relay.core.printing import say
from relay.operations.configure import load_config
from relay.operations.ingest import near_misses
from relay.operations.operator_acts import OperatorActs
from relay.operations.replay import Replayer
from relay.operations.sampling import Answered, Fate, SampleTracker, post, sample_of
from relay.runtime.secret_file import kept_secrets
from relay.sources import Source, load_sources
from relay.sources.answers import NAMED
from relay.sources.loading import OWN_PROFILES, Profile, Profiles
from relay.sources.proof.verifier import words_of
from relay.sources.recognition import UNKNOWN, likenesses
from relay.store import Store
from relay.store.operators.audit_log import who_in_terminal

SHOWN = 500
"""Characters of an answer that are printed."""


def list_sources(_options: argparse.Namespace) -> int:
    """Every source: how it proves itself, when it was heard last, and what is wrong with it."""
    settings = settings_here()
    config, store = load_config(settings.config, None), Store.open(settings.redis_url)
    presence = store.statistics.of_sources(list(config.sources))
    for source in config.sources.values():
        newest = presence[source.name].newest
        say(source.name + (f" ({source.profile})" if source.profile else ""))
        say(f"  address: {_address(settings, source.name)}")
        say(f"  proof: {words_of(source.verifier)}")
        say(f"  last event: {iso(newest)[:19] if newest else 'never'}")
        for problem in _problems(store, source, has_rules=bool(config.rules.for_source(source.name))):
            say(f"  problem: {problem}")
    return 0


def show_profile(options: argparse.Namespace) -> int:
    """What a profile says and what to enter at the sender; without a name, every profile. Raises NotFoundError."""
    profiles, mistakes = Profiles(config_folder() / OWN_PROFILES), Mistakes()
    if options.profile is None:
        for name in profiles.names:
            if profile := profiles.get(name, mistakes):
                say(f"{name:20} {profile.title}")
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
    """Send a signed sample through the door; 0 where it got through and everything that it made came to its end."""
    settings, now = settings_here(), utc_now()
    environ = {**kept_secrets(Path("var") / "secrets.env"), **os.environ}
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
            _say_steps(profile, source, settings)
        return 1
    watch = SampleTracker(store, source.name, now)
    answer = post(webhook, address, source.name)
    _say_answer(answer)
    return _say_fate(watch.wait(), answer)


def guess_sender(options: argparse.Namespace) -> int:
    """Which sender the event of an inbox looks like; 1 where none. Raises NotFoundError."""
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
    """Forget the secret that a sender gave. Raises RelayError where there is none."""
    settings = settings_here()
    store, config = Store.open(settings.redis_url), load_config(settings.config, None)
    _one(config.sources, options.source)
    acts = OperatorActs(store, Replayer(store.record, config.sources, config.rules, None))
    acts.forget_secret(options.source, who_in_terminal())
    say(f"forgotten: let the sender of {options.source} set its webhook up again")
    return 0


def _one(sources: Mapping[str, Source], name: str) -> Source:
    if name not in sources:
        raise NotFoundError(f"no source {name!r}{suggestion(name, sources)}")
    return sources[name]


def _problems(store: Store, source: Source, *, has_rules: bool) -> list[str]:
    """What keeps its events from becoming workflows, as far as the record tells."""
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
        _say_steps(profile, None, settings)
    for source in users:
        _say_steps(profile, source, settings)
    budget = f"{profile.budget_s:g} s" if profile.budget_s else "its documentation does not say how long"
    for name, text in (
        ("proves itself", words_of(profile.verifier)),
        ("waits for an answer", budget),
        ("repeats", profile.repeats),
        ("a repeat is known by", profile.dedup_words),
        ("a payload lacks", profile.thin or "nothing"),
    ):
        say(f"{name + ':':22} {text}")
    say("\n".join(["", "from:", *(f"  {link}" for link in profile.docs)]))


def _say_steps(profile: Profile, source: Source | None, settings: Settings) -> None:
    """The steps, with the address of this relay and the names of the variables."""
    name = source.name if source else profile.name
    default = f"SOURCE_{profile.name.upper().replace('-', '_')}"
    variables = {"secret": f"{default}_SECRET", **{one: f"{default}_{one.upper()}" for one in NAMED}}
    variables |= {"url": _address(settings, name), **(source.variables if source else {})}
    if source:
        say(f"The source {source.name}:")
    for number, step in enumerate(profile.steps, 1):
        text = step
        for word, value in variables.items():
            text = text.replace(f"{{{word}}}", value)
        # A program to paste begins a line of its own.
        say(f"{number}.\n{text}" if "\n" in text else f"{number}. {text}")
    say("")


def _say_answer(answer: Answered) -> None:
    say(f"answer: {answer.status} {answer.content_type}")
    if answer.body:
        say("\n".join(f"  {line}" for line in answer.body[:SHOWN].splitlines()))


def _say_fate(fate: Fate, answer: Answered) -> int:
    """What became of it; 0 where it got through."""
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
