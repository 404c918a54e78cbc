"""Replays many deliveries by a filter, step by step, so that live events go first and a death loses no step.

A replayed delivery cannot be replayed again, so a step that is done twice does nothing the second time.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from relay.core.errors import LostRace, RecordUnavailableError, RelayError
from relay.core.events import Delivery
from relay.core.ids import DELIVERY_PREFIX, utc_now
from relay.core.lifecycle import FINAL
from relay.core.telemetry import get_logger
from relay.core.watching import WatchState
from relay.operations.operator_acts import OperatorActs, RefusedError
from relay.store import Store
from relay.store.operators.audit_log import Act
from relay.store.operators.bulk_replays import Bulk, Bulks, BulkState
from relay.store.record.record import Record
from relay.store.record.search import Filter, ids_of_deliveries, list_deliveries, parse_state

STEP = 20
ROOM = 100
"""So many deliveries may wait for a portal before a bulk replay adds to them: live events never queue behind more."""
COUNTED = 10_000
SAMPLE = 5
NEWEST = f"{DELIVERY_PREFIX}~"
"""A cursor above every delivery: the walk is then one of deliveries, whatever the filter, and each is a cursor."""
LEASE = timedelta(seconds=30)
PAUSE_S = 1.0

log = get_logger()


@dataclass(frozen=True, slots=True)
class BulkReplays:
    """Bulk replays, for those who ask and for the thread that does them."""

    store: Store
    operator_acts: OperatorActs

    @property
    def record(self) -> Record:
        """Events and deliveries."""
        return self.store.record

    @property
    def bulks(self) -> Bulks:
        return self.store.operators.bulk_replays

    def dry_run(self, wanted: Filter) -> Bulk:
        """What a bulk replay would find now; nothing is done."""
        return self._counted(wanted, "original", BulkState.DRY_RUN)

    def begin(self, wanted: Filter, rules: str, who: str) -> Bulk:
        """Keep the order; the thread does it. Only what exists now is replayed, not what comes later."""
        bounded = replace(wanted, until=wanted.until or utc_now())
        bulk = self._counted(bounded, rules, BulkState.RUNNING)
        if not bulk.found:
            raise RefusedError("the filter finds nothing that can be replayed")
        begun = self.bulks.begin(replace(bulk, who=who))
        self.store.operators.log(Act(utc_now(), who, "bulk replay", begun.id or "", str(begun.wanted)))
        return begun

    def read(self, bulk_id: str) -> Bulk:
        """Raises NotFoundError."""
        return self.bulks.read(bulk_id)

    def cancel(self, bulk_id: str, who: str) -> Bulk:
        """Stop it before its next step. Raises NotFoundError."""
        bulk = self.bulks.read(bulk_id)
        if bulk.state is BulkState.RUNNING:
            self.bulks.ask_to_stop(bulk_id)
            self.store.operators.log(Act(utc_now(), who, "cancel bulk replay", bulk_id, ""))
        return bulk

    def step_all(self, holder: str) -> None:
        """A step of each that runs. holder: our name on leases."""
        for bulk_id in self.bulks.running():
            with self.store.lease(f"bulk:{bulk_id}", holder, LEASE) as is_ours:
                if is_ours:
                    self.step(bulk_id)

    def step(self, bulk_id: str) -> Bulk:
        """Replay some more, if there is room; what became of it."""
        bulk = self.bulks.read(bulk_id)
        if bulk.state is not BulkState.RUNNING:
            # Its last word was written, and who wrote it died before it left the list of those that run.
            self.bulks.keep(bulk)
            return bulk
        bulk = replace(bulk, state=BulkState.CANCELLED) if self.bulks.is_stopping(bulk_id) else self._advanced(bulk)
        self.bulks.keep(bulk)
        return bulk

    def _advanced(self, bulk: Bulk) -> Bulk:
        page = list_deliveries(self.record, filter_from(bulk.wanted), bulk.cursor or NEWEST, STEP)
        for one in page.rows:
            if one.state in FINAL:
                if self.record.due(one.call.portal, utc_now()) >= ROOM:
                    return bulk  # goes on from here when there is room
                if self._replay(one, bulk):
                    bulk = replace(bulk, replayed=bulk.replayed + 1)
                else:
                    bulk = replace(bulk, refused=bulk.refused + 1)
            bulk = replace(bulk, cursor=one.id)
        return replace(bulk, state=BulkState.RUNNING if page.cursor else BulkState.FINISHED, cursor=page.cursor)

    def _replay(self, delivery: Delivery, bulk: Bulk) -> bool:
        try:
            self.operator_acts.replay(delivery.id, f"{bulk.who} ({bulk.id})", current_rules=bulk.rules == "current")
        except RecordUnavailableError:
            raise
        except (LostRace, RelayError):
            return False
        return True

    def _counted(self, wanted: Filter, rules: str, state: BulkState) -> Bulk:
        found, sample = 0, []
        for final in sorted(FINAL) if wanted.state is None else [wanted.state]:
            if final in FINAL:
                ids = ids_of_deliveries(self.record, replace(wanted, state=final), COUNTED - found)
                found += len(ids)
                sample += ids[:SAMPLE]
        return Bulk(None, state, rules, wanted.to_query(), found=found, sample=tuple(sorted(sample)[-SAMPLE:][::-1]))


def run_bulk_replays(current: Callable[[], BulkReplays], stop: threading.Event) -> None:
    """Work on what runs, until told to stop. The target of a thread. current: with the rules in force at that time."""
    holder = secrets.token_hex(8)
    while not stop.wait(PAUSE_S):
        try:
            current().step_all(holder)
        except RecordUnavailableError as error:
            log.warning("replays.postponed", reason=str(error))
        except RelayError as error:
            log.warning("replays.failed", reason=type(error).__name__)


def filter_from(query: Mapping[str, str]) -> Filter:
    """The filter that `Filter.to_query` wrote."""
    given: dict[str, Any] = dict(query)
    if "state" in given:
        given["state"] = parse_state(given["state"])
    if "template_id" in given:
        given["template_id"] = int(given["template_id"])
    if "watch" in given:
        given["watch"] = WatchState(given["watch"])
    for name in ("since", "until"):
        if name in given:
            given[name] = datetime.fromisoformat(given[name])
    return Filter(**given)
