"""The command that drafts a rule from an event. Prints its text; writes no file, records nothing."""

from __future__ import annotations

import argparse

from relay.cli.commands import settings_here
from relay.core.errors import NotFoundError, RelayError, UnreadableError, UnsupportedTypeError
from relay.core.printing import say
from relay.operations.configure import load_config
from relay.operations.deciding import contexts_of
from relay.operations.drafting import rule_name, tree_of, whole_draft
from relay.store import Store


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
    tree = tree_of(contexts[0])
    name = options.name or rule_name(source.name, tree, {rule.name for rule in config.rules.all()})
    portal = options.portal or min(config.portals, default="main")
    say(whole_draft(name, source.name, portal, tree, event.id).rstrip("\n"))
    say(
        f"write it to {settings.config}/rules/{name}.yaml, fill in template and parameters, then: rules check",
        error=True,
    )
    return 0
