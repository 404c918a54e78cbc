"""What one event costs the door: CPU of Python and of the record's server, without a socket between. Prints a table.

    make bench ARGS=hot
    .venv/bin/python tests/bench/hot.py ANOTHER_FOLDER     beside the code of another folder, in turn
    .venv/bin/python tests/bench/hot.py --profile    where the time goes

Time is of the measured process only, whatever else the machine does. Greenlets come at the same time, as under
gunicorn, so each round is a process of its own that gevent has patched.
"""

from __future__ import annotations

import io
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2]))  # behind PYTHONPATH, which names the code that is measured

from gevent.pool import Pool
from werkzeug.test import create_environ

from relay.configuration.settings import Settings
from relay.core.ids import utc_now
from relay.core.telemetry import configure
from relay.sources import Webhook
from relay.web.app import create_app
from tests.bench.receiving import config_with
from tests.bench.report import Table
from tests.support.folders import SECRETS, WEB_SECRETS
from tests.support.senders import website
from tests.support.valkey import Valkey

HERE = Path(__file__).resolve().parents[2]
ROUNDS, EVENTS, AT_ONCE = 5, 2_000, 32
SHORT_ROUNDS = 2
MOST_SHOWN = 70
SCENES = {"1 rule": (1, 1), "3 rules match": (3, 3), "10 rules match": (10, 10), "200 rules loaded": (1, 200)}


class Door:
    """The web process's application on a server of its own, with so many rules."""

    def __init__(self, valkey: Valkey, folder: Path, matching: int, loaded: int) -> None:
        valkey.make_fresh()
        folder.mkdir()
        os.environ.update(SECRETS | WEB_SECRETS)
        config = config_with(folder, matching, loaded)
        self.app = create_app(
            Settings.from_environment({**os.environ, "REDIS_URL": valkey.url, "RELAY_CONFIG": str(config)}, web=True)
        )
        self.services = self.app.extensions["services"]
        self.redis = valkey.redis
        self._number = 0
        self._environ = create_environ("/hooks/website", method="POST", headers=website())

    def measure(self, way: str) -> float:
        """Microseconds of CPU an event."""
        act = self.receive if way == "receive" else self.post
        pool = Pool(AT_ONCE)
        begin = time.process_time()
        for _ in pool.imap_unordered(act, range(EVENTS), maxsize=AT_ONCE):
            pass
        return (time.process_time() - begin) / EVENTS * 1e6

    def server_us(self) -> float:
        """Microseconds that the server has spent in our script an event, since its counts began."""
        found: Any = self.redis.info("commandstats")["cmdstat_evalsha"]
        return float(found["usec"]) / max(1, self._number)

    def receive(self, _: int) -> None:
        """What ingest does of an event."""
        source = self.services.sources["website"]
        webhook = Webhook(
            "POST", website() | {"Host": "127.0.0.1", "Content-Length": "300"}, "", self._body(), "127.0.0.1"
        )
        self.services.ingest.receive(source, webhook, utc_now())

    def post(self, _: int) -> None:
        """The whole call of the application, as the server makes it."""
        body = self._body()
        environ = self._environ | {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
        answer = b"".join(self.app(environ, _begin))
        assert b"accepted" in answer, answer

    def _body(self) -> bytes:
        self._number += 1
        return b'{"lead": {"id": 1}, "user": 1, "submission_id": "%d", "text": "%s"}' % (self._number, b"x" * 220)


def _begin(_status: str, _headers: list[tuple[str, str]], _error: Any = None, /) -> Callable[[bytes], object]:
    return len


def costs() -> dict[str, float]:
    """One round: each scene in each way."""
    found = {}
    with Valkey() as valkey, tempfile.TemporaryDirectory() as folder:
        for number, (scene, (matching, loaded)) in enumerate(SCENES.items()):
            door = Door(valkey, Path(folder) / str(number), matching, loaded)
            door.post(0)
            valkey.redis.config_resetstat()
            for way in ("receive", "wsgi"):
                found[f"{scene}: {way}"] = door.measure(way)
            found[f"{scene}: server"] = door.server_us()
    return found


def profile() -> None:
    """Print the functions that stood in most samples of the stack, and those that were at its top.

    Samples tell the truth of greenlets, which a tracing profiler takes for one another, and of many small calls.
    """
    inside: Counter[str] = Counter()
    at_top: Counter[str] = Counter()

    def sample(_signal: int, frame: FrameType | None) -> None:
        names = list(dict.fromkeys(_named(one) for one in _stack(frame)))
        at_top.update(names[:1])
        inside.update(names)

    with Valkey() as valkey, tempfile.TemporaryDirectory() as folder:
        door = Door(valkey, Path(folder) / "config", 1, 1)
        door.measure("wsgi")
        signal.signal(signal.SIGPROF, sample)
        signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
        for _ in range(ROUNDS):
            door.measure("wsgi")
        signal.setitimer(signal.ITIMER_PROF, 0)
    for title, counts in (("inside", inside), ("at the top", at_top)):
        print(f"{title}, % of samples")
        for name, count in counts.most_common(MOST_SHOWN):
            print(f"{100 * count / at_top.total():6.1f} {name}")


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame:
        yield frame
        frame = frame.f_back


def _named(frame: FrameType) -> str:
    return f"{'/'.join(Path(frame.f_code.co_filename).parts[-3:])}:{frame.f_code.co_qualname}"


def measured(task: str, folder: Path) -> str:
    """What a process of its own prints that does this with the code of this folder."""
    command = [sys.executable, "-m", "gevent.monkey", __file__, task]
    environ = os.environ | {"PYTHONPATH": str(folder)}
    # From that folder, which `-m` puts before all others.
    with subprocess.Popen(
        command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            printed, _ = process.communicate()
        except BaseException:
            process.terminate()  # and not killed: its server is ended by it
            process.wait()
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return printed


def table(rounds: list[list[dict[str, float]]]) -> str:
    """A line a scene and way: the median of the rounds; beside another folder's, also the median of the ratios."""
    lines = [f"us of CPU an event, medians of {ROUNDS} rounds in turn; server: in the script of the record"]
    for name in rounds[0][0]:
        mine, *others = ([one[place][name] for one in rounds] for place in range(len(rounds[0])))
        line = f"{name:28} {statistics.median(mine):8.0f}"
        for other in others:
            ratio = statistics.median(here / there for here, there in zip(mine, other, strict=True))
            line += f"   there {statistics.median(other):8.0f}, here {ratio:.2f} of it"
        lines.append(line)
    return "\n".join(lines)


def measure(*, full: bool) -> list[Table]:
    """The same for `make bench`: a row a scene, with what each way takes."""
    rounds = [json.loads(measured("--round", HERE)) for _ in range(ROUNDS if full else SHORT_ROUNDS)]
    ways = ("receive", "wsgi", "server")
    rows = {
        scene: {way: statistics.median(one[f"{scene}: {way}"] for one in rounds) for way in ways} for scene in SCENES
    }
    how = f"us an event, medians of {len(rounds)} rounds; receive: after its reading; wsgi: all; server: the script"
    return [Table("CPU at the door", how, dict.fromkeys(ways, ",.0f"), rows)]


def main() -> int:
    """Measure, print."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    match sys.argv[1:]:
        case ["--round"]:
            configure("web")
            print(json.dumps(costs()))
        case ["--samples"]:
            configure("web")
            profile()
        case ["--profile"]:
            print(measured("--samples", HERE))
        case others:
            folders = [HERE, *(Path(other).resolve() for other in others)]
            print(table([[json.loads(measured("--round", one)) for one in folders] for _ in range(ROUNDS)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
