"""A day on which everything goes wrong that can: nothing is lost, nothing starts twice, nothing waits behind another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.days.chances import Chances
from tests.days.day import Days

A_FEW = (1, 2, 3)
ONCE_FAILED = {
    203: "a start that was sent again, and refused then, was dead, though the first one had started",
}
"""Days on which something was found, and what."""


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Days]:
    with Days(tmp_path_factory.mktemp("days")) as days:
        yield days


@pytest.mark.parametrize("seed", [*A_FEW, *ONCE_FAILED])
def test_a_day_of_trouble_breaks_no_promise(days, seed):
    assert days.run(seed).faults == []


def test_a_seed_makes_the_same_day_again(days):
    first, second = (days.run(A_FEW[0]) for _ in range(2))

    assert Chances.of(A_FEW[0]) == Chances.of(A_FEW[0])
    assert (first.calls, first.counted) == (second.calls, second.counted)
