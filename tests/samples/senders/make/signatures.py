"""Proofs by hashlib, as each sender's documentation describes them, where no library of the sender makes them."""

from __future__ import annotations

import base64
import hashlib
import hmac

from kit import STAMP, Request, Sign


def digest(secret: str | bytes, signed: bytes, algorithm: str = "sha256") -> bytes:
    """The HMAC's bytes."""
    key = secret.encode() if isinstance(secret, str) else secret
    return hmac.new(key, signed, getattr(hashlib, algorithm)).digest()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def hex_header(name: str, prefix: str = "", algorithm: str = "sha256") -> Sign:
    """HMAC over the body, in hex."""

    def sign(request: Request, secret: str) -> Request:
        return put(request, {name: prefix + digest(secret, request.body, algorithm).hex()})

    return sign


def base64_header(name: str, prefix: str = "", algorithm: str = "sha256") -> Sign:
    """HMAC over the body, in base64."""

    def sign(request: Request, secret: str) -> Request:
        return put(request, {name: prefix + b64(digest(secret, request.body, algorithm))})

    return sign


def parts_header(name: str, pattern: str, joint: str, unit: int = 1) -> Sign:
    """HMAC over time, joint and body; the header is the pattern with {t} and {v} filled in."""

    def sign(request: Request, secret: str) -> Request:
        stamp = str(STAMP * unit)
        signed = digest(secret, stamp.encode() + joint.encode() + request.body).hex()
        return put(request, {name: pattern.format(t=stamp, v=signed)})

    return sign


def put(request: Request, headers: dict[str, str]) -> Request:
    """The request with these headers."""
    return Request(request.method, request.target, {**request.headers, **headers}, request.body)
