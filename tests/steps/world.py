"""The world of one journey: a real Valkey and a pretend portal, the tapped process between them, and what has to hold.

After a kill the world is put right with the real functions alone, on a clock that is moved: whoever had no answer asks
again, the sweeper sweeps, workers work, and a person decides what only a person can. Then the promises are looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from relay.core.errors import RelayError
from relay.core.events import Delivery
from relay.core.lifecycle import FINAL, State
from relay.sandbox import portal as pretend
from relay.sandbox.server import SandboxServer
from relay.store.record.record import Record
from relay.store.redis.scripts import Script
from tests.delivering.contexts import SECRET, PortalTime
from tests.steps import acts
from tests.steps.acts import Hands
from tests.support.nursery import Ended, Nursery
from tests.support.tap import Stop, Tap
from tests.support.valkey import Valkey

ROUNDS = 30
"""So often the clock is moved until all is final; a retry waits six hours at most."""
FIRST_MOVE_S = 125.0
"""Longer than the hard deadline of a claim."""


def _load_scripts() -> list[Script]:
    found = (entry.name for entry in files("relay.store.redis").joinpath("lua").iterdir())
    return [Script.load(name.removesuffix(".lua")) for name in found if name != "common.lua"]


SCRIPTS = _load_scripts()


@dataclass(frozen=True, slots=True)
class Journey:
    """A journey under test. What is prepared before it is written without the tap.

    act: by its name in acts.ACTS. begin: brings the world to where the journey begins; what the act is given.
    options: of the portal. workflows, documents: how many have to be on the portal in the end, on each document at
    most `each`. is_asked: somebody waits for the answer, and asks again where none comes.
    is_woken: it is the journey's business that a worker is woken for what it makes due. is_paused: a person has to
    resume the portal in the end. erased: of this person nothing may be left.
    """

    name: str
    act: str
    begin: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    workflows: int = 1
    each: int = 1
    documents: int = 0
    triggers: int = 0
    is_asked: bool = False
    is_woken: bool = False
    is_paused: bool = False
    erased: str = ""


class World:
    """Servers, nursery and taps for many runs, as new for each. Use as a context manager; processes: how many at once."""

    def __init__(self, config: Path, secrets: Mapping[str, str], processes: int = 1) -> None:
        self.config = str(config)
        self.valkey = Valkey()
        self.time = PortalTime()
        self.portal = pretend.Portal({"rate": None}, clock=self.time, sleep=self.time.sleep, seed=1)
        self.server = SandboxServer(portal=self.portal)
        environ = {**secrets, acts.CONFIG: self.config}
        self.nurseries = [Nursery("tests.steps.acts", environ) for _ in range(processes)]
        self.taps: list[Tap] = []
        self._processes = processes

    def __enter__(self) -> Self:
        self.valkey.start()
        self.server.start()
        host, port = self.server.url.removeprefix("http://").split(":")
        socket = Path(self.valkey.url.removeprefix("unix://"))
        names = {script.sha.encode(): script.name for script in SCRIPTS}
        self.taps = [Tap(socket, (host, int(port)), names) for _ in range(self._processes)]
        for tap in self.taps:
            tap.__enter__()
        self.record = Record(self.valkey.redis)
        return self

    def __exit__(self, *_: object) -> None:
        for each in (*self.nurseries, *self.taps, self.server, self.valkey):
            each.__exit__(None, None, None)

    def begin(self, journey: Journey) -> dict[str, Any]:
        """As new, and brought to where a journey begins; what its act is given."""
        with self.valkey.redis.pipeline(transaction=False) as pipeline:
            pipeline.flushall()
            for script in SCRIPTS:
                pipeline.script_load(script.text)
            pipeline.execute()
        self.time.reset()
        self.portal.reset()
        self.clock = acts.Clock()
        self.acknowledged: list[str] = []
        self.hands = Hands.at(self.valkey.url, self.server.url, self.clock.now, self.config, **journey.options)
        given: dict[str, Any] = journey.begin(self)
        return given

    def start(self, journey: Journey, given: Mapping[str, Any], stop: Stop | None = None, *, bug: str = "", at: int = 0):
        """Have a process begin a journey behind a tap."""
        self.taps[at].begin(stop)
        self.nurseries[at].begin({
            "act": journey.act, "given": given, "options": dict(journey.options), "bug": bug,
            "now": self.clock.now.isoformat(), "redis_url": self.taps[at].redis_url,
            "portal_url": f"http://127.0.0.1:{self.taps[at].portal_port}",
        })  # fmt: skip

    def end(self, journey: Journey, at: int = 0) -> Ended:
        """Until the process has ended."""
        ended = self.nurseries[at].wait()
        if self.taps[at].failure:
            raise self.taps[at].failure
        if journey.act == "receive" and isinstance(ended.result, list):
            self.acknowledged += ended.result
        return ended

    def go_on(self, journey: Journey, given: Mapping[str, Any]) -> None:
        """Restart and drain: whoever had no answer asks again; then everybody does what is to be done, until all is final."""
        if journey.is_asked:
            self.ask_again(journey, given)
        if journey.is_paused:
            assert self.hands.context.gate.look().by_person
            acts.resume(self.moved())
        for number in range(ROUNDS):
            self.work()
            if not self.open() and not self.hands.bulk.bulks.running():
                break
            self.resolve()
            self.let_pass(FIRST_MOVE_S * 1.5**number)

    def ask_again(self, journey: Journey, given: Mapping[str, Any]) -> None:
        """Somebody who had no answer asks once more; a refusal is an answer."""
        hands = self.moved()
        try:
            result = acts.ACTS[journey.act](hands, **given)
        except RelayError:
            return
        if journey.act == "receive":
            self.acknowledged += result

    def work(self) -> None:
        """All that workers, the sweeper and threads would do now."""
        hands = self.moved()
        acts.mend(hands)
        hands.record.wake(["main"], self.clock.now)
        while any([acts.ask_portal(hands), acts.look_into(hands), acts.send_once(hands)]):
            pass
        acts.step_bulks(hands)

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

    def moved(self) -> Hands:
        """Fresh hands, as of a process that was started again, on the clock as it is now."""
        clock = self.hands.context.clock
        clock.now = self.clock.now  # type: ignore[attr-defined]
        return self.hands

    def open(self) -> list[Delivery]:
        """Deliveries that are not final."""
        return [one for one in self.deliveries() if one.state not in FINAL]

    def deliveries(self) -> list[Delivery]:
        events = self.record.events(self.record.oldest("evt_~", None, 1_000))
        return self.record.deliveries(one for event in events for one in event.deliveries)

    def resolve(self) -> None:
        """A person looks at what only a person can decide, and at the portal, and says what is true."""
        for delivery in self.deliveries():
            if delivery.state is State.UNCERTAIN and delivery.next_attempt_at is None:
                self._decide(delivery)

    def _decide(self, delivery: Delivery) -> None:
        hands = self.moved()
        if delivery.next_step:
            fired = any(True for _ in self.portal.triggers)
            acts.settle(hands, delivery.id, State.STARTED if fired else State.RETRYING)
            return
        document = list(delivery.call.document_id)
        taken = {one.workflow_id for one in self.deliveries()}
        free = [one["id"] for one in self.portal.started() if one["document"] == document and one["id"] not in taken]
        acts.settle(hands, delivery.id, State.STARTED if free else State.RETRYING, free[0] if free else None)

    def faults_at_once(self, journey: Journey) -> list[str]:
        """What has to hold the moment after a kill: the books balance, and whoever made something due has woken a worker."""
        found = list(self.record.counts().imbalances)
        kept = self.hands.store.portal("main")
        if journey.is_woken and kept.gate.look().is_open and self.record.due("main", self.clock.now):
            found += [] if kept.jobs().waiting else ["a delivery is due, and no worker was woken"]
        return found

    def faults(self, journey: Journey) -> list[str]:
        """What has to hold in the end and does not, in words; empty where every promise was kept."""
        return [*self._lost(journey), *self._twice(journey), *self._stuck(), *self.record.counts().imbalances]

    def _lost(self, journey: Journey) -> list[str]:
        known = {event.id: event for event in self.record.events(self.acknowledged)}
        found = [f"{one} was acknowledged and is not on record" for one in self.acknowledged if one not in known]
        bare = [one for one in known.values() if not one.deliveries and one.state == "accepted"]
        found += [f"{one.id} was accepted and has no delivery" for one in bare]
        found += [f"{one.id} is {one.state} for ever" for one in self.open()]
        if journey.erased and acts.traces_of(self.hands, journey.erased):
            found.append("something is left of a person who was erased")
        count = len(self.portal.started())
        return [*found, f"{count} of {journey.workflows} workflows"] if count < journey.workflows else found

    def _twice(self, journey: Journey) -> list[str]:
        documents = Counter(tuple(one["document"]) for one in self.portal.started())  # type: ignore[arg-type]
        found = [f"{count} workflows on {one[2]}" for one, count in documents.items() if count > journey.each]
        if (total := documents.total()) > journey.workflows:
            found.append(f"{total} workflows instead of {journey.workflows}")
        made, fired = len(self.portal.items.made), len(self.portal.triggers)
        found += [f"{made} documents made instead of {journey.documents}"] if made != journey.documents else []
        return [*found, f"fired {fired} times instead of {journey.triggers}"] if fired != journey.triggers else found

    def _stuck(self) -> list[str]:
        redis, found = self.valkey.redis, []
        view = self.hands.context.gate.look()
        if not view.is_open:
            found.append(f"the portal's gate is {view.state}")
        found += [f"{key.decode()} never ends" for key in redis.keys("relay:lease:*") if redis.pttl(key) == -1]
        if running := self.hands.bulk.bulks.running():
            found.append(f"{len(running)} bulk replays run for ever")
        return found


def later(world: World, seconds: float) -> None:
    """Move the clock before a journey begins."""
    world.clock.now += timedelta(seconds=seconds)
