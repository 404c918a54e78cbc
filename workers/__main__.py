"""`python -m workers`: a few RQ workers, each for several portals; beside them the clock and the sweeper, in threads.

Stops gracefully: on SIGTERM or Ctrl-C each worker finishes the call it is in. `ping` checks credentials.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from relay import __version__
from relay.configuration.alerts import Alerting, load_alerting
from relay.configuration.files import names_in
from relay.configuration.mistakes import Mistakes
from relay.configuration.portals import load_portals
from relay.configuration.settings import Settings
from relay.core.errors import ConfigError, RelayError
from relay.core.ids import utc_now
from relay.core.processes import Supervisor
from relay.core.telemetry import configure, get_logger
from relay.core.threads import keep_running
from relay.health.assessment import Thresholds
from relay.health.thresholds import load_thresholds
from relay.store import Store
from relay.store.archive.archive import Archive
from relay.store.operators.audit_log import Act, who_in_terminal
from workers.alerts.messengers import open_channels, open_chats
from workers.alerts.watchman import Watchman
from workers.checks.drift_watch import run_watch
from workers.checks.ping import ping, probe, read_document
from workers.delivery.worker import addresses_of
from workers.maintenance.clock import run_clock
from workers.maintenance.packer import run_packer
from workers.maintenance.retention import Terms, run_retention
from workers.maintenance.servers import watch_servers
from workers.maintenance.sweeper import run_sweeper
from workers.portal.context import Context
from workers.runtime.serving import Found, Serving, children_of

log = get_logger()

DESCRIPTION = "Deliver and repair: sends what is recorded to the portals of config/portals.yaml."
EXAMPLES = """examples:
  python -m workers                 every portal, until Ctrl-C
  python -m workers --portal main   only this portal, e.g. on a host of its own
  python -m workers --burst         work off what is queued, then end
  python -m workers ping            check every credential and rule, starting nothing
  python -m workers pause main      let the deliveries of a portal wait, e.g. while it is under repair
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 where something is wrong, 2 for bad usage."""
    options = build_parser().parse_args(arguments)
    try:
        mistakes = Mistakes()
        only = getattr(options, "only", None) or options.portal
        found = read_configuration(only, mistakes, to_run=options.command is None)
        mistakes.raise_any()
        if options.command is None:
            return _run(found, only, burst=options.burst)
        store = Store.open(found.settings.redis_url, found.settings.replicas)
        store.set_clock()
        contexts = [Context.open(store, address) for address in found.addresses.values()]
        thresholds = load_thresholds(found.settings.config)
        return max([_act(options, context, thresholds) for context in contexts])
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    except RelayError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    """Every command with its help."""
    parser = argparse.ArgumentParser(
        "python -m workers", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"relay {__version__}")
    parser.add_argument("--portal", metavar="NAME", help="serve this portal only")
    parser.add_argument("--burst", action="store_true", help="end when the queues are empty")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    pinger = commands.add_parser("ping", help="check credential, scope, plan, templates and rules; starts nothing")
    pinger.add_argument("only", nargs="?", metavar="PORTAL", help="absent: every portal")
    prober = commands.add_parser("probe", help="start one workflow, to see whether the portal honours our own ids")
    prober.add_argument("only", metavar="PORTAL")
    prober.add_argument("--template", type=int, required=True, metavar="N", help="a harmless one")
    prober.add_argument("--document", required=True, metavar="M,E,ID", help="such as crm,CCrmDocumentLead,LEAD_1")
    for name, text in (("pause", "send nothing until it is resumed"), ("resume", "open a held or paused portal")):
        commands.add_parser(name, help=text).add_argument("only", metavar="PORTAL")
    return parser


def _act(options: argparse.Namespace, context: Context, thresholds: Thresholds) -> int:
    name, now = context.portal.name, context.clock()
    if options.command == "ping":
        return ping(context, thresholds)
    if options.command == "pause":
        context.gate.pause_by_person(now)
        _log(context, "pause")
        print(f"{name}: paused; its deliveries wait. `python -m workers resume {name}` goes on")
        return 0
    if options.command == "resume":
        before = context.gate.look()
        was_closed = context.gate.resume(now)
        _log(context, "resume")
        print(f"{name}: open again" if was_closed else f"{name}: was open")
        if before.paused_before:
            end = f" until {before.paused_until:%Y-%m-%d %H:%M} UTC" if before.paused_until else ""
            print(f"{name}: before the record went back, a person had paused it{end}")
        if held := context.store.operators.bulk_replays.held():
            print(f"orders on many do not go on with this: {', '.join(held)}; see the page Bulk")
        return 0
    document = read_document(options.document)
    if document is None:
        print("--document: expected module,entity,id such as crm,CCrmDocumentLead,LEAD_1", file=sys.stderr)
        return 2
    _log(context, "probe")
    return probe(context, options.template, document)


def _log(context: Context, what: str) -> None:
    """Write down in the audit log what the person at the terminal did."""
    context.store.operators.log(Act(context.clock(), who_in_terminal(), what, context.portal.name, ""))


def _run(found: Found, only: str | None, *, burst: bool) -> int:
    configure("workers")
    settings = found.settings
    store = Store.open(settings.redis_url, settings.replicas, state=settings.state)
    store.begin()
    store.reached(utc_now())
    supervisor = Supervisor(children_of(found.addresses, burst=burst))
    supervisor.listen_for_signals()
    serving = Serving(found, store, supervisor, partial(_watchmen, store))
    tasks: list[tuple[str, Callable[[threading.Event], object]]] = [
        ("sweeper", partial(run_sweeper, store, serving.portals)),
        ("retention", partial(run_retention, store, _terms(settings))),
        ("packer", partial(run_packer, store)),
        ("clock", partial(run_clock, store, serving.names)),
        ("primary", store.follow_primary),
        ("servers", partial(watch_servers, store)),
        ("high-water", store.watch_high_water),
        ("watch", partial(run_watch, serving.contexts)),
    ]
    if not burst:
        tasks.append(("configuration", partial(serving.follow, partial(read_configuration, only, to_run=True))))
    for name, task in tasks:
        keep_running(name, task, supervisor.stopping)
    return supervisor.run()


def _terms(settings: Settings) -> Terms:
    """How long what is kept, as the environment says."""
    body_days = settings.body_days
    return Terms(
        events=timedelta(days=settings.retention_days),
        bodies=timedelta(days=body_days) if body_days else None,
        archive=Archive(settings.archive) if settings.archive else None,
    )


def read_configuration(only: str | None, mistakes: Mistakes, *, to_run: bool) -> Found:
    """The environment, the addresses of the portals or of one, and, if the workers are to run, who is to be told."""
    settings = Settings.from_environment(os.environ, mistakes=mistakes)
    if not settings.config.is_dir():  # which has been noted
        return Found(settings, {}, None)
    addresses = addresses_of(settings, only, mistakes)
    return Found(settings, addresses, _read_alerting(settings, mistakes) if to_run else None)


def _read_alerting(settings: Settings, mistakes: Mistakes) -> Alerting | None:
    portals = names_in(settings.config / "portals.yaml", "portals")
    alerting = load_alerting(settings.config, os.environ, portals=portals, mistakes=mistakes)
    if alerting:
        with mistakes.catching():
            open_channels(alerting)
    return alerting


def _watchmen(store: Store, found: Found) -> list[Watchman]:
    """Who tells persons; nobody where nobody is to be told."""
    settings, addresses, alerting = found.settings, found.addresses, found.alerting
    if alerting is None:
        return []
    portals = load_portals(settings.config / "portals.yaml")
    channels = open_channels(alerting)
    for chat in alerting.chats:
        if chat.portal in addresses:
            # A line of its own: those of the contexts belong to other threads.
            line = Context.open(store, addresses[chat.portal]).client
            channels += open_chats(replace(alerting, chats=(chat,)), {chat.portal: line})
    # Each channel has a thread of its own: one whose receiver hangs silences no other.
    watch = partial(Watchman, store, alerting, list(portals), link=settings.public_url)
    return [watch([channel], lease=f"alerts:{channel.name}") for channel in channels]


if __name__ == "__main__":
    sys.exit(main())
