"""Acts on many by a filter, step by step, so that live events go first and a death loses no step.

What was replayed, left or settled cannot be so again: a step that is done twice does nothing the second time. The audit
log has two entries of each, its order and its end, however many it finds.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from relay.core.catalogue import SKIPPED
from relay.core.errors import (
    ChangedError,
    InvalidEventError,
    LostRace,
    NotFoundError,
    RecordUnavailableError,
    RelayError,
)
from relay.core.events import Delivery, Event
from relay.core.faults import Fault, fault
from relay.core.ids import DELIVERY_PREFIX, EVENT_PREFIX, utc_now
from relay.core.lifecycle import FINAL, BulkAct, EventState, State
from relay.core.phrases import phrase
from relay.core.telemetry import get_logger
from relay.operations.filters import read_filter
from relay.operations.operator_acts import ACTS, STATES_OF, OperatorActs, RefusedError, Subject, ordered
from relay.store import Store
from relay.store.operators.audit_log import Act
from relay.store.operators.bulk_replays import Bulk, Bulks, BulkState, new_bulk_id
from relay.store.record.record import Record
from relay.store.record.search import (
    Filter,
    Page,
    ids_of_deliveries,
    ids_of_events,
    list_deliveries,
    list_events,
)

STEP = 20
ROOM = 100
"""A bulk replay waits while this many deliveries wait for the portal, so live events never queue behind more."""
COUNTED = 10_000
SAMPLE = 5
NEWEST, NEWEST_EVENT = f"{DELIVERY_PREFIX}~", f"{EVENT_PREFIX}~"
"""Cursors above everything: by them the walk is one of deliveries, or of events, whatever else the filter says."""
LEASE = timedelta(seconds=30)
PAUSE_S = 1.0
Found = dict[State | EventState, list[str]]
"""Ids by state."""

log = get_logger()


class OrderedBeforeError(RefusedError):
    """The same was ordered before, and has not ended. bulk_id: which order that is."""

    def __init__(self, bulk: Bulk) -> None:
        super().__init__(phrase("%(bulk_id)s does the same, and has not ended", bulk_id=bulk.id))
        self.bulk_id = bulk.id


@dataclass(frozen=True, slots=True)
class BulkReplays:
    """Bulk orders, for pages and API and for the thread that works on them."""

    store: Store
    operator_acts: OperatorActs

    @property
    def record(self) -> Record:
        """Events and deliveries."""
        return self.store.record

    @property
    def bulks(self) -> Bulks:
        return self.store.operators.bulk_replays

    def dry_run(self, wanted: Filter, act: BulkAct = BulkAct.REPLAY) -> Bulk:
        """Count what the order would find now, and do nothing. Raises RefusedError."""
        return self.foresee(wanted, "original", act)[0]

    def foresee(self, wanted: Filter, rules: str, act: BulkAct = BulkAct.REPLAY) -> tuple[Bulk, str]:
        """A dry run, and its confirmation: `begin` with it does this, or nothing if it has changed.

        Raises RefusedError.
        """
        wanted = _open_to(act, wanted)
        bulk = Bulk(None, BulkState.DRY_RUN, _rules_for(wanted, rules), act=act)
        found = self._find(wanted)
        return _counted(bulk, wanted, found), self._confirmation(bulk, wanted, found)

    def begin(
        self,
        wanted: Filter,
        rules: str,
        who: str,
        *,
        act: BulkAct = BulkAct.REPLAY,
        note: str = "",
        confirmation: str | None = None,
    ) -> Bulk:
        """Keep the order; the thread does it. What comes or changes later is not dealt with.

        confirmation: of the dry run that the person has seen; absent, nothing is compared. Of orders with the same
        filter, act and rules, one runs at a time. Raises RefusedError, OrderedBeforeError, and ChangedError where the
        filter finds something else than that dry run.
        """
        wanted = _open_to(act, wanted)
        if act is not BulkAct.REPLAY and not (note and wanted.state):
            raise RefusedError(phrase("%(act)s: a state and a note are needed", act=act))
        now = self.operator_acts.clock()
        bounded = replace(wanted, until=min(wanted.until or now, now))
        rules = _rules_for(wanted, rules)
        bulk = Bulk(new_bulk_id(), BulkState.RUNNING, rules, act=act, note=note, who=who, begun_at=now.isoformat())
        # What changes from here on is later than begun_at, so the order leaves it alone: nothing falls in between.
        found = self._find(bounded)
        if confirmation is not None:
            self._compare(bulk, wanted, found, confirmation)
        bulk = _counted(bulk, bounded, found)
        if not bulk.found:
            raise RefusedError(phrase("the filter finds nothing that this can be done to"))
        begun = self.bulks.begin(bulk, _digest([act, rules, wanted.to_query()]))
        if begun.id != bulk.id:
            raise OrderedBeforeError(begun)
        self._log(begun, f"bulk {act}", note=note, wanted=begun.wanted)
        return begun

    def read(self, bulk_id: str) -> Bulk:
        """Raises NotFoundError."""
        return self.bulks.read(bulk_id)

    def cancel(self, bulk_id: str, who: str) -> Bulk:
        """Stop it before its next step. Raises NotFoundError."""
        bulk = self.bulks.read(bulk_id)
        if bulk.state is BulkState.RUNNING:
            self.bulks.ask_to_stop(bulk_id)
        elif bulk.state is BulkState.HELD:
            bulk = replace(bulk, state=BulkState.CANCELLED)
            self.bulks.keep(bulk)  # nobody works on it
        else:
            return bulk
        self._log(replace(bulk, who=who), f"cancel bulk {bulk.act}")
        return bulk

    def go_on(self, bulk_id: str, who: str) -> Bulk:
        """Go on with one that was held, but for what has changed since. Raises NotFoundError, RefusedError."""
        bulk = self.bulks.read(bulk_id)
        if bulk.state is not BulkState.HELD:
            raise RefusedError(phrase("%(bulk_id)s is not held", bulk_id=bulk_id))
        self._log(replace(bulk, who=who), f"resume bulk {bulk.act}")
        return self.bulks.go_on(bulk)

    def step_all(self, holder: str) -> None:
        """A step of each that runs, unless the record has gone back in time. holder: our name on leases."""
        if self.store.reached(utc_now()) is None:
            return
        for bulk_id in self.bulks.running():
            with self.store.lease(f"bulk:{bulk_id}", holder, LEASE) as is_ours:
                if is_ours:
                    self._step_if_known(bulk_id)

    def step(self, bulk_id: str) -> Bulk:
        """Do the next step, if there is room. Returns the order afterwards."""
        bulk = self.bulks.read(bulk_id)
        if bulk.state is not BulkState.RUNNING:
            # It has ended, and the process that ended it died before it took it off the list.
            self.bulks.keep(bulk)
            return bulk
        told = self.bulks.as_told(bulk)
        bulk = self._advanced(bulk) if told is bulk else told
        if bulk.state is not BulkState.RUNNING:
            said = fault("bulk_ended", done=bulk.replayed, skipped=bulk.refused)
            self._log(bulk, f"bulk {bulk.act} {bulk.state}", said=said)
        self.bulks.keep(bulk)
        return bulk

    def _step_if_known(self, bulk_id: str) -> None:
        try:
            self.step(bulk_id)
        except NotFoundError:
            # Its order is gone, as after a failover: nobody can do it, and it must not stand in the way of the others.
            self.bulks.keep(Bulk(bulk_id, BulkState.CANCELLED, "original"))

    def _advanced(self, bulk: Bulk) -> Bulk:
        page = self._page(bulk)
        for one in page.rows:
            if bulk.has_changed(one):
                bulk = bulk.with_skipped(fault("skipped_changed"))
            elif one.state in STATES_OF[bulk.act]:
                if ordered(bulk.act).of_many.sends and not self._has_room(one):
                    return bulk  # goes on from here when there is room
                bulk = self._done(one, bulk)
            bulk = replace(bulk, cursor=one.id)
        return replace(bulk, state=BulkState.RUNNING if page.cursor else BulkState.FINISHED, cursor=page.cursor)

    def _page(self, bulk: Bulk) -> Page[Any]:
        wanted = read_filter(bulk.wanted)
        if not isinstance(wanted.state, EventState):
            return list_deliveries(self.record, wanted, bulk.cursor or NEWEST, STEP)
        page = list_events(self.record, wanted, bulk.cursor or NEWEST_EVENT, STEP)
        return Page(tuple(row.event for row in page.rows), page.cursor)

    def _has_room(self, one: Event | Delivery) -> bool:
        acts, now = self.operator_acts, utc_now()
        portals = {one.call.portal} if isinstance(one, Delivery) else acts.replayer.portals_of(one.source)
        return all(self.record.due(portal, now) < ROOM for portal in portals)

    def _done(self, one: Event | Delivery, bulk: Bulk) -> Bulk:
        """Do it to one. Returns the order with its new counts."""
        try:
            self._deed(bulk)(one)
        except RecordUnavailableError:
            raise
        except (LostRace, RelayError) as error:
            return bulk.with_skipped(_why(error))
        return replace(bulk, replayed=bulk.replayed + 1)

    def _deed(self, bulk: Bulk) -> Callable[[Event | Delivery], object]:
        acts, bulk_id = replace(self.operator_acts, is_logged=False), bulk.id or ""
        if bulk.act is BulkAct.REPLAY:
            is_current, replayer = bulk.rules == "current", acts.replayer
            return lambda one: replayer.replay(one.id, current_rules=is_current, bulk_id=bulk_id, found=one.state)

        def do(one: Event | Delivery) -> None:
            subject = Subject.EVENT if isinstance(one, Event) else Subject.DELIVERY
            act = next(each for each in ACTS if each.many and each.many.act is bulk.act and each.subject is subject)
            act.does(acts, one.id, bulk.who, {"note": bulk.note})
            if act.verb == "settle":
                self.bulks.note_made(bulk_id, one.id)

        return do

    def _find(self, wanted: Filter) -> Found:
        """The ids that the filter finds now, by state, newest first; COUNTED at most."""
        found: Found = {}
        for state in sorted(FINAL) if wanted.state is None else [wanted.state]:
            ids_of = ids_of_events if isinstance(state, EventState) else ids_of_deliveries
            room = COUNTED - sum(map(len, found.values()))
            found[state] = ids_of(self.record, replace(wanted, state=state), room)
        return found

    def _confirmation(self, bulk: Bulk, wanted: Filter, found: Found) -> str:
        """The same for the same order on the same ids in the same states, by the same rules."""
        rules = self.operator_acts.replayer.rules_digest if bulk.rules == "current" else ""
        return f"cnf_{_digest([bulk.act, bulk.rules, rules, wanted.to_query(), found])}"

    def _compare(self, bulk: Bulk, wanted: Filter, found: Found, confirmation: str) -> None:
        """Raises ChangedError, and RefusedError where there are more than a confirmation covers."""
        if sum(map(len, found.values())) >= COUNTED:
            raise RefusedError(phrase("a confirmation covers fewer than %(count)s: narrow the filter", count=COUNTED))
        if self._confirmation(bulk, wanted, found) != confirmation:
            raise ChangedError(phrase("what the filter finds has changed since the dry run: look at it again"))

    def _log(self, bulk: Bulk, what: str, **more: Any) -> None:
        note, said, wanted = more.get("note", ""), more.get("said", ""), more.get("wanted", {})
        self.store.operators.log(Act(utc_now(), bulk.who, what, bulk.id or "", note, said, wanted))


def _open_to(act: BulkAct, wanted: Filter) -> Filter:
    """The filter, narrowed to what this can be done to. Raises RefusedError."""
    if wanted.state is not None and wanted.state not in STATES_OF[act]:
        raise RefusedError(
            phrase("%(act)s: expected one of %(names)s", act=act, names=", ".join(sorted(STATES_OF[act])))
        )
    # What the relay still looks into by itself, or what somebody has left before, is only replayed.
    return replace(wanted, needs=wanted.needs or act is not BulkAct.REPLAY)


def _rules_for(wanted: Filter, rules: str) -> str:
    """Events have no call to repeat: they take today's rules."""
    return "current" if isinstance(wanted.state, EventState) else rules


def _counted(bulk: Bulk, wanted: Filter, found: Found) -> Bulk:
    sample = [one for ids in found.values() for one in ids[:SAMPLE]]
    newest = tuple(sorted(sample)[-SAMPLE:][::-1])
    return replace(bulk, wanted=wanted.to_query(), found=sum(map(len, found.values())), sample=newest)


def _digest(asked: object) -> str:
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:32]


def _why(error: LostRace | RelayError) -> Fault:
    """The reason for skipping, without the id, so that equal reasons are counted together."""
    if isinstance(error, InvalidEventError):
        return fault("cannot_be_filled", fields=sorted(error.errors))
    if isinstance(error, LostRace):
        return fault("skipped_moved_meanwhile")
    refusal = error.message
    if not isinstance(refusal, Fault) or (code := f"skipped_{refusal.code}") not in SKIPPED:
        return fault("skipped_other_reasons")
    return Fault(code, {name: one for name, one in refusal.kind.values.items() if f"%({name})s" in SKIPPED[code]})


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
