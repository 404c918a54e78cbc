"""How many posts a second the door takes, beside a bare route, what people write by hand, Node-RED and webhook.

    make bench ARGS=receiving

All are on this machine in one run and take turns, scene after scene, three rounds, so that what else the machine does
is everybody's; ratios are of the same round. What Flask serves has the same gunicorn with two gevent workers, on one
server with `appendfsync always`. CPU is of the web processes, and beside it of that server; it holds where the machine
has other work too.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench.load import Load, MissingError, lead_post, need_wrk, press
from tests.bench.others import Served, contender, node_red, webhook
from tests.bench.proc import cpu_s, tree
from tests.bench.report import Table, Value
from tests.bench.rig import Rig, say
from tests.support.folders import copy_config

ROUNDS = 3
WARM_UP_S = 1
CONNECTIONS = (16, 64, 256)
BARE, BY_HAND, NODE_RED, WEBHOOK, RELAY = "bare route", "by hand", "Node-RED", "webhook", "relay"
PLAIN = "plain"
"""The relay at 64 connections with small bodies and one rule, at once before a scene that differs from that."""
RULE = """
name: {name}
source: website
when: {when}
extract:
  lead_id: {{from: body.lead.id, type: integer, required: true, min: 1}}
  user: {{from: body.user, type: integer, required: true, min: 1}}
start:
  {{portal: main, template_id: 1, document_id: {{lead: "{{lead_id}}"}}, parameters: {{Parameter1: "user_{{user}}"}}}}
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """One thing that is measured. size: of a body in bytes; matching, loaded: rules; is_repeated: one event."""

    name: str
    connections: int = 64
    size: int = 300
    matching: int = 1
    loaded: int = 1
    is_repeated: bool = False
    is_refused: bool = False
    contenders: tuple[str, ...] = (PLAIN, RELAY)

    @property
    def rules(self) -> tuple[int, int]:
        """How many match, among how many."""
        return self.matching, self.loaded


@dataclass(frozen=True, slots=True)
class Run:
    """One contender in one scene and round. CPU in us a post: of its web processes, and of the record's server."""

    load: Load
    web_us: float
    server_us: float

    @property
    def cpu_us(self) -> float:
        """Of both together."""
        return self.web_us + self.server_us


EVERYBODY = (BARE, BY_HAND, NODE_RED, WEBHOOK, RELAY)
PLAIN_SCENE = Scene(PLAIN, contenders=())
SCENES = (
    *(Scene(f"{count} connections", count, contenders=EVERYBODY) for count in CONNECTIONS),
    Scene("10 KB", size=10_000),
    Scene("200 KB", connections=16, size=200_000),
    Scene("3 rules match", matching=3, loaded=3),
    Scene("10 rules match", matching=10, loaded=10),
    Scene("200 rules loaded", loaded=200),
    Scene("duplicates", is_repeated=True),
    Scene("refused", is_refused=True),
)
COLUMNS = {
    "of by hand": ".2f", "of Node-RED": ".2f", "of bare": ".2f", "of plain": ".2f", "CPU of by hand": ".2f",
    "CPU of plain": ".2f", "plain/s": ",.0f",
    "posts/s": ",.0f", "spread": ",.0f", "CPU us": ",.0f", "server us": ",.0f", "p50 ms": ".1f",
    "p99 ms": ".1f", "failed": ",",
}  # fmt: skip
Runs = dict[tuple[str, str], list[Run]]


def measure(*, full: bool) -> list[Table]:
    """Everybody in every scene."""
    need_wrk()
    seconds = 4 if full else 2
    with Rig() as rig, ExitStack() as stack:
        served, notes = everybody(rig, stack)
        for one in served.values():
            run_once(rig, PLAIN_SCENE, one, WARM_UP_S)
        runs: Runs = {}
        for round_ in range(1, ROUNDS + 1):
            say(f"  round {round_} of {ROUNDS}")
            for scene in SCENES:
                for name in scene.contenders:
                    asked = PLAIN_SCENE if name == PLAIN else scene
                    if chosen := served.get((RELAY if name == PLAIN else name, *asked.rules)):
                        if PLAIN in scene.contenders and name == RELAY:
                            run_once(rig, asked, chosen, WARM_UP_S)  # it has rested for longer than the plain one
                        run = run_once(rig, asked, chosen, seconds)
                        runs.setdefault((scene.name, name), []).append(run)
    return [table(runs, seconds, notes)]


def everybody(rig: Rig, stack: ExitStack) -> tuple[dict[tuple[str, int, int], Served], list[str]]:
    """All contenders by name and rules, and why some are missing. There is a relay for each number of rules."""
    served, notes = {}, []
    for rules in dict.fromkeys(scene.rules for scene in SCENES):
        folder = rig.folder / f"rules-{rules[0]}-of-{rules[1]}"
        folder.mkdir()
        relay = rig.start_web(config_with(folder, *rules))
        served[RELAY, *rules] = Served(relay.url, relay.pid)
    served[BARE, 1, 1] = stack.enter_context(contender("bare", rig.valkey.url, rig.folder))
    served[BY_HAND, 1, 1] = stack.enter_context(contender("by_hand", rig.valkey.url, rig.folder))
    for name, other in ((NODE_RED, node_red), (WEBHOOK, webhook)):
        try:
            served[name, 1, 1] = stack.enter_context(other(rig.folder))
        except MissingError as error:
            notes.append(str(error))
    return served, notes


def run_once(rig: Rig, scene: Scene, served: Served, seconds: float) -> Run:
    """One run of one contender."""
    post = lead_post(scene.size, is_repeated=scene.is_repeated, is_refused=scene.is_refused)
    web, server = tree(served.pid), [rig.valkey.pid]
    before = cpu_s(web), cpu_s(server)
    load = press(f"{served.url}/hooks/website", post, scene.connections, seconds, rig.folder)
    spent = (now - then for now, then in zip((cpu_s(web), cpu_s(server)), before, strict=True))
    return Run(load, *(each / max(1, load.count) * 1e6 for each in spent))


def config_with(folder: Path, matching: int, loaded: int) -> Path:
    """The shipped configuration with so many rules that match, among so many of the source."""
    config = copy_config(folder)
    shutil.rmtree(config / "rules")
    (config / "rules").mkdir()
    for number in range(max(matching, loaded)):
        when = "body.lead" if number < matching else f"body.kind == 'kind-{number}'"
        (config / "rules" / f"rule-{number}.yaml").write_text(RULE.format(name=f"rule-{number}", when=when), "utf-8")
    return config


def table(runs: Runs, seconds: float, notes: Sequence[str]) -> Table:
    """A row each, and what it is of others in the same round."""
    how = (
        f"medians of {ROUNDS} rounds of {seconds:g} s in turn; two gevent workers, appendfsync always; "
        f"Node-RED is one process, webhook runs /bin/true for each; plain: the relay at 64 connections, at once before"
    )
    rows = {f"{scene}: {name}": _row(scene, name, runs) for scene, name in runs if name != PLAIN}
    return Table("Receiving", how, COLUMNS, rows, notes)


def _row(scene: str, name: str, runs: Runs) -> Mapping[str, Value]:
    mine = runs[scene, name]
    loads = [run.load for run in mine]
    return {
        "of by hand": _ratio(mine, runs.get((scene, BY_HAND))),
        "of Node-RED": _ratio(mine, runs.get((scene, NODE_RED))),
        "of bare": _ratio(mine, runs.get((scene, BARE))),
        "of plain": _ratio(mine, runs.get((scene, PLAIN))),
        "CPU of by hand": _cpu_ratio(mine, runs.get((scene, BY_HAND))),
        "CPU of plain": _cpu_ratio(mine, runs.get((scene, PLAIN))),
        "plain/s": _rate(runs.get((scene, PLAIN))),
        "posts/s": _rate(mine),
        "spread": [load.rate for load in loads],
        "CPU us": statistics.median(run.web_us for run in mine),
        "server us": statistics.median(run.server_us for run in mine),
        "p50 ms": statistics.median(load.p50 for load in loads),
        "p99 ms": statistics.median(load.p99 for load in loads),
        "failed": sum(load.failed for load in loads),
    }


def _rate(runs: Sequence[Run] | None) -> float | None:
    return statistics.median(run.load.rate for run in runs) if runs else None


def _ratio(mine: Sequence[Run], others: Sequence[Run] | None) -> float | None:
    """The median of the ratios of each round: what disturbs a round disturbs both."""
    if others is None or not all(other.load.rate for other in others):
        return None
    return statistics.median(one.load.rate / other.load.rate for one, other in zip(mine, others, strict=True))


def _cpu_ratio(mine: Sequence[Run], others: Sequence[Run] | None) -> float | None:
    """The same of the CPU that a post takes, where it could be counted."""
    if others is None or not all(other.cpu_us for other in others):
        return None
    return statistics.median(one.cpu_us / other.cpu_us for one, other in zip(mine, others, strict=True))
