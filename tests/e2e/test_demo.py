"""`demo --once`: the whole way, for somebody who has just come."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import requests

from tests.support.folders import CONFIG
from tests.support.frames import token_in
from tests.support.processes import free_port
from tests.support.waiting import until


def test_the_demo_starts_a_workflow_for_every_sample_and_logs_no_parameter(processes):
    running = processes.start("relay", "demo", "--once", port=free_port(), RELAY_CONFIG=str(CONFIG))

    assert running.process.wait(60) == 0, running.log()

    lines = running.printed().splitlines()
    samples = sorted(path.stem for path in (CONFIG / "samples").glob("*.json"))
    rows = [line.split() for line in lines[2:-1]]
    assert sorted(row[0] for row in rows) == samples
    assert {row[2] for row in rows} == {"started"}
    assert all(re.fullmatch(r"[0-9a-f]{13,}\.?\d*", row[3]) for row in rows)
    assert len({row[3] for row in rows}) == len(samples)
    assert lines[-1] == "every sample has its workflow"
    running.wait_until_gone()
    log = (processes.folder / "var" / "demo" / "relay.log").read_text("utf-8")
    assert str(Path("var", "demo", "relay.log")) in lines[0]
    said = [json.loads(line)["event"] for line in log.splitlines()]
    assert said.count("event.received") == len(samples)
    assert said.count("delivery.attempted") >= len(samples)
    private = (
        "anna@example.com",
        "nina@example.com",
        "Nina",
        "123-45",
        "00-99",
        "79000000099",
        "user_1",
        "/rest/1/sandbox",
    )
    assert not [word for word in private if word in log]


def test_a_demo_beside_a_running_one_says_so_and_leaves_its_folder_alone(processes):
    first = processes.start("relay", "demo", "--once", port=free_port(), RELAY_CONFIG=str(CONFIG))
    until(lambda: "starting record" in first.printed(), "the first to have its folder")

    second = processes.run("relay", "demo", "--once", RELAY_CONFIG=str(CONFIG))

    assert (second.returncode, second.stdout) == (1, "")
    assert "var/demo is in use" in second.stderr
    assert first.process.wait(60) == 0, first.printed()


def test_the_demo_begins_with_a_strangers_form_and_ends_with_the_card_of_a_deal_that_shows_what_arrived(processes):
    running = processes.start("relay", "demo", port=free_port(), RELAY_CONFIG=str(CONFIG))
    until(lambda: "Ctrl-C stops." in running.printed(), f"the demo to be ready\n{running.log()}", 60)

    lines = running.printed().splitlines()
    rows = {line.split()[0]: line for line in lines[2:]}
    card = rows["a"].split()[2]
    page = requests.get(card, timeout=10)
    shown = open_frame(card)
    status = running.stop(signal.SIGINT)

    assert lines[2].startswith("callback-a-stranger")
    assert re.search(r"client nothing, owner 5 found, lead \d+ made$", rows["callback-a-stranger"])
    assert re.search(r"client 17 found, owner 1 instead, lead \d+ made$", rows["callback-clara"])
    assert re.search(r"/sandbox/open\?placement=CRM_DEAL_DETAIL_TAB&id=7&user=1$", card)
    assert page.status_code == 200
    assert f'action="{running.url}/app/main' in page.text
    assert "1 thing came for this deal" in shown
    assert 'From <span translate="no">website</span>' in shown
    assert status == 0, running.log()


def open_frame(card: str) -> str:
    """What the frame in this page of the sandbox shows at last."""
    parts = urlsplit(card)
    opened = requests.post(f"http://{parts.netloc}/sandbox/frame", json=dict(parse_qsl(parts.query)), timeout=10)
    frame = opened.json()
    seen = [requests.post(frame["address"], data=frame["fields"], timeout=10)]
    again = f"{seen[0].url.partition('?')[0]}/page"

    def is_shown() -> bool:
        seen.append(requests.post(again, data={"token": token_in(seen[-1])}, timeout=10))
        return 'class="life"' in seen[-1].text

    until(is_shown, "the card to be shown", 30)
    return seen[-1].text
