"""How far one thing travels through the code: calls, modules, and how often a call leads into another room.

A post, a delivery, the page that asks before a replay, and the replay: each is done twice in this process, on a real
record and a real sandbox, and counted the second time, when everything is loaded. Load does not change a count.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import CO_GENERATOR
from pathlib import Path
from types import FrameType
from typing import Any

from werkzeug.test import create_environ

from relay.configuration.settings import Settings
from relay.sandbox.server import SandboxServer
from relay.web.app import create_app
from tests.bench.report import Table
from tests.delivering.contexts import Clock, add, make_context, send, use_webhook
from tests.support.folders import REPOSITORY, SECRETS, WEB_SECRETS, copy_config
from tests.support.senders import website
from tests.support.valkey import Valkey

COLUMNS = {"calls": ",", "modules": ",", "borders": ","}
SAME = {"Origin": "http://localhost"}


@dataclass
class Walk:
    """What was called. borders: calls out of one room into another; a room is a folder, such as relay/store/record.

    generators: frames that were counted. A generator that resumes, as templates do piece by piece, is no new call.
    """

    calls: int = 0
    borders: int = 0
    modules: set[str] = field(default_factory=set)
    generators: set[FrameType] = field(default_factory=set, repr=False)

    def look(self, frame: FrameType, event: str, _: Any) -> None:
        """A profile function of Python's."""
        if event != "call" or not (module := _module_of(frame)):
            return
        if frame.f_code.co_flags & CO_GENERATOR:
            if frame in self.generators:
                return
            self.generators.add(frame)
        self.calls += 1
        self.modules.add(module)
        caller = next(filter(None, map(_module_of, _callers(frame))), module)
        self.borders += _room_of(caller) != _room_of(module)

    def row(self) -> dict[str, int]:
        """The counts, by column."""
        return {"calls": self.calls, "modules": len(self.modules), "borders": self.borders}


def measure(*, full: bool) -> list[Table]:
    """Each walk, counted at its second time. full: makes no difference."""
    with Valkey() as valkey, tempfile.TemporaryDirectory() as folder:
        rows = {name: walk.row() for name, walk in _walks(valkey, Path(folder))}
    return [Table("Walks", "calls of our own functions, their modules, calls into another room", COLUMNS, rows)]


def _walks(valkey: Valkey, folder: Path) -> Iterator[tuple[str, Walk]]:
    os.environ.update(SECRETS | WEB_SECRETS)
    app = create_app(
        Settings.from_environment(
            {
                **os.environ,
                "REDIS_URL": valkey.url,
                "RELAY_CONFIG": str(copy_config(folder)),
                "RELAY_STATE": str(folder),
            },
            web=True,
        )
    )
    yield "a post", _second(lambda number: _post(app, number))

    client = app.test_client()
    client.post("/login", data={"password": WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]}, headers=SAME)
    record = app.extensions["services"].record
    dead = [add(record, template=404) for _ in range(2)]
    with SandboxServer(settings={"rate": None}) as sandbox:
        context = make_context(record, use_webhook(sandbox.url), Clock())
        for delivery in dead:
            send(context, delivery)
        sent = [add(record) for _ in range(2)]
        yield "a delivery", _second(lambda number: send(context, sent[number]))

    paths = [f"/deliveries/{delivery.id}/acts/replay" for delivery in dead]
    yield "a replay's confirmation", _second(lambda number: _expect(200, client.get(paths[number])))
    yield "a replay", _second(lambda number: _expect(303, client.post(paths[number], headers=SAME)))


def _second(act: Callable[[int], object]) -> Walk:
    act(0)
    with _walked() as walk:
        act(1)
    return walk


@contextmanager
def _walked() -> Iterator[Walk]:
    walk = Walk()
    threading.setprofile(walk.look)
    sys.setprofile(walk.look)
    try:
        yield walk
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def _post(app: Any, number: int) -> None:
    body = b'{"lead": {"id": 1}, "user": 1, "submission_id": "%d"}' % number
    environ = create_environ("/hooks/website", method="POST", headers=website())
    environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
    answer = b"".join(app(environ, lambda *_: len))
    assert b"accepted" in answer, answer


def _expect(status: int, answer: Any) -> None:
    assert answer.status_code == status, answer.get_data(as_text=True)


def _module_of(frame: FrameType) -> str:
    name = frame.f_code.co_filename
    if not name.startswith(str(REPOSITORY)):
        return ""
    inside = name.removeprefix(f"{REPOSITORY}/")
    return inside if inside.startswith(("relay/", "workers/")) and not inside.startswith("relay/sandbox/") else ""


def _room_of(module: str) -> str:
    return module.rpartition("/")[0]


def _callers(frame: FrameType) -> Iterator[FrameType]:
    while frame := frame.f_back:  # type: ignore[assignment]
        yield frame
