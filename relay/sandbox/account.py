"""Methods that tell a caller who it is and what it may do, for checking a credential without changing anything.

Shapes after common/system and common/users of the official docs (profile, scope, methods, method.get, app.info,
server.time); only the fields that a connection check would read are there.
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.sandbox import php
from relay.sandbox.answers import Result
from relay.sandbox.calls import RestCall
from relay.sandbox.portal import Portal
from relay.sandbox.workflows import iso_time


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


def show_scope(portal: Portal, _call: RestCall) -> Result:
    """`scope`: what the credential may use."""
    return Result(list(portal.settings.scope))


def show_app(portal: Portal, _call: RestCall) -> Result:
    """`app.info`: the application, or what stands in for one when a webhook asks."""
    return Result(
        {
            "ID": 1,
            "CODE": "local.sandbox",
            "VERSION": 1,
            "STATUS": "L",
            "INSTALLED": True,
            "PAYMENT_EXPIRED": "N",
            "DAYS": None,
            "SCOPE": list(portal.settings.scope),
            "LICENSE": "en_sandbox",
        }
    )


def show_time(portal: Portal, _call: RestCall) -> Result:
    """`server.time`: the server's clock."""
    return Result(iso_time(portal.clock(), portal.settings.utc_offset_h))


def say_whether_available(call: RestCall, available: Mapping[str, bool]) -> Result:
    """`method.get`: whether a method exists and is within the scope. available: the latter, by name."""
    name = (php.to_string(call.get("NAME")) or "").lower()
    return Result({"isExisting": name in available, "isAvailable": available.get(name, False)})
