"""im.message.add: writes into a chat, as far as somebody who sends plain text can tell.

Facts: chats/messages/im-message-add.md (docs), with the codes of its table; the order in which the real portal checks
is not documented. Attachments, keyboards and menus are not here.
"""

from __future__ import annotations

import re

from relay.sandbox import php
from relay.sandbox.answers import RestError, Result
from relay.sandbox.calls import RestCall
from relay.sandbox.chats import Message
from relay.sandbox.people import PEOPLE
from relay.sandbox.portal import Portal
from relay.sandbox.workflows import utc_time

FORBIDDEN_CHAT = 403
"""A chat of this number exists, and nobody who calls is in it. Those of the missing documents' numbers do not exist."""
_DIALOG = re.compile(r"(chat|sg|)([0-9]{1,15})")


def send_message(portal: Portal, call: RestCall) -> Result:
    """Write a message. The result is its number."""
    text = (php.to_string(call.get("MESSAGE")) or "").strip()
    if not text:
        raise RestError("MESSAGE_EMPTY")
    dialog_id = php.to_string(call.get("DIALOG_ID")) or ""
    _check_dialog(portal, dialog_id)
    message = Message(len(portal.messages) + 1, utc_time(portal.clock()), call.caller.user.id, dialog_id, text)
    portal.messages.append(message)
    return Result(message.id)


def _check_dialog(portal: Portal, dialog_id: str) -> None:
    found = _DIALOG.fullmatch(dialog_id)
    if found is None:
        raise RestError("USER_ID_EMPTY")
    kind, number = found[1], int(found[2])
    if not kind and number not in PEOPLE:
        raise RestError("USER_NOT_FOUND")
    if kind and number in portal.settings.missing_documents:
        raise RestError("CHAT_ID")
    if kind and number == FORBIDDEN_CHAT:
        raise RestError("ACCESS_ERROR")
