"""A call says the same in a batch as by itself, or it goes by itself."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from relay.core.call import Call
from relay.core.spellings import written
from relay.sandbox import php
from workers.bitrix24 import bizproc
from workers.bitrix24.batch import to_query

LEAD = ("crm", "CCrmDocumentLead", "LEAD_1")
NAMES = st.text(st.characters(exclude_categories=["C"], exclude_characters="[]&="), min_size=1, max_size=5)
CONSTANTS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.sampled_from("aЯ&=+%#[]. ") | st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUES = CONSTANTS | TEXTS | st.lists(CONSTANTS | TEXTS, max_size=3)


@given(st.dictionaries(NAMES, VALUES, max_size=3), st.sampled_from([None, "00000000000000.00000001"]))
@example({"A": []}, None)
@example({}, None)
@example({"A": "", "B": [""]}, None)
def test_a_call_says_the_same_in_a_batch_as_by_itself(parameters, own_id):
    call = Call("main", 1, LEAD, parameters)

    asked = bizproc.start_parameters(call, own_id)

    if not call.goes_alone:
        assert php.parse_query(to_query(asked)) == php.settle(as_texts(json.loads(json.dumps(asked))))


def as_texts(value):
    """Numbers as a query has them: PHP reads both alike."""
    if isinstance(value, dict):
        return {name: as_texts(inner) for name, inner in value.items()}
    return [as_texts(inner) for inner in value] if isinstance(value, list) else written(value)
