"""What could not be read when it came is read again as its source is configured today, wherever a person asks."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
import yaml

from relay.cli.main import main
from relay.core.lifecycle import EventState
from relay.store.record.search import Filter, list_events
from tests.support.folders import WEB_SECRETS, copy_config
from tests.support.making import make_entry, write
from tests.support.senders import JSON, SEED, dump, website

FORM = "application/x-www-form-urlencoded"
API = {"Authorization": f"Bearer {WEB_SECRETS['RELAY_API_TOKEN']}"}
PAGE = {"Origin": "http://localhost", "Accept": "text/html"}
LONG = dump({**SEED, "text": "x" * 2_000})
PERSON = "name=%C0%ED%ED%E0"
"""`Анна` as a page in windows-1251 sends it."""


@dataclass(frozen=True)
class Case:
    """What came, what it was answered with, and how the source was mended."""

    body: bytes
    status: int
    was: dict[str, object] = field(default_factory=dict)
    mended: dict[str, object] = field(default_factory=dict)
    content_type: str = FORM
    encoding: str = ""


CASES = {
    "another charset": Case(
        f"lead[id]=1&user=1&{PERSON}".encode(), 400, mended={"fallback_charset": "windows-1251"}
    ),
    "JSON in a field": Case(b'payload={"lead":{"id":1},"user":1}', 200, mended={"json_field": "payload"}),
    "JSON in a part of a field": Case(
        b'lead={"id":1}&user=1', 200, mended={"json_values": ["lead"]}
    ),
    "a field that holds no JSON": Case(b"lead[id]=1&user=1&note=-", 400, {"json_values": ["note"]}),
    "more than was taken, packed": Case(
        gzip.compress(LONG), 413, {"max_body": "1KB"}, {"max_body": "1MB"}, JSON, "gzip"
    ),
}  # fmt: skip


@pytest.fixture
def made(tmp_path, make_app, valkey) -> Callable[..., object]:
    """Makes the application with the source `website` of today. The folder stays, for the command line."""

    def make(**keys: object):
        folder = tmp_path / "config" if (tmp_path / "config").exists() else copy_config(tmp_path)
        sources = yaml.safe_load((folder / "sources.yaml").read_text("utf-8"))
        entry = {name: sources["sources"]["website"][name] for name in ("verify", "dedup")}
        sources["sources"]["website"] = entry | keys
        (folder / "sources.yaml").write_text(yaml.safe_dump(sources), "utf-8")
        return make_app(valkey, config=folder)

    return make


def the_one_event(record):
    (row,) = list_events(record, Filter()).rows
    return row.event


def by_api(app, event_id: str) -> bool:
    return app.test_client().post(f"/api/v1/events/{event_id}/replay", headers=API).status_code == 201


def by_page(app, event_id: str) -> bool:
    client = app.test_client()
    client.post("/login", data={"password": WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]}, headers=PAGE)
    path = f"/events/{event_id}/replay"
    assert "Make 1 delivery" in client.get(path, headers=PAGE).text
    return client.post(path, headers=PAGE).status_code == 303


def by_terminal(_app, event_id: str) -> bool:
    return main(["replay", event_id]) == 0


@pytest.fixture
def terminal(monkeypatch, valkey, tmp_path):
    """The environment of a command."""
    monkeypatch.setenv("REDIS_URL", valkey.url)
    monkeypatch.setenv("RELAY_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("RELAY_SECRET_KEY", WEB_SECRETS["RELAY_SECRET_KEY"])


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("replay", [by_api, by_page, by_terminal])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_could_not_be_read_is_replayed_once_its_source_is_mended(made, record, case, replay):
    headers = website(case.content_type) | ({"Content-Encoding": case.encoding} if case.encoding else {})
    answer = made(**case.was).test_client().post("/hooks/website", data=case.body, headers=headers)
    assert answer.status_code == case.status
    event = the_one_event(record)
    assert event.state in {EventState.REJECTED, EventState.IGNORED}

    assert replay(made(**case.mended), event.id)

    mended = record.event(event.id)
    (delivery,) = record.deliveries(mended.deliveries)
    assert (mended.state, mended.reason, mended.body) == (EventState.ACCEPTED, None, case.body)
    assert delivery.call.document_id[2] == "LEAD_1"


@pytest.mark.usefixtures("terminal")
def test_what_an_earlier_version_has_kept_packed_is_unpacked(made, record):
    entry = make_entry([], state=EventState.REJECTED, body=gzip.compress(dump(SEED)))
    packed = replace(entry.event, headers={"content-encoding": "gzip"}, reason="bytes that are not of their charset")
    write(record, replace(entry, event=packed))

    assert by_page(made(), packed.id)


def refusals(app, event_id: str, capsys) -> list[tuple[int, str]]:
    """What each way says: status, words."""
    client = app.test_client()
    client.post("/login", data={"password": WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]}, headers=PAGE)
    api = client.post(f"/api/v1/events/{event_id}/replay", headers=API)
    page = client.post(f"/events/{event_id}/replay", headers=PAGE)
    status = main(["replay", event_id])
    return [
        (api.status_code, api.get_json()["detail"]),
        (page.status_code, page.text),
        (status, capsys.readouterr().err),
    ]


@pytest.mark.usefixtures("terminal")
def test_what_still_cannot_be_read_says_why_and_stays_as_it_is(made, record, capsys):
    app = made()
    app.test_client().post("/hooks/website", data=f"{PERSON}&user=1", headers=website(FORM))
    event = the_one_event(record)

    told = refusals(app, event.id, capsys)

    assert [status for status, _ in told] == [409, 409, 1]
    assert all("as its source is configured today: bytes that are not of their charset" in words for _, words in told)
    assert record.event(event.id) == event


@pytest.mark.usefixtures("terminal")
def test_what_was_not_kept_says_so(made, record, capsys):
    app = made()
    app.test_client().post("/hooks/lenient", data=b"{" + b" " * 5_000, headers={"Content-Type": JSON})
    event = the_one_event(record)
    assert event.reason.endswith("; its 5001 bytes were not kept")

    told = refusals(app, event.id, capsys)

    assert [status for status, _ in told] == [409, 409, 1]
    assert all("its body was not kept" in words for _, words in told)


@pytest.mark.usefixtures("terminal")
def test_what_was_refused_is_never_replayed(made, record, capsys):
    app = made(methods=["GET"])
    app.test_client().get("/hooks/website", query_string="lead[id]=1&user=1")
    event = the_one_event(record)
    assert event.state is EventState.REFUSED

    told = refusals(app, event.id, capsys)

    assert [status for status, _ in told] == [409, 409, 1]
    assert record.event(event.id).deliveries == ()
