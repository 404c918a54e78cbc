"""A day in fast motion: three portals, three hosts that serve them, one record, and all that a seed makes happen.

Workers, sweeper, door and persons are the real functions, the record is a real server, the portals are real HTTP
servers. Unreal are the time, which jumps to where something is due, and the wire in front of each portal.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest

from relay.core.errors import RelayError
from relay.core.events import Delivery
from relay.core.ids import from_ms, to_ms
from relay.core.lifecycle import State
from relay.operations.configure import load_config
from relay.operations.ingest import Ingest, Ingested, Prober, Spooler
from relay.operations.operator_acts import OperatorActs
from relay.operations.replay import Replayer
from relay.sandbox import portal as pretend
from relay.sandbox.server import SandboxServer
from relay.sandbox.settings import Settings
from relay.sources import Webhook
from relay.store import Store
from relay.store.portals.gate import GateState
from relay.store.record.collector import Collector
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Record
from relay.store.record.spool import Spool
from relay.store.redis import keys
from tests.days import promises
from tests.days.chances import DAY, FILTERED, HOUR, PORTALS, Chances
from tests.days.hosts import DayClock, Host, Keeper, Killed
from tests.days.rules import CALLBACK, SOURCE, TEMPLATES, write_rules
from tests.support.folders import WEB_SECRETS
from tests.support.valkey import Valkey
from workers.bitrix24 import client
from workers.bitrix24.bizproc import INSTANCES
from workers.bitrix24.bizproc import TEMPLATES as TEMPLATE_LIST
from workers.bitrix24.client import BATCH, Answer, Fault
from workers.delivery import deliver, reconcile, worker
from workers.maintenance.repair import sweep
from workers.portal import claims, pace
from workers.portal.client import WITHOUT_LIMIT, Limiter

FOR_ADMINS = {INSTANCES, TEMPLATE_LIST}
BASE = "https://relay.example.com"
WHO = "operator"
CALM = 3 * DAY
"""So long after the last trouble all has to have ended, or to be told to a person."""
MOST_CALLS = 3_000
DEEPEST = 3
"""So many workers may wait for an answer at the same time, while another acts."""
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class Served:
    """One pretend portal on a socket. ahead_s: its clock. delay_s: how long it takes over the answer to come."""

    name: str
    portal: pretend.Portal
    server: SandboxServer
    clock: DayClock
    ahead_s: float = 0.0
    delay_s: float = 0.0

    @classmethod
    def of(cls, name: str) -> Served:
        served: Served

        def now() -> float:
            return served.clock.time() + served.ahead_s

        def sleep(seconds: float) -> None:
            served.delay_s += seconds

        portal = pretend.Portal(clock=lambda: 0.0, sleep=sleep, seed=1)
        served = cls(name, portal, SandboxServer(portal=portal), DayClock())
        portal.clock = now
        return served


class Days:
    """The servers, for many days. Use as a context manager. folder: for the configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = write_rules(folder / "config")
        self.valkey = Valkey()
        self.served = {name: Served.of(name) for name in PORTALS}

    def __enter__(self) -> Self:
        self.valkey.start()
        self.valkey.redis.config_set("appendonly", "no")  # no machine dies here
        for one in self.served.values():
            one.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.served.values():
            one.server.stop()
        self.valkey.stop()

    def run(self, seed: int) -> Day:
        """The day of a seed, to its end."""
        self.valkey.redis.flushall()
        day = Day(Chances.of(seed), self.valkey, self.served, self.folder)
        day.run()
        return day


class Day:
    """One day. faults: what must not have been, each a sentence. calls: how many requests were made."""

    def __init__(self, chances: Chances, valkey: Valkey, served: Mapping[str, Served], folder: Path) -> None:
        self.chances, self.served = chances, served
        self.chance = random.Random(chances.seed)  # noqa: S311 - no secrets
        self.clock, self.keeper = DayClock(), Keeper()
        self.record = Record(valkey.redis)
        self.store = Store(valkey.redis)
        self.stack: list[tuple[Host, str, int]] = []
        self.happenings = list(chances.happenings)
        self.troubles: dict[str, list[float]] = {name: [] for name in PORTALS}
        self.well_since: dict[str, datetime] = dict.fromkeys(PORTALS, self.clock.now)
        self.faults: list[str] = []
        self.calls = 0
        self.counted: Counter[str] = Counter()
        self._looked_at = self.clock.now
        self._seen: Counter[str] = Counter()
        self._prepare(folder)

    def run(self) -> None:
        """All of it."""
        with self._patched():
            try:
                self._live()
            finally:
                for host in self.hosts.values():
                    host.close()
        self.faults += promises.in_the_end(self)

    def deliveries(self) -> list[Delivery]:
        """All on record."""
        events = self.record.events(self.record.oldest("evt_~", None, 10_000))
        return self.record.deliveries(one for event in events for one in event.deliveries)

    def workflows(self, portal: str) -> list[dict[str, Any]]:
        """Those of a portal, oldest first."""
        return [dict(one) for one in reversed(self.served[portal].portal.started())]

    @property
    def is_over(self) -> bool:
        """Whether all trouble has passed."""
        return self.clock.passed_s >= DAY and not self.happenings

    # --- what happens ---

    def receive(self, **body: Any) -> None:
        webhook = Webhook("POST", {"Content-Type": "application/json"}, "", json.dumps(body).encode())
        taken = self.ingest.receive(self.sources[SOURCE], webhook, self.clock.now)
        assert isinstance(taken, Ingested)
        assert not taken.is_rejected

    def trouble(self, portal: str, faults: list[dict[str, Any]], until_s: float) -> None:
        self.served[portal].portal.add_faults(faults)
        self.troubles[portal].append(until_s)
        self._plan(until_s, "calm", portal=portal)

    def calm(self, portal: str) -> None:
        self.troubles[portal].remove(min(self.troubles[portal]))
        self._settle_down(portal)

    def _settle_down(self, portal: str) -> None:
        if not self.troubles[portal]:
            self.served[portal].portal.faults.clear()
            self.well_since[portal] = self.clock.now

    def refuse(self, portal: str, changes: dict[str, Any]) -> None:
        self.served[portal].portal.configure(**changes)
        self.troubles[portal].append(DAY)

    def mend(self, portal: str, changed: list[str]) -> None:
        self.faults += promises.unsaid(self, portal)
        usual = Settings().to_json()
        self.served[portal].portal.configure(**{name: usual[name] for name in changed})
        self.troubles[portal].remove(DAY)
        self._settle_down(portal)

    def configure(self, host: str, portal: str, own_id: str) -> None:
        if not any(each is self.hosts[host] for each, _, _ in self.stack):
            self.hosts[host].configure(portal, own_id)

    def pause(self, portal: str, until_s: float) -> None:
        self.acts.pause(portal, WHO, self.clock.began + timedelta(seconds=until_s))
        self.troubles[portal].append(until_s)
        self._plan(until_s, "calm", portal=portal)

    def resume(self, portal: str) -> None:
        if self.store.portal(portal).gate.look().state is GateState.HELD:
            self.acts.resume(portal, WHO)

    def replay(self, is_current: bool) -> None:
        """A person replays what is dead and has started nothing."""
        for one in self.deliveries():
            is_final = one.state is State.DEAD and not (one.reason or "").startswith("given_up")
            if is_final and not self.started_for(one) and self.chance.random() < 0.5:
                with suppress(RelayError):
                    self.acts.replay(one.id, WHO, current_rules=is_current)

    def decide(self) -> None:
        """A person looks at the portal, and says what is true."""
        for one in self.deliveries():
            if one.state is not State.UNCERTAIN or one.next_attempt_at is not None:
                continue
            known = {each.workflow_id for each in self.deliveries()}
            if one.next_step:
                found = [None] if promises.fired_for(self, one) else []
            else:
                found = [each["id"] for each in self.started_for(one) if each["id"] not in known]
            state = State.STARTED if found else State.RETRYING
            workflow_id = found[0] if found else None
            self.acts.settle(one.id, WHO, state, "looked", workflow_id)

    def finish(self, token: str) -> None:
        """A workflow has come to its end, and calls its address."""
        self.store.endings.finish(token, self.clock.now)

    def started_for(self, delivery: Delivery) -> list[dict[str, Any]]:
        """The workflows that have started for the event of a delivery, on its portal."""
        note = delivery.call.parameters.get("Note")
        return [one for one in self.workflows(delivery.call.portal) if one["parameters"].get("Note") == note]

    # --- how it goes on ---

    def _prepare(self, folder: Path) -> None:
        for name, habits in self.chances.habits.items():
            one = self.served[name]
            one.clock, one.ahead_s, one.delay_s = self.clock, habits.offset_s, 0.0
            one.portal._chance.seed(self.chances.seed)
            one.portal.reset()
            one.portal.configure(**habits.settings)
            one.portal.add_templates(TEMPLATES)
        addresses = {name: one.server.url for name, one in self.served.items()}
        self.by_url = {url: self.served[name] for name, url in addresses.items()}
        self.hosts = Host.all_of(self.record, self.clock, addresses, self.chances.habits)
        config = load_config(folder, WEB_SECRETS, base=BASE)
        self.sources = config.sources
        persons = PersonIndex(WEB_SECRETS["RELAY_SECRET_KEY"])
        spooler = Spooler(self.record, Collector(self.record), Spool.of(folder / "state", 1))
        self.ingest = Ingest(config.rules, spooler, persons, Prober(self.store.senders), self.store.slots, base=BASE)
        replayer = Replayer(self.record, config.sources, config.rules, persons, BASE)
        self.acts = OperatorActs(self.store, replayer, self.clock)

    @contextmanager
    def _patched(self) -> Iterator[None]:
        """The clock of the day instead of this machine's, and the wire between client and portal."""
        real = client.Client.call
        with pytest.MonkeyPatch.context() as patch:
            for module in (client, deliver, reconcile, claims):
                patch.setattr(module, "time", self.clock)
            for module in (client, pace):
                patch.setattr(module, "utc_now", self.clock)
            patch.setattr("relay.operations.replay.utc_now", self.clock)
            # The pace goes by the clock of the record's server, which is real: it has tests of its own.
            patch.setattr(Limiter, "wait", lambda limiter: 0 if limiter._portal.rate_per_s else WITHOUT_LIMIT)
            patch.setattr(deliver, "KEEPER", self.keeper)
            patch.setattr(reconcile, "KEEPER", self.keeper)
            patch.setattr(client.Client, "call", lambda *call: self._wire(real, *call))
            yield

    def _live(self) -> None:
        while self.clock.passed_s < DAY + CALM:
            self._happen()
            if self.calls > MOST_CALLS:
                self.faults.append(f"{self.calls} requests, and no end")
                return
            if self._turn():
                continue
            if self.is_over and self._is_quiet():
                return
            self._jump()

    def _is_quiet(self) -> bool:
        """Whether all has ended that ends by itself. It is looked at every hour."""
        if self.clock.now < self._looked_at + timedelta(minutes=1):
            return not promises.untold(self)
        return False

    def _happen(self) -> None:
        while self.happenings and self.happenings[0].at_s <= self.clock.passed_s:
            one = self.happenings.pop(0)
            self.counted[one.what] += 1
            getattr(self, one.what)(**one.given)
            self.clock.advance(0.001)
        self._notice_starts()
        if self.clock.now - self._looked_at >= timedelta(hours=1):
            self._looked_at = self.clock.now
            self.faults += promises.meanwhile(self)

    def _notice_starts(self) -> None:
        """Workflows that tell their end will do so."""
        for name, one in self.served.items():
            new = one.portal.workflows[self._seen[name] :]
            self._seen[name] += len(new)
            for workflow in new:
                if address := str(workflow.parameters.get(CALLBACK) or ""):
                    at_s = self.clock.passed_s + self.chance.uniform(1, 2 * HOUR)
                    self._plan(at_s, "finish", token=address.rsplit("/", 1)[-1])

    def _plan(self, at_s: float, what: str, **given: Any) -> None:
        self.happenings.append(replace(self.chances.happenings[0], at_s=at_s, what=what, given=given))
        self.happenings.sort(key=lambda one: one.at_s)

    def _turn(self) -> bool:
        """Everybody who is not busy does the next thing; whether there was anything."""
        is_done, due = self._sweep(), self._due()
        workers = [(host, name) for host in self.hosts.values() for name in host.portals if due[name] <= self.clock.now]
        self.chance.shuffle(workers)
        busy = {(host.name, portal) for host, portal, _ in self.stack}
        for host, portal in workers:
            if not host.is_frozen and (host.name, portal) not in busy:
                is_done = self._act(host, portal) or is_done
        return is_done

    def _sweep(self) -> bool:
        if not self.record.redis.zcount(keys.SENDING, "-inf", to_ms(self.clock.now)):
            return False
        host = self.chance.choice(list(self.hosts.values()))
        return bool(sweep(self.record, self.clock.now, host.portals))

    def _act(self, host: Host, portal: str) -> bool:
        self.stack.append((host, portal, host.life))
        before, self.keeper.host = self.keeper.host, host
        try:
            return worker.step(host.contexts[portal])
        except Killed:
            return True
        finally:
            self.keeper.host = before
            self.stack.pop()

    def _jump(self) -> None:
        """To where something is due."""
        times = [self._looked_at + timedelta(hours=1), *self._due().values()]
        times += [self.clock.began + timedelta(seconds=one.at_s) for one in self.happenings[:1]]
        self.clock.now = max(self.clock.now + timedelta(seconds=1), min(times))

    def _due(self) -> dict[str, datetime]:
        """When something is to be done at each portal, and, without a name, when a claim lapses."""
        with self.record.redis.pipeline(transaction=False) as pipeline:
            pipeline.zrange(keys.SENDING, 0, 0, withscores=True)
            for name in PORTALS:
                pipeline.hmget(keys.GATE + name, "state", "until")
                pipeline.zrange(keys.WAITING + name, 0, 0, withscores=True)
                pipeline.zrange(keys.DOUBTFUL + name, 0, 0, withscores=True)
            sending, *found = pipeline.execute()
        due = {"": self._first(sending)}
        for name, (state, until), waiting, doubtful in zip(PORTALS, found[::3], found[1::3], found[2::3], strict=True):
            if state in {None, b"open"}:
                due[name] = min(self._first(waiting), self._first(doubtful))
            else:
                due[name] = from_ms(int(until)) if until else NEVER
        return due

    def _first(self, found: list[tuple[bytes, float]]) -> datetime:
        return from_ms(int(found[0][1])) if found and found[0][1] != float("inf") else NEVER

    def _pass(self, seconds: float) -> None:
        """Time passes for a worker over its call; others act meanwhile."""
        for _ in self.keeper.pass_time(self.clock, seconds):
            if len(self.stack) < DEEPEST and self.chance.random() < 0.3:
                self._happen()
                self._turn()

    def _wire(
        self,
        real: Callable[..., Answer],
        one: client.Client,
        method: str,
        parameters: Mapping[str, Any],
        not_after: Callable[[], float] | None = None,
    ) -> Answer:
        """One request, and all that may befall the worker over it."""
        served = next(each for url, each in self.by_url.items() if one._base_url.startswith(url))
        self.calls += 1
        self._befall()
        if not_after and self.clock.monotonic() > not_after():
            return Answer(self.clock.now, 0, fault=Fault.TOO_LATE)
        at, way_s = self.clock.now, self._travel(served.name)
        served.delay_s = 0.0
        answer = self._stopped(served.name, method, parameters) or real(one, method, parameters)
        took_s, served.delay_s = served.delay_s, 0.0
        if way_s + took_s > client.READ_TIMEOUT_S:
            took_s, answer = client.READ_TIMEOUT_S - way_s, Answer(at, 0, fault=Fault.TIMED_OUT)
        self._pass(took_s)
        self._befall()
        return replace(answer, at=at, duration_ms=round((way_s + took_s) * 1000))

    def _travel(self, portal: str) -> float:
        """A request may wait on its way, or in the line of a portal: it is executed, whatever becomes of the worker.

        How long it took; no longer than the configuration says that a call may take.
        """
        if self.clock.passed_s >= DAY or self.chance.random() < 0.85:
            return 0.0
        way_s = self.chance.uniform(0, min(50.0, self.chances.habits[portal].options["settle_after_s"]))
        if self.chance.random() < 5 * self.chances.kills:
            self.counted["kill"] += 1
            self.stack[-1][0].begin()
        self._pass(way_s)
        return way_s

    def _stopped(self, portal: str, method: str, parameters: Mapping[str, Any]) -> Answer | None:
        """What stands before the portal does not let everything through."""
        if FILTERED in json.dumps(parameters):
            return Answer(self.clock.now, 0, status=403, fault=Fault.UNREADABLE)
        if method == BATCH and len(parameters["cmd"]) > self.chances.habits[portal].largest_batch:
            return Answer(self.clock.now, 0, status=413, fault=Fault.UNREADABLE)
        if method in FOR_ADMINS and not self.chances.habits[portal].is_admin:
            return Answer(self.clock.now, 0, status=403, code="ACCESS_DENIED", description="Access denied!")
        return None

    def _befall(self) -> None:
        """It may stand still for a while, or die: so may those that act meanwhile, and take its host with them."""
        host, _, life = self.stack[-1]
        if self.clock.passed_s < DAY:
            if self.chance.random() < self.chances.freezes:
                self.counted["freeze"] += 1
                host.is_frozen = True
                self._pass(self.chance.choice([5.0, 30.0, 200.0]))
                host.is_frozen = False
            if self.chance.random() < self.chances.kills:
                self.counted["kill"] += 1
                host.begin()
        if host.life != life:
            raise Killed
