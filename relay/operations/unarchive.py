"""Puts an event that was archived back on record, so that it can be looked at and replayed. It sends nothing.

It is on record under its own id, with its old deliveries as they were: what was replayed stays so, and cannot be again.
It is forgotten, and archived, anew when the youngest of its deliveries is as old as retention says.
"""

from __future__ import annotations

from relay.core.errors import NotFoundError
from relay.core.faults import fault
from relay.core.ids import utc_now
from relay.store import Store
from relay.store.archive.archive import Archive
from relay.store.operators.audit_log import Act
from relay.store.record.search import Row


def find_archived(archive: Archive, wanted: str) -> Row:
    """The event of this id, or that of the delivery of this id. Raises NotFoundError, ArchiveError."""
    row = archive.find(wanted)
    if row is None:
        raise NotFoundError(f"no {wanted} in {archive.folder}")
    return row


def put_back(archive: Archive, store: Store, wanted: str, who: str) -> bool:
    """Whether it was put back; False: it is on record. With the archive's lock, so that it is not forgotten at once.

    Raises NotFoundError, ArchiveError, RecordUnavailableError.
    """
    row = find_archived(archive, wanted)
    is_back = store.compaction.restore(row.event, row.deliveries)
    if is_back:
        store.operators.log(Act(utc_now(), who, "restore", row.event.id, "", fault("restored_from_archive")))
    return is_back
