"""The shapes of the API, as marshmallow schemas: they validate what comes in and describe what goes out."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import Schema, fields, post_load, validate

from relay.core.lifecycle import BulkAct, EventState, State
from relay.core.plan import StepKind
from relay.operations.filters import TEXT, AboutSchema, AnyState, FilterSchema, Strict, filter_of
from relay.operations.operator_acts import SETTLED_AS, STATES_OF
from relay.operations.preview import Prospect
from relay.store.operators.bulk_replays import BulkState
from relay.store.record.open_issues import KINDS
from relay.web.api.delivery_schemas import CODES, CallSchema, DeliverySchema

CURSOR = re.compile(r"(evt|dlv)_[0-9a-z]{26}\Z")
LIMIT = 200
DEALT_WITH = sorted({state for states in STATES_OF.values() for state in states})


class ListSchema(FilterSchema):
    """A filter, a search, and which page."""

    q = fields.String(
        validate=TEXT,
        metadata={"description": "an id, a workflow id, a document, a code, or a value that a rule extracted"},
    )
    body = fields.Boolean(load_default=True, metadata={"description": "of events: whether with body and envelope"})
    cursor = fields.String(validate=validate.Regexp(CURSOR))
    limit = fields.Integer(validate=validate.Range(min=1, max=LIMIT), load_default=50)

    @post_load
    def to_filter(self, data: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
        """The page that was asked for, and its filter as `wanted`."""
        page = {name: data.pop(name, None) for name in ("q", "body", "cursor", "limit")}
        return page | {"wanted": filter_of(data)}


class BodySchema(Strict):
    body = fields.Boolean(load_default=True, metadata={"description": "whether with body and envelope"})


class EventSchema(Schema):
    id = fields.String()
    source = fields.String()
    state = fields.String(validate=validate.OneOf([*EventState]))
    received_at = fields.String()
    method = fields.String()
    content_type = fields.String()
    query = fields.String()
    tail = fields.String(metadata={"description": "what the sender appended to the address"})
    headers = fields.Dict(keys=fields.String(), values=fields.String())
    body = fields.String(allow_none=True, metadata={"description": "null where its time has come"})
    body_removed_at = fields.String(allow_none=True)
    envelope = fields.String(metadata={"description": "of an entry of a batch, what stood around it, as JSON"})
    reason = fields.String(allow_none=True)
    code = fields.String(allow_none=True, metadata={"description": "of the reason, where it is one of this version"})
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))
    codes = CODES
    duplicates = fields.Integer()
    deliveries = fields.List(fields.Nested(DeliverySchema))


class EventPageSchema(Schema):
    events = fields.List(fields.Nested(EventSchema))
    cursor = fields.String(allow_none=True)


class DeliveryPageSchema(Schema):
    deliveries = fields.List(fields.Nested(DeliverySchema))
    cursor = fields.String(allow_none=True)


class ReplaySchema(Strict):
    rules = fields.String(validate=validate.OneOf(["original", "current"]), load_default="original")


class ReplayFilterSchema(AboutSchema):
    """A filter that means dead deliveries by default: starting other workflows once more must be asked for."""

    state = AnyState(validate=validate.OneOf(DEALT_WITH), load_default=State.DEAD, metadata={"enum": DEALT_WITH})


class MadeSchema(Schema):
    deliveries = fields.List(fields.Nested(DeliverySchema))


class ReplaysSchema(ReplaySchema):
    """An act on many: replay, leave or settle what a filter finds now. Events are replayed with today's rules.

    An act that is not a replay needs a note, and applies only to what waits for a person.
    """

    act = fields.String(validate=validate.OneOf([*BulkAct]), load_default=BulkAct.REPLAY.value)
    note = fields.String(load_default="", validate=validate.Length(max=500))
    filter = fields.Nested(ReplayFilterSchema, required=True)
    dry_run = fields.Boolean(load_default=False, truthy={True}, falsy={False})
    confirmation = fields.String(
        validate=validate.Length(min=1, max=100),
        metadata={
            "description": "of a dry run with the same filter, act and rules: if the filter finds something else now, "
            "nothing is done and the answer is 409. An agent has to give it"
        },
    )


class BulkSchema(Schema):
    id = fields.String(allow_none=True)
    state = fields.String(validate=validate.OneOf([*BulkState]))
    act = fields.String(validate=validate.OneOf([*BulkAct]))
    rules = fields.String()
    found = fields.Integer(metadata={"description": "what the filter finds, counted up to 10,000"})
    replayed = fields.Integer()
    refused = fields.Integer()
    skipped = fields.Dict(
        keys=fields.String(), values=fields.Integer(), metadata={"description": "why some were, and how many"}
    )
    skipped_codes = fields.Dict(
        keys=fields.String(), values=fields.Integer(), metadata={"description": "the same by code"}
    )
    outcomes = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        metadata={"description": "how the deliveries stand now that it has made or settled, by state"},
    )
    sample = fields.List(fields.String())
    confirmation = fields.String(metadata={"description": "of a dry run, to be repeated with the order"})


class SinceSchema(Strict):
    since = fields.AwareDateTime(default_timezone=None)


class GroupSchema(Schema):
    state = fields.String(validate=validate.OneOf([*KINDS]))
    count = fields.Integer()
    first_seen = fields.String()
    last_seen = fields.String()
    says = fields.String(metadata={"description": "the same in a sentence"})
    newest = fields.String(metadata={"description": "the id of a delivery, or of a rejected event"})
    filter = fields.Dict(
        keys=fields.String(), values=fields.String(), metadata={"description": "what finds all of it, for `replays`"}
    )


class GroupsSchema(Schema):
    groups = fields.List(fields.Nested(GroupSchema))


class LeftSchema(Schema):
    id = fields.String()


class SettleSchema(Strict):
    as_ = fields.String(data_key="as", required=True, validate=validate.OneOf([*SETTLED_AS]))
    workflow_id = fields.String(validate=validate.Length(min=1, max=32))
    note = fields.String(required=True, validate=validate.Length(min=1, max=500))


class InstallationSchema(Strict):
    member_id = fields.String(
        required=True,
        validate=validate.Length(min=1, max=64),
        metadata={"description": "of the installation that is meant: another one may wait by now"},
    )


class NoteSchema(Strict):
    note = fields.String(load_default="", validate=validate.Length(max=500))


class MethodSchema(Schema):
    name = fields.String()
    operating_s = fields.Float(metadata={"description": "of its operating time, what the portal counts now"})
    until = fields.String(allow_none=True, metadata={"description": "when it is called again, where it waits"})
    reason = fields.String(allow_none=True)
    advice = fields.String(allow_none=True)
    calls_an_hour = fields.Integer(
        allow_none=True, metadata={"description": "how many calls its operating time carries, once they were timed"}
    )


class PortalSchema(Schema):
    name = fields.String()
    plan = fields.String()
    gate = fields.String(validate=validate.OneOf(["open", "paused", "held"]))
    reason = fields.String(allow_none=True)
    advice = fields.String(allow_none=True)
    since = fields.String(allow_none=True)
    until = fields.String(allow_none=True)
    waiting = fields.Integer(metadata={"description": "deliveries in line, pending and retrying"})
    due = fields.Integer(metadata={"description": "those of them that may be sent now"})
    own_id = fields.String(allow_none=True, metadata={"description": "honoured or ignored, once known"})
    operating_s = fields.Float(metadata={"description": "of the method that has used most of its operating time"})
    operating_limit_s = fields.Float()
    methods = fields.List(fields.Nested(MethodSchema))
    drift = fields.List(fields.String())


class PortalsSchema(Schema):
    portals = fields.List(fields.Nested(PortalSchema))


class QuestionSchema(Schema):
    id = fields.String()
    portal = fields.String()
    act = fields.String()
    workflow_id = fields.String()
    state = fields.String(validate=validate.OneOf(["asked", "done", "failed"]))
    answer = fields.String(allow_none=True)


class RuleSchema(Schema):
    name = fields.String()
    source = fields.String()
    file = fields.String()
    enabled = fields.Boolean()
    portal = fields.String()
    template_id = fields.Integer()
    deliveries = fields.Integer()


class RulesSchema(Schema):
    digest = fields.String()
    rules = fields.List(fields.Nested(RuleSchema))


class TrialSchema(Strict):
    """A body to try rules on. body: JSON, or the text of any content type."""

    source = fields.String(required=True, validate=TEXT)
    rule = fields.String(validate=TEXT)
    body = fields.Raw(required=True, allow_none=True)
    content_type = fields.String(load_default="application/json", validate=TEXT)
    headers = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)
    given = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(strict=True, allow_none=True, validate=validate.Range(min=1)),
        load_default=dict,
        metadata={"description": "what steps come to, by their names: an id, or null where nothing is found"},
    )


class ForeseenSchema(Schema):
    """A step that would be taken."""

    name = fields.String()
    kind = fields.String(validate=validate.OneOf([*StepKind]))
    entity = fields.String()
    method = fields.String()
    fields_ = fields.Dict(attribute="fields", data_key="fields", keys=fields.String())
    prospect = fields.String(validate=validate.OneOf([*Prospect]))
    value = fields.Integer(allow_none=True)


class TriedSchema(Schema):
    rule = fields.String()
    matches = fields.Boolean()
    steps = fields.List(fields.Nested(ForeseenSchema))
    call = fields.Nested(CallSchema, allow_none=True)
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))
    codes = CODES


class TriedPageSchema(Schema):
    tried = fields.List(fields.Nested(TriedSchema))


class TriedEventSchema(TriedPageSchema):
    unreadable = fields.String(allow_none=True, metadata={"description": "why no rule could be tried"})


class TokenSchema(Schema):
    """The rights of the token that was sent."""

    who = fields.String(metadata={"description": "its name in the audit log"})
    may_act = fields.Boolean()
    sees_persons = fields.Boolean(metadata={"description": "false: persons' values are masked"})
    version = fields.String(metadata={"description": "of the relay"})


class AuditSchema(Schema):
    balanced = fields.Boolean()
    imbalances = fields.List(fields.String())
    deliveries = fields.Dict(keys=fields.String(), values=fields.Integer())
    events = fields.Dict(keys=fields.String(), values=fields.Integer())
    since_start = fields.Dict(keys=fields.String(), values=fields.Integer())


class ProblemSchema(Schema):
    """RFC 9457."""

    type = fields.String()
    title = fields.String()
    status = fields.Integer()
    detail = fields.String()
    code = fields.String(metadata={"description": "of the detail, where the relay has a word for it"})
    errors = fields.Dict(keys=fields.String())
    codes = fields.Dict(keys=fields.String(), metadata={"description": "of the errors, in their order"})
