"""The one reader of filters: of the API, of the lists' forms and addresses, of the terminal and of orders on many.

A filter is the same everywhere: a code is compared in lower case, a document may come as its whole triple, and a state
is one of deliveries or of events. What else each reader takes, such as a time typed by a person, it makes into this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate

from relay.core.events import CallbackState
from relay.core.lifecycle import EventState, State
from relay.store.record.search import Filter, parse_state

TEXT = validate.Length(min=1, max=200)
OF_CRM = re.compile(r"[a-z]+(_[a-z]+)*(_[0-9]+)+", re.IGNORECASE | re.ASCII)


class Strict(Schema):
    """Unknown keys are errors: a typo in a filter must not widen it."""

    class Meta:
        unknown = RAISE


class AnyState(fields.String):
    """A state of a delivery or of an event."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        state = parse_state(super()._deserialize(value, attr, data, **kwargs) or "")
        if state is None:
            raise ValidationError("no such state")
        return state


class AboutSchema(Strict):
    """A filter without a state. Everything given must hold."""

    source = fields.String(validate=TEXT)
    rule = fields.String(validate=TEXT)
    portal = fields.String(validate=TEXT)
    code = fields.String(validate=TEXT, metadata={"description": "the portal's error code, or our reason"})
    template_id = fields.Integer(
        strict=False, validate=validate.Range(max=2**31 - 1, min=0), metadata={"description": "0: a trigger is fired"}
    )
    document_id = fields.String(validate=TEXT, metadata={"description": "the third member, such as LEAD_12"})
    watch = fields.String(
        validate=validate.OneOf([CallbackState.OVERDUE.value]),
        metadata={"description": "overdue: no completion callback arrived in time"},
    )
    fault = fields.String(validate=TEXT, metadata={"description": "what is wrong with a rejected event: its fields"})
    bulk = fields.String(validate=TEXT, metadata={"description": "the deliveries that this order has made or settled"})
    needs = fields.Boolean(
        truthy={"true", "1", True},
        falsy={"false", "0", False},
        load_default=False,
        metadata={"description": "of dead, uncertain and rejected ones, only those that wait for a person"},
    )
    since = fields.AwareDateTime(default_timezone=None)
    until = fields.AwareDateTime(default_timezone=None)

    @post_load
    def to_filter(self, data: dict[str, Any], **_kwargs: Any) -> Any:
        """The filter of the record."""
        return filter_of(data)


class FilterSchema(AboutSchema):
    """A filter for a list."""

    state = AnyState(metadata={"enum": [*State, *EventState]})


class KeptSchema(FilterSchema):
    """A filter as the record and the terminal have it: the fault of a group may be longer than the API takes."""

    fault = fields.String()


def read_filter(given: Mapping[str, Any]) -> Filter:
    """The filter in texts by name, as `Filter.to_query` writes them; None is left out.

    Raises marshmallow's ValidationError, with messages by name.
    """
    wanted: Filter = KeptSchema().load({name: text for name, text in given.items() if text is not None})
    return wanted


def filter_of(validated: Mapping[str, Any]) -> Filter:
    """The filter in the validated fields of a schema."""
    given = dict(validated)
    if "watch" in given:
        given["watch"] = CallbackState(given["watch"])
    if "code" in given:
        given["code"] = given["code"].lower()
    if "document_id" in given:
        given["document_id"] = document_named(given["document_id"])
    return Filter(**given)


def document_named(text: str) -> str:
    """A document's id as it was typed, alone or as its whole triple: one of the CRM is in capitals, such as LEAD_12."""
    name = text.rpartition(",")[2].strip()
    return name.upper() if OF_CRM.fullmatch(name) else name
