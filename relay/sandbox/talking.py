"""The methods that tell people something: lines in the timeline of a document, and notifications.

Facts: crm/timeline/logmessage/crm-timeline-logmessage-add.md, crm/timeline/comments/crm-timeline-comment-add.md,
chats/notifications/im-notify-system-add.md (docs). Nothing here is idempotent. The real comment method takes `fields`
in lower case only; here, as everywhere, the case of the name does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.sandbox import php
from relay.sandbox.answers import RestError, Result
from relay.sandbox.callers import RestCall
from relay.sandbox.crm.fields import SYSTEM_TYPES, EntityType, find_type
from relay.sandbox.crm_methods import may_write_about, table
from relay.sandbox.portal import Comment, Portal
from relay.sandbox.workflows import iso_time, utc_time

_LOG_FIELDS = ("entityTypeId", "entityId", "title", "text", "iconCode")
_COMMENT_FIELDS = ("ENTITY_ID", "ENTITY_TYPE")


def add_log_message(portal: Portal, call: RestCall) -> Result:
    """`crm.timeline.logmessage.add`: a quiet line, for every type of document."""
    given = _fields(call, _LOG_FIELDS)
    entity = _type(portal, php.to_int(given["entityTypeId"]))
    number = _owner(portal, call, entity, given["entityId"])
    line = _comment(portal, call, "log", document=f"{entity.name}_{number}", title=given["title"], text=given["text"])
    line.icon = given["iconCode"]
    created = iso_time(portal.clock(), portal.settings.utc_offset_h)
    shown = {"id": line.id, "created": created, "authorId": line.by}
    return Result({"logMessage": shown | {"title": line.title, "text": line.text, "iconCode": line.icon}})


def add_comment(portal: Portal, call: RestCall) -> Result:
    """`crm.timeline.comment.add`: a line that people are told of."""
    given = _fields(call, _COMMENT_FIELDS)
    text = php.to_string(table(call, "fields").get("COMMENT"))
    entity = _named_type(portal, given["ENTITY_TYPE"])
    number = _owner(portal, call, entity, given["ENTITY_ID"])
    if not (text or "").strip():
        raise RestError("INVALID_ARG_VALUE", "Empty comment")
    return Result(_comment(portal, call, "comment", document=f"{entity.name}_{number}", text=text or "").id)


def notify(portal: Portal, call: RestCall) -> Result:
    """`im.notify.system.add`. One with a TAG takes the place of the older one; for a webhook, only with a CLIENT_ID."""
    user_id = php.to_int(call.get("USER_ID"))
    if user_id <= 0:
        raise RestError("USER_ID_EMPTY")
    text = (php.to_string(call.get("MESSAGE")) or "").strip()
    if not text:
        raise RestError("MESSAGE_EMPTY")
    user = portal.person(user_id)
    if user is None or not user.is_active:
        return Result(value=False)
    application = call.caller.application
    sender = php.to_string(call.get("CLIENT_ID")) if application is None else application.client_id
    tag = (php.to_string(call.get("TAG")) or "") if sender else ""
    for older in portal.comments:
        if tag and (older.user_id, older.tag, older.sender) == (user_id, tag, sender):
            older.replaced = True
    added = _comment(portal, call, "notification", text=text)
    added.user_id, added.tag, added.sender = user_id, tag, sender
    return Result(added.id)


def _fields(call: RestCall, needed: tuple[str, ...]) -> dict[str, str]:
    """The needed members of `fields`, as texts. Raises code 100 where one is missing."""
    given: Mapping[str, object] = table(call, "fields")
    texts = {name: php.to_string(given.get(name)) for name in needed}
    missing = next((name for name, text in texts.items() if not text), None)
    if missing is not None:
        raise RestError("100", f"Could not find value for parameter {{{missing}}}")
    return {name: text or "" for name, text in texts.items()}


def _type(portal: Portal, number: int) -> EntityType:
    try:
        return find_type(number, portal.settings)
    except RestError:
        raise RestError("OWNER_NOT_FOUND") from None


def _named_type(portal: Portal, name: str) -> EntityType:
    """The type of an ENTITY_TYPE such as deal or dynamic_147."""
    upper = name.upper()
    found = next((entity for entity in SYSTEM_TYPES.values() if entity.name == upper), None)
    return found or _type(portal, php.to_int(upper.removeprefix("DYNAMIC_")))


def _owner(portal: Portal, call: RestCall, entity: EntityType, given: str) -> int:
    """The number of the document. Raises OWNER_NOT_FOUND, or ACCESS_DENIED where the caller has no right to it."""
    number = php.to_int(given)
    if number <= 0 or number in portal.settings.missing_documents:
        raise RestError("OWNER_NOT_FOUND")
    if not may_write_about(portal, call, entity, number):
        raise RestError("ACCESS_DENIED", "Access denied", 400)
    return number


def _comment(
    portal: Portal, call: RestCall, kind: str, *, text: str, title: str = "", document: str | None = None
) -> Comment:
    application = call.caller.application
    added = Comment(
        id=len(portal.comments) + 1,
        at=utc_time(portal.clock()),
        kind=kind,
        by=call.caller.user.id,
        application=None if application is None else application.client_id,
        document=document,
        title=title,
        text=text,
    )
    portal.comments.append(added)
    return added
