"""The supervisor: what dies is started again, what is done stays done, and nobody outlives the parent."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from relay.runtime import processes
from relay.runtime.processes import Child, Supervisor
from tests.support import children
from tests.support.folders import REPOSITORY
from tests.support.processes import kill
from tests.support.waiting import until


@pytest.fixture
def notes(tmp_path):
    """Where children write what they did."""
    return tmp_path / "notes"


@pytest.fixture
def start():
    """Runs supervisors in threads, and stops them in the end."""
    running = []

    def run(*kept):
        supervisor = Supervisor(kept)
        statuses = []
        thread = threading.Thread(target=lambda: statuses.append(supervisor.run()))
        thread.start()
        running.append((supervisor, thread))
        return supervisor, thread, statuses

    yield run
    for supervisor, thread in running:
        supervisor.stopping.set()
        thread.join(20)
        assert not thread.is_alive()


def lines(notes: Path) -> list[str]:
    return notes.read_text().splitlines() if notes.exists() else []


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_that_died_is_started_again(start, notes, monkeypatch):
    monkeypatch.setattr(processes, "RESTART_PAUSES_S", (0.01,))
    start(Child("stays", children.stay, (notes, "stays")))
    until(lambda: len(lines(notes)) == 1, "the first start")

    kill(int(lines(notes)[0].split()[1]))

    until(lambda: len(lines(notes)) == 2, "the second start")
    assert lines(notes)[0] != lines(notes)[1]


def test_a_child_that_dies_again_and_again_waits_longer_each_time(monkeypatch):
    child = Child("dies", children.end, (1,))
    supervisor = Supervisor([child])
    now = itertools.count(1000.0, 0.001)
    monkeypatch.setattr(processes.time, "monotonic", lambda: next(now))
    pauses = []

    for _ in range(5):
        child.start()
        child.process.join()
        supervisor._look_after(child)
        pauses.append(round(child.restart_at - next(now), 1))

    assert pauses == [0.2, 1.0, 5.0, 15.0, 15.0]


def test_a_child_that_proved_itself_is_restarted_at_once_when_it_dies(monkeypatch):
    child = Child("dies", children.end, (1,), deaths=4)
    child.start()
    child.process.join()
    child.started_at -= processes.STEADY_S + 1

    Supervisor([child])._look_after(child)

    assert child.deaths == 1


def test_a_child_for_once_is_not_started_again_and_its_status_is_the_supervisors(start, notes):
    supervisor, thread, statuses = start(Child("ends", children.end, (3,), once=True))

    thread.join(20)

    assert statuses == [3]
    assert supervisor.children[0].deaths == 0


def test_a_child_that_must_start_and_does_not_stops_everything(start, notes):
    _, thread, statuses = start(
        Child("bystander", children.stay, (notes, "bystander")), Child("broken", children.end, (1,), must_start=True)
    )

    thread.join(20)

    assert statuses == [1]
    assert lines(notes)[-1:] in ([], ["end-of-bystander"])


def test_what_the_others_need_is_stopped_after_them(start, notes):
    supervisor, thread, statuses = start(
        Child("record", children.stay, (notes, "record"), is_needed=True),
        *(Child(name, children.stay, (notes, name)) for name in ("web", "workers")),
    )
    until(lambda: len(lines(notes)) == 3, "all starts")

    supervisor.stopping.set()
    thread.join(20)

    ends = [line.split()[0] for line in lines(notes)[3:]]
    assert (sorted(ends[:2]), ends[2:]) == (["end-of-web", "end-of-workers"], ["end-of-record"])
    assert statuses == [0]


def test_all_are_told_to_end_before_any_is_waited_for(start, notes):
    """Each ends only when all of them have been told: told one after the other, each would be killed."""
    names = ["a", "b", "c"]
    supervisor, thread, statuses = start(
        *(Child(name, children.stay_for_all, (notes, name, len(names)), stop_s=15.0) for name in names)
    )
    until(lambda: len(lines(notes)) == 3, "all starts")

    supervisor.stopping.set()
    thread.join(40)

    assert sorted(line for line in lines(notes) if line.startswith("end-of-")) == ["end-of-a", "end-of-b", "end-of-c"]
    assert {child.process.exitcode for child in supervisor.children} == {0}
    assert statuses == [0]


def test_a_child_that_does_not_end_when_asked_is_killed(start, notes):
    supervisor, thread, _ = start(Child("deaf", children.stay_deaf, (notes,), stop_s=0.2))
    (line,) = until(lambda: lines(notes), "the start")

    supervisor.stopping.set()
    thread.join(20)

    assert not is_alive(int(line.split()[1]))
    assert supervisor.children[0].process.exitcode == -signal.SIGKILL


def test_a_child_ends_when_its_parent_is_killed(notes):
    script = (
        "from tests.support import children; from relay.runtime.processes import Child, Supervisor\n"
        f"if __name__ == '__main__': Supervisor([Child('stays', children.stay, ({str(notes)!r}, 'stays'))]).run()"
    )
    # A file, not -c: a spawned child imports the main module anew.
    main = notes.with_name("main.py")
    main.write_text(script)
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, main], env=environ, cwd=REPOSITORY) as parent:
        (line,) = until(lambda: lines(notes), "the child's start")
        parent.kill()

    until(lambda: not is_alive(int(line.split()[1])), "the child's end")
    assert lines(notes)[1:] == ["end-of-stays"]


def test_other_children_can_be_kept_while_it_runs(start, notes):
    stays, goes = (Child(name, children.stay, (notes, name)) for name in ("stays", "goes"))
    supervisor, _, _ = start(stays, goes)
    until(lambda: len(lines(notes)) == 2, "both to have started")
    pids = dict(line.split() for line in lines(notes))

    supervisor.keep([Child("stays", children.stay, (notes, "stays")), Child("new", children.stay, (notes, "new"))])

    until(lambda: any(line.startswith("new ") for line in lines(notes)), "the new one to have started")
    until(lambda: not is_alive(int(pids["goes"])), "the other to be gone")
    assert is_alive(int(pids["stays"]))
    assert [line.split()[0] for line in lines(notes)].count("stays") == 1
