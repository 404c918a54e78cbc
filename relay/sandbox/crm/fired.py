"""What was fired with crm.automation.trigger, as the portal remembers it. May not know whether anything came of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fired:
    """One firing. at: UTC; by: the user that the credential belongs to; target: such as LEAD_25."""

    at: str
    by: int
    target: str
    code: str
