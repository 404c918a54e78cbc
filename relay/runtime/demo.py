"""The demo: sample events, sent over HTTP as a sender would, and the outcome of each according to the sandbox.

Its portals are connected by an application of the sandbox, as a local application of a real portal would be: the
administrator opens it, workers call with the administrator's tokens, and the cards of the portal show what arrived.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from relay.configuration.files import Mistakes
from relay.configuration.portals import Portal, load_portals
from relay.configuration.settings import read_secret
from relay.core.events import Delivery
from relay.core.ids import utc_now
from relay.core.lifecycle import FINAL, State
from relay.core.plan import FORMS, How, StepResult
from relay.operations.rule_text import UneditableError, put, scalar
from relay.runtime.embedded import url_of
from relay.sources import Source, Webhook, load_sources
from relay.sources.signing import sign
from relay.store import Store
from relay.store.record.record import Record

PATIENCE_S = 60.0
POLL_S = 0.1
PORTALS = "portals.yaml"
SHOWN = {"card": '[lead, deal, contact, company, quote, invoice, "dynamic:147"]', "menu": "true"}
"""The pages of the application on the sandbox."""
ADMINISTRATOR = 1
"""The user of the sandbox who opens the application."""


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


def add_applications(config: Path, folder: Path, environ: Mapping[str, str]) -> Path:
    """Make the demo's configuration: the given one, with an application for each portal without a credential.

    Returns its folder, in which all but portals.yaml is a link: a rule that is changed there or here is changed in
    both. Another file that a page of the demo has replaced stays here alone.
    """
    if not (config / PORTALS).exists():
        return config  # the check of the configuration says so
    folder.mkdir(mode=0o700, exist_ok=True)
    for old in list(folder.iterdir()):
        if old.is_symlink() or old.name == PORTALS:
            old.unlink()
    for entry in config.resolve().iterdir():
        if not (folder / entry.name).exists():
            (folder / entry.name).symlink_to(entry)
    mistakes = Mistakes()
    portals = load_portals(config / PORTALS, mistakes)
    if not mistakes:
        (folder / PORTALS).unlink()
        (folder / PORTALS).write_text(_with_applications(config / PORTALS, portals.values(), environ), "utf-8")
    return folder


def _with_applications(file: Path, portals: Iterable[Portal], environ: Mapping[str, str]) -> str:
    """The text of portals.yaml with the applications, or as it is where that cannot be: then calls go by a webhook."""
    text = file.read_text("utf-8")
    for portal in portals:
        if portal.application or any(name.startswith(portal.variable_prefix) for name in environ):
            continue
        client_id = f"local.{secrets.token_hex(7)}.{secrets.randbelow(90_000_000) + 10_000_000}"
        try:
            for key, value in {"application": scalar(client_id), **SHOWN}.items():
                text = put(text, ("portals", portal.name, key), value)
        except UneditableError:
            return file.read_text("utf-8")
    return text


def open_application(url: str, sandbox_url: str, portal: Portal) -> None:
    """Open the portal's application as its administrator does in a browser, so that it is connected."""
    order = {"client_id": portal.application, "user": ADMINISTRATOR}
    frame = _post(f"{sandbox_url}/sandbox/frame", json.dumps(order).encode(), "application/json")
    fields = json.loads(frame)
    address = f"{url}/app/{portal.name}?{urlencode(fields['query'])}"
    _post(address, urlencode(fields["fields"]).encode(), "application/x-www-form-urlencoded")


def show_samples(url: str, sandbox_url: str, config: Path) -> tuple[int, str]:
    """Send every sample, wait for the outcomes, print them.

    Returns 0 if each has its workflow in the sandbox, and the address of a deal's card there; "" where it has none.
    """
    store = Store.open(read_secret(os.environ, "REDIS_URL") or url_of(Path("var/demo/record")))
    record, deals = store.record, dict[str, str]()
    print(f"{'sample':24} {'rule':22} {'state':10} {'workflow in the sandbox':24} what came first", flush=True)
    sources, good = load_sources(config / "sources.yaml", os.environ), True
    for sample in _samples(config / "samples"):
        receipt = _send(url, sample, sources[sample.source])
        for delivery in _outcomes(record, receipt.get("deliveries", [])):
            known = _workflows(sandbox_url)
            found = delivery.workflow_id in known
            if delivery.call.document_id[:2] == FORMS["deal"][:2]:
                deals.setdefault(delivery.call.portal, delivery.call.document_id[2].rpartition("_")[2])
            good = good and delivery.state is State.STARTED and found
            shown = f"{delivery.workflow_id}" if found else f"none ({delivery.reason or 'no answer yet'})"
            row = f"{sample.name:24} {delivery.rule:22} {delivery.state:10} {shown:24} {_what_came_first(delivery)}"
            print(row.rstrip(), flush=True)
        if not receipt.get("deliveries"):
            good = False
            print(f"{sample.name:24} {'-':22} {receipt.get('state', 'refused'):10} none", flush=True)
    print("every sample has its workflow" if good else "not every sample has its workflow", flush=True)
    return 0 if good else 1, _card_of(store, sandbox_url, deals)


def _card_of(store: Store, sandbox_url: str, deals: Mapping[str, str]) -> str:
    """The address of a card with our tab. deals: numbers of deals by their portal."""
    for name, number in deals.items():
        found = store.applications.installation(name)
        if found and "deal" in found.placements:
            query = {"placement": "CRM_DEAL_DETAIL_TAB", "id": number, "user": ADMINISTRATOR}
            return f"{sandbox_url}/sandbox/open?{urlencode(query)}"
    return ""


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
    receipt: dict[str, Any] = json.loads(_answer_to(request))
    return receipt


def _post(address: str, body: bytes, content_type: str) -> bytes:
    return _answer_to(Request(address, body, {"Content-Type": content_type}))  # noqa: S310 - our own address


def _answer_to(request: Request) -> bytes:
    with urlopen(request, timeout=10) as answer:  # noqa: S310 - our own address
        content: bytes = answer.read()
        return content


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
