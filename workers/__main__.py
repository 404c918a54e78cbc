"""`python -m workers`: one RQ worker a portal; beside them RQ's scheduler and the sweeper, in threads.

Stops gracefully: on SIGTERM or Ctrl-C each worker finishes the call it is in. `ping` checks credentials.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from functools import partial

from relay.errors import ConfigError, RelayError
from relay.processes import Child, Supervisor
from relay.settings import Settings
from relay.store.connection import check_durable, connect
from relay.store.record import Record
from relay.telemetry import configure, get_logger
from workers.bitrix24.client import CONNECT_TIMEOUT_S, READ_TIMEOUT_S
from workers.ping import ping
from workers.sweeper import run_sweeper
from workers.timekeeper import run_timekeeper
from workers.worker import addresses_of, work

STOP_S = CONNECT_TIMEOUT_S + READ_TIMEOUT_S + 5
"""A call in flight may take this long; killing it earlier would make it uncertain."""

log = get_logger()

DESCRIPTION = "Deliver and repair: sends what is recorded to the portals of config/portals.yaml."
EXAMPLES = """examples:
  python -m workers                 one worker a portal, until Ctrl-C
  python -m workers --portal main   only this portal, e.g. on a host of its own
  python -m workers --burst         work off what is queued, then end
  python -m workers ping            check every credential, starting nothing
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 where something is wrong, 2 for bad usage."""
    parser = argparse.ArgumentParser(
        "python -m workers", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--portal", metavar="NAME", help="serve this portal only")
    parser.add_argument("--burst", action="store_true", help="end when the queues are empty")
    commands = parser.add_subparsers(dest="command", metavar="ping")
    pinger = commands.add_parser("ping", help="check credential, scope, plan and templates; starts nothing")
    pinger.add_argument("only", nargs="?", metavar="PORTAL", help="absent: every portal")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.from_environment(os.environ)
        only = options.only if options.command == "ping" else options.portal
        addresses = addresses_of(settings, only)
        if options.command == "ping":
            return max([ping(address) for address in addresses.values()])
        return _run(settings, list(addresses), burst=options.burst)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    except RelayError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


def _run(settings: Settings, portals: Sequence[str], *, burst: bool) -> int:
    configure("workers")
    record = Record(connect(settings.redis_url))
    if warning := check_durable(record.redis):
        log.warning("record.unchecked", reason=warning)
    supervisor = Supervisor([Child(f"worker-{name}", work, (name, burst), STOP_S, once=burst) for name in portals])
    supervisor.listen_for_signals()
    stop = supervisor.stopping
    for name, task in (
        ("sweeper", partial(run_sweeper, record, stop)),
        ("timekeeper", partial(run_timekeeper, settings.redis_url, portals, stop)),
    ):
        threading.Thread(target=task, daemon=True, name=name).start()
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main())
