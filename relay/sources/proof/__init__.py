"""Proof of origin: tokens, digests, public keys, several ways side by side. Pure: the time is given, nothing is logged.

Each verifier has `check(reading, now)`, which raises NotVerifiedError with one of REASONS, or returns the coverage.
"""

from __future__ import annotations

REASONS = (
    "proof_missing",
    "token_missing",
    "token_mismatch",
    "signature_missing",
    "signature_mismatch",
    "digest_mismatch",
    "url_mismatch",
    "id_missing",
    "timestamp_missing",
    "timestamp_unreadable",
    "timestamp_stale",
    "timestamp_future",
    "body_unreadable",
    "address_unlisted",
    "handshake_repeated",
    "secret_unusable",
)
"""Reasons why a sender was not believed, for our log and record, never for the sender. Their words:
relay/core/reasons.py.
"""
