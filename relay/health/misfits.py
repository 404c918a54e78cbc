"""What does not fit of the record's servers, in words, each with its remedy. Pure."""

from __future__ import annotations

from relay.store.record.servers import TopologyCode, TopologyWarning


def say_misfit(misfit: TopologyWarning) -> str:
    """What is so, what follows, what helps."""
    server, found, wanted = misfit.server, misfit.found, misfit.wanted
    return {
        TopologyCode.UNWAITED: "RELAY_REPLICAS is not set: a failover may lose what was acknowledged in the moments "
        "before it, and start twice what was sent in them; set it to the number of replicas",
        TopologyCode.TOO_FEW: f"{found} of {wanted} replicas follow the primary: nothing is taken in or sent; "
        "start the missing ones, or lower RELAY_REPLICAS and know what that gives up",
        TopologyCode.TOO_MANY: f"{found} replicas follow the primary and {wanted} are waited for: one that has not "
        f"answered may be promoted; set RELAY_REPLICAS={found}, or take the others away",
        TopologyCode.NEVER_PROMOTED: f"{server} has replica-priority 0: it is waited for and cannot take over; set 100",
        TopologyCode.NOT_DURABLE: f"{server} has {found}: it answers before it is on disk; set {wanted}",
        TopologyCode.WRITES_ALONE: f"{server} has min-replicas-to-write {found}: cut off, it goes on writing what a "
        f"failover forgets; set {wanted}",
        TopologyCode.LONG_LAG: f"{server} has min-replicas-max-lag {found}: cut off, it goes on writing for so many "
        f"seconds; set {wanted} or less",
        TopologyCode.UNREACHABLE: f"{server} cannot be asked how it is set: it must be reachable as it "
        "announces itself",
        TopologyCode.FORBIDDEN: f"{server} forbids CONFIG: make sure of appendfsync always and min-replicas-to-write",
        TopologyCode.FEW_SENTINELS: f"REDIS_URL names {found} sentinels: with {wanted}, one may be away",
    }[misfit.code]
