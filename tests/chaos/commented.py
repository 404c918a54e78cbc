"""1,000 starts with comments, while 5 % of calls are cut before or after execution, and while workers are killed.

No start is doubled, no document has a comment twice, and a delivery whose comment is not there says that it may be
missing. The last rows say how long starts take with and without comments.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import requests

from relay.core.events import CommentProgress, CommentState
from relay.core.lifecycle import State
from relay.core.plan import Comment
from relay.store.record.entries import Entry
from relay.store.redis import keys
from tests.chaos.stage import Sandbox, Stage, doubles, make_entry, until

SHARE = 0.05


def rows() -> Iterator[str]:
    """Cut, with starts one by one and in batches; killed; at a slower pace, with and without comments."""
    for batch in (1, 50):
        yield commented(1_000, batch, share=SHARE)
    yield commented(1_000, 50, kills=10)
    for has_comments in (False, True):
        yield commented(1_000, 50, has_comments=has_comments, rate="10")


def commented(
    count: int, batch: int, *, share: float = 0.0, kills: int = 0, has_comments: bool = True, rate: str = "200"
) -> str:
    """One row. share: of calls that are cut; kills: of worker processes; rate: requests a second to the portal."""
    config = f"{{plan: standard, rate: {rate}, burst: 50, own_id: echo, batch: {batch}, settle_after: 1s}}"
    with Stage() as stage:
        sandbox = stage.add_portal("main", config, rate=None, instances_visible=False)
        if share:
            kinds = ("drop_before", "drop_after_start")
            sandbox.post("faults", [{"kind": kind, "share": share / len(kinds)} for kind in kinds])
        stage.fill("main", count, make=_with_comment if has_comments else make_entry)
        begin = time.monotonic()
        stage.start_workers("main", 2)
        killed = stage.kill_workers(kills) if kills else 0
        until(lambda: not stage.open_count(), "all have started", 300)
        started_s = time.monotonic() - begin
        until(lambda: not stage.record.size(keys.COMMENTS + "main"), "no comment waits", 300)
        until(lambda: not _on_its_way(stage, sandbox, count if has_comments else 0), "the last are noted", 90)
        said_s = time.monotonic() - begin
        return _row(stage, sandbox, f"{_what(share, killed, has_comments)}, starts in batches of {batch:2}") + (
            f", started after {started_s:.1f} s, said after {said_s:.1f} s"
        )


def _with_comment(portal: str, number: int) -> Entry:
    entry = make_entry(portal, number)
    (delivery,) = entry.deliveries
    call = replace(delivery.call, comment=Comment(f"request {number}"))
    return Entry(entry.event, [replace(delivery, call=call, comment=CommentProgress())])


def _on_its_way(stage: Stage, sandbox: Sandbox, count: int) -> bool:
    """Whether a worker may still be sending: a comment is neither there, nor noted as sent, nor known to be lost."""
    states = _states(stage)
    return states[CommentState.SENT] < len(_documents(sandbox)) - states[CommentState.MISSING] or (
        sum(states.values()) < count
    )


def _states(stage: Stage) -> Counter[CommentState]:
    ids = stage.record.page(keys.DELIVERIES, limit=100_000)
    return Counter(one.comment.state for one in stage.record.deliveries(ids) if one.comment)


def _documents(sandbox: Sandbox) -> Counter[str]:
    lines = requests.get(f"{sandbox.url}/sandbox/comments", timeout=60).json()
    return Counter(line["document"] for line in lines)


def _what(share: float, killed: int, has_comments: bool) -> str:
    if killed:
        return f"{killed} kills"
    return f"cut {share:.0%}" if share else "with comments" if has_comments else "without comments"


def _row(stage: Stage, sandbox: Sandbox, what: str) -> str:
    workflows, documents, states = sandbox.workflows(), _documents(sandbox), _states(stage)
    told = stage.record.deliveries(stage.record.page(keys.DELIVERIES, limit=100_000))
    absent = [one for one in told if one.comment and one.call.document_id[2] not in documents]
    untold = sum(one.comment.state is not CommentState.MISSING for one in absent if one.comment)
    started = stage.ledger().deliveries[State.STARTED]
    return (
        f"{what}: {len(workflows)} workflows, {doubles(workflows)} doubled, {started} started; "
        f"{documents.total()} comments, {sum(one > 1 for one in documents.values())} twice, {len(absent)} absent "
        f"({untold} of them untold); the record says {states[CommentState.SENT]} sent, "
        f"{states[CommentState.MISSING]} maybe missing"
    )


if __name__ == "__main__":
    for number, row in enumerate(rows()):
        if len(sys.argv) < 2 or str(number) in sys.argv[1:]:
            print(row, flush=True)
