"""What has to hold, whatever was killed: the moment after, and when all has been put right. Faults are sentences."""

from __future__ import annotations

from collections import Counter
from typing import Any

from relay.core.events import CommentState, Delivery
from relay.core.lifecycle import EventState, State
from relay.store.redis import keys
from tests.steps import acts
from tests.steps.world import Journey, World

NEWCOMER = 77
"""The document of what comes in while something is changed (around.py): no part of the journey."""


def faults_at_once(world: World, journey: Journey) -> list[str]:
    """The moment after a kill: the books balance, and whoever made something due has woken a worker."""
    found = list(world.record.counts().imbalances)
    kept = world.hands.store.portal("main")
    is_due = kept.gate.look().is_open and world.record.due("main", world.clock.now)
    if journey.is_woken and is_due and not kept.jobs().waiting:
        found.append("a delivery is due, and no worker was woken")
    return found


def faults(world: World, journey: Journey, *, loses: bool = False) -> list[str]:
    """In the end: nothing lost, nothing twice, nothing stuck, nothing before its turn, and the books balance.

    loses: what was acknowledged may be gone, and what was to come of it; so may what a person had decided.
    """
    lost = [] if loses else _lost(world, journey)
    found = [*lost, *_open(world), *_twice(world, journey, loses=loses), *_stuck(world), *_out_of_order(world)]
    return [*found, *_comments(world), *world.record.counts().imbalances]


def done(world: World) -> tuple[int, ...]:
    """All that was done until now at the portal, and all deliveries: what goes on by itself makes it more."""
    portal = world.portal
    return len(portal.started()), len(portal.items.made), len(portal.triggers), len(world.deliveries())


def forgotten(world: World, journey: Journey, known: set[str]) -> list[str]:
    """Events that were on record and are no more, though nobody was to forget them."""
    if journey.erased or journey.act == "forget_old":
        return []
    return [f"{one} was forgotten" for one in sorted(known - set(world.event_ids()))]


def _open(world: World) -> list[str]:
    return [f"{one.id} is {one.state} for ever" for one in world.open()]


def _started(world: World) -> list[tuple[str, str]]:
    """Every workflow of the journey, oldest first: its id and its document."""
    rows = [(str(one["id"]), str(one["document"][2])) for one in world.portal.started()]  # type: ignore[index]
    return [row for row in reversed(rows) if row[1] != f"LEAD_{NEWCOMER}"]


def _lost(world: World, journey: Journey) -> list[str]:
    known = {event.id: event for event in world.record.events(world.acknowledged)}
    found = [f"{one} was acknowledged and is not on record" for one in world.acknowledged if one not in known]
    bare = [one for one in known.values() if one.state is EventState.ACCEPTED and not one.deliveries]
    found += [f"{one.id} was accepted and has no delivery" for one in bare]
    if journey.erased and acts.traces_of(world.hands, journey.erased):
        found.append("something is left of a person who was erased")
    count, wanted = len(_started(world)), _wanted(world, journey)
    return [*found, f"{count} of {wanted} workflows"] if count < wanted else found


def _twice(world: World, journey: Journey, *, loses: bool) -> list[str]:
    documents = Counter(document for _, document in _started(world))
    found = [f"{count} workflows on {one}" for one, count in documents.items() if count > journey.each]
    newcomers = sum(_is_newcomer(one) and not one.replay_of for one in world.deliveries())
    came = sum(one["document"][2] == f"LEAD_{NEWCOMER}" for one in world.portal.started())  # type: ignore[index]
    found += [f"{came} workflows for what came in meanwhile"] if came != newcomers else []
    wanted = _wanted(world, journey)
    if (total := documents.total()) > wanted and not loses:
        found.append(f"{total} workflows instead of {wanted}")
    made, fired = len(world.portal.items.made), len(world.portal.triggers)
    expected = 1 if loses and made and journey.erased else journey.documents
    found += [f"{made} documents made instead of {expected}"] if made != expected else []
    replays = sum(one.replay_of is not None for one in world.deliveries()) if journey.triggers else 0
    wanted = journey.triggers + replays  # a replay fires again
    return [*found, f"fired {fired} times instead of {wanted}"] if fired != wanted else found


def _comments(world: World) -> list[str]:
    """At most one for each start; and of one that is not there, the delivery says that it may be missing."""
    there = Counter(line.document for line in world.portal.comments)
    starts = Counter(document for _, document in _started(world))
    found = [f"{count} comments on {one}" for one, count in there.items() if count > starts[str(one)]]
    for one in world.deliveries():
        if one.comment is None or one.state is not State.STARTED:
            continue
        if one.comment.state is CommentState.WAITING:
            found.append(f"the comment of {one.id} waits for ever")
        if one.comment.state is CommentState.SENT and not there[one.call.document_id[2]]:
            found.append(f"the comment of {one.id} is not there")
    return found


def _wanted(world: World, journey: Journey) -> int:
    if journey.workflows is not None:
        return journey.workflows
    own = [one for one in world.deliveries() if not _is_newcomer(one)]
    return sum(one.state is State.STARTED for one in own)


def _is_newcomer(delivery: Delivery) -> bool:
    return delivery.call.document_id[2] == f"LEAD_{NEWCOMER}"


def _out_of_order(world: World) -> list[str]:
    places = {workflow: place for place, (workflow, _) in enumerate(_started(world))}
    ordered = [one for one in world.deliveries() if one.policy.is_ordered and one.workflow_id and not one.replay_of]
    begun = [places[one.workflow_id] for one in sorted(ordered, key=lambda one: one.id) if one.workflow_id in places]
    return [f"those in order began as {begun}"] if begun != sorted(begun) else []


def _stuck(world: World) -> list[str]:
    redis: Any = world.valkey.redis
    found: list[str] = []
    view = world.hands.context.gate.look()
    if not view.is_open:
        found.append(f"the portal's gate is {view.state}")
    leases = redis.keys(f"{keys.LEASE}*")
    found += [f"{key.decode()} never ends" for key in leases if redis.pttl(key) == -1]
    if running := world.hands.bulk.bulks.running():
        found.append(f"{len(running)} bulk replays run for ever")
    return found
