"""The knowledge about a portal, shared by all workers.

Durations by template and method, used operating time of methods, blocked methods, whether the portal honours own ids,
and the host that it has moved to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from relay.core.ids import utc_now
from relay.core.plan import ADD, FIND_BY_COMM, FIRE, IMPORT, LIST, USERS
from relay.store.portals.gate import FIRST_PAUSE, LONGEST_PAUSE
from relay.store.portals.learned import (
    BLOCKED,
    BLOCKED_NESTED,
    DIRECT,
    NESTED,
    OPERATING_LIMIT_S,
    OPERATING_RESERVE_S,
    WINDOW,
    Block,
    Echo,
    Learned,
    MethodState,
    Reading,
)
from relay.store.portals.portal import PortalRecord
from relay.store.record.entries import Allowance, Load
from workers.bitrix24.bizproc import START
from workers.bitrix24.client import BATCH

BATCH_BUDGET_MS = 20_000
"""A third of the 60 s after which the cloud cuts a request (docs: limits.md)."""
UNLIMITED_BUDGET_MS = 2_000
"""At a portal without limits, a batch saves only a few milliseconds between two calls. Long calls gain nothing in a
batch, and a cut request makes all of it uncertain."""
FIRST_GUESS_MS: Mapping[str, float] = {FIND_BY_COMM: 500, LIST: 500, USERS: 500, ADD: 2_000, IMPORT: 2_000, FIRE: 2_000}
"""Durations of other methods until they are measured: an add took 1.83 s in the docs (crm-item-add.md)."""
WEIGHT = 0.3
"""The weight of the newest measurement in the moving average."""
WITHOUT_BOUND_MS = 10**9
MOST = 10.0**12
"""The largest time that a portal can report."""

HONOURED, IGNORED = Echo.HONOURED, Echo.IGNORED


def load_of(learned: Learned, limit: int, now: datetime, budget_ms: int = BATCH_BUDGET_MS) -> Load:
    """The load that one claim may take.

    A template that was never measured takes the whole budget, so it goes alone. In a batch, a slow one would make the
    whole batch uncertain, and teach nothing, again and again.
    """
    takes_ms = {what: max(1, round(takes)) for what, takes in {**FIRST_GUESS_MS, **learned.takes_ms}.items()}
    allowances = {
        _in_record(one.name): _allowance(learned, one, limit, now)
        for one in learned.methods.values()
        if one.name != BATCH
    }
    return Load(limit, budget_ms, budget_ms, takes_ms, {name: one for name, one in allowances.items() if one})


def _allowance(learned: Learned, method: MethodState, limit: int, now: datetime) -> Allowance | None:
    """The allowance of one method now; None: unlimited.

    A claim for a batch may come to one call, which goes directly. So where the time of direct calls is used up, all
    wait. Where only that of batch commands is, each goes directly; what no longer fits into a batch waits.
    """
    directly = _granted(method, limit, now, learned.granted_s, in_batch=False)
    if limit == 1 or (directly and directly.limit == 0):
        return directly
    nested = _granted(method, limit, now, learned.granted_s, in_batch=True)
    if nested and nested.limit == 0:
        return replace(directly or Allowance(limit, WITHOUT_BOUND_MS, now), is_alone=True)
    stays = replace(nested, until=None) if nested else None
    return min((one for one in (directly, stays) if one), key=lambda one: (one.limit, one.left_ms), default=None)


def _granted(method: MethodState, limit: int, now: datetime, granted_s: float, *, in_batch: bool) -> Allowance | None:
    """The same for direct calls only, or for batch commands only."""
    if until := method.waits_until(now, granted_s, in_batch=in_batch):
        return Allowance(0, 0, until)
    if method.block_of(in_batch=in_batch):
        # One call tries it. The portal has refused, whatever its operating time said.
        return Allowance(1, WITHOUT_BOUND_MS, now)
    reading = method.nested if in_batch else method.direct
    if reading is None:
        return None
    left_ms = round((granted_s - reading.seconds) * 1000)
    if reading.reset_at > now:
        return Allowance(limit, left_ms, reading.reset_at)
    # Some of the used time has expired by now; the answer to one call tells how much.
    return None if left_ms >= BATCH_BUDGET_MS else Allowance(1, WITHOUT_BOUND_MS, now)


class Pace:
    """Reads and writes the knowledge about one portal. Methods raise RecordUnavailableError.

    mark: of the portal's address.
    """

    def __init__(self, kept: PortalRecord, mark: str) -> None:
        self._kept = kept
        self._mark = mark
        self._gathered: dict[str, str] | None = None

    def read(self) -> Learned:
        """The present knowledge."""
        return self._kept.learned()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Gather all that is learned inside the `with`, and write it at its end."""
        fields = self._gathered = {}
        try:
            yield
        finally:
            self._gathered = None
        if fields:
            self._kept.learn(fields)

    def learn_took(self, known: Learned, what: str, took_ms: float) -> None:
        """Learn a duration of a start of this template, or a call of this method."""
        before = known.takes_ms.get(what)
        average = took_ms if before is None else before + WEIGHT * (took_ms - before)
        self._learn({f"t:{what}": f"{average:.3f}"})

    def learn_at_least(self, known: Learned, what: str, took_ms: float) -> None:
        """Learn that it took at least this long."""
        if took_ms > known.takes_ms.get(what, 0.0):
            self._learn({f"t:{what}": f"{took_ms:.3f}"})

    def learn_operating(
        self, known: Learned, method: str, time: Mapping[str, Any], now: datetime | None = None, *, in_batch: bool
    ) -> None:
        """Learn from an answer's `time` block: `operating` in seconds, `operating_reset_at` as unix time.

        The remaining time is measured by the portal's own clock, which may be wrong; it is limited to the window.
        """
        operating, reset_at = _number(time, "operating"), _number(time, "operating_reset_at")
        if operating is None or reset_at is None:
            return
        now = now or utc_now()
        told_at = _number(time, "finish")
        left_s = reset_at - (now.timestamp() if told_at is None else told_at)
        reading = Reading(operating, now + timedelta(seconds=min(max(left_s, 0.0), WINDOW.total_seconds())))
        fields = {f"{NESTED if in_batch else DIRECT}:{method}": reading.to_text()}
        if operating > known.granted_s:
            # The portal has executed a call beyond the supposed limit: it had refused for another reason.
            fields["operating_limit"] = str(max(OPERATING_LIMIT_S, operating + OPERATING_RESERVE_S))
        self._learn(fields)

    def learn_limit(self, known: Learned, method: str, now: datetime) -> None:
        """Learn the limit, after the portal refused a method for its operating time."""
        state = known.methods.get(method)
        if state and (used_s := state.used_s(now)) > 0:
            limit = min(known.operating_limit_s, used_s + OPERATING_RESERVE_S)
            self._learn({"operating_limit": str(limit)})

    def learn_batch(self, known: Learned, size: int, most: int, *, fits: bool) -> None:
        """Learn whether a request of this many calls was refused as a whole. most: the configured batch size.

        A refusal halves the size, down to one call; a success doubles it again.
        """
        if not fits:
            self._learn({"batch_limit": str(max(1, size // 2))})
        elif known.batch_limit and size >= known.batch_limit:
            if 2 * known.batch_limit < most:
                self._learn({"batch_limit": str(2 * known.batch_limit)})
            else:
                self._kept.forget("batch_limit")

    def block(
        self, known: Learned, method: str, reason: str, now: datetime, *, for_long: bool, in_batch: bool = False
    ) -> Block:
        """Block a refused method for a pause that doubles each time.

        The pause ends when operating time is available again. for_long: take the longest pause at once. in_batch:
        block it as a command of a batch only.
        """
        state = known.methods.get(method) or MethodState(method)
        known_block = state.nested_block if in_batch else state.block
        before = known_block if known_block and known_block.reason == reason else Block(reason, now, now, 0)
        pause = LONGEST_PAUSE if for_long else min(FIRST_PAUSE * 2 ** min(before.refusals, 30), LONGEST_PAUSE)
        reading, until = state.nested if in_batch else state.direct, now + pause
        if not for_long and reading and reading.reset_at > now:
            until = min(until, reading.reset_at)
        block = replace(before, until=until, refusals=before.refusals + 1)
        self._learn({f"{BLOCKED_NESTED if in_batch else BLOCKED}:{method}": block.to_text()})
        return block

    def unblock(self, known: Learned, method: str, *, in_batch: bool) -> bool:
        """Unblock a method that was answered again. Returns whether it was blocked. in_batch: as a batch command."""
        state = known.methods.get(method) or MethodState(method)
        is_free = state.block is not None and (not in_batch or not state.block.is_of_budget)
        is_nested_free = in_batch and state.nested_block is not None
        names = [f"{BLOCKED}:{method}"] * is_free + [f"{BLOCKED_NESTED}:{method}"] * is_nested_free
        if names:
            self._kept.forget(*names)
        return is_free

    def learn_own_id(self, known: Learned, *, honoured: bool) -> None:
        """Whether an answer repeated the id that we chose."""
        word = HONOURED if honoured else IGNORED
        if (known.own_id, known.own_id_at) != (word, self._mark):
            self._learn({"own_id": word, "own_id_at": self._mark})

    def forget_honoured(self, known: Learned) -> None:
        """Forget that own ids are honoured, before starts without them."""
        if known.own_id is HONOURED:
            self._kept.forget("own_id", "own_id_at")

    def learn_site(self, site: str) -> None:
        """Learn the portal's configured address, for the links of pages."""
        self._learn({"site": site})

    def learn_host(self, host: str) -> None:
        """Learn the host that the portal has moved to."""
        self._learn({"host": host})

    def _learn(self, fields: Mapping[str, str]) -> None:
        if self._gathered is None:
            self._kept.learn(fields)
        else:
            self._gathered.update(fields)


def _number(time: Mapping[str, Any], name: str) -> float | None:
    """A finite number of the block; None if there is none."""
    found = time.get(name)
    if not isinstance(found, int | float) or isinstance(found, bool):
        return None
    return float(found) if -MOST < found < MOST else None  # NaN is not in between


def _in_record(method: str) -> str:
    """The name of a method in a delivery's record: empty for a start, which is the usual one."""
    return "" if method == START else method
