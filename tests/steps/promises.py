"""What has to hold, whatever was killed: the moment after, and when all has been put right. Faults are sentences."""

from __future__ import annotations

from collections import Counter

from relay.core.lifecycle import EventState, State
from relay.store.redis import keys
from tests.steps import acts
from tests.steps.world import Journey, World


def faults_at_once(world: World, journey: Journey) -> list[str]:
    """The moment after a kill: the books balance, and whoever made something due has woken a worker."""
    found = list(world.record.counts().imbalances)
    kept = world.hands.store.portal("main")
    is_due = kept.gate.look().is_open and world.record.due("main", world.clock.now)
    if journey.is_woken and is_due and not kept.jobs().waiting:
        found.append("a delivery is due, and no worker was woken")
    return found


def faults(world: World, journey: Journey) -> list[str]:
    """In the end: nothing lost, nothing twice, nothing stuck, and the books balance."""
    return [*_lost(world, journey), *_twice(world, journey), *_stuck(world), *world.record.counts().imbalances]


def _lost(world: World, journey: Journey) -> list[str]:
    known = {event.id: event for event in world.record.events(world.acknowledged)}
    found = [f"{one} was acknowledged and is not on record" for one in world.acknowledged if one not in known]
    bare = [one for one in known.values() if one.state is EventState.ACCEPTED and not one.deliveries]
    found += [f"{one.id} was accepted and has no delivery" for one in bare]
    found += [f"{one.id} is {one.state} for ever" for one in world.open()]
    if journey.erased and acts.traces_of(world.hands, journey.erased):
        found.append("something is left of a person who was erased")
    count, wanted = len(world.portal.started()), _wanted(world, journey)
    return [*found, f"{count} of {wanted} workflows"] if count < wanted else found


def _twice(world: World, journey: Journey) -> list[str]:
    documents = Counter(one["document"][2] for one in world.portal.started())  # type: ignore[index]
    found = [f"{count} workflows on {one}" for one, count in documents.items() if count > journey.each]
    wanted = _wanted(world, journey)
    if (total := documents.total()) > wanted:
        found.append(f"{total} workflows instead of {wanted}")
    made, fired = len(world.portal.items.made), len(world.portal.triggers)
    found += [f"{made} documents made instead of {journey.documents}"] if made != journey.documents else []
    return [*found, f"fired {fired} times instead of {journey.triggers}"] if fired != journey.triggers else found


def _wanted(world: World, journey: Journey) -> int:
    if journey.workflows is not None:
        return journey.workflows
    return sum(one.state is State.STARTED for one in world.deliveries())


def _stuck(world: World) -> list[str]:
    redis, found = world.valkey.redis, []
    view = world.hands.context.gate.look()
    if not view.is_open:
        found.append(f"the portal's gate is {view.state}")
    leases = redis.keys(f"{keys.LEASE}*")
    found += [f"{key.decode()} never ends" for key in leases if redis.pttl(key) == -1]
    if running := world.hands.bulk.bulks.running():
        found.append(f"{len(running)} bulk replays run for ever")
    return found
