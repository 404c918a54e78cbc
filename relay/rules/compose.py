"""Fills the parts of a rule with values: a Call, and the steps before it, ready to be recorded.

Templates are text with {names}. They are filled in one pass, so braces in a value stay text. `{name}` alone keeps the
type of the value; within text, values are written as text. `{{` and `}}` are plain braces. A step's result, which only
the portal knows, becomes a placeholder. This module never looks at the event itself.

Every parameter of the rule is always sent. One without a value is sent as an empty text: a parameter left out would
lose its default in newer portals (bizproc/lib/Starter/Parameters.php), and a batch cannot carry null.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, cast

from relay.configuration.expressions import split_braces
from relay.configuration.fields import suggestion
from relay.core.errors import InvalidEventError
from relay.core.faults import Fault, fault
from relay.core.placeholders import Placeholder, PlaceholderValue
from relay.core.plan import FORMS, Call, DocumentId, Step, StepKind, StepRequirement
from relay.core.spellings import written
from relay.rules.schemas import NUMBER

MOST_UNKNOWN = 20
"""How many unknown names of one text are reported."""
_PLAIN = frozenset({str, int, float, type(None)})


class TemplateError(ValueError):
    """Text that is not a template. messages: one fault for each mistake."""

    def __init__(self, *messages: str) -> None:
        super().__init__(*messages)
        self.messages = messages


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: literal text and names in the order they come.

    parts: (True, name) or (False, literal).
    """

    text: str
    parts: tuple[tuple[bool, str], ...]
    names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """The names in it, in order."""
    lone: str | None = field(init=False, repr=False, compare=False)
    """Its name, if the template is nothing else."""

    def __post_init__(self) -> None:
        names = tuple(part for is_name, part in self.parts if is_name)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "lone", names[0] if len(self.parts) == len(names) == 1 else None)

    @classmethod
    def parse(
        cls, text: str, known: Collection[str] | None, later: Collection[str] = (), *, hints: bool = True
    ) -> Template:
        """Parse a template. known: the names that it may use; None: unknown here, so any. later: steps still to come.

        hints: whether to suggest similar names, which takes long if there are many mistakes and many names. Raises
        TemplateError for lone braces and unknown names.
        """
        parts, wrong = split_braces(text)
        if known is not None:
            unknown = dict.fromkeys(part for is_name, part in parts if is_name and part not in known)
            wrong += [_unknown(name, known if hints else (), later) for name in list(unknown)[:MOST_UNKNOWN]]
        if wrong:
            raise TemplateError(*wrong)
        return cls(text, tuple(parts))

    def fill(self, values: Mapping[str, Any]) -> Any:
        """Fill in values. A lone name gives its value, as plain() writes it; text gives text, or None if all names are
        missing.

        If a value is a Placeholder, the result is a PlaceholderValue.
        """
        if self.lone:
            value = values[self.lone]
            return PlaceholderValue((value,)) if isinstance(value, Placeholder) else plain(value)
        given = [value for name in self.names if (value := values[name]) is not None and value != []]
        if self.names and not given:
            return None
        pieces = [_written(values[part]) if is_name else part for is_name, part in self.parts]
        return PlaceholderValue.of(pieces, has_value=set(map(type, given)) != {Placeholder})


def plain(value: Any) -> Any:
    """A value as JSON can carry it: "Y" or "N" for a boolean (Bitrix24's bool, bizproc/classes/general/helper.php),
    ISO 8601 for dates, times with their offset.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, bool):
        return "Y" if value else "N"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    return [plain(item) for item in value] if isinstance(value, list) else value


def _unknown(name: str, known: Collection[str], later: Collection[str]) -> str:
    if name in later:
        return fault("no_value_yet", name=name)
    return fault("not_among_values", name=name, hint=suggestion(name, known))


def _written(value: Any) -> str | Placeholder:
    if value is None:
        return ""
    if isinstance(value, Placeholder):
        return value
    shown = plain(value)
    return ", ".join(map(written, shown)) if isinstance(shown, list) else written(shown)


TRIGGER_NAME = "trigger"
"""The name of the trigger's own step."""

MOST_WRITTEN, MOST_TIMES = 1_000_000, 4
"""Characters that a rule may write for one event: this many, plus each found value this many times."""
A_NUMBER = 20
"""Characters that a value counts which is not text."""

Parameter = Template | Sequence[Any] | str | int | float | None
"""A parameter in a rule: a template, a list of templates and constants, or a constant."""


@dataclass(frozen=True, slots=True)
class DocumentTemplate:
    """A document id to fill. form: a short form; None: the full triple."""

    form: str | None
    members: tuple[Template, ...]

    @property
    def names(self) -> Iterator[str]:
        """The names in it, with repetitions."""
        return (name for member in self.members for name in member.names)

    @property
    def requirement(self) -> DocumentId:
        """Module, entity class, and the id up to its first `{name}`."""
        fixed = [member.text.partition("{")[0] for member in self.members]
        if self.form is None:
            return fixed[0], fixed[1], fixed[2]
        module, entity, prefix = FORMS[self.form]
        return module, entity, prefix + (f"{fixed[0]}_" if self.form == "dynamic" and fixed[0] else "")

    def fill(self, values: Mapping[str, Any]) -> DocumentId:
        """The triple. Raises InvalidEventError for values that are missing or do not fit.

        It may contain a PlaceholderValue: the result of a step is always a number, so the worker need not check it.
        """
        for member in self.members:
            absent = [name for name in member.names if values[name] is None]
            if absent:
                raise InvalidEventError({name: [fault("missing_for_document")] for name in absent})
        filled = [_one_line(member, values) for member in self.members]
        if self.form is None:
            return cast("DocumentId", tuple(filled))
        for member, number in zip(self.members, filled, strict=True):
            if isinstance(number, str) and not NUMBER.fullmatch(number):
                raise _unfit(member, fault("expected_number_for_document"))
        module, entity, prefix = FORMS[self.form]
        return cast("DocumentId", (module, entity, PlaceholderValue.of(_joined(prefix, filled))))


def _joined(prefix: str, members: Sequence[str | PlaceholderValue]) -> list[str | Placeholder]:
    parts: list[str | Placeholder] = [prefix]
    for index, member in enumerate(members):
        parts += ["_"] * (index > 0)
        parts += member.parts if isinstance(member, PlaceholderValue) else [member]
    return parts


def _one_line(member: Template, values: Mapping[str, Any]) -> str | PlaceholderValue:
    filled = member.fill(values)
    if isinstance(filled, PlaceholderValue):
        return filled
    text = "" if isinstance(filled, list) else str(filled)
    if not text or len(text) > 255 or not text.isprintable():
        raise _unfit(member, fault("expected_short_text_for_document"))
    return text


def _unfit(member: Template, wrong: Fault) -> InvalidEventError:
    return InvalidEventError({name: [wrong] for name in member.names or ("document_id",)})


@dataclass(frozen=True, slots=True)
class Composer:
    """The `start` part of a rule; for a rule that only fires a trigger: its portal and document, and template 0."""

    portal: str
    template_id: int
    document_id: DocumentTemplate
    parameters: Mapping[str, Parameter] = field(repr=False)

    @property
    def names(self) -> Iterator[str]:
        """The names in it, with repetitions."""
        yield from self.document_id.names
        yield from _names_in(list(self.parameters.values()))

    def compose(self, values: Mapping[str, Any]) -> Call:
        """Fill in values. Raises InvalidEventError if the document cannot be named."""
        return Call(
            portal=self.portal,
            template_id=self.template_id,
            document_id=self.document_id.fill(values),
            parameters={name: _filled(parameter, values) for name, parameter in self.parameters.items()},
        )


@dataclass(frozen=True, slots=True)
class StepTemplate:
    """A find or a make of a rule. blank: the step without its values."""

    blank: Step
    fields: Mapping[str, Parameter] = field(repr=False)

    @property
    def name(self) -> str:
        """Its name, which is also the name of its result."""
        return self.blank.name

    @property
    def kind(self) -> StepKind:
        """Whether it finds or makes."""
        return self.blank.kind

    @property
    def requirement(self) -> StepRequirement:
        """Its requirements on the portal."""
        step = self.blank
        return StepRequirement(step.name, step.kind, step.entity, step.type_id, tuple(self.fields), step.own_field)

    @property
    def names(self) -> Iterator[str]:
        """The names in it, with repetitions."""
        return _names_in(list(self.fields.values()))

    def compose(self, values: Mapping[str, Any]) -> Step:
        """The step with its values, and placeholders for the results of earlier steps."""
        return replace(self.blank, values={name: _field(given, values) for name, given in self.fields.items()})


@dataclass(frozen=True, slots=True)
class TriggerTemplate:
    """The trigger of a rule."""

    document_id: DocumentTemplate
    code: str
    name: str = TRIGGER_NAME
    kind: StepKind = StepKind.TRIGGER

    @property
    def fields(self) -> Mapping[str, Parameter]:
        """Its values beside the document."""
        return {"code": self.code}

    @property
    def requirement(self) -> StepRequirement:
        """Its requirements on the portal."""
        return StepRequirement(self.name, self.kind, self.document_id.form or "document", None, ())

    @property
    def names(self) -> Iterator[str]:
        """The names in it, with repetitions."""
        return self.document_id.names

    def compose(self, values: Mapping[str, Any]) -> Step:
        """Fill in values. Raises InvalidEventError if the document cannot be named."""
        target = self.document_id.fill(values)[2]
        entity = self.document_id.form or "document"
        return Step(self.name, self.kind, entity, None, {"target": target, "code": self.code})


def check_length(uses: Mapping[str, int], values: Mapping[str, Any]) -> None:
    """Raise InvalidEventError if the written text would be far longer than the found values.

    uses: how often each name stands in the rule.
    """
    sizes = {name: _length(value) for name, value in values.items()}
    written = {name: count * sizes[name] for name, count in uses.items() if name in sizes}
    if (total := sum(written.values())) <= MOST_WRITTEN:
        return
    found = {id(value): sizes[name] for name, value in values.items()}
    if total > MOST_WRITTEN + MOST_TIMES * sum(found.values()):
        longest = max(written, key=lambda name: written[name])
        raise InvalidEventError({longest: [fault("too_long_for_uses", count=uses[longest])]})


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    return sum(map(_length, value)) + len(value) if isinstance(value, list) else A_NUMBER


def _names_in(parameter: Parameter) -> Iterator[str]:
    if isinstance(parameter, Template):
        yield from parameter.names
    elif isinstance(parameter, list | tuple):
        for one in parameter:
            yield from _names_in(one)


def _field(parameter: Parameter, values: Mapping[str, Any]) -> Any:
    """As a parameter, except that true and false stay: a filter of custom fields needs 1 and 0, all else Y and N.

    A list within a list stays one, because a file is [name, base64] and several files are a list of these; one that
    lacks a part is left out. b24restdocs, api-reference/crm/universal/crm-item-list.md, files/how-to-upload-files.md.
    """
    if isinstance(parameter, Template) and parameter.lone and isinstance(values[parameter.lone], bool):
        return values[parameter.lone]
    if not isinstance(parameter, list | tuple) or not any(isinstance(entry, list) for entry in parameter):
        return _filled(parameter, values)
    entries = [_each(entry, values) if isinstance(entry, list) else _entry(entry, values) for entry in parameter]
    return [entry for entry in entries if entry != "" and not (isinstance(entry, list) and "" in entry)]


def _each(entries: Sequence[Any], values: Mapping[str, Any]) -> list[Any]:
    return [_entry(entry, values) for entry in entries]


def _filled(parameter: Parameter, values: Mapping[str, Any]) -> Any:
    if isinstance(parameter, (list, tuple)):
        # Entries without a value are left out; inner lists are flattened.
        entries = [_entry(entry, values) for entry in parameter]
        return [item for entry in entries for item in (entry if isinstance(entry, list) else [entry]) if item != ""]
    return _entry(parameter, values)


def _entry(parameter: Any, values: Mapping[str, Any]) -> Any:
    filled = parameter.fill(values) if isinstance(parameter, Template) else parameter
    return "" if filled is None else filled
