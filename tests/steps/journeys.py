"""The journeys: every use case of web, worker, sweeper and person, and how many round trips each takes.

A journey is data: where it begins is in beginnings.py, what is done in acts.py, what has to hold in promises.py.
"""

from __future__ import annotations

from typing import Any

from relay.core.lifecycle import State
from tests.delivering.contexts import BATCHING
from tests.delivering.plans import CLIENT, MADE, OWNER, fire
from tests.steps import beginnings as at
from tests.steps.world import Journey
from workers.bitrix24.bizproc import START

ECHO = {"own_id": "echo"}
TRIGGER = fire("LEAD_1")


def _taken(name: str, given: Any, **expected: Any) -> Journey:
    return Journey(name, "receive", at.given(given), is_asked=True, is_woken=True, **expected)


def _asked(name: str, act: str, begin: at.Beginning, **expected: Any) -> Journey:
    """What somebody asks for who waits for the answer."""
    return Journey(name, act, begin, is_asked=True, **expected)


def _fault(kind: str, **more: Any) -> at.Beginning:
    return at.waiting(1, fault={"kind": kind, "method": START, **more})


RECEIVING = [
    _taken("accept", at.SEED),
    _taken("accept, three rules", at.THREE, workflows=3),
    _taken("accept, three entries", at.LEADS, workflows=3),
    _taken("accept, a source with a limit", at.post("limited", {"id": 1}, {})),
    Journey(
        "accept, a group", "receive_together", at.given({"posts": at.GROUP}), workflows=3, is_asked=True, is_woken=True
    ),
    _taken("ignore", at.post("website", {"nothing": "wanted"}), workflows=0),
    _taken("reject", at.post("website", {"form": "callback"}), workflows=0),
    Journey("accept on a server without scripts", "receive", at.without_scripts, is_asked=True),
    Journey("duplicate", "receive", at.received(at.SEED), is_asked=True),
]
SENDING = [
    Journey("send", "send", at.waiting(1)),
    Journey("send a batch", "send", at.three_at_once, BATCHING, workflows=4),
    Journey("send what is refused", "send", at.waiting(404), workflows=0),
    Journey("send, throttled", "send", _fault("http_503")),
    Journey("send, credential refused", "send", _fault("error", code="expired_token")),
    Journey("send, answer lost", "send", _fault("drop_after_start")),
    Journey("send, nothing executed", "send", _fault("html_502")),
    Journey("send two in order", "send", at.two_in_order, workflows=2, each=2),
    Journey("send what ends at once", "send", at.ending_at_once),
    Journey("send with an own id", "send", at.waiting(1), ECHO),
    Journey("find, make and start", "send", at.planned(CLIENT, OWNER, MADE), documents=1),
    Journey("make, answer lost", "send", at.planned(MADE, fault="drop_after_start"), documents=1),
    Journey("fire a trigger and start", "send", at.planned(TRIGGER, lead=1), triggers=1),
]
SAYING = [
    Journey("comment", "say", at.commented(1)),
    Journey("comment in a batch", "say", at.commented(1, 2, 3), workflows=3),
    Journey("comment, throttled", "say", at.commented(1, fault="http_503")),
]
REPAIRING = [
    Journey("sweep a start", "mend", at.claimed(at.waiting(1))),
    Journey("sweep a document", "mend", at.claimed(at.planned(MADE)), documents=1),
    Journey("sweep a trigger", "mend", at.claimed(at.planned(TRIGGER, lead=1)), triggers=1),
    Journey("reconcile, it runs", "look_into", at.uncertain(is_started=True)),
    Journey("reconcile, not found", "look_into", at.uncertain(is_started=False)),
    Journey("reconcile with an own id", "look_into", at.uncertain_with_own_id, ECHO, workflows=2),
    Journey("ask a portal in trouble", "ask_portal", at.in_trouble),
    Journey("wake", "wake", at.waiting(1)),
    Journey("prune", "forget_old", at.old, workflows=2),
    Journey("pack", "pack_final", at.old, workflows=2),
    Journey("remove bodies", "forget_bodies", at.old, workflows=2),
    Journey("remove bodies of what is packed", "forget_bodies", at.packed, workflows=2),
]
ASKING = [
    _asked("replay what is dead", "replay", at.cancelled(1, then=at.wanted), is_woken=True),
    _asked("replay what has started", "replay", at.started(1), workflows=2, each=2, is_woken=True),
    _asked("begin a bulk replay", "begin_bulk", at.cancelled(1, 2, 3, then=lambda *_: {}), workflows=3),
    Journey("bulk replay", "step_bulks", at.cancelled(1, 2, 3, then=at.begun_bulk), workflows=3, is_woken=True),
    Journey(
        "bulk replay, and what it makes is sent",
        "step_bulks_and_send",
        at.cancelled(1, 2, then=at.begun_bulk),
        workflows=2,
    ),
    _asked("settle as started", "settle", at.undecided(State.STARTED, is_started=True)),
    _asked("settle as to be sent", "settle", at.undecided(State.RETRYING, is_started=False), is_woken=True),
    _asked("settle as given up", "settle", at.undecided(State.DEAD, is_started=False), workflows=0),
    _asked("cancel", "cancel", lambda world: at.named(world, at.ids(at.waiting(1), world)), workflows=0),
    _asked("leave", "leave", at.dead, workflows=0),
    _asked("pause", "pause", at.waiting(1), is_paused=True),
    _asked("resume", "resume", at.paused, is_woken=True),
    _asked("erase what waits", "erase", at.received(at.CALLBACK, {"value": at.PERSON}), workflows=0, erased=at.PERSON),
    _asked("erase what has started", "erase", at.received_and_sent, documents=1, erased=at.PERSON),
    Journey("finish", "finish", at.watched),
]
JOURNEYS = {one.name: one for one in (*RECEIVING, *SENDING, *SAYING, *REPAIRING, *ASKING)}
ROUND_TRIPS = {
    "accept": 1,
    "accept, three rules": 1,
    "accept, three entries": 1,
    "accept, a source with a limit": 3,
    "accept, a group": 1,
    "ignore": 1,
    "reject": 1,
    "accept on a server without scripts": 3,
    "duplicate": 1,
    "send": 11,
    "send a batch": 13,
    "send what is refused": 10,
    "send, throttled": 11,
    "send, credential refused": 12,
    "send, answer lost": 11,
    "send, nothing executed": 11,
    "send two in order": 18,
    "send what ends at once": 11,
    "send with an own id": 11,
    "find, make and start": 39,
    "make, answer lost": 11,
    "fire a trigger and start": 18,
    "comment": 10,
    "comment in a batch": 10,
    "comment, throttled": 10,
    "sweep a start": 3,
    "sweep a document": 3,
    "sweep a trigger": 3,
    "reconcile, it runs": 10,
    "reconcile, not found": 9,
    "reconcile with an own id": 8,
    "ask a portal in trouble": 7,
    "wake": 1,
    "prune": 3,
    "pack": 4,
    "remove bodies": 5,
    "remove bodies of what is packed": 5,
    "replay what is dead": 4,
    "replay what has started": 4,
    "begin a bulk replay": 4,
    "bulk replay": 26,
    "bulk replay, and what it makes is sent": 38,
    "settle as started": 4,
    "settle as to be sent": 4,
    "settle as given up": 4,
    "cancel": 4,
    "leave": 4,
    "pause": 2,
    "resume": 2,
    "erase what waits": 14,
    "erase what has started": 13,
    "finish": 1,
}
"""How many each takes, of Redis and of the portal. Fewer is a success to be written down here, more is a fault."""
