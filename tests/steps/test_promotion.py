"""A failover forgets what had not reached the replica: which writes have to have, and that no others need to."""

from __future__ import annotations

import pytest

from tests.steps.crashes import trace
from tests.steps.journeys import JOURNEYS
from tests.steps.promotion import failovers, writes_to_wait_for

WAITED = {"record", "claim"}


@pytest.mark.parametrize(
    ("name", "writes"), [("accept", {"record"}), ("send", {"claim"}), ("replay what is dead", set())]
)
def test_the_receipt_and_the_claim_have_to_be_waited_for_and_nothing_else(world, name, writes):
    journey = JOURNEYS[name]
    tried = list(failovers(world, journey, trace(world, journey), is_short=True))

    assert writes_to_wait_for(tried) == writes
    assert [str(one) for one in tried if one.faults and one.is_possible(WAITED)] == []
