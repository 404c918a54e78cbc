"""Takes secrets out of what is kept, masked or logged. Pure.

One list of names says under which names people send secrets, as they write them: X-Auth, hub.sig, userPwd, api_key.
A token inside a body is found in each of its spellings: the escapes that a proof undoes are undone here too, and the
position of each byte in the original is remembered. Everything else in the body stays as it came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote_plus, unquote_to_bytes

from relay.core.spellings import XML_REFERENCE, referred
from relay.sources.bodies import JSON, is_xml, kind_of, parameters
from relay.sources.charsets import CODECS, codec_of
from relay.sources.proof.verifier import TokenVerifier, Verifier

REMOVED = "***"
_PARTS = re.compile(
    r"authori[sz]ation|authenticat|cookie|signature|token|secret|hmac|passw|pwd|passphrase|credential|bearer"
    r"|(?:api|access|app|auth|client|functions?|license|private|security|shared|subscription)[-_. ]?key(?![a-z])"
    r"|sess(?:ion)?[-_.]?id(?![a-z])"
)
_LAST_WORDS = frozenset({"auth", "csrf", "jwt", "otp", "pass", "passcode", "pin", "pw", "sid", "sig", "sign", "xsrf"})
_WHOLE = frozenset({"key", "x key"})
"""A name that is only `key` means a secret; an issue's key or an idempotency key is none."""
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BETWEEN_WORDS = re.compile(r"[^a-z]+")
_BETWEEN_PAIRS = re.compile(r"([\s?&;,#<>\"'()]+)")
_USER = re.compile(r"://[^/\s@]*@")
_NESTED_ADDRESSES = 3
"""How many times an address may be encoded inside another."""


@lru_cache(4_096)
def is_secret_name(name: str) -> bool:
    """Whether a header, a query parameter or a field of this name holds a secret."""
    plain = name[:200]
    if _PARTS.search(plain.lower()):
        return True
    words = [word for word in _BETWEEN_WORDS.split(_HUMP.sub(" ", plain).lower()) if word]
    return bool(words) and (words[-1] in _LAST_WORDS or " ".join(words) in _WHOLE)


def without_secrets(query: str, is_secret: Callable[[str], bool] = is_secret_name) -> str:
    """Remove parameters with such names from a query, which stays encoded, and from addresses inside it."""
    if not query:
        return ""
    kept = []
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        if not is_secret(unquote_plus(name)):
            kept.append(name + equals + _cleaned(value, is_secret, _NESTED_ADDRESSES))
    return "&".join(kept)


def clean_address(text: str, is_secret: Callable[[str], bool] = is_secret_name) -> str:
    """Remove secrets from the addresses in a header's value."""
    if "?" not in text and "#" not in text and "://" not in text:
        return text
    return _cleaned(text, is_secret, _NESTED_ADDRESSES)


def _cleaned(text: str, is_secret: Callable[[str], bool], depth: int) -> str:
    if "=" not in text and "%" not in text and "@" not in text:
        return text
    pieces = _BETWEEN_PAIRS.split(_USER.sub(f"://{REMOVED}@", text))
    return "".join(_piece(piece, is_secret, depth) for piece in pieces)


def _piece(piece: str, is_secret: Callable[[str], bool], depth: int) -> str:
    name, equals, value = piece.partition("=")
    if equals and is_secret(unquote_plus(name)):
        return f"{name}={REMOVED}"
    if "%" not in piece:
        return piece
    # An address inside an address, such as ?next=https%3A%2F%2F...%3Ftoken%3D...
    encoded = value if equals else name
    plain = unquote_plus(encoded)
    cleaned = _cleaned(plain, is_secret, depth - 1) if depth else REMOVED
    if cleaned == plain:
        return piece
    # Text that cannot be encoded back is removed as a whole.
    kept = quote(cleaned, safe="*") if "\ufffd" not in cleaned else REMOVED
    return f"{name}={kept}" if equals else kept


SHORTEST = 6
"""A shorter token appears in bodies by chance; pages mask it by the name of its field."""
_NESTED_JSON = 3
"""How deep JSON may be nested inside texts of JSON, because fields that hold JSON are read in place."""
_OF_FORMS = re.compile(rb"%[0-9a-fA-F]{2}")
_OF_JSON = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[/\"\\bfnrt]")

_CDATA = re.compile(rb"<!\[CDATA\[|\]\]>")
_OF_XML = re.compile(XML_REFERENCE.encode("ascii") + b"|" + _CDATA.pattern)


def without_tokens(verifier: Verifier, body: bytes, content_type: str = "") -> bytes:
    """Remove tokens from a body or query, in every spelling. Only ways whose token is in the body count."""
    ways = [way for way in verifier.ways if isinstance(way, TokenVerifier) and way.place.field]
    secrets = [secret for way in ways for secret in way.secrets if len(secret) >= SHORTEST]
    if not secrets or not body:
        return body
    codec, in_xml = _codec_of_text(body, content_type), is_xml(content_type)
    try:
        text = body.decode(codec).encode("utf-8") if codec else body
    except UnicodeError:
        return _masked(body, secrets, in_xml=in_xml)
    masked = _masked(text, secrets, in_xml=in_xml)
    return body if masked == text else masked.decode("utf-8").encode(codec) if codec else masked


def _codec_of_text(body: bytes, content_type: str) -> str | None:
    """The codec of a JSON or XML body that is not UTF-8."""
    in_xml = is_xml(content_type)
    if kind_of(content_type) != JSON and not in_xml:
        return None
    charset = parameters(content_type).get("charset")
    if (in_xml or not charset) and body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    codec = codec_of(charset) if charset else None
    return None if codec == "utf-8" else codec


def _masked(body: bytes, secrets: Sequence[bytes], *, in_xml: bool) -> bytes:
    layers = list(_layers_of_xml(body) if in_xml else _layers(body))
    spans = sorted({span for secret in secrets for layer in layers for span in layer.spans_of(secret)})
    pieces: list[bytes] = []
    at = 0
    for start, end, mask in _joined(spans):
        pieces += body[at:start], mask, _mark_left_open(body[start:end]) if in_xml else b""
        at = end
    return b"".join([*pieces, body[at:]])


Span = tuple[int, int, bytes]
"""Start and end of a secret in the body, and its replacement."""


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Join overlapping spans, which are removed together. spans: sorted."""
    joined: list[Span] = []
    for start, end, mask in spans:
        if joined and start < joined[-1][1]:
            first, last, own = joined[-1]
            joined[-1] = (first, max(last, end), own)
        else:
            joined.append((start, end, mask))
    return joined


def _mark_left_open(removed: bytes) -> bytes:
    """The last mark of CDATA in what is removed, if what follows needs it."""
    marks = _CDATA.findall(removed)
    return marks[-1] if len(marks) % 2 else b""


@dataclass(frozen=True, slots=True)
class _Layer:
    """A body in which `escapes` of the text of `outer` are decoded. Without `outer`, the body as it came."""

    text: bytes
    outer: _Layer | None = None
    escapes: re.Pattern[bytes] = _OF_JSON

    def spans_of(self, secret: bytes) -> Iterator[Span]:
        """Every position of a secret. One of digits only may be a number, so its mask is a number: the body stays
        JSON.
        """
        is_number = secret.isdigit()
        for needle, mask in _encoded(secret, "0" if is_number else REMOVED):
            places: list[int] = []
            start = self.text.find(needle)
            while start >= 0:
                end = start + len(needle)
                # Inside a longer number it is not the token.
                if not (is_number and (self.text[start - 1 : start].isdigit() or self.text[end : end + 1].isdigit())):
                    places += start, end
                start = self.text.find(needle, end)
            ends = iter(self._origins(places))
            yield from ((first, last, mask) for first, last in zip(ends, ends, strict=True))

    def _origins(self, places: list[int]) -> list[int]:
        """Positions in the body that belong to these sorted positions in this layer."""
        if self.outer is None or not places:
            return places
        found: list[int] = []
        gone = 0
        escapes = self.escapes.finditer(self.outer.text)
        escape = next(escapes, None)
        for place in places:
            while escape and escape.start() - gone < place:
                gone += len(escape[0]) - len(_plain(escape[0]))
                escape = next(escapes, None)
            found.append(place + gone)
        return self.outer._origins(found)  # noqa: SLF001 - another of its kind


def _encoded(secret: bytes, mask: str) -> Iterator[tuple[bytes, bytes]]:
    """A secret and its mask in each charset that a form or a part of it may name.

    Browsers write `&#N;` for characters that a charset lacks.
    """
    text = secret.decode("utf-8", "surrogateescape")
    yield secret, mask.encode("ascii")
    for codec in sorted(set(CODECS.values())):
        needle = text.encode(codec, "xmlcharrefreplace")
        if needle != secret:
            yield needle, mask.encode(codec)


def _layers(body: bytes) -> Iterator[_Layer]:
    """The body as it came, and after each way of decoding it: as a form, as JSON, as JSON inside a form."""
    whole = _Layer(body)
    form = _Layer(unquote_to_bytes(body.replace(b"+", b" ")), whole, _OF_FORMS)
    for outer in [whole] if form.text == body else [whole, form]:
        yield outer
        layer = outer
        for _ in range(_NESTED_JSON):
            inner = _Layer(_OF_JSON.sub(lambda escape: _plain(escape[0]), layer.text), layer, _OF_JSON)
            if inner.text == layer.text:
                break
            yield inner
            layer = inner


def _layers_of_xml(body: bytes) -> Iterator[_Layer]:
    """The body as it came, and with its references decoded and the marks of CDATA left out."""
    whole = _Layer(body)
    yield whole
    yield _Layer(_OF_XML.sub(lambda escape: _plain(escape[0]), body), whole, _OF_XML)


def _plain(escape: bytes) -> bytes:
    return b"" if escape.startswith((b"<", b"]")) else _plain_character(escape)


@lru_cache(4_096)
def _plain_character(escape: bytes) -> bytes:
    if escape.startswith(b"%"):
        return bytes([int(escape[1:], 16)])
    if escape.startswith(b"&"):
        return referred(escape.decode("ascii")).encode("utf-8", "surrogatepass")
    plain: str = json.loads(b'"' + escape + b'"')
    return plain.encode("utf-8", "surrogatepass")
