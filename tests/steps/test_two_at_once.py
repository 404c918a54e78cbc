"""Whoever meets whom at whichever step: of two at once, nothing is lost, and nothing is started twice."""

from __future__ import annotations

import pytest

from tests.steps.meetings import PAIRS
from tests.steps.pairs import schedules

COMMON = [
    "duplicate / duplicate",
    "claim / claim",
    "claim and outcome / sweep",
    "claim and outcome / repair",
    "replay / replay",
    "resume / hold",
    "hold / resume",
    "erase / replay",
    "replay / erase",
    "outcome / finish",
]
"""The others, and schedules with a second switch, are tried by `make chaos ARGS=steps`."""


@pytest.mark.parametrize("name", COMMON)
def test_one_that_is_overtaken_at_any_step_breaks_no_promise(world, name):
    assert [str(one) for one in schedules(world, PAIRS[name], is_short=True) if one.faults] == []


def test_a_claim_that_comes_after_the_call_is_found_where_two_workers_meet(world):
    tried = schedules(world, PAIRS["claim / claim"], bug="claim_after_the_call", is_short=True)

    assert "2 workflows on LEAD_1" in next(one for one in tried if one.faults).faults
