"""What the API was asked, as the nouns of the record. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.core.events import CallbackState
from relay.store.record.search import Filter, parse_state
from relay.web.presenters.filters import document_named


def filter_of(asked: Mapping[str, Any]) -> Filter:
    """A filter from validated arguments: codes compare in lower case, a document may come as its whole triple."""
    given = dict(asked)
    if isinstance(given.get("state"), str):
        given["state"] = parse_state(given["state"])
    if "watch" in given:
        given["watch"] = CallbackState(given["watch"])
    if "code" in given:
        given["code"] = given["code"].lower()
    if "document_id" in given:
        given["document_id"] = document_named(given["document_id"])
    return Filter(**given)
