"""A day on which all goes wrong that can: nothing is lost, nothing starts twice, nothing waits behind another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.days.chances import Chances
from tests.days.day import Days
from workers.bitrix24.verdicts import Concern

A_FEW = (1, 2)
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


def test_a_day_finds_calls_that_are_made_again_without_looking(days, monkeypatch):
    monkeypatch.setattr("workers.delivery.reconcile.may_send_again", lambda *_: True)

    assert any("workflows on" in fault for fault in days.run(1).faults)


def test_a_day_finds_a_gate_that_one_delivery_closes(days, monkeypatch):
    def concluded(_context, judgements, _not_after=None):
        return [replace(one, concern=Concern.PORTAL) if one.concern is Concern.UNCLEAR else one for one in judgements]

    monkeypatch.setattr("workers.portal.gatekeeper.resolve", concluded)

    assert any("is well, and its gate held" in fault for fault in days.run(10).faults)
