"""Takes a token that stands in the body out of the body that is kept. Everything else of it stays as it came."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

from relay.sources.proof.tokens import TokenVerifier
from relay.sources.proof.verifier import Verifier
from relay.sources.secret_names import REMOVED

SHORTEST = 6
"""A shorter token is in bodies by chance; pages mask it by the name of its field."""


def without_tokens(verifier: Verifier, body: bytes) -> bytes:
    """The body without the secrets of those ways whose token stands in it, as JSON and forms write them."""
    for way in verifier.ways:
        if isinstance(way, TokenVerifier) and way.place.field:
            for secret in way.secrets:
                if len(secret) >= SHORTEST:
                    body = _removed(body, secret)
    return body


def _removed(body: bytes, secret: bytes) -> bytes:
    text = secret.decode("utf-8", "surrogateescape")
    forms = {secret, json.dumps(text)[1:-1].encode("ascii"), quote(secret).encode(), quote_plus(secret).encode()}
    for form in sorted(forms, key=len, reverse=True):
        body = body.replace(form, REMOVED.encode("ascii"))
    return body
