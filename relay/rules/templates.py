"""Text with {names} in it. Filled in one pass, so a value that contains braces stays what it is.

`{name}` alone keeps the value's type; in text, values are written as text. `{{` and `}}` are plain braces. The name of
a step, whose result nobody knows yet, leaves a place for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from relay.configuration.braces import split_braces
from relay.configuration.fields import suggestion
from relay.core.faults import fault
from relay.core.places import Later, Result
from relay.core.spellings import written

MOST_UNKNOWN = 20
"""Names of one text that are told of."""
_PLAIN = frozenset({str, int, float, type(None)})


class TemplateError(ValueError):
    """Text that is no template. messages: a fault for each thing that is wrong."""

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
    """Its name, where nothing stands around it."""

    def __post_init__(self) -> None:
        names = tuple(part for is_name, part in self.parts if is_name)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "lone", names[0] if len(self.parts) == len(names) == 1 else None)

    @classmethod
    def parse(
        cls, text: str, known: Collection[str] | None, later: Collection[str] = (), *, hints: bool = True
    ) -> Template:
        """known: the names that may stand in it; None: not known here, so any may. later: steps still to come.

        hints: whether to look for what was meant, which takes long where much is wrong and much is known. Raises
        TemplateError for lone braces and for names that are not known.
        """
        parts, wrong = split_braces(text)
        if known is not None:
            unknown = dict.fromkeys(part for is_name, part in parts if is_name and part not in known)
            wrong += [_unknown(name, known if hints else (), later) for name in list(unknown)[:MOST_UNKNOWN]]
        if wrong:
            raise TemplateError(*wrong)
        return cls(text, tuple(parts))

    def fill(self, values: Mapping[str, Any]) -> Any:
        """A lone name gives its value, as plain() has it. Text gives text, or None if all its names are missing.

        Where a value is a Result, a Later comes out.
        """
        if self.lone:
            value = values[self.lone]
            return Later((value,)) if isinstance(value, Result) else plain(value)
        given = [value for name in self.names if (value := values[name]) is not None and value != []]
        if self.names and not given:
            return None
        pieces = [_written(values[part]) if is_name else part for is_name, part in self.parts]
        return Later.of(pieces, has_value=set(map(type, given)) != {Result})


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


def _written(value: Any) -> str | Result:
    if value is None:
        return ""
    if isinstance(value, Result):
        return value
    shown = plain(value)
    return ", ".join(map(written, shown)) if isinstance(shown, list) else written(shown)
