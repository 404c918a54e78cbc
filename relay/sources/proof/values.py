"""Sorted values in a signed text: `{values}`. Payment services sign all fields of a request like this.

They sort the members of a map by name, write each in a shape of their own, and join them. Only texts, numbers, true and
false at the top of that map are written: a map or a list in it is not covered by the signature, nor is a name in
`without`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from relay.configuration.expressions import Expression, split_braces
from relay.core.errors import UnreadableError
from relay.core.faults import fault
from relay.sources.bodies import read_query
from relay.sources.webhook import Reading

FIELDS = "fields"
NAMES_OF_SHAPE = ("name", "value")
Member = tuple[bytes, bytes]
"""A name and its value, as they are signed."""


@dataclass(frozen=True, slots=True)
class Values:
    """The members to write. of: finds their map in `body` and `query`; None: the fields of the form, as sent.

    shape: the pieces of each member's text, see split_braces. join: stands between them. without: names that are left
    out. empty: whether empty values are written. secret: the name under which the secret is one of the members; None:
    it is none. needs_no_body: nothing of the body is signed, so a request with a body is refused.
    """

    of: Expression | None
    shape: Sequence[tuple[bool, str]] = ((True, "value"),)
    join: str = ""
    without: tuple[str, ...] = ()
    empty: bool = True
    secret: str | None = None
    needs_no_body: bool = False

    def write(self, reading: Reading, secret: bytes) -> bytes:
        """The text. Raises UnreadableError and UnsupportedTypeError."""
        if self.needs_no_body and reading.webhook.body:
            raise UnreadableError(fault("expected_no_body"))
        without = {name.encode("utf-8") for name in self.without}
        members = [one for one in self._members(reading) if one[0] not in without and (self.empty or one[1])]
        if self.secret is not None:
            members.append((self.secret.encode("utf-8"), secret))
        if len({name for name, _ in members}) < len(members):
            raise UnreadableError(fault("form_name_twice"))
        return self.join.encode("utf-8").join(self._written(name, value) for name, value in sorted(members))

    def _members(self, reading: Reading) -> Iterable[Member]:
        if self.of is None:
            return reading.sent_fields
        found = self.of.find(self._context(reading, self.of))
        if not isinstance(found, dict):
            raise UnreadableError(fault("expected_signed_map"))
        texts = ((name, _text(value)) for name, value in found.items())
        return [(_encoded(name), _encoded(text)) for name, text in texts if text is not None]

    def _context(self, reading: Reading, of: Expression) -> dict[str, Any]:
        context = {}
        if of.looks_at("body"):
            context["body"] = reading.body_as_sent
        if of.looks_at("query"):
            context["query"] = read_query(reading.webhook.query_string, as_sent=True)
        return context

    def _written(self, name: bytes, value: bytes) -> bytes:
        given = {"name": name, "value": value}
        return b"".join(given[text] if is_name else text.encode("utf-8") for is_name, text in self.shape)


def read_shape(text: str) -> Sequence[tuple[bool, str]]:
    """Parse the text of one member. Raises ValueError."""
    parts, wrong = split_braces(text)
    names = [part for is_name, part in parts if is_name]
    if wrong or "value" not in names or not set(names) <= set(NAMES_OF_SHAPE):
        raise ValueError(text)
    return tuple(parts)


def _text(value: Any) -> str | None:
    """A scalar as its sender wrote it; None for a map, a list and null. JSON's numbers are texts here already."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
