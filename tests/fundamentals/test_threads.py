"""What repairs does not end by a mistake: its thread is started again, and that is said without a value."""

from __future__ import annotations

import threading

from relay.core import threads
from relay.core.threads import keep_running
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
