"""The methods that write into the timeline of a document: their parameters. Pure.

Sources: docs api-reference/crm/timeline (crm.timeline.logmessage.add, crm.timeline.comment.add). An entry of the log is
quiet, and takes every type of document by its number. A comment notifies people. Its page names leads, deals, contacts,
companies and smart processes; a quote and an invoice are given by the names that the portal itself has for them.
"""

from __future__ import annotations

from typing import Any

from relay.core.plan import Comment, Owner

LOG, COMMENT = "crm.timeline.logmessage.add", "crm.timeline.comment.add"
ICON = "info"
LONGEST = 2_000
"""Characters of a comment; the rest is cut."""


def comment_of(comment: Comment, owner: Owner, title: str) -> tuple[str, dict[str, Any]]:
    """The method that writes a comment, and its parameters. title: stands above a quiet one."""
    text = comment.text if len(comment.text) <= LONGEST else comment.text[: LONGEST - 1] + "…"
    if comment.is_loud:
        return COMMENT, {"fields": {"ENTITY_ID": owner.id, "ENTITY_TYPE": owner.name, "COMMENT": text}}
    named = {"entityTypeId": owner.type_id, "entityId": owner.id}
    return LOG, {"fields": {**named, "title": title, "text": text, "iconCode": ICON}}
