"""The commands that deal with many: what failed in groups, and an act on all that a filter finds."""

from __future__ import annotations

import argparse
import json
import secrets
import time

from relay.cli.commands import acts_here, agreed, settings_here
from relay.cli.events import filter_named
from relay.cli.terminal import MOMENT, busy, progress
from relay.core.faults import from_text
from relay.core.lifecycle import BulkAct
from relay.core.printing import say
from relay.health.words import sentence_of_group
from relay.operations.bulk_replay import LEASE, PAUSE_S, BulkReplays
from relay.operations.operator_acts import RefusedError
from relay.store import Store
from relay.store.operators.audit_log import who_in_terminal
from relay.store.operators.bulk_replays import Bulk, BulkState
from relay.store.record.search import WAITING_FOR_A_PERSON, Filter


def needs(options: argparse.Namespace) -> int:
    """Print what failed and waits for a person, one group a line. Returns 1 if there is anything."""
    groups = Store.open(settings_here().redis_url).open_issues.groups()
    for group in groups:
        if options.json:
            say(json.dumps(group.to_wire(), ensure_ascii=False))
        else:
            say(f"{sentence_of_group(group)}; last {group.last_seen:{MOMENT}}, such as {group.newest}")
    if not groups and not options.json:
        say("nothing waits for a person")
    return 1 if groups else 0


def bulk(options: argparse.Namespace) -> int:
    """Count, ask, and do it; 1 where something was skipped or nothing was done."""
    wanted = _filter(options)
    settings, act = settings_here(), BulkAct(options.act)
    store = Store.open(settings.redis_url)
    replays = BulkReplays(store, acts_here(settings, store))
    try:
        with busy("counting"):
            found = replays.dry_run(wanted, act)
    except RefusedError as error:
        options.parser.error(str(error))
    say(f"{found.found} found" + "".join(f"\n{one}" for one in found.sample))
    if options.dry_run or not found.found:
        return 0
    if not options.yes and not agreed(f"{options.act} all of them?"):
        say("nothing was done", error=True)
        return 1
    begun = replays.begin(wanted, options.rules, who_in_terminal(), act=act, note=options.note)
    done = _followed(replays, begun.id or "")
    for why, count in done.skipped.items():
        say(f"{count} skipped: {from_text(why)}")
    say(f"{done.id} {done.state}: {done.replayed} done, {done.refused} skipped")
    return 0 if done.state is BulkState.FINISHED and not done.refused else 1


def _filter(options: argparse.Namespace) -> Filter:
    wanted = filter_named(options, "source", "rule", "portal", "code", "fault", "needs")
    if wanted.needs and wanted.state not in WAITING_FOR_A_PERSON:
        options.parser.error(f"--needs: expected with --state {', '.join(WAITING_FOR_A_PERSON)}")
    if options.act != BulkAct.REPLAY and not options.note and not options.dry_run:
        options.parser.error(f"--note: expected with {options.act}: why, for the log")
    return wanted


def _followed(replays: BulkReplays, bulk_id: str) -> Bulk:
    """Work on it until it has ended, in turn with the web process, whichever comes first."""
    holder = secrets.token_hex(8)
    with progress() as begin:
        told = begin("dealt with")
        while (known := replays.read(bulk_id)).state is BulkState.RUNNING:
            told(known.replayed + known.refused, known.found)
            with replays.store.lease(f"bulk:{bulk_id}", holder, LEASE) as is_ours:
                stepped = replays.step(bulk_id) if is_ours else known
            if stepped.cursor == known.cursor and stepped.state is BulkState.RUNNING:
                time.sleep(PAUSE_S)  # there is no room now, or another works on it
    return known
