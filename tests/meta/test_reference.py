"""The guide: what it shows of the code is what the code says, its pages are short, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relay.configuration.settings import Settings
from tests.support.folders import CONFIG, REPOSITORY
from tests.support.reference import FENCE, GUIDE, HEADING, PAGES, PARTS, anchor_of, written

MOST_WORDS = 1500
READMES = (REPOSITORY / "README.md", REPOSITORY / ".github" / "README.ru.md")
SKIPPED = {".git", ".venv", "var", "node_modules"}
DOCUMENTS = sorted(path for path in REPOSITORY.rglob("*.md") if not SKIPPED & set(path.relative_to(REPOSITORY).parts))
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)")
CODE = re.compile(r"`[^`\n]*`")
ANY_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def called(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def links(text: str) -> list[tuple[str, str]]:
    """The file and the anchor of each link within the repository; what stands as code is none."""
    return LINK.findall(CODE.sub("", FENCE.sub("", text)))


def anchors(path: Path) -> set[str]:
    return {anchor_of(title) for title in ANY_HEADING.findall(FENCE.sub("", path.read_text("utf-8")))}


@pytest.mark.parametrize("path", PAGES, ids=called)
def test_what_a_page_shows_of_the_code_is_what_the_code_says(path):
    """`make docs` mends it."""
    text = path.read_text("utf-8")
    assert written(text) == text


def test_every_part_that_is_made_from_the_code_stands_on_one_page():
    found = re.findall(r"<!-- ([a-z -]+): begin -->", "".join(path.read_text("utf-8") for path in PAGES))
    assert sorted(name for name in found if name != "contents") == sorted(PARTS)


def test_a_row_of_a_made_table_has_a_cell_for_each_column():
    for make in PARTS.values():
        head, _, *rows = make().splitlines()
        assert rows
        assert {row.replace("\\|", "").count("|") for row in rows} == {head.count("|")}


def test_a_default_in_the_settings_is_the_one_that_an_empty_environment_has():
    given = Settings.from_environment({"REDIS_URL": "redis://host", "RELAY_CONFIG": str(CONFIG)})
    assert given == Settings(redis_url="redis://host", config=CONFIG)


@pytest.mark.parametrize("path", [*READMES, *PAGES], ids=called)
def test_a_page_is_read_in_a_few_minutes(path):
    assert len(path.read_text("utf-8").split()) <= MOST_WORDS


@pytest.mark.parametrize("path", PAGES, ids=called)
def test_a_page_with_sections_begins_with_its_contents(path):
    text = path.read_text("utf-8")
    if HEADING.search(FENCE.sub("", text)):
        assert text.index("<!-- contents: begin -->") < text.index("\n## ")


def test_every_page_of_the_guide_is_reached_from_the_first_readme_and_from_that_of_the_files():
    for readme in (REPOSITORY / "README.md", CONFIG / "README.md"):
        reached, found = set(), [readme]
        while found:
            page = found.pop()
            if page not in reached and page.suffix == ".md":
                reached.add(page)
                found += [(page.parent / file).resolve() for file, _ in links(page.read_text("utf-8")) if file]
        assert set(GUIDE.glob("*.md")) <= reached


@pytest.mark.parametrize("path", DOCUMENTS, ids=called)
def test_every_link_within_the_repository_leads_somewhere(path):
    targets = [(path.parent / file if file else path, anchor) for file, anchor in links(path.read_text("utf-8"))]
    assert [str(target) for target, _ in targets if not target.exists()] == []
    assert [(str(target), anchor) for target, anchor in targets if anchor and anchor not in anchors(target)] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a](b.md#c)", [("b.md", "c")]),
        ("[a](#c)", [("", "c")]),
        ("![a](b.png)", [("b.png", "")]),
        ("[a](https://site.example/b.md)", []),
        ("[a](mailto:you@example.com)", []),
        ("`[a](b.md)`", []),
    ],
)
def test_the_search_for_links_finds_those_within_the_repository(text, found):
    assert links(text) == found
