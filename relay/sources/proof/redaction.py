"""Takes a token that stands in the body out of what is kept. Everything else of it stays as it came.

It does not list spellings: it undoes the escapes that a proof undoes, remembers where each byte came from, and looks
for the token there.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from relay.sources.charsets import CODECS, codec_of
from relay.sources.forms import parameters
from relay.sources.parsers import JSON, kind_of
from relay.sources.proof.tokens import TokenVerifier
from relay.sources.proof.verifier import Verifier
from relay.sources.secret_names import REMOVED

SHORTEST = 6
"""A shorter token is in bodies by chance; pages mask it by the name of its field."""
_NESTED = 3
"""How often JSON may stand in a text of JSON: fields that hold JSON are read in place."""
_OF_FORMS = re.compile(rb"%[0-9a-fA-F]{2}|\+")
_OF_JSON = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[/\"\\bfnrt]")


def without_tokens(verifier: Verifier, body: bytes, content_type: str = "") -> bytes:
    """A body, or a query, without the secrets of those ways whose token stands in the body, however they are spelt."""
    ways = [way for way in verifier.ways if isinstance(way, TokenVerifier) and way.place.field]
    secrets = [secret for way in ways for secret in way.secrets if len(secret) >= SHORTEST]
    if not secrets or not body:
        return body
    codec = _codec_of_json(body, content_type)
    try:
        text = body.decode(codec).encode("utf-8") if codec else body
    except UnicodeError:
        return _masked(body, secrets)
    masked = _masked(text, secrets)
    return body if masked == text else masked.decode("utf-8").encode(codec) if codec else masked


def _codec_of_json(body: bytes, content_type: str) -> str | None:
    """The codec that JSON is read by, where it is not UTF-8."""
    if kind_of(content_type) != JSON:
        return None
    charset = parameters(content_type).get("charset")
    codec = codec_of(charset) if charset else "utf-16" if body.startswith((b"\xff\xfe", b"\xfe\xff")) else None
    return None if codec == "utf-8" else codec


def _masked(body: bytes, secrets: Sequence[bytes]) -> bytes:
    layers = list(_layers(body))
    spans = sorted({span for secret in secrets for layer in layers for span in layer.spans_of(secret)})
    pieces: list[bytes] = []
    at = 0
    for start, end, mask in spans:
        if start >= at:
            pieces += body[at:start], mask
        # Where one spelling begins like another, all that either covers goes.
        at = max(at, end)
    return b"".join([*pieces, body[at:]])


Span = tuple[int, int, bytes]
"""Where a secret begins and ends in the body, and what takes its place."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """A body with some of its escapes undone. origins: of each byte its place in the body, and last the body's end."""

    text: bytes
    origins: Sequence[int]

    def undone(self, escapes: re.Pattern[bytes]) -> _Layer:
        """The same without these escapes; itself where it has none."""
        text, at = bytearray(), 0
        origins: array[int] = array("L")
        for escape in escapes.finditer(self.text):
            plain = _plain(escape[0])
            text += self.text[at : escape.start()] + plain
            origins.extend(self.origins[at : escape.start()])
            origins.extend([self.origins[escape.start()]] * len(plain))
            at = escape.end()
        if not at:
            return self
        origins.extend(self.origins[at:])
        return _Layer(bytes(text + self.text[at:]), origins)

    def spans_of(self, secret: bytes) -> Iterator[Span]:
        """Every place of a secret. What is all digits may be a number: its mask is one, or the body were no JSON."""
        is_number = secret.isdigit()
        for needle, mask in _encoded(secret, "0" if is_number else REMOVED):
            start = self.text.find(needle)
            while start >= 0:
                end = start + len(needle)
                # In a longer number it is not the token.
                if not (is_number and (self.text[start - 1 : start].isdigit() or self.text[end : end + 1].isdigit())):
                    yield self.origins[start], self.origins[end], mask
                start = self.text.find(needle, end)


def _encoded(secret: bytes, mask: str) -> Iterator[tuple[bytes, bytes]]:
    """A secret and its mask in each charset that a form, or a part of one, may name.

    Browsers write `&#N;` for what a charset lacks.
    """
    text = secret.decode("utf-8", "surrogateescape")
    yield secret, mask.encode("ascii")
    for codec in sorted(set(CODECS.values())):
        needle = text.encode(codec, "xmlcharrefreplace")
        if needle != secret:
            yield needle, mask.encode(codec)


def _layers(body: bytes) -> Iterator[_Layer]:
    """The body as it came, and as each way of reading it leaves it: a form, JSON, JSON inside a form."""
    whole = _Layer(body, range(len(body) + 1))
    form = whole.undone(_OF_FORMS)
    for outer in [whole] if form is whole else [whole, form]:
        yield outer
        layer, inner = outer, outer.undone(_OF_JSON)
        for _ in range(_NESTED):
            if inner is layer:
                break
            yield inner
            layer, inner = inner, inner.undone(_OF_JSON)


def _plain(escape: bytes) -> bytes:
    if escape == b"+":
        return b" "
    if escape.startswith(b"%"):
        return bytes([int(escape[1:], 16)])
    plain: str = json.loads(b'"' + escape + b'"')
    return plain.encode("utf-8", "surrogatepass")
