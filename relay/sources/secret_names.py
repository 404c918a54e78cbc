"""The one list of names under which people send secrets, and how such are taken out of addresses. Pure.

Whatever is kept, masked or logged asks here. Names are judged as people write them: X-Auth, hub.sig, userPwd, api_key.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import quote, unquote_plus

REMOVED = "***"
_PARTS = re.compile(
    r"authori[sz]ation|authenticat|cookie|signature|token|secret|hmac|passw|pwd|passphrase|credential|bearer"
    r"|(?:api|access|app|auth|client|functions?|license|private|security|shared|subscription)[-_. ]?key(?![a-z])"
    r"|sess(?:ion)?[-_.]?id(?![a-z])"
)
_LAST_WORDS = frozenset({"auth", "csrf", "jwt", "otp", "pass", "passcode", "pin", "pw", "sid", "sig", "sign", "xsrf"})
_WHOLE = frozenset({"key", "x key"})
"""A key alone is a secret; that of an issue, or an idempotency key, is none."""
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BETWEEN_WORDS = re.compile(r"[^a-z]+")
_BETWEEN_PAIRS = re.compile(r"([\s?&;,#<>\"'()]+)")
_USER = re.compile(r"://[^/\s@]*@")
_NESTED = 3
"""So often an address may be encoded inside another."""


@lru_cache(4_096)
def is_secret_name(name: str) -> bool:
    """Whether what a header, a query parameter or a field of this name holds is a secret, whoever sends it."""
    plain = name[:200]
    if _PARTS.search(plain.lower()):
        return True
    words = [word for word in _BETWEEN_WORDS.split(_HUMP.sub(" ", plain).lower()) if word]
    return bool(words) and (words[-1] in _LAST_WORDS or " ".join(words) in _WHOLE)


def without_secrets(query: str, is_secret: Callable[[str], bool] = is_secret_name) -> str:
    """A query, still encoded, without the parameters of such names, and without those in addresses inside it."""
    if not query:
        return ""
    kept = []
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        if not is_secret(unquote_plus(name)):
            kept.append(name + equals + _cleaned(value, is_secret, _NESTED))
    return "&".join(kept)


def clean_address(text: str, is_secret: Callable[[str], bool] = is_secret_name) -> str:
    """A header's value without the secrets in the addresses that stand in it; any other value as it is."""
    if "?" not in text and "#" not in text and "://" not in text:
        return text
    return _cleaned(text, is_secret, _NESTED)


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
    # What cannot be told from what it was made of goes as a whole.
    kept = quote(cleaned, safe="*") if "\ufffd" not in cleaned else REMOVED
    return f"{name}={kept}" if equals else kept
