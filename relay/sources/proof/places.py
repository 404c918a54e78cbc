"""Where a proof, its time, or its id stands: a header, a query parameter, or a field of the body."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_plus

from relay.configuration.expressions import Expression
from relay.core.errors import NotVerifiedError, UnreadableError, UnsupportedTypeError
from relay.core.phrases import Phrase, phrase
from relay.sources.reading import Reading, text_of


@dataclass(frozen=True, slots=True)
class Place:
    """Exactly one of them is set. header: in lower case. field: a path into the body itself."""

    header: str | None = None
    query: str | None = None
    field: Expression | None = None

    def given(self, reading: Reading) -> str | None:
        """What stands there; None where nothing does. Raises NotVerifiedError: body_unreadable."""
        if self.header:
            return reading.webhook.header(self.header)
        if self.query:
            return self._in_query(reading.webhook.query_string)
        return self._in_body(reading)

    def _in_query(self, query: str) -> str | None:
        pairs = (pair.partition("=") for pair in query.split("&"))
        given = [unquote_plus(value) for name, _, value in pairs if unquote_plus(name) == self.query]
        # Two tokens prove nothing: which one would a proxy in front of us have looked at?
        return ", ".join(given) if given else None

    def _in_body(self, reading: Reading) -> str | None:
        try:
            return text_of(self.field.find(reading.body)) if self.field else None
        except (UnreadableError, UnsupportedTypeError):
            if not reading.webhook.body:
                return None
            raise NotVerifiedError("body_unreadable") from None

    @property
    def words(self) -> Phrase:
        """For people."""
        if self.header:
            return phrase("header %(name)s", name=self.header)
        if self.query:
            return phrase("query parameter %(name)s", name=self.query)
        return phrase("field %(name)s", name=self.field.text if self.field else "")


def as_sent(text: str) -> bytes:
    """The bytes of a header or address. WSGI hands them over as Latin-1; other text is taken as UTF-8."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
