"""The methods about people and the credential: users, the caller's own account, chat messages.

Facts: common/system and common/users (profile, scope, methods, method.get, feature.get, app.info, server.time,
user.admin), user/user-get.md,
user/user-scope.md, chats/messages/im-message-add.md (docs), rest/lib/api/user.php (source). Only the fields that a
connection check would read are there. user.get ignores a filter on a field that does not exist, or that the scope does
not cover, and leaves it out of the answer, without an error. The order in which the real im.message.add checks is not
documented; attachments, keyboards and menus are not here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from relay.sandbox import php
from relay.sandbox.answers import RestError, Result
from relay.sandbox.callers import RestCall, User
from relay.sandbox.lists import Kind, Look, Value, page_of, rank, read_filter
from relay.sandbox.portal import Message, Portal
from relay.sandbox.workflows import iso_time, utc_time


def show_profile(_portal: Portal, call: RestCall) -> Result:
    """`profile`: the caller, and whether it is an administrator. Needs no scope."""
    user = call.caller.user
    return Result(
        {
            "ID": str(user.id),
            "ADMIN": user.is_admin,
            "NAME": user.name,
            "LAST_NAME": user.last_name,
            "PERSONAL_GENDER": "",
            "TIME_ZONE": "",
        }
    )


def say_whether_admin(_portal: Portal, call: RestCall) -> Result:
    """`user.admin`: whether the caller is an administrator. Needs no scope."""
    return Result(call.caller.user.is_admin)


def show_scope(_portal: Portal, call: RestCall) -> Result:
    """`scope`: what the credential may use."""
    return Result(list(call.caller.scope))


def show_app(portal: Portal, call: RestCall) -> Result:
    """`app.info`: the application, or what stands in for one when a webhook asks.

    The authorisation server's method of this name, which has another answer, is at /oauth/rest/app.info. Its keys are
    here too, so that the portal's own address does as the address of the authorisation server.
    """
    application = call.caller.application or portal.applications.first
    token = php.to_string(call.get("AUTH")) if call.caller.application else None
    grant = portal.tokens.describe(token, portal.settings, portal.domain, portal.url) if token else {}
    return Result(
        {
            **grant,
            "ID": application.number,
            "CODE": application.client_id,
            "VERSION": 1,
            "STATUS": "L",
            "INSTALLED": True,
            "PAYMENT_EXPIRED": "N",
            "DAYS": None,
            "SCOPE": list(call.caller.scope),
            "LICENSE": "en_sandbox",
            "LICENSE_TYPE": "sandbox",
            "LICENSE_FAMILY": "sandbox",
        }
    )


def show_feature(portal: Portal, call: RestCall) -> Result:
    """`feature.get`: whether the plan has a feature."""
    code = php.to_string(call.get("CODE")) or ""
    return Result({"value": "Y" if code in portal.settings.features else "N"})


def show_time(portal: Portal, _call: RestCall) -> Result:
    """`server.time`: the server's clock."""
    return Result(iso_time(portal.clock(), portal.settings.utc_offset_h))


def say_whether_available(call: RestCall, available: Mapping[str, bool]) -> Result:
    """`method.get`: whether a method exists and is within the scope. available: the latter, by name."""
    name = (php.to_string(call.get("NAME")) or "").lower()
    return Result({"isExisting": name in available, "isAvailable": available.get(name, False)})


SCOPES = ("user", "user_basic", "user_brief")
"""Any of them opens user.get; the last without contact details."""
_KINDS: Mapping[str, Kind] = {
    "ID": "number", "ACTIVE": "text", "NAME": "text", "LAST_NAME": "text", "SECOND_NAME": "text", "EMAIL": "text",
    "USER_TYPE": "text", "PERSONAL_PHONE": "text", "PERSONAL_MOBILE": "text", "WORK_PHONE": "text",
    "WORK_POSITION": "text", "UF_DEPARTMENT": "number", "UF_PHONE_INNER": "text",
}  # fmt: skip
"""The filters supported here, of the many that user.get has."""
_CONTACTS = frozenset({"EMAIL", "PERSONAL_PHONE", "PERSONAL_MOBILE", "WORK_PHONE"})
"""Fields that `user_brief` neither shows nor filters by."""


def list_users(portal: Portal, call: RestCall) -> Result:
    """People of the portal, fifty a page; neither bots nor integrators."""
    given = {key.upper(): value for key, value in (php.as_map(call.get("FILTER")) or {}).items()}
    allowed = _allowed(call)
    kinds = {name: kind for name, kind in _KINDS.items() if name in allowed}
    holds = read_filter({key: _plain(key, value) for key, value in given.items()}, kinds.get)
    found = [user for user in portal.people() if not user.is_integrator and holds(_look(user))]
    sort = (php.to_string(call.get("SORT")) or "ID").upper()
    is_descending = (php.to_string(call.get("ORDER")) or "ASC").upper() == "DESC"
    found.sort(key=lambda user: rank(next(iter(_row(user).get(sort, [])), None)), reverse=is_descending)
    return page_of(found, call.get("START"), lambda user: _show(call, user))


def show_user(_portal: Portal, call: RestCall) -> Result:
    """`user.current`: the caller's card."""
    return Result(_card(call, call.caller.user))


def _allowed(call: RestCall) -> frozenset[str]:
    has_contacts = not {"user", "user_basic"}.isdisjoint(call.caller.scope)
    return frozenset(_KINDS) if has_contacts else frozenset(_KINDS) - _CONTACTS


def _show(call: RestCall, user: User) -> dict[str, object]:
    wanted = [php.to_string(name) for name in (php.as_map(call.get("SELECT")) or {}).values()]
    card = _card(call, user)
    return card if not wanted or "*" in wanted else {name: value for name, value in card.items() if name in wanted}


def _card(call: RestCall, user: User) -> dict[str, object]:
    card: dict[str, object] = {
        "ID": str(user.id),
        "ACTIVE": user.is_active,
        "NAME": user.name,
        "LAST_NAME": user.last_name,
        "SECOND_NAME": user.second_name,
        "EMAIL": user.email,
        "TIME_ZONE": "",
        "PERSONAL_PHONE": user.home_phone,
        "PERSONAL_MOBILE": user.mobile,
        "WORK_PHONE": user.work_phone,
        "WORK_POSITION": user.position,
        "UF_DEPARTMENT": list(user.departments),
        "UF_PHONE_INNER": user.extension,
        "USER_TYPE": "employee",
    }
    return {name: value for name, value in card.items() if name == "TIME_ZONE" or name in _allowed(call)}


def _look(user: User) -> Look:
    row = _row(user)
    return lambda name: row[name]


def _row(user: User) -> dict[str, list[Value]]:
    """The values of every field, as a filter compares them."""
    return {
        "ID": [user.id],
        "ACTIVE": ["Y" if user.is_active else "N"],
        "NAME": [user.name],
        "LAST_NAME": [user.last_name],
        "SECOND_NAME": [user.second_name],
        "EMAIL": [user.email],
        "PERSONAL_PHONE": [user.home_phone],
        "PERSONAL_MOBILE": [user.mobile],
        "WORK_PHONE": [user.work_phone],
        "WORK_POSITION": [user.position],
        "UF_DEPARTMENT": list(user.departments),
        "UF_PHONE_INNER": [user.extension],
        "USER_TYPE": ["employee"],
    }


def _plain(key: str, value: object) -> object:
    """ACTIVE as the database keeps it: it may be given as true, 1, "true" or "Y"."""
    if not key.endswith("ACTIVE") or php.as_map(value) is not None:
        return value
    return "Y" if value is True or str(value).lower() in ("1", "true", "y") else "N"


FORBIDDEN_CHAT = 403
"""The number of a chat that no caller may enter. Chats with the numbers of missing documents do not exist."""
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
    if not kind and portal.person(number) is None:
        raise RestError("USER_NOT_FOUND")
    if kind and number in portal.settings.missing_documents:
        raise RestError("CHAT_ID")
    if kind and number == FORBIDDEN_CHAT:
        raise RestError("ACCESS_ERROR")
