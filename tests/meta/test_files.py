"""The files of the repository, as text."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = {".git", ".venv", "var", "__pycache__", "node_modules"}
KEPT_DOT_FOLDERS = {".ci", ".github"}
OTHER_KINDS = {".pyc", ".png", ".jpg", ".ico", ".http", ".gz"}
LATER = re.compile("|".join(rf"\b{word}\b" for word in ("TO" + "DO", "FIX" + "ME", "X" + "XX")))
HOSTS = [
    "py" + "pi.org",
    "python" + "hosted",
    "npm" + "js.org",
    "registry" + ".npm",
    "deb" + ".debian",
    "docker" + ".io",
]
"""Where packages come from is each machine's own business."""


def files(folder: Path = ROOT) -> Iterator[Path]:
    """What a clone holds, without asking git: an unpacked archive is tested too."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name not in LEFT_OUT and (path.name in KEPT_DOT_FOLDERS or not path.name.startswith(".")):
                yield from files(path)
        elif path.suffix not in OTHER_KINDS and not path.name.startswith(".coverage."):
            yield path


def texts() -> Iterator[tuple[str, str]]:
    for path in files():
        if path.name != ".coverage":
            yield str(path.relative_to(ROOT)), path.read_bytes().decode("utf-8")


@pytest.fixture(scope="module")
def contents() -> dict[str, str]:
    return dict(texts())


def test_every_file_ends_with_a_newline_and_has_no_carriage_returns(contents: dict[str, str]) -> None:
    bad = [name for name, text in contents.items() if text and (not text.endswith("\n") or "\r" in text)]
    assert bad == []


def test_nothing_is_left_for_later(contents: dict[str, str]) -> None:
    assert [name for name, text in contents.items() if LATER.search(text)] == []


def test_no_file_names_a_registry(contents: dict[str, str]) -> None:
    assert [name for name, text in contents.items() if any(host in text.lower() for host in HOSTS)] == []


def test_each_folder_of_the_house_opens_its_readme_with_its_sentence(contents: dict[str, str]) -> None:
    sentences = {
        "relay": "relay/ receives and remembers",
        "workers": "workers/ deliver and repair",
        "config": "config/ is what an operator edits",
        "tests": "tests/ say it is true",
    }
    for folder, sentence in sentences.items():
        assert contents[f"{folder}/README.md"].startswith(sentence)


def test_every_module_says_what_it_is_for(contents: dict[str, str]) -> None:
    modules = [name for name in contents if name.endswith(".py") and not name.startswith("tests/")]
    assert [name for name in modules if not contents[name].startswith('"""')] == []


def test_no_docstring_begins_with_who_what_or_where(contents: dict[str, str]) -> None:
    asking = re.compile(r'^ *"""(?:Who|Whom|Whoever|What|Where|So long)\b.*', re.MULTILINE)
    modules = {name: text for name, text in contents.items() if name.startswith(("relay/", "workers/"))}
    found = {name: asking.findall(text) for name, text in modules.items() if name.endswith(".py")}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_testing_folder_holds_no_package_that_could_shadow_ours() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_no_test_has_a_name_that_needs_the_one_before_it(contents: dict[str, str]) -> None:
    half = re.compile(r"^def (test_(?:(?:and|or|but|nor|until|unless)_\w+|in_\w+_too))\(", re.MULTILINE)
    assert [name for path, text in contents.items() if path.startswith("tests/") for name in half.findall(text)] == []


def test_no_folder_has_more_than_twenty_files_of_tests_and_no_two_have_one_name() -> None:
    paths = sorted((ROOT / "tests").rglob("test_*.py"))
    assert [one for one, count in Counter(path.parent for path in paths).items() if count > 20] == []
    assert [one for one, count in Counter(path.name for path in paths).items() if count > 1] == []
