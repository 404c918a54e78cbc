"""How many posts a second the door takes, beside a bare route and what people write by hand. Prints tables and JSON.

    make bench ARGS=receiving

All are served by the same gunicorn with the same two gevent workers, on one server with `appendfsync always`, in one
run: contenders take turns, three rounds, so that what else the machine does is everybody's. Ratios come first: they
hold on other machines.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import requests

from tests.bench.load import Load, Post, need_wrk, press
from tests.support.folders import REPOSITORY, SECRETS, WEB_SECRETS, copy_config
from tests.support.processes import Processes, free_port
from tests.support.senders import website
from tests.support.valkey import Valkey
from tests.support.waiting import until

ROUNDS, SECONDS = 3, 4.0
WARM_UP_S = 1.0
CONNECTIONS = (16, 64, 256)
TOKEN = SECRETS["SOURCE_WEBSITE_TOKEN"]
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
    contenders: tuple[str, ...] = ("relay",)


EVERYBODY = ("bare route", "by hand", "relay")
SCENES = (
    *(Scene(f"{count} connections", count, contenders=EVERYBODY) for count in CONNECTIONS),
    Scene("10 KB", size=10_000, contenders=("bare route", "relay")),
    Scene("200 KB", connections=16, size=200_000, contenders=("bare route", "relay")),
    Scene("3 rules match", matching=3),
    Scene("10 rules match", matching=10),
    Scene("200 rules loaded", loaded=200),
    Scene("duplicates", is_repeated=True),
    Scene("refused", is_refused=True),
)


def main() -> int:
    """Measure, print. 1 where wrk is missing."""
    if not need_wrk():
        print("wrk is needed, and was not found: on Debian, apt-get install wrk", file=sys.stderr)
        return 1
    loads: dict[tuple[str, str], list[Load]] = {}
    for matching, loaded in dict.fromkeys((scene.matching, scene.loaded) for scene in SCENES):
        scenes = [scene for scene in SCENES if (scene.matching, scene.loaded) == (matching, loaded)]
        with served(matching, loaded, {name for scene in scenes for name in scene.contenders}) as (urls, folder):
            for round_ in range(ROUNDS + 1):
                for scene in scenes:
                    for name in scene.contenders:
                        load = run(scene, urls[name], folder, WARM_UP_S if round_ == 0 else SECONDS)
                        if round_:
                            loads.setdefault((scene.name, name), []).append(load)
    print(table(loads), flush=True)
    print(json.dumps({f"{scene}: {name}": [asdict(one) for one in runs] for (scene, name), runs in loads.items()}))
    return 0


def run(scene: Scene, url: str, folder: Path, seconds: float) -> Load:
    """One run of one contender."""
    headers = website() | ({"X-Relay-Token": "not the token of the test"} if scene.is_refused else {})
    unique = '"submission_id": "same", "n": "' if scene.is_repeated else '"submission_id": "'
    before, after = '{"lead": {"id": 1}, "user": 1, ' + unique, '", "text": "'
    filling = "x" * max(0, scene.size - len(before) - len(after) - 20)
    post = Post(before, after + filling + '"}', headers)
    return press(f"{url}/hooks/website", post, scene.connections, seconds, folder)


@contextmanager
def served(matching: int, loaded: int, names: set[str]) -> Iterator[tuple[dict[str, str], Path]]:
    """Everybody who is wanted, by name, on one server; with a folder to work in."""
    folder = Path(tempfile.mkdtemp(prefix="relay-bench-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        valkey = stack.enter_context(Valkey())
        urls = {}
        for name, app in (("bare route", "bare"), ("by hand", "by_hand")):
            if name in names:
                urls[name] = stack.enter_context(contender(app, valkey.url, folder))
        processes = Processes(folder, config_with(folder, matching, loaded), SECRETS | WEB_SECRETS)
        stack.callback(processes.clean_up)
        relay = processes.start("relay", "serve", REDIS_URL=valkey.url)
        relay.wait_for_url()
        yield urls | {"relay": relay.url}, folder


def config_with(folder: Path, matching: int, loaded: int) -> Path:
    """The shipped configuration with so many rules that match, among so many of the source."""
    config = copy_config(folder)
    shutil.rmtree(config / "rules")
    (config / "rules").mkdir()
    for number in range(max(matching, loaded)):
        when = "body.lead" if number < matching else f"body.kind == 'kind-{number}'"
        (config / "rules" / f"rule-{number}.yaml").write_text(RULE.format(name=f"rule-{number}", when=when), "utf-8")
    return config


@contextmanager
def contender(app: str, redis_url: str, folder: Path) -> Iterator[str]:
    """One of contenders.py under gunicorn; its address."""
    url = f"127.0.0.1:{free_port()}"
    path = f"{REPOSITORY}:{REPOSITORY / 'tests' / 'bench'}"
    environ = os.environ | {"PYTHONPATH": path, "BENCH_REDIS_URL": redis_url, "BENCH_TOKEN": TOKEN}
    served_as = ["-k", "gevent", "-w", "2", "-b", url, "--log-level", "warning"]
    command = [sys.executable, "-m", "gunicorn", *served_as, f"contenders:{app}"]
    with (folder / f"{app}.txt").open("w") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        until(_answering(f"http://{url}"), f"{app} to listen")
        yield f"http://{url}"
    finally:
        process.terminate()
        process.wait(10)


def _answering(url: str) -> Callable[[], bool]:
    def ask() -> bool:
        try:
            requests.get(url, timeout=1)
        except requests.RequestException:
            return False
        return True

    return ask


def table(loads: dict[tuple[str, str], list[Load]]) -> str:
    """A line each: the median of the rounds, its spread, and what it is of `by hand` and of the bare route."""
    how = f"{ROUNDS} rounds of {SECONDS:g} s in turn, two gevent workers, appendfsync always, {os.cpu_count()} cores"
    heads = f"{'of by hand':>10} {'of bare':>8} {'posts/s':>8} {'spread':>13} {'p50 ms':>7} {'p99 ms':>7} {'failed':>7}"
    lines = [f"Receiving: {how}", f"{'':18} {'':11} {heads}"]
    for (scene, name), runs in loads.items():
        rates = [one.rate for one in runs]
        ratios = [_ratio(rates, loads.get((scene, other))) for other in ("by hand", "bare route")]
        lines.append(
            f"{scene:18} {name:11} {ratios[0]:>10} {ratios[1]:>8} {statistics.median(rates):8,.0f} "
            f"{min(rates):6,.0f}-{max(rates):<6,.0f} {statistics.median(one.p50 for one in runs):7.1f} "
            f"{statistics.median(one.p99 for one in runs):7.1f} {sum(one.failed for one in runs):7}"
        )
    return "\n".join(lines)


def _ratio(rates: Sequence[float], others: Sequence[Load] | None) -> str:
    """The median of the ratios of each round: what disturbs a round disturbs both."""
    if others is None:
        return ""
    return f"{statistics.median(mine / other.rate for mine, other in zip(rates, others, strict=True)):.2f}"


if __name__ == "__main__":
    sys.exit(main())
