"""Workflows that were started, and how their times are written. No behaviour of the portal's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone


@dataclass(slots=True)
class Workflow:
    """One start of a template on a document.

    started_at, saved_at, modified_at: seconds since 1970. saved_at is the end of the first leg: before it the
        workflow is not among the instances, though it runs.
    ended: "completed", "terminated" or "killed"; None while it lives (or is in its first leg, after which
        `waits` decides).
    """

    id: str
    template_id: int
    document: tuple[str, str, str]
    parameters: Mapping[str, object]
    started_by: int
    started_at: float
    saved_at: float
    modified_at: float
    waits: bool
    ended: str | None = None
    status_text: str = ""

    def state(self, now: float) -> str:
        """`starting`, `running`, `completed`, `terminated` or `killed`."""
        if self.ended is not None:
            return self.ended
        if now < self.saved_at:
            return "starting"
        return "running" if self.waits else "completed"

    def end(self, how: str, now: float, status_text: str = "") -> None:
        """Stop it."""
        self.ended, self.modified_at, self.status_text = how, now, status_text

    def to_json(self, now: float) -> dict[str, object]:
        """As GET /sandbox/workflows shows it."""
        return {
            "id": self.id,
            "template": self.template_id,
            "document": list(self.document),
            "parameters": dict(self.parameters),
            "started": utc_time(self.started_at),
            "started_by": self.started_by,
            "state": self.state(now),
        }


def iso_time(seconds: float, utc_offset_h: int = 0) -> str:
    """ISO 8601 with the offset, in whole seconds, as PHP's DATE_ATOM writes it."""
    zone = UTC if utc_offset_h == 0 else timezone(timedelta(hours=utc_offset_h))
    return datetime.fromtimestamp(int(seconds), zone).isoformat()


def utc_time(seconds: float) -> str:
    """ISO 8601 in UTC with milliseconds, for the sandbox's own lists."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
