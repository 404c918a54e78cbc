"""Restores an archived event to the record, so that it can be viewed and replayed. It sends nothing.

The event keeps its id and its old deliveries: what was replayed cannot be replayed again. It is archived again when
its youngest delivery reaches the retention time.
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
    """Find an event by its id, or by the id of one of its deliveries. Raises NotFoundError, ArchiveError."""
    row = archive.find(wanted)
    if row is None:
        raise NotFoundError(f"no {wanted} in {archive.folder}")
    return row


def put_back(archive: Archive, store: Store, wanted: str, who: str) -> bool:
    """Restore an event. Returns False if it is on record already. Needs the archive's lock, so that it is not archived
    again at once.

    Raises NotFoundError, ArchiveError, RecordUnavailableError.
    """
    row = find_archived(archive, wanted)
    is_back = store.compaction.restore(row.event, row.deliveries)
    if is_back:
        store.operators.log(Act(utc_now(), who, "restore", row.event.id, "", fault("restored_from_archive")))
    return is_back
