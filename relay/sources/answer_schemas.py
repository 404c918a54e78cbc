"""The shape of `probes` and `answer`: what is answered without an event, and what to a recorded one."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from marshmallow import ValidationError, fields, post_load, validates_schema

from relay.configuration.expressions import ExpressionError
from relay.configuration.fields import Choice, Flag, Number, StrictSchema, Text, Wanted
from relay.core.faults import fault
from relay.sources.probes import Probe
from relay.sources.reading import ROOTS
from relay.sources.schema_fields import HEADER_NAME, Path
from relay.sources.templater import EVENT_ROOTS, JSON, PLAIN, Answer, build_body
from relay.sources.templater import Text as Template

OURS = frozenset(
    {"connection", "content-length", "content-type", "set-cookie", "transfer-encoding"}
    | {"content-security-policy", "x-content-type-options"}
)
"""Headers that the relay writes itself, or that nobody should."""


class _Headers(Wanted):
    """Headers with texts."""

    expected = fault("expected_headers")

    def __init__(self, known: Collection[str], **options: Any) -> None:
        self.known = known
        super().__init__(**options)

    def read(self, value: Any) -> dict[str, Template]:
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise ValueError
        wrong: dict[str, list[str]] = {name: [fault("own_header")] for name in value if name.lower() in OURS}
        wrong |= {name: [fault("expected_header_name")] for name in value if not re.fullmatch(HEADER_NAME, name)}
        found = {}
        for name, text in value.items():
            try:
                found[name] = Template.parse(text, self.known)
            except ExpressionError as error:
                wrong.setdefault(name, []).extend(error.messages)
        if wrong:
            raise ValidationError(wrong)
        return found


class _Body(fields.Field[Any]):
    """A text, or what is answered as JSON."""

    def __init__(self, known: Collection[str], **options: Any) -> None:
        self.known = known
        super().__init__(**options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:  # noqa: ARG002 - marshmallow's signature
        try:
            return build_body(value, self.known)
        except ExpressionError as error:
            raise ValidationError(list(error.messages)) from None


class AnswerSchema(StrictSchema):
    """An answer. Loaded, it is an Answer."""

    status = Number(200, 299, load_default=None)
    type = Text(fault("expected_type_plain"), load_default=None)

    def __init__(self, known: Collection[str], **options: Any) -> None:
        super().__init__(**options)
        more: dict[str, fields.Field[Any]] = {
            "headers": _Headers(known, load_default=dict),
            "body": _Body(known, load_default=lambda: Template(())),
        }
        for name, field in more.items():
            self.declared_fields[name] = field
        self._init_fields()

    @post_load
    def _make(self, content: dict[str, Any], **_: Any) -> Answer:
        body = content["body"]
        kind = content["type"] or (PLAIN if isinstance(body, Template) else JSON)
        answer = Answer(content["status"], kind, content["headers"], body)
        if not answer.is_harmless:
            raise ValidationError({"type": [fault("expected_harmless_type")]})
        return answer


class ProbeSchema(StrictSchema):
    """A probe. Loaded, it is a Probe."""

    when = Path(required=True)
    open = Flag(load_default=False)
    answer = fields.Nested(AnswerSchema(ROOTS), required=True)
    secret = Choice("verify_token", load_default=None)
    given = Path(load_default=None)
    keeps = Path(load_default=None)

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _is_whole(self, content: dict[str, Any], written: Any, **_: Any) -> None:
        if not self.has_read(content, written, "open", "secret", "given", "keeps"):
            return
        if (content["secret"] is None) != (content["given"] is None):
            raise ValidationError(fault("expected_secret_and_given"))
        if content["keeps"] is not None and not content["open"]:
            raise ValidationError({"keeps": [fault("expected_open")]})

    @post_load
    def _make(self, content: dict[str, Any], **_: Any) -> Probe:
        return Probe(
            content["when"], content["answer"], content["open"], content["secret"], content["given"], content["keeps"]
        )


class EventAnswerSchema(AnswerSchema):
    """The answer to a recorded event."""

    def __init__(self, **options: Any) -> None:
        super().__init__(EVENT_ROOTS, **options)
