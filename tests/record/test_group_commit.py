"""One writes for all who wait: the lead goes to who has waited longest, whoever comes meanwhile."""

from __future__ import annotations

import threading
import types
from dataclasses import dataclass

import gevent
import pytest
from gevent.lock import BoundedSemaphore

from relay.store.record import collector as module
from relay.store.record.collector import Leadership
from tests.support.waiting import until


@dataclass
class Entry:
    name: str
    is_done: bool = False


@pytest.fixture
def lead():
    return Leadership()


def enter(lead, entry, order, begun=None, go_on=None):
    """In a thread of its own: notes whether it was done when it was woken, or leads."""

    def run():
        with lead.awaited(entry):
            order.append((entry.name, entry.is_done))
            if begun:
                begun.set()
                go_on.wait(10)
            entry.is_done = True

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_who_comes_first_leads_and_is_followed_by_who_has_waited_longest(lead):
    order, begun, go_on = [], threading.Event(), threading.Event()
    threads = [enter(lead, Entry("first"), order, begun, go_on)]
    assert begun.wait(10)
    waiting = [Entry("second"), Entry("third"), Entry("fourth")]
    for number, entry in enumerate(waiting, 1):
        threads.append(enter(lead, entry, order))
        until(lambda number=number: len(lead._asleep) == number, f"{entry.name} to sleep")
    waiting[0].is_done = True
    go_on.set()
    for thread in threads:
        thread.join(10)

    assert sorted(order) == [("first", False), ("fourth", False), ("second", True), ("third", False)]
    assert order.index(("third", False)) < order.index(("fourth", False))


def test_who_has_just_come_does_not_overtake_who_is_about_to_lead(lead):
    order, begun, go_on = [], threading.Event(), threading.Event()
    first = enter(lead, Entry("first"), order, begun, go_on)
    assert begun.wait(10)
    second = enter(lead, Entry("second"), order)
    until(lambda: lead._asleep, "the second to sleep")
    heir = lead._asleep[0]
    bed, heir.bed = heir.bed, threading.Lock()  # it is not woken yet
    heir.bed.acquire()
    go_on.set()
    first.join(10)

    third = enter(lead, Entry("third"), order)
    until(lambda: [one.member.name for one in lead._asleep] == ["third"], "the third to sleep")
    bed.release()
    for thread in (second, third):
        thread.join(10)
    assert [name for name, _ in order] == ["first", "second", "third"]


def test_who_is_ended_just_as_the_lead_is_handed_to_it_hands_it_on(monkeypatch):
    monkeypatch.setattr(module, "threading", types.SimpleNamespace(Lock=BoundedSemaphore))  # of greenlets
    lead, order = Leadership(), []

    def run(name):
        with lead.awaited(Entry(name)):
            order.append(name)
            if name == "first":
                gevent.sleep(0)
                second.kill(block=False)  # it learns this before it is woken

    first, second, third = (gevent.spawn(run, name) for name in ("first", "second", "third"))
    gevent.joinall([first, second, third], timeout=10)

    assert order == ["first", "third"]
    assert not lead._is_taken
