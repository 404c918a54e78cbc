"""Proof of origin: tokens, digests, public keys, several ways side by side. Pure: the time is given, nothing is logged.

Each verifier has `check(reading, now)`, which returns nothing or raises NotVerifiedError with a reason: one of REASONS.
"""

from __future__ import annotations

REASONS = (
    "proof_missing",
    "token_missing",
    "token_mismatch",
    "signature_missing",
    "signature_mismatch",
    "digest_mismatch",
    "id_missing",
    "timestamp_missing",
    "timestamp_unreadable",
    "timestamp_stale",
    "timestamp_future",
    "body_unreadable",
    "handshake_repeated",
    "secret_unusable",
)
"""Why a sender was not believed: for our log and record, never for the sender. In words: relay/core/reasons.py."""
