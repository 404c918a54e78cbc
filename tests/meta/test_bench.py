"""`make bench`: what can be measured is listed, what was found is shown, and Ctrl-C leaves nothing behind."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench import readme
from tests.bench.report import Table, as_document, as_text
from tests.bench.run import INTERRUPTED, KNOWN, PARTS, main
from tests.support.folders import REPOSITORY
from tests.support.waiting import until

TABLE = Table(
    "Receiving",
    "in turn",
    {"of by hand": ".2f", "posts/s": ",.0f", "spread": ",.0f"},
    {
        "64 connections: by hand": {"of by hand": 1.0, "posts/s": 2170.4, "spread": [2000.0, 2400.0]},
        "64 connections: relay": {"of by hand": 1.4049, "posts/s": 3050.0, "spread": [2900.0, 3100.0]},
        "refused: relay": {"posts/s": 5000.0, "of by hand": None},
    },
    ["Node-RED was not measured: npm is not here"],
)


def test_every_part_is_listed_with_a_line_and_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])

    lines = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0
    for part in KNOWN:
        (line,) = (line for line in lines if line.split()[:1] == [part.name])
        assert part.text in line
        assert f"{part.seconds[0]} s" in line


def test_every_part_can_be_measured() -> None:
    modules = [REPOSITORY / "tests" / "bench" / f"{part.name}.py" for part in KNOWN]

    assert [path.name for path in modules if "def measure(*, full: bool)" not in path.read_text("utf-8")] == []


def test_all_parts_together_are_said_to_take_ten_minutes_at_most() -> None:
    assert sum(part.seconds[0] for part in PARTS) <= 600


def test_a_part_that_does_not_exist_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["nothing"])

    assert ended.value.code == 2
    assert "receiving" in capsys.readouterr().err


def test_a_table_shows_ratios_first_and_says_what_was_left_out() -> None:
    lines = as_text(TABLE).splitlines()

    assert lines[0] == "Receiving: in turn"
    assert re.split(r"\s{2,}", lines[1].strip()) == ["of by hand", "posts/s", "spread"]
    assert re.split(r"\s{2,}", lines[3]) == ["64 connections: relay", "1.40", "3,050", "2,900-3,100"]
    assert re.split(r"\s{2,}", lines[4]) == ["refused: relay", "5,000"]
    assert lines[-1] == "Node-RED was not measured: npm is not here"


def test_the_json_holds_each_round() -> None:
    document = json.loads(json.dumps(as_document([TABLE])))

    assert document["machine"]["cores"]
    assert document["tables"]["Receiving"]["rows"]["64 connections: relay"]["spread"] == [2900.0, 3100.0]


def test_the_table_of_the_readme_is_made_of_an_earlier_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.json").write_text(json.dumps(document_with_everything()), "utf-8")

    assert main(["readme", "--from", str(tmp_path / "run.json")]) == 0

    printed = capsys.readouterr().out.splitlines()
    assert "\n".join(printed[:2]) == readme.HEAD
    assert len(printed) == 2 + len(readme.LINES)
    assert all(line.count("|") == 5 for line in printed)


def test_a_figure_that_was_not_measured_has_no_line() -> None:
    assert readme.markdown(as_document([TABLE])) == readme.HEAD


def test_the_guide_shows_the_table_that_the_benchmark_writes() -> None:
    shown = (REPOSITORY / "config" / "guide" / "performance.md").read_text("utf-8").splitlines()
    begin = shown.index(readme.HEAD.splitlines()[0])
    names = [line.split(" | ")[0].removeprefix("| ") for line in shown[begin + 2 : begin + 2 + len(readme.LINES)]]

    wanted = [re.compile(r"[\d,]+".join(map(re.escape, re.split(r"\{[^}]*\}", line[0])))) for line in readme.LINES]
    assert [name for name, pattern in zip(names, wanted, strict=True) if not pattern.fullmatch(name)] == []


def document_with_everything() -> dict[str, Any]:
    """Every figure that the guide's table asks for, all alike."""
    tables: dict[str, Any] = {}
    for title, row, column, _ in re.findall(readme.SLOT, "".join(cell for line in readme.LINES for cell in line)):
        rows = tables.setdefault(title, {"rows": {}})["rows"]
        rows.setdefault("any" if row == "*" else row, {})[column] = 7
    return {"tables": tables}


@pytest.fixture
def short_folder() -> Iterator[Path]:
    # Not pytest's: the path of a socket may have 107 bytes only.
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("part", "processes", "number"),
    [("start", 2, signal.SIGINT), ("start", 2, signal.SIGTERM), ("hot", 1, signal.SIGINT)],
)
def test_a_benchmark_that_is_stopped_leaves_nothing_behind(
    short_folder: Path, part: str, processes: int, number: signal.Signals
) -> None:
    command = [sys.executable, "tests/bench/run.py", part]
    with subprocess.Popen(
        command, cwd=REPOSITORY, env={"PATH": "/usr/bin:/bin", "TMPDIR": str(short_folder)}, stderr=subprocess.PIPE
    ) as process:
        until(lambda: len(working_in(short_folder)) >= processes, "its processes to run", 60)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)

    assert process.returncode == INTERRUPTED, said.decode()
    assert working_in(short_folder) == []
    assert list(short_folder.iterdir()) == []


def working_in(folder: Path) -> list[str]:
    """Command lines of the processes that work in this folder, or have something in it among their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                if str(folder) in command or Path(entry / "cwd").readlink().is_relative_to(folder):
                    found.append(command)
            except OSError:
                continue
    return found
