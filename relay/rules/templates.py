"""Text with {names} in it. Filled in one pass, so a value that contains braces stays what it is.

`{name}` alone keeps the value's type; in text, values are written as text. `{{` and `}}` are plain braces.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from relay.configuration.braces import split_braces
from relay.configuration.fields import suggestion


class TemplateError(ValueError):
    """Text that is no template; each message says what was found and what was expected."""

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

    @classmethod
    def parse(cls, text: str, known: Collection[str] | None) -> Template:
        """known: the names that may stand in it; None: not known here, so any may.

        Raises TemplateError for lone braces and for names that are not known.
        """
        parts, wrong = split_braces(text)
        if known is not None:
            unknown = [part for is_name, part in parts if is_name and part not in known]
            wrong += [f"{{{name}}} is not among the values to extract{suggestion(name, known)}" for name in unknown]
        if wrong:
            raise TemplateError(*wrong)
        return cls(text, tuple(parts))

    @property
    def names(self) -> tuple[str, ...]:
        """The names in it, in order."""
        return tuple(part for is_name, part in self.parts if is_name)

    def fill(self, values: Mapping[str, Any]) -> Any:
        """A lone name gives its value, as plain() has it. Text gives text, or None if all its names are missing."""
        names = self.names
        if len(self.parts) == 1 and names:
            return plain(values[names[0]])
        if names and all(values[name] is None for name in names):
            return None
        return "".join(_written(values[part]) if is_name else part for is_name, part in self.parts)


def plain(value: Any) -> Any:
    """A value as JSON can carry it: "Y" or "N" for a boolean (Bitrix24's bool, bizproc/classes/general/helper.php),
    ISO 8601 for dates, times with their offset.
    """
    if isinstance(value, bool):
        return "Y" if value else "N"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    return [plain(item) for item in value] if isinstance(value, list) else value


def _written(value: Any) -> str:
    if value is None:
        return ""
    shown = plain(value)
    return ", ".join(str(item) for item in shown) if isinstance(shown, list) else str(shown)
