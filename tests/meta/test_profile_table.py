"""config/README.md's table of profiles is made from the profiles."""

from __future__ import annotations

from tests.support.profile_table import BEGIN, END, README, table, with_table


def test_the_table_is_the_one_that_the_profiles_make():
    readme = README.read_text("utf-8")

    assert readme.count(BEGIN) == readme.count(END) == 1
    assert with_table(readme) == readme, "PYTHONPATH=. .venv/bin/python -m tests.support.profile_table writes it"


def test_every_row_has_every_cell():
    cells = [row.replace("\\|", "").count("|") for row in table().splitlines()]
    assert set(cells) == {9}
