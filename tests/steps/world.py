"""The world of one journey: a real Valkey, a pretend portal, and the processes under test, each behind a tap.

As new for every run. What happens after a kill is in restart.py, what has to hold then in promises.py.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
from flask import Flask, Response, request
from redis.exceptions import ResponseError

from relay.core.events import Delivery
from relay.core.lifecycle import FINAL
from relay.sandbox import portal as pretend
from relay.sandbox import server as sandbox
from relay.sandbox.app import create_app
from relay.sandbox.server import SandboxServer
from relay.store import Store
from relay.store.record.record import Record
from relay.store.redis.scripts import Script
from tests.delivering.contexts import PortalTime
from tests.steps import acts
from tests.steps.acts import Hands, MachineClock
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


OTHER = "other"
"""The folder beside the configuration with the same rules, but for their policy."""
SCRIPTS = _find_scripts()
"""Every script of the store: each is loaded where a module names it."""


def _lets_all_pass(_body: bytes) -> None:
    return None


class World:
    """Servers, nurseries and taps for many runs. Use as a context manager. processes: how many at once, at most.

    acknowledged: the events that senders were told of. clock: of all that is done; it stands until it is moved. hands:
    of whoever acts beside the process under test and after it. wall: the status with which a firewall before the portal
    refuses this request, if it does. put_back: see `snapshot`. arrives_in_s: until the call of one that has died
    reaches the portal; 0: no call is on its way. other_config: the same rules, but for their policy.
    """

    def __init__(self, config: Path, secrets: Mapping[str, str], processes: int = 1) -> None:
        self.config, self.other_config = str(config), str(config.parent / OTHER)
        self.valkey = Valkey()
        self.time = PortalTime()
        self.portal = pretend.Portal({"rate": None}, clock=self.time, sleep=self.time.sleep, seed=1)
        self.server = SandboxServer(portal=self.portal)
        self.moved_flag, self.set_flag = config.parent / "time-has-passed", config.parent / "clock-was-set"
        flags = {acts.MOVED: str(self.moved_flag), acts.SET_BY: str(self.set_flag)}
        environ = {**secrets, acts.CONFIG: self.config, **flags}
        self.nurseries = [Nursery("tests.steps.acts", environ) for _ in range(processes)]
        self.taps: list[Tap] = []
        self._patch = pytest.MonkeyPatch()
        self.wall: Callable[[bytes], int | None] = _lets_all_pass
        self.put_back: Callable[[Sequence[tuple[bytes, ...]]], None]

    def __enter__(self) -> Self:
        self.valkey.start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sandbox, "create_app", lambda portal: self._behind_wall(create_app(portal)))
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
        self._patch.undo()
        opened: list[AbstractContextManager[Any]] = [*self.nurseries, *self.taps, self.server, self.valkey]
        for each in opened:
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
        self.clock = MachineClock()
        self.arrives_in_s = 0.0
        self.acknowledged: list[str] = []
        self.options = journey.options
        self.configure()
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

    def configure(self, folder: str = "", **changes: Any) -> None:
        """Whoever acts from now on does so with these settings of the portal, and with the rules of this folder."""
        self.hands = Hands.at(
            self.valkey.url, self.server.url, self.clock, folder or self.config, **{**self.options, **changes}
        )

    def set_clock_by(self, seconds: float) -> None:
        """Somebody sets the clock of the machine, so far from where it would be; the processes on it go on."""
        self._patch.undo()
        self.set_flag.unlink(missing_ok=True)
        if seconds:
            right = time.time_ns
            self._patch.setattr(time, "time_ns", lambda: right() + round(seconds * 1e9))
            self.set_flag.write_text(str(seconds), "utf-8")

    def be_as_usual(self) -> None:
        """Nothing is changed around those who act."""
        self.set_clock_by(0)
        self.wall = _lets_all_pass
        self.valkey.redis.config_set("maxmemory", "0")

    def event_ids(self) -> list[str]:
        """Of every event on record."""
        return self.record.oldest("evt_~", None, 1_000)

    def snapshot(self) -> Callable[[Sequence[tuple[bytes, ...]]], None]:
        """What puts the record back to where it is now, and executes these commands then."""
        redis: Any = self.valkey.redis
        kept = [(key, max(redis.pttl(key), 0), redis.dump(key)) for key in redis.keys("*")]

        def put_back(commands: Sequence[tuple[bytes, ...]]) -> None:
            with redis.pipeline(transaction=False) as pipeline:
                pipeline.flushall()
                for key, ttl_ms, dumped in kept:
                    if dumped is not None:  # it had not ended meanwhile
                        pipeline.restore(key, ttl_ms, dumped)
                pipeline.execute()
            for command in commands:
                with suppress(ResponseError):  # what was refused is refused again
                    redis.execute_command(*command)

        return put_back

    def writes_before(self, number: int) -> list[tuple[bytes, ...]]:
        """What the process under test had written before this step."""
        return [command for step in self.taps[0].steps[: number - 1] for _, command in step.writes]

    @property
    def store(self) -> Store:
        return self.hands.store

    def deliveries(self) -> list[Delivery]:
        """Every delivery on record, by what its event says."""
        events = self.record.events(self.event_ids())
        return self.record.deliveries(one for event in events for one in event.deliveries)

    def open(self) -> list[Delivery]:
        """Those that are not final."""
        return [one for one in self.deliveries() if one.state not in FINAL]

    def _behind_wall(self, app: Flask) -> Flask:
        @app.before_request
        def refuse() -> Response | None:
            status = self.wall(request.get_data())
            return Response("<html><body>Blocked</body></html>", status, mimetype="text/html") if status else None

        return app

    def let_pass_for_all(self, seconds: float) -> None:
        """The same for the processes under test, too, one of which may be held meanwhile."""
        self.moved_flag.write_text(str(seconds), "utf-8")
        self.let_pass(seconds)

    def let_pass(self, seconds: float) -> None:
        """Move the clock; what the server forgets by itself in this time, such as a lease, is forgotten."""
        if 0 < self.arrives_in_s <= seconds:
            rest, self.arrives_in_s = seconds - self.arrives_in_s, 0
            self._pass(seconds - rest)
            self.taps[0].carry_out()
            seconds = rest
        self.arrives_in_s = max(0.0, self.arrives_in_s - seconds)
        self._pass(seconds)

    def _pass(self, seconds: float) -> None:
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
