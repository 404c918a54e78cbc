"""user.get: who there is.

Facts: user/user-get.md and user/user-scope.md (docs), rest/lib/api/user.php (source). A field that does not exist, or
is not for this scope, is passed over in a filter, and left out of an answer: nothing says so. May not change anybody.
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.sandbox import php
from relay.sandbox.answers import Result
from relay.sandbox.calls import RestCall
from relay.sandbox.filters import Look, read_filter
from relay.sandbox.people import PEOPLE, User
from relay.sandbox.portal import Portal
from relay.sandbox.rows import PAGE_SIZE, Kind, Value, rank

SCOPES = ("user", "user_basic", "user_brief")
"""Any of them opens user.get; the last without contact details."""
_KINDS: Mapping[str, Kind] = {
    "ID": "number", "ACTIVE": "text", "NAME": "text", "LAST_NAME": "text", "SECOND_NAME": "text", "EMAIL": "text",
    "USER_TYPE": "text", "PERSONAL_PHONE": "text", "PERSONAL_MOBILE": "text", "WORK_PHONE": "text",
    "WORK_POSITION": "text", "UF_DEPARTMENT": "number", "UF_PHONE_INNER": "text",
}  # fmt: skip
"""What people are looked for by here, of the many that user.get has."""
_CONTACTS = frozenset({"EMAIL", "PERSONAL_PHONE", "PERSONAL_MOBILE", "WORK_PHONE"})
"""What `user_brief` neither shows nor takes into a filter."""


def list_users(portal: Portal, call: RestCall) -> Result:
    """People of the portal, fifty a page; neither bots nor integrators."""
    given = {key.upper(): value for key, value in (php.as_map(call.get("FILTER")) or {}).items()}
    allowed = _allowed(portal)
    kinds = {name: kind for name, kind in _KINDS.items() if name in allowed}
    holds = read_filter({key: _plain(key, value) for key, value in given.items()}, kinds.get)
    found = [user for user in PEOPLE.values() if not user.is_integrator and holds(_look(user))]
    sort = (php.to_string(call.get("SORT")) or "ID").upper()
    is_descending = (php.to_string(call.get("ORDER")) or "ASC").upper() == "DESC"
    found.sort(key=lambda user: rank(next(iter(_row(user).get(sort, [])), None)), reverse=is_descending)
    start = php.to_int(call.get("START"))
    first = max(0, start)
    shown = [_show(portal, call, user) for user in found[first : first + PAGE_SIZE]]
    if start < 0:
        return Result(shown)
    following = first + PAGE_SIZE
    return Result(shown, total=len(found), next=following if following < len(found) else None)


def show_user(portal: Portal, call: RestCall) -> Result:
    """`user.current`: the caller's card."""
    return Result(_card(portal, call.caller.user))


def _allowed(portal: Portal) -> frozenset[str]:
    has_contacts = not {"user", "user_basic"}.isdisjoint(portal.settings.scope)
    return frozenset(_KINDS) if has_contacts else frozenset(_KINDS) - _CONTACTS


def _show(portal: Portal, call: RestCall, user: User) -> dict[str, object]:
    wanted = [php.to_string(name) for name in (php.as_map(call.get("SELECT")) or {}).values()]
    card = _card(portal, user)
    return card if not wanted or "*" in wanted else {name: value for name, value in card.items() if name in wanted}


def _card(portal: Portal, user: User) -> dict[str, object]:
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
    return {name: value for name, value in card.items() if name == "TIME_ZONE" or name in _allowed(portal)}


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
