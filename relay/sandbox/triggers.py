"""crm.automation.trigger: fires what a portal has set up as "Track incoming webhook".

Facts: crm/automation/crm-automation-trigger.md (docs). The answer is true whether anything moved or not.
"""

from __future__ import annotations

import re

from relay.sandbox import php
from relay.sandbox.answers import RestError, Result
from relay.sandbox.calls import RestCall
from relay.sandbox.crm.fired import Fired
from relay.sandbox.crm.types import SYSTEM_TYPES
from relay.sandbox.portal import Portal
from relay.sandbox.workflows import utc_time

_TARGET = re.compile(r"([A-Z_]+|DYNAMIC_[0-9]+)_([0-9]+)")


def fire_trigger(portal: Portal, call: RestCall) -> Result:
    """Remember that it was fired, at what, with which code."""
    target = php.to_string(call.get("TARGET")) or ""
    if not target:
        raise RestError("", "Target is not set.")
    match = _TARGET.fullmatch(target)
    if match is None:
        raise RestError("", "Incorrect target format.")
    names = {entity.name for entity in SYSTEM_TYPES.values()} | {
        f"DYNAMIC_{number}" for number in portal.settings.smart_processes
    }
    if match[1] not in names:
        raise RestError("", "Target is not found.")
    code = php.to_string(call.get("CODE")) or ""
    portal.triggers.append(Fired(utc_time(portal.clock()), call.caller.user.id, target, code))
    return Result(value=True)
