"""The list of REST methods: what runs, and which scope it needs. `batch` is not here: dispatch runs it.

May not check anything itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from relay.sandbox.account import say_whether_available, show_app, show_profile, show_scope, show_time, show_user
from relay.sandbox.answers import RestError, Result
from relay.sandbox.calls import RestCall
from relay.sandbox.instances import kill_workflow, list_instances, terminate_workflow
from relay.sandbox.listing import list_templates
from relay.sandbox.messages import send_message
from relay.sandbox.portal import Portal
from relay.sandbox.starting import start_workflow

BATCH = "batch"
BIZPROC = "bizproc"


@dataclass(frozen=True, slots=True)
class Method:
    """run: called with the portal's lock held. scope: None where any credential will do."""

    run: Callable[[Portal, RestCall], Result]
    scope: str | None = None


def _list_methods(portal: Portal, _call: RestCall) -> Result:
    """`methods`: those that the scope allows."""
    allowed = portal.settings.scope
    return Result([name for name, method in METHODS.items() if method.scope is None or method.scope in allowed])


def _get_method(portal: Portal, call: RestCall) -> Result:
    return say_whether_available(portal, call, {name: method.scope for name, method in METHODS.items()})


METHODS: Mapping[str, Method] = {
    "bizproc.workflow.start": Method(start_workflow, BIZPROC),
    "bizproc.workflow.instances": Method(list_instances, BIZPROC),
    "bizproc.workflow.instance.list": Method(list_instances, BIZPROC),
    "bizproc.workflow.terminate": Method(terminate_workflow, BIZPROC),
    "bizproc.workflow.kill": Method(kill_workflow, BIZPROC),
    "bizproc.workflow.template.list": Method(list_templates, BIZPROC),
    "user.current": Method(show_user, "user"),
    "im.message.add": Method(send_message, "im"),
    "profile": Method(show_profile),
    "scope": Method(show_scope),
    "methods": Method(_list_methods),
    "method.get": Method(_get_method),
    "app.info": Method(show_app),
    "server.time": Method(show_time),
}


def find_method(portal: Portal, name: str) -> Method:
    """The method of this lower-case name; ERROR_METHOD_NOT_FOUND (404) where there is none, or none in this plan."""
    method = METHODS.get(name)
    if method is None or (method.scope == BIZPROC and not portal.settings.bizproc_available):
        raise RestError("ERROR_METHOD_NOT_FOUND")
    return method
