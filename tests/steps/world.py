"""The world of one journey: a real Valkey, a pretend portal, and the processes under test, each behind a tap.

As new for every run. What happens after a kill is in restart.py, what has to hold then in promises.py.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from relay.core.events import Delivery
from relay.core.lifecycle import FINAL
from relay.sandbox import portal as pretend
from relay.sandbox.server import SandboxServer
from relay.store.record.record import Record
from relay.store.redis.scripts import Script
from tests.delivering.contexts import Clock, PortalTime
from tests.steps import acts
from tests.steps.acts import Hands
from tests.support.nursery import Ended, Nursery
from tests.support.tap import Stop, Tap
from tests.support.valkey import Valkey


@dataclass(frozen=True, slots=True)
class Journey:
    """A journey under test.

    act: by its name in acts.ACTS. begin: brings a world to where the journey begins; what the act is given. options: of
    the portal. workflows: how many have to be on the portal in the end; None: as many as deliveries have started. each:
    on one document at most. documents, triggers: how many have to have been made and fired. is_asked: somebody waits
    for the answer, and asks again where none comes. is_woken: what it makes due wakes a worker at once. is_paused: a
    person has to resume the portal in the end. erased: of this person nothing may be left.
    """

    name: str
    act: str
    begin: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    workflows: int | None = 1
    each: int = 1
    documents: int = 0
    triggers: int = 0
    is_asked: bool = False
    is_woken: bool = False
    is_paused: bool = False
    erased: str = ""


def _find_scripts() -> list[Script]:
    rooms = [vars(module) for name, module in sys.modules.items() if name.startswith("relay.store")]
    return list({found.sha: found for room in rooms for found in room.values() if isinstance(found, Script)}.values())


SCRIPTS = _find_scripts()
"""Every script of the store: each is loaded where a module names it."""


class World:
    """Servers, nurseries and taps for many runs. Use as a context manager. processes: how many at once, at most.

    acknowledged: the events that senders were told of. clock: of all that is done; it stands until it is moved.
    """

    def __init__(self, config: Path, secrets: Mapping[str, str], processes: int = 1) -> None:
        self.config = str(config)
        self.valkey = Valkey()
        self.time = PortalTime()
        self.portal = pretend.Portal({"rate": None}, clock=self.time, sleep=self.time.sleep, seed=1)
        self.server = SandboxServer(portal=self.portal)
        self.moved_flag = config.parent / "time-has-passed"
        environ = {**secrets, acts.CONFIG: self.config, acts.MOVED: str(self.moved_flag)}
        self.nurseries = [Nursery("tests.steps.acts", environ) for _ in range(processes)]
        self.taps: list[Tap] = []

    def __enter__(self) -> Self:
        self.valkey.start()
        self.server.start()
        host, port = self.server.url.removeprefix("http://").split(":")
        socket = Path(self.valkey.url.removeprefix("unix://"))
        names = {script.sha.encode(): script.name for script in SCRIPTS}
        self.taps = [Tap(socket, (host, int(port)), names) for _ in self.nurseries]
        for tap in self.taps:
            tap.__enter__()
        self.record = Record(self.valkey.redis)
        return self

    def __exit__(self, *_: object) -> None:
        for each in (*self.nurseries, *self.taps, self.server, self.valkey):
            each.__exit__(None, None, None)

    def begin(self, journey: Journey) -> Mapping[str, Any]:
        """As new, and brought to where a journey begins; what its act is given."""
        with self.valkey.redis.pipeline(transaction=False) as pipeline:
            pipeline.flushall()
            for script in SCRIPTS:
                pipeline.script_load(script.text)
            pipeline.execute()
        self.time.reset()
        self.portal.reset()
        self.moved_flag.unlink(missing_ok=True)
        self.clock = Clock()
        self.acknowledged: list[str] = []
        self.hands = Hands.at(self.valkey.url, self.server.url, self.clock, self.config, **journey.options)
        self.options = journey.options
        given: Mapping[str, Any] = journey.begin(self)
        self.began_at = self.clock.now
        return given

    def start(self, journey: Journey, given: Mapping[str, Any], stop: Stop | None = None, *, bug: str = "") -> None:
        """Have a process begin a journey, behind the first tap."""
        self.order(0, journey.act, given, stop, bug=bug)

    def order(self, at: int, act: str, given: Mapping[str, Any], stop: Stop | None = None, *, bug: str = "") -> None:
        """The same of any act, behind the tap of this number."""
        tap = self.taps[at]
        tap.begin(stop)
        order = {"act": act, "given": dict(given), "options": dict(self.options), "bug": bug}
        order |= {"now": self.began_at.isoformat(), "redis_url": tap.redis_url}
        self.nurseries[at].begin(order | {"portal_url": f"http://127.0.0.1:{tap.portal_port}"})

    def end(self, at: int = 0) -> Ended:
        """Until the process behind this tap has ended."""
        ended = self.nurseries[at].wait()
        if failure := self.taps[at].failure:
            raise failure
        if isinstance(ended.result, dict) and acts.ACKNOWLEDGED in ended.result:
            self.acknowledged += ended.result[acts.ACKNOWLEDGED]
        return ended

    def deliveries(self) -> list[Delivery]:
        """Every delivery on record, by what its event says."""
        events = self.record.events(self.record.oldest("evt_~", None, 1_000))
        return self.record.deliveries(one for event in events for one in event.deliveries)

    def open(self) -> list[Delivery]:
        """Those that are not final."""
        return [one for one in self.deliveries() if one.state not in FINAL]

    def let_pass_for_all(self, seconds: float) -> None:
        """The same for the processes under test, too, one of which may be held meanwhile."""
        self.moved_flag.write_text(str(seconds), "utf-8")
        self.let_pass(seconds)

    def let_pass(self, seconds: float) -> None:
        """Move the clock; what the server forgets by itself in this time, such as a lease, is forgotten."""
        self.clock.advance(seconds)
        redis = self.valkey.redis
        found = redis.keys("*")
        with redis.pipeline(transaction=False) as pipeline:
            for key in found:
                pipeline.pttl(key)
            for key, left_ms in zip(found, pipeline.execute(), strict=True):
                if left_ms >= 0:
                    pipeline.pexpire(key, left_ms - round(seconds * 1000))  # in the past: deleted
            pipeline.execute()
