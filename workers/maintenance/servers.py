"""Looks every minute whether the record's servers stand so that a failover forgets nothing, and logs what is new
of what does not. A thread of the supervisor. Mends nothing: the servers are the operator's.
"""

from __future__ import annotations

import threading

from relay.core.errors import RecordUnavailableError
from relay.core.telemetry import get_logger
from relay.health.misfits import say_misfit
from relay.store import Store
from relay.store.record.topology import Misfit
from relay.store.store import MISFITS_S

log = get_logger()


def watch_servers(store: Store, stop: threading.Event) -> None:
    """Look at once and then every minute, until told to stop."""
    known: set[Misfit] = set()
    while not stop.is_set():
        try:
            found = store.misfits()
        except RecordUnavailableError as error:
            log.warning("servers.unseen", reason=str(error))
        else:
            for misfit in found:
                if misfit not in known:
                    log.warning("record.misfit", code=misfit.code, server=misfit.server, reason=say_misfit(misfit))
            if known and not found:
                log.info("record.fits")
            known = set(found)
        stop.wait(MISFITS_S)
