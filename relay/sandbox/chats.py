"""What was written into a chat, as the portal remembers it. May not decide who may write there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """What was written. at: UTC; by: the user that the credential belongs to."""

    id: int
    at: str
    by: int
    dialog_id: str
    text: str
