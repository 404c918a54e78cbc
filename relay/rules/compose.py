"""Fills a rule's `start` part with values: a Call, ready to be recorded. It never looks at the event itself.

Every parameter of the rule is sent, always. One without a value is sent as an empty text: a parameter left out would
lose its default in newer portals (bizproc/lib/Starter/Parameters.php), and null cannot be said in a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.core.call import Call, DocumentId
from relay.core.errors import InvalidEventError
from relay.rules.documents import FORMS, NUMBER
from relay.rules.templates import Template

Parameter = Template | Sequence[Any] | str | int | float | None
"""What a rule says of a parameter: a template, a list of templates and constants, or a constant."""


@dataclass(frozen=True, slots=True)
class DocumentTemplate:
    """A document id to fill. form: a short form with the numbers that it needs, or None: the full triple."""

    form: str | None
    members: tuple[Template, ...]

    @property
    def requirement(self) -> DocumentId:
        """Module, entity class, and the id up to its first `{name}`."""
        fixed = [member.text.partition("{")[0] for member in self.members]
        if self.form is None:
            return fixed[0], fixed[1], fixed[2]
        module, entity, prefix = FORMS[self.form]
        return module, entity, prefix + (f"{fixed[0]}_" if self.form == "dynamic" and fixed[0] else "")

    def fill(self, values: Mapping[str, Any]) -> DocumentId:
        """The triple. Raises InvalidEventError on the values that are missing or do not fit."""
        for member in self.members:
            absent = {name: ["missing: document_id needs it"] for name in member.names if values[name] is None}
            if absent:
                raise InvalidEventError(absent)
        filled = [_one_line(member, values) for member in self.members]
        if self.form is None:
            return filled[0], filled[1], filled[2]
        for member, number in zip(self.members, filled, strict=True):
            if not NUMBER.fullmatch(number):
                raise _unfit(member, "expected a whole number above 0: document_id needs it")
        module, entity, prefix = FORMS[self.form]
        return module, entity, prefix + "_".join(filled)


def _one_line(member: Template, values: Mapping[str, Any]) -> str:
    filled = member.fill(values)
    text = "" if isinstance(filled, list) else str(filled)
    if not text or len(text) > 255 or not text.isprintable():
        raise _unfit(member, "expected a short text or number: document_id needs it")
    return text


def _unfit(member: Template, message: str) -> InvalidEventError:
    return InvalidEventError({name: [message] for name in member.names or ("document_id",)})


@dataclass(frozen=True, slots=True)
class Composer:
    """The `start` part of a rule."""

    portal: str
    template_id: int
    document_id: DocumentTemplate
    parameters: Mapping[str, Parameter] = field(repr=False)

    def compose(self, values: Mapping[str, Any]) -> Call:
        """Raises InvalidEventError where the document cannot be named."""
        return Call(
            portal=self.portal,
            template_id=self.template_id,
            document_id=self.document_id.fill(values),
            parameters={name: _filled(parameter, values) for name, parameter in self.parameters.items()},
        )


def _filled(parameter: Parameter, values: Mapping[str, Any]) -> Any:
    if isinstance(parameter, list | tuple):
        # Entries without a value are left out; a list within the list is laid flat.
        entries = [_entry(entry, values) for entry in parameter]
        return [item for entry in entries for item in (entry if isinstance(entry, list) else [entry]) if item != ""]
    return _entry(parameter, values)


def _entry(parameter: Any, values: Mapping[str, Any]) -> Any:
    filled = parameter.fill(values) if isinstance(parameter, Template) else parameter
    return "" if filled is None else filled
