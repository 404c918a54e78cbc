"""The list of REST methods: what runs, and which scope it needs. `batch` is not here: dispatch runs it.

May not check anything itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from relay.sandbox.account import say_whether_available, show_app, show_profile, show_scope, show_time
from relay.sandbox.answers import RestError, Result
from relay.sandbox.calls import RestCall
from relay.sandbox.duplicates import find_duplicates
from relay.sandbox.instances import kill_workflow, list_instances, terminate_workflow
from relay.sandbox.item_lists import describe_fields, get_item, list_items, list_types, show_mode
from relay.sandbox.listing import list_templates
from relay.sandbox.making import add_item, import_item
from relay.sandbox.messages import send_message
from relay.sandbox.portal import Portal
from relay.sandbox.starting import start_workflow
from relay.sandbox.triggers import fire_trigger
from relay.sandbox.users import SCOPES, list_users, show_user

BATCH = "batch"
BIZPROC = "bizproc"
CRM = "crm"


@dataclass(frozen=True, slots=True)
class Method:
    """run: called with the portal's lock held. scopes: any of them suffices; none where any credential will do."""

    run: Callable[[Portal, RestCall], Result]
    scopes: tuple[str, ...] = ()

    def is_open_to(self, scope: Collection[str]) -> bool:
        """Whether a credential of this scope may call it."""
        return not self.scopes or any(name in scope for name in self.scopes)


def _list_methods(portal: Portal, _call: RestCall) -> Result:
    """`methods`: those that the scope allows."""
    return Result([name for name, method in METHODS.items() if method.is_open_to(portal.settings.scope)])


def _get_method(portal: Portal, call: RestCall) -> Result:
    available = {name: method.is_open_to(portal.settings.scope) for name, method in METHODS.items()}
    return say_whether_available(call, available)


METHODS: Mapping[str, Method] = {
    "bizproc.workflow.start": Method(start_workflow, (BIZPROC,)),
    "bizproc.workflow.instances": Method(list_instances, (BIZPROC,)),
    "bizproc.workflow.instance.list": Method(list_instances, (BIZPROC,)),
    "bizproc.workflow.terminate": Method(terminate_workflow, (BIZPROC,)),
    "bizproc.workflow.kill": Method(kill_workflow, (BIZPROC,)),
    "bizproc.workflow.template.list": Method(list_templates, (BIZPROC,)),
    "crm.duplicate.findbycomm": Method(find_duplicates, (CRM,)),
    "crm.item.add": Method(add_item, (CRM,)),
    "crm.item.import": Method(import_item, (CRM,)),
    "crm.item.list": Method(list_items, (CRM,)),
    "crm.item.get": Method(get_item, (CRM,)),
    "crm.item.fields": Method(describe_fields, (CRM,)),
    "crm.type.list": Method(list_types, (CRM,)),
    "crm.settings.mode.get": Method(show_mode, (CRM,)),
    "crm.automation.trigger": Method(fire_trigger, (CRM,)),
    "user.get": Method(list_users, SCOPES),
    "user.current": Method(show_user, SCOPES),
    "im.message.add": Method(send_message, ("im",)),
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
    if method is None or (BIZPROC in method.scopes and not portal.settings.bizproc_available):
        raise RestError("ERROR_METHOD_NOT_FOUND")
    return method
