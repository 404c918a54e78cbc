"""The shape of a delivery in the API, as marshmallow schemas: they describe what goes out."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from relay.core.events import CallbackState, CommentState
from relay.core.lifecycle import State, Verdict
from relay.core.plan import How, StepKind

CODES = fields.Dict(
    keys=fields.String(),
    values=fields.List(fields.String(allow_none=True)),
    metadata={"description": "of the errors, in their order; null for a text that an earlier version has kept"},
)


class CommentSchema(Schema):
    """The comment that the rule leaves in the document's timeline after the start."""

    text = fields.String()
    is_loud = fields.Boolean(metadata={"description": "people are notified of it"})


class CommentProgressSchema(Schema):
    """The progress of the comment."""

    state = fields.String(
        validate=validate.OneOf([*CommentState]),
        metadata={"description": "missing: refused, or nobody knows whether it arrived; it is not sent again"},
    )
    reason = fields.String(allow_none=True)
    at = fields.String(allow_none=True)


class CallSchema(Schema):
    template_id = fields.Integer(metadata={"description": "0: no workflow is started, a trigger is fired instead"})
    document_id = fields.List(fields.String())
    parameters = fields.Dict(keys=fields.String())
    comment = fields.Nested(CommentSchema, metadata={"description": "absent: the rule has none"})


class AttemptSchema(Schema):
    number = fields.Integer()
    at = fields.String()
    duration_ms = fields.Integer()
    verdict = fields.String(validate=validate.OneOf([*Verdict]))
    status = fields.Integer(allow_none=True)
    code = fields.String(allow_none=True)
    description = fields.String(allow_none=True)
    batch_size = fields.Integer()
    step = fields.String(metadata={"description": "the step that was tried; empty: the start of the workflow"})


class StepSchema(Schema):
    """A step before the call: something is found or made."""

    name = fields.String()
    kind = fields.String(validate=validate.OneOf([*StepKind]))
    entity = fields.String()
    state = fields.String(validate=validate.OneOf(["waiting", "done"]))
    how = fields.String(allow_none=True, validate=validate.OneOf([*How]))
    value = fields.Integer(allow_none=True, metadata={"description": "the id that was found or made"})
    at = fields.String(allow_none=True)


class EndSchema(Schema):
    """The end of the workflow, if the rule watches for it."""

    within_s = fields.Integer()
    until = fields.String(allow_none=True, metadata={"description": "when it is overdue, once it has started"})
    state = fields.String(validate=validate.OneOf([*CallbackState]))
    finished_at = fields.String(allow_none=True)
    query = fields.String(metadata={"description": "what came with the call of the one-time address, as encoded there"})
    document_id = fields.List(fields.String(), metadata={"description": "as the template says; empty: it did not"})


class DeliverySchema(Schema):
    id = fields.String()
    event_id = fields.String()
    rule = fields.String()
    portal = fields.String()
    state = fields.String(validate=validate.OneOf([*State]))
    call = fields.Nested(CallSchema)
    workflow_id = fields.String(allow_none=True)
    reason = fields.String(
        allow_none=True,
        metadata={
            "description": "the portal's code, or a word of ours. not_seen_running, of an uncertain one: the list of "
            "running workflows did not show it; it may have run and ended, so look at the document, then settle it. "
            "not_seen_yet: between two looks. not_visible_CODE: the list is refused. given_up_REASON, resent_REASON: "
            "what on_uncertain has decided then"
        },
    )
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "by field, where its rule could not be filled and another could: no call was made"},
    )
    codes = CODES
    steps = fields.List(fields.Nested(StepSchema))
    watch = fields.Nested(EndSchema, allow_none=True)
    comment = fields.Nested(CommentProgressSchema, allow_none=True)
    attempts = fields.List(fields.Nested(AttemptSchema))
    next_attempt_at = fields.String(allow_none=True)
    created_at = fields.String()
    updated_at = fields.String()
    replay_of = fields.String(allow_none=True)
