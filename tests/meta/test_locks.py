"""The lock files: what is installed is what was looked at, from wherever pip is told to fetch it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAIRS = [
    ("config/requirements.in", "requirements.txt"),
    ("config/otel-requirements.in", "config/otel-requirements.txt"),
    ("config/mcp-requirements.in", "config/mcp-requirements.txt"),
    ("tests/requirements.in", "tests/requirements.txt"),
]
PINNED = re.compile(r"^([a-z0-9-]+)==(\S+) \\$", re.MULTILINE)
WORKS_WITHOUT_AN_IMPORT = {"hiredis", "async-timeout", "tzdata"}
"""Imported by redis-py and by zoneinfo where they are installed or needed."""
IMPORTED_AS = {"pyyaml": "yaml", "pyjwt": "jwt"}


def direct(path: str) -> dict[str, str]:
    """Each dependency that a file asks for, with the reason beside it."""
    lines = (ROOT / path).read_text("utf-8").splitlines()
    wanted = [line.partition("#") for line in lines if line and line[0] not in "#-"]
    return {re.split(r"[\[<>=]", name.strip().lower())[0]: reason.strip() for name, _, reason in wanted}


def pinned(path: str) -> dict[str, str]:
    return dict(PINNED.findall((ROOT / path).read_text("utf-8")))


@pytest.mark.parametrize(("wanted", "lock"), PAIRS)
def test_every_dependency_has_a_reason_and_is_pinned(wanted: str, lock: str) -> None:
    for name, reason in direct(wanted).items():
        assert reason, name
        assert name in pinned(lock), name


@pytest.mark.parametrize("lock", [lock for _, lock in PAIRS])
def test_every_pinned_package_has_a_hash(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    assert len(re.findall(r"^\S+==", text, re.MULTILINE)) == len(pinned(lock))
    assert len(re.findall(r"==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", text)) == len(pinned(lock))


@pytest.mark.parametrize("lock", [lock for _, lock in PAIRS])
def test_a_lock_names_no_host_and_no_path_of_the_machine_that_made_it(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    assert not re.search(r"https?:|file:/|index-url|find-links|trusted-host|(?<![\w.])/\w", text)


def test_the_tests_run_on_the_versions_that_the_product_runs_on() -> None:
    tests = pinned("tests/requirements.txt")
    for lock in ("requirements.txt", "config/otel-requirements.txt", "config/mcp-requirements.txt"):
        assert {name: tests.get(name) for name in pinned(lock)} == pinned(lock)


def test_what_is_optional_has_the_versions_that_the_product_has() -> None:
    product, optional = pinned("requirements.txt"), pinned("config/otel-requirements.txt")
    shared = product.keys() & optional.keys()
    assert "requests" in shared
    assert {name: product[name] for name in shared} == {name: optional[name] for name in shared}


def test_every_dependency_of_the_product_is_imported_by_it() -> None:
    code = "\n".join(
        path.read_text("utf-8") for folder in ("relay", "workers") for path in (ROOT / folder).rglob("*.py")
    )
    for name in direct("config/requirements.in").keys() - WORKS_WITHOUT_AN_IMPORT:
        module = IMPORTED_AS.get(name, name.replace("-", "_"))
        assert re.search(rf"^\s*(import|from) {module}\b", code, re.MULTILINE), name
