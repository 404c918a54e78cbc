"""Starts what the door is measured against: contenders.py under gunicorn, Node-RED, and Debian's webhook.

Node-RED comes from npm, once, into a folder that git ignores; webhook from apt, where root may ask it. Where one of
them cannot be had, MissingError says so, and the others are measured without it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.bench.load import MissingError, has_debian
from tests.bench.rig import say
from tests.support.folders import REPOSITORY, SECRETS
from tests.support.processes import STOP_S, free_port
from tests.support.waiting import until

TOKEN = SECRETS["SOURCE_WEBSITE_TOKEN"]
NODE_RED = REPOSITORY / "var" / "bench" / "node-red-4"
INSTALL_S = 300
SETTINGS = (
    "module.exports = {httpAdminRoot: false, logging: {console: {level: 'error'}}, uiHost: '127.0.0.1', "
    "contextStorage: {default: {module: 'memory'}, disk: {module: 'localfilesystem', config: %s}}}\n"
)
FLOW: list[dict[str, Any]] = [
    {"id": "flow", "type": "tab", "label": "posts"},
    {"id": "in", "type": "http in", "z": "flow", "url": "/hooks/website", "method": "post", "wires": [["out"]]},
    {"id": "out", "type": "http response", "z": "flow", "statusCode": "200", "wires": []},
]
KEPT = """flow.set('e' + msg._msgid, msg.payload, 'disk', (error) => {
  node.send(Object.assign(msg, {statusCode: error ? 500 : 200, payload: {id: 'e' + msg._msgid}}));
  node.done();
});
return null;"""
KEEPING_FLOW = [
    FLOW[0],
    FLOW[1] | {"wires": [["keep"]]},
    {"id": "keep", "type": "function", "z": "flow", "func": KEPT, "outputs": 1, "wires": [["out"]]},
    FLOW[2] | {"statusCode": ""},
]
"""Answers after `set` has called back: at once where the store has a cache, else when the file is written."""
HOOKS = [
    {
        "id": "website",
        "execute-command": "/bin/true",
        "include-command-output-in-response": True,
        "trigger-rule": {
            "match": {"type": "value", "value": TOKEN, "parameter": {"source": "header", "name": "X-Relay-Token"}}
        },
    }
]


@dataclass(frozen=True, slots=True)
class Served:
    """Somebody who takes posts: where, and its first process."""

    url: str
    pid: int


@contextmanager
def contender(app: str, redis_url: str, folder: Path) -> Iterator[Served]:
    """One of contenders.py under gunicorn."""
    address = f"127.0.0.1:{free_port()}"
    path = f"{REPOSITORY}:{REPOSITORY / 'tests' / 'bench'}"
    environ = {"PYTHONPATH": path, "BENCH_REDIS_URL": redis_url, "BENCH_TOKEN": TOKEN}
    served_as = ["-k", "gevent", "-w", "2", "-b", address, "--log-level", "warning"]
    with serving([sys.executable, "-m", "gunicorn", *served_as, f"contenders:{app}"], address, folder, environ) as one:
        yield one


@contextmanager
def node_red(
    folder: Path, flow: Sequence[Mapping[str, Any]] = FLOW, context: Mapping[str, Any] | None = None
) -> Iterator[Served]:
    """Node-RED, one process as it comes: HTTP in, HTTP response. Raises MissingError.

    flow, context: another flow, and the configuration of its persistent context, which is kept in `kept_by_node_red`.
    """
    program = need_node_red()
    home, port = folder / "node-red", free_port()
    home.mkdir(parents=True)
    (home / "settings.js").write_text(SETTINGS % json.dumps(context or {}), "utf-8")
    (home / "flows.json").write_text(json.dumps(flow), "utf-8")
    command = [str(program), "--userDir", str(home), "--port", str(port), "flows.json"]
    with serving(command, f"127.0.0.1:{port}", folder, {}) as one:
        until(lambda: requests.post(f"{one.url}/hooks/website", json={}, timeout=5).ok, "Node-RED to run its flow")
        yield one


def kept_by_node_red(folder: Path) -> set[str]:
    """The names of what its persistent context has on disk."""
    file = folder / "node-red" / "context" / "flow" / "flow.json"
    return set(json.loads(file.read_text("utf-8"))) if file.exists() else set()


@contextmanager
def webhook(folder: Path) -> Iterator[Served]:
    """Debian's webhook with a token and a command that does nothing. Raises MissingError.

    It answers when the command has ended: else what it has yet to run would slow down whoever is measured next.
    """
    if not has_debian("webhook"):
        raise MissingError("webhook was not measured: on Debian, apt-get install webhook")
    hooks, port = folder / "hooks.json", free_port()
    hooks.write_text(json.dumps(HOOKS), "utf-8")
    command = ["webhook", "-hooks", str(hooks), "-ip", "127.0.0.1", "-port", str(port)]
    with serving(command, f"127.0.0.1:{port}", folder, {}) as one:
        yield one


def need_node_red() -> Path:
    """Its program, fetched where it is missing. Raises MissingError."""
    program = NODE_RED / "node_modules" / ".bin" / "node-red"
    if not program.exists():
        if shutil.which("npm") is None:
            raise MissingError("Node-RED was not measured: npm, which brings it, is not here")
        say(f"fetching Node-RED into {NODE_RED.relative_to(REPOSITORY)}, once")
        fetch = ["npm", "install", "--prefix", str(NODE_RED), "--no-audit", "--no-fund", "node-red@4"]
        NODE_RED.mkdir(parents=True, exist_ok=True)
        subprocess.run(fetch, cwd=NODE_RED, capture_output=True, check=False, timeout=INSTALL_S)
    if not program.exists():
        raise MissingError("Node-RED was not measured: npm did not bring it")
    return program


@contextmanager
def serving(command: Sequence[str], address: str, folder: Path, environ: Mapping[str, str]) -> Iterator[Served]:
    """This command, once it answers at this address."""
    url = f"http://{address}"
    with (folder / f"{Path(command[0]).name}-{address}.txt").open("w") as log:
        process = subprocess.Popen(command, env=os.environ | environ, cwd=folder, stdout=log, stderr=log)
    try:
        until(_answering(url), f"{command[0]} to listen")
        yield Served(url, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answering(url: str) -> Callable[[], bool]:
    def ask() -> bool:
        try:
            requests.get(url, timeout=1)
        except requests.RequestException:
            return False
        return True

    return ask
