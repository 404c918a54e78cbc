"""What does not fit of the record's servers, in words, each with its remedy. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from relay.core.phrases import Phrase, phrase
from relay.store.record.servers import TopologyCode, TopologyWarning

MISFITS: Mapping[TopologyCode, str] = {
    TopologyCode.UNWAITED: "RELAY_REPLICAS is not set: a failover may lose what was acknowledged in the moments before "
    "it, and start twice what was sent in them; set it to the number of replicas",
    TopologyCode.TOO_FEW: "%(found)s of %(wanted)s replicas follow the primary: nothing is taken in or sent; start the "
    "missing ones, or lower RELAY_REPLICAS and know what that gives up",
    TopologyCode.TOO_MANY: "%(found)s replicas follow the primary and %(wanted)s are waited for: one that has not "
    "answered may be promoted; set RELAY_REPLICAS=%(found)s, or take the others away",
    TopologyCode.NEVER_PROMOTED: "%(server)s has replica-priority 0: it is waited for and cannot take over; set 100",
    TopologyCode.NOT_DURABLE: "%(server)s has %(found)s: it answers before it is on disk; set %(wanted)s",
    TopologyCode.WRITES_ALONE: "%(server)s has min-replicas-to-write %(found)s: cut off, it goes on writing what a "
    "failover forgets; set %(wanted)s",
    TopologyCode.LONG_LAG: "%(server)s has min-replicas-max-lag %(found)s: cut off, it goes on writing for so many "
    "seconds; set %(wanted)s or less",
    TopologyCode.UNREACHABLE: "%(server)s cannot be asked how it is set: it must be reachable as it announces itself",
    TopologyCode.FORBIDDEN: "%(server)s forbids CONFIG: make sure of appendfsync always and min-replicas-to-write",
    TopologyCode.FEW_SENTINELS: "REDIS_URL names %(found)s sentinels: with %(wanted)s, one may be away",
}


def say_misfit(misfit: TopologyWarning) -> Phrase:
    """What is so, what follows, what helps."""
    return phrase(MISFITS[misfit.code], server=misfit.server, found=misfit.found, wanted=misfit.wanted)
