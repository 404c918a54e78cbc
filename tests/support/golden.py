"""The golden corpus: requests of real senders as they go over the wire, and what must become of each.

A folder of tests/samples/senders is a profile; its about.yaml says which source receives them and what to expect.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.folders import CONFIG, REPOSITORY

SENDERS = REPOSITORY / "tests" / "samples" / "senders"
PUBLIC_URL = "https://relay.example.com"
PORTALS = "portals:\n  main: {plan: standard, own_id: off, rate: 1000, burst: 10000}\n"


@dataclass(frozen=True)
class Golden:
    """One request. expected: what about.yaml says of it."""

    profile: str
    name: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    expected: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        return f"{self.profile}/{self.name}"

    @property
    def about(self) -> Mapping[str, Any]:
        return about(self.profile)

    @property
    def at(self) -> datetime:
        """When it was signed."""
        return datetime.fromisoformat(self.about["at"])

    @property
    def is_event(self) -> bool:
        """Whether it makes events that were not there before."""
        return "events" in self.expected

    @property
    def answer(self) -> Mapping[str, Any] | None:
        """What it is answered with to the byte; None: the relay's own receipt, or its own refusal."""
        found: Mapping[str, Any] | None = self.expected.get("answer")
        return found if found or not ({"events", "repeats"} & set(self.expected)) else self.about.get("answer")

    @property
    def address(self) -> str:
        """The address that it comes from."""
        return str(self.expected.get("address") or self.about.get("address") or "127.0.0.1")

    def before(self) -> list[Golden]:
        """What has to come first: a handshake, and of a repeat the request that it repeats."""
        names = [*self.expected.get("after", ()), *filter(None, [self.expected.get("repeats")])]
        first = [golden(self.profile, name) for name in names]
        return [one for request in first for one in [*request.before(), request]]

    def with_body(self, body: bytes) -> Golden:
        return replace(self, body=body)

    def send(self, client: FlaskClient) -> TestResponse:
        """Post it to the application, whose server hands over the target as it was sent."""
        path, _, query = self.target.partition("?")
        return client.open(
            path,
            method=self.method,
            query_string=query,
            headers=[pair for pair in self.headers if pair[0].lower() not in {"host", "content-length"}],
            data=self.body,
            environ_overrides={"RAW_URI": self.target, "REQUEST_URI": self.target, "REMOTE_ADDR": self.address},
        )

    def raw(self) -> bytes:
        """The bytes of the file."""
        return (SENDERS / self.profile / self.name).read_bytes()


def profiles() -> list[str]:
    """Those that have a folder."""
    return sorted(folder.name for folder in SENDERS.iterdir() if (folder / "about.yaml").exists())


@cache
def about(profile: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load((SENDERS / profile / "about.yaml").read_text("utf-8"))
    return found


@cache
def golden(profile: str, name: str) -> Golden:
    """One request of the corpus."""
    head, _, body = (SENDERS / profile / name).read_bytes().partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))
    return Golden(profile, name, method, target, pairs, body, about(profile)["requests"][name])


def goldens() -> Iterator[Golden]:
    """All of them."""
    for profile in profiles():
        for name in about(profile)["requests"]:
            yield golden(profile, name)


def environ() -> dict[str, str]:
    """The secrets of all senders."""
    return {name: value for profile in profiles() for name, value in about(profile)["environ"].items()}


def write_configuration(folder: Path) -> Path:
    """A source for each profile, and for each source a rule that makes one call of every event, with what it sees."""
    rules = folder / "rules"
    rules.mkdir(parents=True)
    shutil.copy(CONFIG / "gunicorn.conf.py", folder)
    (folder / "portals.yaml").write_text(PORTALS, "utf-8")
    sources = {profile: about(profile)["source"] for profile in profiles()}
    (folder / "sources.yaml").write_text(yaml.safe_dump({"sources": sources}), "utf-8")
    for profile in profiles():
        rule = {
            "name": profile,
            "source": profile,
            "extract": {"seen": {"from": about(profile)["sees"], "type": "list"}},
            "start": {
                "portal": "main",
                "template_id": 1,
                "document_id": {"lead": "1"},
                "parameters": {"Note": "saw {seen}"},
            },
        }
        (rules / f"{profile}.yaml").write_text(yaml.safe_dump(rule, sort_keys=False), "utf-8")
    return folder
