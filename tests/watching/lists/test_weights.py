"""What a page weighs: its HTML with a full list, and the styles and scripts that it loads."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from relay import web
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.store.redis import keys
from tests.support.making import bring_to, count_in_hour, make_entry, write
from tests.support.pages import Page, ask
from tests.support.senders import dump, website

WEB = Path(web.__file__).parent
HTML, BESIDE = 60_000, 40_000
"""Bytes."""
PATHS = ["/", "/?span=week", "/events", "/events?tab=person", "/events?tab=waiting", "/events?state=started"]
PATHS += ["/needs", "/numbers", "/numbers?by=source", "/sources", "/portals", "/rules", "/alerts", "/bulk?state=dead"]
PATHS += ["/studio?source=website", "/sources?open=website", "/log"]
PARTS = ("lists", "event", "studio")
"""Styles that only the pages load that show what they are for."""


@pytest.fixture
def busy(operator, record):
    """A full page of every list, with two deliveries an event, and bars all over the charts."""
    now = utc_now()
    for n in range(60):
        write(record, make_entry(["document-contact", "document-company"], at=now - timedelta(minutes=n)))
        write(record, make_entry([], state=EventState.REJECTED, at=now - timedelta(minutes=n)))
        bring_to(record, State.DEAD if n % 2 else State.STARTED, now - timedelta(minutes=n))
        count_in_hour(record, now - timedelta(hours=n), made=900, dead=20, **{"100": 700})
    content = {"form": "callback", "name": "Ada Lovelace", "phone": "8 912 345-67-89", "email": "ada@example.com"}
    operator.post("/hooks/website", data=dump(content), headers=website())
    parts = ("event:accepted", "event:rejected", "event:ignored", "event:refused", "event:duplicate")
    parts += ("delivery:started", "delivery:dead", "delivery:uncertain", "latency:ms")
    minute = int(now.timestamp()) // 60
    for ago in range(60):
        record.redis.hset(f"{keys.MINUTE}{minute - ago}", mapping=dict.fromkeys(parts, 1234))
    return operator


@pytest.fixture
def paths(busy):
    lists = ("/events", "/events?state=dead")
    new, dead = (re.findall(r"/events/(evt_\w+)", ask(busy, path))[0] for path in lists)
    return [*PATHS, f"/events/{new}", f"/events/{dead}", f"/studio?event_id={new}", f"/rules/try?event={new}"]


def test_a_page_weighs_little(busy, paths):
    for path in paths:
        text = ask(busy, path)
        assert len(text.encode()) < HTML, path
        loaded = set(re.findall(r'(?:src|href)="/(static/[\w-]+\.(?:css|js))"', text))
        assert sum((WEB / one).stat().st_size for one in loaded) < BESIDE, (path, loaded)


def classes_of(name: str) -> set[str]:
    text = re.sub(r"/\*.*?\*/", "", (WEB / "static" / f"{name}.css").read_text("utf-8"), flags=re.DOTALL)
    return {one for selector in re.findall(r"([^{}]*)\{", text) for one in re.findall(r"\.([a-z][\w-]*)", selector)}


def test_a_page_loads_the_styles_of_all_that_it_shows(busy, paths):
    known = classes_of("style")
    for path in paths:
        page = Page(ask(busy, path))
        shown = {one for element in page.root.iter() for one in element.attrib.get("class", "").split()}
        loaded = {element.attrib.get("href", "") for element in page.root.iter("link")}
        for part in PARTS:
            if f"/static/{part}.css" not in loaded:
                assert shown & (classes_of(part) - known) == set(), (path, part)
