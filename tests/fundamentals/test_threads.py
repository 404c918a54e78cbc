"""What repairs does not end by a mistake: its thread is started again, and that is said without a value."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from relay.core import threads
from relay.core.threads import keep_running
from tests.support.folders import REPOSITORY
from tests.support.waiting import until


def test_a_task_that_dies_is_started_again_and_it_is_said_without_the_text(monkeypatch, capsys):
    monkeypatch.setattr(threads, "RESTART_PAUSES_S", (0.01,))
    stop, runs = threading.Event(), []

    def task(told):
        runs.append(1)
        if len(runs) < 3:
            raise ValueError("ada@example.com")
        told.wait()

    thread = keep_running("mender", task, stop)
    until(lambda: len(runs) == 3, "the third run")
    stop.set()
    thread.join(5)

    assert not thread.is_alive()
    said = capsys.readouterr()
    assert "ada@example.com" not in said.out + said.err
    assert (said.out + said.err).count("thread.died") == 2
    assert "test_threads.py:" in said.out + said.err


def test_a_task_that_is_told_to_stop_is_not_started_again():
    stop, runs = threading.Event(), []

    def task(told):
        runs.append(1)
        told.wait()

    thread = keep_running("mender", task, stop)
    until(lambda: runs, "the run")
    stop.set()
    thread.join(5)

    assert runs == [1]


WAITS = """
import os, signal, sys, threading
from relay.core.threads import SignalledEvent
kind = {"signalled": SignalledEvent, "plain": threading.Event}[sys.argv[1]]
line, event = 0, None

def at_this_line(frame, kind, _):
    global line
    if kind == "line":
        line += 1
        if line == interrupted:
            os.kill(os.getpid(), signal.SIGUSR1)
    return at_this_line

signal.signal(signal.SIGUSR1, lambda *_: event.set())
interrupted, lines = 1, 2
while interrupted < lines:
    event, line = kind(), 0
    sys.settrace(lambda frame, *_: at_this_line if frame.f_code.co_name == "wait" else None)
    event.wait(0.01)
    sys.settrace(None)
    assert event.is_set() or line < interrupted
    interrupted, lines = interrupted + 1, max(lines, line + 1)
print(lines)
"""


def wait_with_a_signal_at_each_line(event, *, timeout_s=60):
    return subprocess.run(
        [sys.executable, "-c", WAITS, event],
        cwd=REPOSITORY,
        capture_output=True,
        timeout=timeout_s,
        text=True,
        check=True,
    )


def test_a_signal_at_any_line_of_a_wait_sets_the_event():
    assert int(wait_with_a_signal_at_each_line("signalled").stdout) > 3


def test_a_plain_event_waits_for_ever_for_its_own_lock():
    """If Python ever mends this, `SignalledEvent` can go."""
    with pytest.raises(subprocess.TimeoutExpired):
        wait_with_a_signal_at_each_line("plain", timeout_s=3)


def test_an_event_that_was_set_wakes_all_who_wait():
    event, woken = threads.SignalledEvent(), []
    waiting = [threading.Thread(target=lambda: woken.append(event.wait()), daemon=True) for _ in range(5)]
    for one in waiting:
        one.start()

    event.set()
    for one in waiting:
        one.join(5)

    assert woken == [True] * 5
    assert event.wait(0)
