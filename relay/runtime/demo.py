"""The demo: sample events, sent over HTTP as a sender would, and the outcome of each according to the sandbox."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from relay.configuration.settings import read_secret
from relay.core.events import Delivery
from relay.core.ids import utc_now
from relay.core.lifecycle import FINAL, State
from relay.core.plan import How, StepResult
from relay.runtime.embedded import url_of
from relay.sources import Source, Webhook, load_sources
from relay.sources.signing import sign
from relay.store import Store
from relay.store.record.record import Record

PATIENCE_S = 60.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Sample:
    """One file of config/samples."""

    name: str
    source: str
    content_type: str
    headers: dict[str, str]
    body: bytes


def start_afresh(folder: Path) -> None:
    """Remove the record of an earlier demo, whose sandbox and workflows are gone. Its secrets stay."""
    for name in ("record", "state"):
        shutil.rmtree(folder / name, ignore_errors=True)


def show_samples(url: str, sandbox_url: str, config: Path) -> int:
    """Send every sample, wait for the outcomes, print them. Returns 0 if each has its workflow in the sandbox."""
    record = Store.open(read_secret(os.environ, "REDIS_URL") or url_of(Path("var/demo/record"))).record
    print(f"{'sample':24} {'rule':22} {'state':10} {'workflow in the sandbox':24} what came first", flush=True)
    sources, good = load_sources(config / "sources.yaml", os.environ), True
    for sample in _samples(config / "samples"):
        receipt = _send(url, sample, sources[sample.source])
        for delivery in _outcomes(record, receipt.get("deliveries", [])):
            known = _workflows(sandbox_url)
            found = delivery.workflow_id in known
            good = good and delivery.state is State.STARTED and found
            shown = f"{delivery.workflow_id}" if found else f"none ({delivery.reason or 'no answer yet'})"
            row = f"{sample.name:24} {delivery.rule:22} {delivery.state:10} {shown:24} {_what_came_first(delivery)}"
            print(row.rstrip(), flush=True)
        if not receipt.get("deliveries"):
            good = False
            print(f"{sample.name:24} {'-':22} {receipt.get('state', 'refused'):10} none", flush=True)
    print("every sample has its workflow" if good else "not every sample has its workflow", flush=True)
    return 0 if good else 1


def _what_came_first(delivery: Delivery) -> str:
    """The results of the steps before the start: `client 17 found, owner 1 instead, lead 1 made`."""
    return ", ".join(_result(result) for result in delivery.results)


def _result(result: StepResult) -> str:
    if result.value is None:
        return f"{result.name} {result.how}"
    how = "instead" if result.how is How.NOTHING else result.how.replace("_", " ")
    return f"{result.name} {result.value} {how}"


def _samples(folder: Path) -> Iterator[Sample]:
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text("utf-8"))
        content_type = content.get("content_type", "application/json")
        form = content_type == "application/x-www-form-urlencoded"
        body = urlencode(content["body"]) if form else json.dumps(content["body"])
        yield Sample(path.stem, content["source"], content_type, content.get("headers", {}), body.encode())


def _send(url: str, sample: Sample, source: Source) -> dict[str, Any]:
    headers = {"Content-Type": sample.content_type, **sample.headers}
    # The demo can sign like the sender, because it made the secrets.
    webhook = sign(source, Webhook(headers=headers, body=sample.body), utc_now())
    request = Request(f"{url}/hooks/{sample.source}", sample.body, dict(webhook.headers))  # noqa: S310 - our own address
    with urlopen(request, timeout=10) as answer:  # noqa: S310
        receipt: dict[str, Any] = json.load(answer)
        return receipt


def _outcomes(record: Record, delivery_ids: list[str]) -> list[Delivery]:
    """The deliveries when they are final, or after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        deliveries = record.deliveries(delivery_ids)
        if all(delivery.state in FINAL for delivery in deliveries) or time.monotonic() > deadline:
            return deliveries
        time.sleep(POLL_S)


def _workflows(sandbox_url: str) -> set[str]:
    with urlopen(f"{sandbox_url}/sandbox/workflows", timeout=10) as answer:  # noqa: S310
        return {workflow["id"] for workflow in json.load(answer)}
