"""`python -m workers`: a few RQ workers, each for several portals. The clock, the sweeper and others run as threads.

On SIGTERM or Ctrl-C each worker finishes its call and ends. `ping` checks credentials.

A change of the files needs no restart: when a portal is new or gone, or its address, pace or credential has changed,
the processes that serve it finish their calls and others take their place. The alerters change likewise. Files with a
mistake change nothing: the record says since when they wait and why. A new portal without a credential is not served
until it has one, and holds up no other.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from relay import __version__
from relay.configuration.alerts import Alerting, load_alerting
from relay.configuration.files import FileSet, FileWatch, Mistakes, names_in
from relay.configuration.portals import load_portals
from relay.configuration.settings import Settings
from relay.core import otel
from relay.core.errors import ConfigError, Mistake, RelayError
from relay.core.faults import Fault
from relay.core.ids import utc_now
from relay.core.telemetry import configure, get_logger
from relay.core.threads import keep_running
from relay.health.assessment import Thresholds, load_thresholds
from relay.runtime.processes import Child, Supervisor
from relay.store import Store
from relay.store.archive.archive import Archive
from relay.store.operators.audit_log import Act, who_in_terminal
from relay.store.operators.kept_files import FileReport
from workers.alerts.alerter import Alerter
from workers.alerts.announcer import Announcer
from workers.alerts.messengers import open_channels, open_chats
from workers.bitrix24.client import CONNECT_TIMEOUT_S, READ_TIMEOUT_S
from workers.checks.drift import run_watch
from workers.checks.editor_schema import print_schema
from workers.checks.ping import ping, probe, read_document
from workers.delivery.worker import addresses_of, work
from workers.maintenance.repair import run_clock, run_sweeper, watch_servers
from workers.maintenance.retention import Terms, run_packer, run_retention
from workers.portal import placing
from workers.portal.context import Context
from workers.portal.credentials import Address, keep_credential

log = get_logger()

DESCRIPTION = "Deliver and repair: sends what is recorded to the portals of config/portals.yaml."
EXAMPLES = """examples:
  python -m workers                 every portal, until Ctrl-C
  python -m workers --portal main   only this portal, e.g. on a host of its own
  python -m workers --burst         work off what is queued, then end
  python -m workers ping            check every credential and rule, starting nothing
  python -m workers schema main     the names of a portal's templates and fields, for an editor of rules
  python -m workers pause main      let the deliveries of a portal wait, e.g. while it is under repair
  python -m workers credential main read the portal's inbound webhook, or its application's client_secret, and keep it
                                    in the folder RELAY_SECRETS
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 where something is wrong, 2 for bad usage."""
    options = build_parser().parse_args(arguments)
    try:
        if options.command == "credential":  # before the configuration is read, for this is what it may lack
            kept = keep_credential(options.only, os.environ)
            print(f"{options.only}: kept in {kept}; running workers have it in two or three seconds")
            return 0
        mistakes = Mistakes()
        only = getattr(options, "only", None) or options.portal
        found = read_configuration(only, mistakes, to_run=options.command is None)
        if options.command is None and found.addresses and all(map(lacking_credential, mistakes)):
            return _run(found, only, tuple(mistakes), burst=options.burst)
        mistakes.raise_any()
        store = Store.open(found.settings.redis_url, found.settings.replicas)
        store.clock.set(is_start=True)
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
    text = "print the JSON Schema of rules with the portal's templates, fields, stages and users, for an editor"
    commands.add_parser("schema", help=text).add_argument("only", metavar="PORTAL")
    prober = commands.add_parser("probe", help="start one workflow, to see whether the portal honours our own ids")
    prober.add_argument("only", metavar="PORTAL")
    prober.add_argument("--template", type=int, required=True, metavar="N", help="a harmless one")
    prober.add_argument("--document", required=True, metavar="M,E,ID", help="such as crm,CCrmDocumentLead,LEAD_1")
    keeper = commands.add_parser("credential", help="keep the credential of a portal, without a restart")
    keeper.add_argument("only", metavar="PORTAL")
    for name, text in (("pause", "send nothing until it is resumed"), ("resume", "open a held or paused portal")):
        commands.add_parser(name, help=text).add_argument("only", metavar="PORTAL")
    return parser


def _act(options: argparse.Namespace, context: Context, thresholds: Thresholds) -> int:
    name, now = context.portal.name, context.clock()
    if options.command == "ping":
        return ping(context, thresholds)
    if options.command == "schema":
        return print_schema(context)
    if options.command == "pause":
        context.store.pause(name, who_in_terminal(), now)
        print(f"{name}: paused; its deliveries wait. `python -m workers resume {name}` goes on")
        return 0
    if options.command == "resume":
        before = context.gate.look()
        was_closed = context.store.resume(name, who_in_terminal(), now)
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
    context.store.operators.log(Act(now, who_in_terminal(), "probe", name, ""))
    return probe(context, options.template, document)


def lacking_credential(mistake: Mistake) -> str | None:
    """The variable of a portal that has no credential yet, so that the others can be served; None: it is another
    mistake.
    """
    wrong = mistake.fault
    is_lacking = isinstance(wrong, Fault) and wrong.code in {"webhook_missing", "client_secret_missing"}
    return str(wrong.values["name"]) if isinstance(wrong, Fault) and is_lacking else None


def _run(found: Found, only: str | None, lacking: tuple[Mistake, ...], *, burst: bool) -> int:
    """lacking: the portals that are not served, because they have no credential yet."""
    configure("workers", otel.line_processors())
    otel.start("workers")
    settings = found.settings
    store = Store.open(settings.redis_url, settings.replicas, state=settings.state)
    store.begin()
    store.reached(utc_now())
    supervisor = Supervisor(children_of(found.addresses, burst=burst))
    supervisor.listen_for_signals()
    serving = Serving(found, store, supervisor, partial(_alerters, store))
    serving.tell(lacking)
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
    try:
        return supervisor.run()
    finally:
        otel.stop()


def _terms(settings: Settings) -> Terms:
    """The retention times of the environment."""
    body_days = settings.body_days
    return Terms(
        events=timedelta(days=settings.retention_days),
        bodies=timedelta(days=body_days) if body_days else None,
        archive=Archive(settings.archive) if settings.archive else None,
    )


def read_configuration(only: str | None, mistakes: Mistakes, *, to_run: bool) -> Found:
    """The environment, the addresses of the portals or of one, and, if the workers are to run, the alerting."""
    settings = Settings.from_environment(os.environ, mistakes=mistakes)
    if to_run:
        with mistakes.catching():
            otel.check(os.environ)
    if not settings.config.is_dir():  # noted as a mistake already
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


def _alerters(store: Store, found: Found) -> list[Alerter | Announcer]:
    """The threads that tell people and programs, one a channel; none without config/alerts.yaml."""
    settings, addresses, alerting = found.settings, found.addresses, found.alerting
    if alerting is None:
        return []
    portals = load_portals(settings.config / "portals.yaml")
    channels = open_channels(alerting)
    for chat in alerting.chats:
        if chat.portal in addresses:
            # A client of its own: those of the contexts belong to other threads.
            client = Context.open(store, addresses[chat.portal]).client
            channels += open_chats(replace(alerting, chats=(chat,)), {chat.portal: client})
    # Each channel has a thread of its own, so that a receiver that hangs silences no other.
    watch = partial(Alerter, store, alerting, list(portals), link=settings.public_url)
    announcers = [Announcer(store, hook, settings.public_url) for hook in alerting.hooks if hook.states]
    return [*(watch([channel], lease=f"alerts:{channel.name}") for channel in channels), *announcers]


FEWEST, MOST, PORTALS_A_PROCESS = 2, 4, 50
"""Number of processes for all portals. There are more only where one would have more than PORTALS_A_PROCESS."""

STOP_S = CONNECT_TIMEOUT_S + READ_TIMEOUT_S + 5
"""The longest time of a call; killing it earlier would make it uncertain."""
LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Found:
    """The configuration: settings, the addresses of the portals by name, and the alerting."""

    settings: Settings
    addresses: Mapping[str, Address]
    alerting: Alerting | None


def children_of(addresses: Mapping[str, Address], *, burst: bool) -> list[Child]:
    """The worker processes, each with its share of the portals. A changed share or address makes another process."""
    shares = share_out(list(addresses), os.cpu_count() or 1)
    return [
        Child(f"worker-{name}", work, (name, {one: addresses[one] for one in own}, burst), STOP_S, once=burst)
        for name, own in shares.items()
    ]


def share_out(portals: Sequence[str], cores: int) -> dict[str, list[str]]:
    """The portals of each worker process, by the process's name: its portal's, where it has only one.

    There are several processes, so that one that dies or is busy stops only its share, and no more than the cores can
    use, for each costs memory.
    """
    wanted = min(len(portals), max(FEWEST, min(cores, MOST)))
    count = max(wanted, math.ceil(len(portals) / PORTALS_A_PROCESS))
    shares = [list(portals[first::count]) for first in range(count)]
    return {own[0] if len(own) == 1 else str(number): own for number, own in enumerate(shares, 1)}


class Serving:
    """The served portals. names, portals and contexts are changed in place, for the threads that read them.

    alerters: makes the alerters of a configuration.
    """

    def __init__(
        self, found: Found, store: Store, supervisor: Supervisor, alerters: Callable[[Found], list[Alerter | Announcer]]
    ) -> None:
        self._found, self._store, self._supervisor, self._alerters = found, store, supervisor, alerters
        self._told_to_end = threading.Event()
        self._report = FileReport(store.files, "workers")
        self.names = list(found.addresses)
        self.portals = {name: address.portal for name, address in found.addresses.items()}
        self.contexts = [Context.open(store, address) for address in found.addresses.values()]
        self._start_alerters()

    def follow(self, read: Callable[[Mistakes], Found], stop: threading.Event) -> None:
        """Look every second, until `stop` is set. The target of a thread."""
        watch = FileWatch(self._found.settings.config, os.environ)
        while not stop.wait(LOOK_S):
            if watch.has_changed():
                self.look(read)
            self._report.tell()

    def look(self, read: Callable[[Mistakes], Found]) -> None:
        """Serve the configuration on disk, if all of it is valid."""
        mistakes = Mistakes()
        with FileSet.read(self._found.settings.config).in_place():
            fresh = read(mistakes)
        self.tell(tuple(mistakes))
        # A portal that is served keeps its credential until it has another; a new one without holds up no other.
        served = {
            f"{portal.variable_prefix}{'CLIENT_SECRET' if portal.application else 'WEBHOOK_URL'}"
            for portal in self.portals.values()
        }
        if all((lacking := lacking_credential(one)) and lacking not in served for one in mistakes):
            self._put(fresh)

    def tell(self, mistakes: tuple[Mistake, ...]) -> None:
        """Tell people what is wrong with the files on disk; nothing: it is right."""
        self._report.change(mistakes)
        if mistakes:
            log.error("configuration.waiting", mistakes=[str(one) for one in mistakes])

    def _put(self, fresh: Found) -> None:
        before, self._found = self._found, fresh
        if fresh.addresses != before.addresses:
            self._take_away_applications(before, fresh)
            self._supervisor.keep(children_of(fresh.addresses, burst=False))
            known = {one.portal.name: one for one in self.contexts}
            self.contexts[:] = [
                known[name] if before.addresses.get(name) == address else Context.open(self._store, address)
                for name, address in fresh.addresses.items()
            ]
            self.names[:] = list(fresh.addresses)
            self.portals.update({name: address.portal for name, address in fresh.addresses.items()})
            for gone in before.addresses.keys() - fresh.addresses.keys():
                del self.portals[gone]
        if (fresh.alerting, fresh.addresses) != (before.alerting, before.addresses):
            self._start_alerters()
        log.info("configuration.swapped", portals=self.names)

    def _take_away_applications(self, before: Found, fresh: Found) -> None:
        """Unbind what an application has shown, where the file no longer names it."""
        kept = {address.portal.application for address in fresh.addresses.values()}
        for name, address in before.addresses.items():
            if address.local and address.portal.application not in kept:
                # A context of its own: those that are served belong to other threads, and end now.
                gone = Context.open(self._store, address)
                threading.Thread(target=placing.take_away, args=(gone,), name=f"take-away-{name}", daemon=True).start()

    def _start_alerters(self) -> None:
        """Start the alerters of the configuration in force. The former ones finish their message and end."""
        self._told_to_end.set()
        self._told_to_end = threading.Event()
        for alerter in self._alerters(self._found):
            keep_running(alerter.lease, alerter.run, self._told_to_end)


if __name__ == "__main__":
    sys.exit(main())
