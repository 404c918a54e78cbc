"""What a seed makes of a day: what portals are like, what comes in, what goes wrong, what people do. Data only."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from relay.sandbox.faults import KINDS as FAULTS
from relay.sandbox.settings import ALL_SCOPES

PORTALS = ("alpha", "beta", "gamma")
HOSTS: Mapping[str, tuple[str, ...]] = {"one": ("alpha", "beta"), "two": ("beta", "gamma"), "three": ("gamma", "alpha")}
"""Each portal is served from two hosts, and no host serves them all."""
MINUTE, HOUR = 60.0, 3_600.0
DAY = 24 * HOUR
FILTERED = "<script>"
"""The firewall before each portal lets no request through in which this stands."""
MISSING = 404
"""The number of a document that does not exist."""
WEIGHTS = {
    "hold": 8,
    "resend": 4,
    "give_up": 3,
    "ordered": 4,
    "found": 5,
    "fired": 3,
    "pair": 2,
    "watched": 3,
    "slow": 1,
}
"""The kinds of events, by how many of them come. One or two rules want each (rules.py)."""
START, ADD, FIRE = "bizproc.workflow.start", "crm.item.add", "crm.automation.trigger"
METHODS = (None, None, START, START, "batch", ADD, "bizproc.workflow.instances", "bizproc.workflow.template.list")
ERRORS: tuple[Mapping[str, Any], ...] = (
    {"code": "INVALID_CREDENTIALS", "status": 401},
    {"code": "ACCESS_DENIED", "description": "Access denied!", "status": 403},
    {"code": "ACCESS_DENIED", "description": "REST is available only on commercial plans.", "status": 401},
    {"code": "insufficient_scope", "status": 403},
    {"code": "METHOD_CONFIRM_WAITING", "status": 401},
    {"code": "ERROR_METHOD_NOT_FOUND", "status": 404},
    {"code": "OPERATION_TIME_LIMIT", "status": 429},
    {"code": "OVERLOAD_LIMIT", "status": 503},
    {"code": "INTERNAL_SERVER_ERROR", "status": 500},
    {"code": "ERROR_CORE", "status": 400},
    {"code": "ERROR_BATCH_METHOD_NOT_ALLOWED", "status": 403},
    {"code": "SOMETHING_NEW", "status": 400},
    {"code": "SOMETHING_NEW", "status": 500},
    {"code": "", "description": "Something that nobody knows", "status": 400},
)


@dataclass(frozen=True, slots=True)
class Habits:
    """What one portal is like all day, and how it is configured.

    settings: of the pretend portal. options: of its entry in the relay's configuration. offset_s: how far its clock is
    ahead. is_admin: whether the owner of the webhook may do more than start workflows and use the CRM. largest_batch:
    so many commands are let through in one request.
    """

    settings: Mapping[str, Any]
    options: Mapping[str, Any]
    offset_s: float
    is_admin: bool
    largest_batch: int


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happens at a time, in seconds since the day began; `what` names what day.py does then."""

    at_s: float
    what: str
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Chances:
    """A whole day. kills, freezes: the share of calls over which a worker dies, or stands still for a while."""

    seed: int
    habits: Mapping[str, Habits]
    happenings: tuple[Happening, ...]
    kills: float
    freezes: float

    @classmethod
    def of(cls, seed: int) -> Chances:
        """The day of this seed."""
        chance = random.Random(seed)  # noqa: S311 - no secrets
        habits = {name: _habits(chance) for name in PORTALS}
        troubles = [trouble for name in PORTALS for trouble in _troubles(chance, name)]
        made = [*troubles, *_arrivals(chance, troubles), *_people(chance)]
        for name in PORTALS:
            made += [*_refusals(chance, name), *_settings(chance, name, habits[name], troubles)]
        happenings = tuple(sorted(made, key=lambda one: one.at_s))
        return cls(seed, habits, happenings, chance.choice([0.0, 0.02, 0.05]), chance.choice([0.0, 0.01, 0.03]))


def _habits(chance: random.Random) -> Habits:
    settings = {
        "profile": chance.choice("ab"),
        "rate": chance.choice([None, None, 2.0]),
        "operating_limit_s": chance.choice([None, 480.0, 60.0]),
        "call_cost_s": chance.choice([0.0, 0.2, 2.0]),
        "latency_ms": chance.choice([20.0, 200.0, 1_500.0]),
        "instances_visible": chance.random() < 0.85,
        "limit_simultaneous": chance.choice([0, 0, 0, 0, 1]),
        "utc_offset_h": chance.choice([0, 3, -5]),
        "filter_shift_s": chance.choice([0.0, 0.0, -7_200.0]),
    }
    options: dict[str, Any] = {
        "own_id": chance.choice(["off", "echo", "echo"]),
        "settle_after_s": chance.choice([5.0, 60.0, 120.0]),
        "batch": chance.choice([1, 10, 50]),
        **chance.choice([{}, {"rate_per_s": 1_000.0, "burst": 1}]),
    }
    offset_s = chance.choice([0.0, 0.0, 3.0, -3.0, 120.0, -120.0, 7_200.0, -7_200.0])
    return Habits(settings, options, offset_s, chance.random() < 0.75, chance.choice([50, 50, 3]))


def _arrivals(chance: random.Random, troubles: list[Happening]) -> Iterator[Happening]:
    """Some one by one, some all at once, with documents of their own but for those that go in an order."""
    moments = [(chance.uniform(0, DAY), chance.choice(PORTALS)) for _ in range(30)]
    for _ in range(4):
        at_s, portal = _moment(chance, troubles)
        moments += [(at_s + number / 1_000, portal) for number in range(10)]
    for number, (at_s, portal) in enumerate(sorted(moments)):
        kind = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        document = 5_000 + chance.randrange(2) if kind == "ordered" else 10_000 + number
        if chance.random() < 0.03 and kind in {"hold", "resend"}:
            document = MISSING
        note = f"n{number}" + FILTERED * (chance.random() < 0.04)
        yield Happening(at_s, "receive", {"kind": kind, "portal": portal, "id": document, "note": note})


def _moment(chance: random.Random, troubles: list[Happening], portal: str = "") -> tuple[float, str]:
    """A time and a portal, mostly in the middle of some trouble. portal: that one."""
    own = [one for one in troubles if portal in {"", one.given["portal"]}]
    if chance.random() < 0.3:
        return chance.uniform(0, 23 * HOUR), portal or chance.choice(PORTALS)
    one = chance.choice(own)
    return chance.uniform(one.at_s, min(one.given["until_s"], one.at_s + 10 * MINUTE)), one.given["portal"]


def _troubles(chance: random.Random, portal: str) -> Iterator[Happening]:
    """A portal misbehaves for a while, and then it does not."""
    for _ in range(chance.randint(2, 4)):
        begin = chance.uniform(0, 22 * HOUR)
        lasts = chance.choice([MINUTE, 10 * MINUTE, HOUR, 3 * HOUR])
        faults = [_lost(chance)] if chance.random() < 0.5 else [_fault(chance) for _ in range(chance.randint(1, 3))]
        yield Happening(begin, "trouble", {"portal": portal, "faults": faults, "until_s": min(begin + lasts, DAY)})


def _lost(chance: random.Random) -> dict[str, Any]:
    """Calls are executed, and their answers get lost."""
    kind = chance.choice(["drop_after_start", "cut", "truncated", "not_json", "empty_200", "wrong_encoding"])
    return {
        "kind": kind,
        "share": chance.choice([0.6, 1.0]),
        "method": chance.choice([START, START, ADD, FIRE, "batch"]),
    }


def _fault(chance: random.Random) -> dict[str, Any]:
    kind = chance.choice(sorted(FAULTS))
    order = {"kind": kind, "share": chance.choice([0.2, 0.6, 1.0])}
    if kind in {"error", "command_error"}:
        order |= chance.choice(ERRORS)
    elif kind in {"slow", "cut"}:
        order["seconds"] = chance.choice([1, 20, 70 if kind == "slow" else 60])
    method = chance.choice(METHODS)
    return order | ({"method": method} if method else {})


def _refusals(chance: random.Random, portal: str) -> Iterator[Happening]:
    """Somebody takes something away on the portal, until somebody else gives it back."""
    changes: dict[str, Any] = chance.choice(
        [{}, {}, {}, {"crm_may_add": False}, {"scope": [one for one in ALL_SCOPES if one != "crm"]},
         {"bizproc_available": False}]
    )  # fmt: skip
    if changes:
        at_s = chance.uniform(0, 22 * HOUR)
        yield Happening(at_s, "refuse", {"portal": portal, "changes": changes})
        yield Happening(at_s + chance.uniform(HOUR / 4, 2 * HOUR), "mend", {"portal": portal, "changed": list(changes)})


def _settings(chance: random.Random, portal: str, habits: Habits, troubles: list[Happening]) -> Iterator[Happening]:
    """`own_id` is changed, on one host after the other."""
    current = habits.options["own_id"]
    for at_s in sorted(_moment(chance, troubles, portal)[0] for _ in range(chance.choice([0, 1, 2, 3]))):
        current = "off" if current == "echo" else "echo"
        for host in (name for name, served in HOSTS.items() if portal in served):
            later_s = at_s + chance.choice([0.0, 5.0, 600.0])
            yield Happening(later_s, "configure", {"host": host, "portal": portal, "own_id": current})


def _people(chance: random.Random) -> Iterator[Happening]:
    for _ in range(3):
        at_s = chance.uniform(0, DAY)
        yield Happening(at_s, "decide", {})
        yield Happening(at_s + 1, "replay", {"is_current": chance.random() < 0.5})
        yield Happening(chance.uniform(0, DAY), "resume", {"portal": chance.choice(PORTALS)})
    if chance.random() < 0.3:
        at_s, lasts_s = chance.uniform(0, 22 * HOUR), chance.choice([HOUR, 10 * MINUTE])
        yield Happening(at_s, "pause", {"portal": chance.choice(PORTALS), "until_s": at_s + lasts_s})
