"""How the body of a source becomes plain values: by its content type, and by what its sender is known to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from relay.core.errors import UnreadableError
from relay.core.faults import fault
from relay.sources.forms import MAX_VALUES, read_query
from relay.sources.parsers import check_size, parse_body, read_json

NO_BODY = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
"""Methods of which a request without a body says what it has to say in its query."""
MOST_OF_BATCH = 100_000
"""Values of JSON that holds many events, whose sender is proven."""
FIELD_NAME = r"[^\[\]]{1,200}(\[[^\[\]]{0,200}\]){0,10}"
"""A form field as it is sent: `events`, `data[fields]`; `rows[]` and `rows[][fields]` are of each row."""
_STEP = re.compile(r"[^\[\]]+|(?<=\[)(?=\])")


@dataclass(frozen=True, slots=True)
class BodyReader:
    """What is known of the bodies of a source, beside their content type.

    json_field: a field that holds a JSON map whose members join the form. json_values: fields that hold JSON, each read
    in its place. fallback_charset: of a form that names no charset and is no UTF-8. most_values: of a body in JSON.
    """

    json_field: str | None = None
    json_values: tuple[str, ...] = ()
    fallback_charset: str | None = None
    most_values: int = MAX_VALUES

    def read(self, method: str, content_type: str, query: str, body: bytes) -> Any:
        """The body as plain values; of a GET or its like without one, the query.

        Raises UnreadableError and UnsupportedTypeError.
        """
        if method in NO_BODY and not body:
            content: Any = read_query(query, self.fallback_charset)
        else:
            content = parse_body(content_type, body, self.fallback_charset, self.most_values)
        if not isinstance(content, dict):
            return content
        if self.json_values:
            self._read_in_place(content)
        return self._joined(content) if self.json_field else content

    def _read_in_place(self, form: dict[str, Any]) -> None:
        """Put what these fields hold as JSON in the place of its text. A field that is blank or absent stays so."""
        count = 0
        for name in self.json_values:
            for holder, key in _places(form, _STEP.findall(name)):
                if isinstance(holder[key], str) and holder[key].strip():
                    holder[key] = self._read_field(name, holder[key])
                    count += 1
        if count > 1:
            # None of them has more values than a body may have; nor may all together.
            check_size(form, self.most_values)

    def _read_field(self, name: str, text: str) -> Any:
        try:
            return read_json(text.encode("utf-8"), most_values=self.most_values)
        except UnreadableError as error:
            raise UnreadableError(fault("form_field_unreadable", name=name, why=error.message)) from None

    def _joined(self, form: dict[str, Any]) -> dict[str, Any]:
        """A form's JSON field gives its members to the form (GitHub's `payload`, Jotform's `rawRequest`)."""
        name = self.json_field or ""
        wrapped = form.get(name)
        if not isinstance(wrapped, str) or not wrapped.strip():
            return form
        inner = self._read_field(name, wrapped)
        if not isinstance(inner, dict):
            raise UnreadableError(fault("form_field_no_map", name=name))
        return {other: value for other, value in form.items() if other != name} | inner


PLAIN_BODIES = BodyReader()
"""Of a source whose content types say it all."""


def _places(holder: Any, steps: list[str]) -> Iterator[tuple[Any, Any]]:
    """Where the values of a field stand: the map or list, and the key in it. Nothing between brackets is every key."""
    for key in _keys(holder, steps[0]):
        value = holder[key]
        if len(steps) > 1:
            yield from _places(value, steps[1:])
        elif isinstance(value, list):
            # The field came several times.
            yield from ((value, index) for index in range(len(value)))
        else:
            yield holder, key


def _keys(holder: Any, step: str) -> list[Any]:
    if isinstance(holder, dict):
        return [key for key in holder if key == step or not step]
    if isinstance(holder, list):
        return [index for index in range(len(holder)) if str(index) == step or not step]
    return []
