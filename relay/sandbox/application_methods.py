"""The methods by which an application takes its place in the portal: placement.* and event.*.

Facts: api-reference/widgets/placement-*.md, api-reference/events/event-*.md (docs), rest/lib/api/placement.php,
rest/lib/api/event.php and rest/lib/handlerhelper.php (source). They refuse webhooks. Where docs and source disagree on
the status of an error, the setting `statuses` chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from relay.sandbox import php
from relay.sandbox.answers import RestError, Result
from relay.sandbox.application_events import EVENTS, TEST, prepare, send
from relay.sandbox.applications.placements import places_of
from relay.sandbox.applications.registry import Application, EventHandler, Placement
from relay.sandbox.callers import RestCall
from relay.sandbox.portal import Portal

_WORDS = ("TITLE", "DESCRIPTION", "GROUP_NAME")
_TWICE = "Handler already binded"


def bind_placement(portal: Portal, call: RestCall) -> Result:
    """`placement.bind`. The same handler cannot be bound twice to one place; other handlers can."""
    application = _administered(call)
    code = _needed(call, "PLACEMENT").upper()
    address = _address(_needed(call, "HANDLER"))
    place = places_of(portal.settings).get(code)
    if place is None or (place.scope and place.scope not in call.caller.scope):
        raise RestError("ERROR_PLACEMENT_NOT_FOUND")
    if php.to_int(call.get("USER_ID")) > 0:
        raise RestError("ERROR_PLACEMENT_USER_MODE")
    if any((each.code, each.handler) == (code, address) for each in application.placements):
        raise RestError("ERROR_CORE", f"Unable to set placement handler: {_TWICE}")
    titles = _titles(portal, application, call)
    first = titles.get(portal.settings.language) or next(iter(titles.values()))
    number = portal.applications.next_number()
    placement = Placement(number, code, address, first["TITLE"], first["DESCRIPTION"], titles)
    application.placements.append(placement)
    return Result(value=True)


def _titles(portal: Portal, application: Application, call: RestCall) -> Mapping[str, Mapping[str, str]]:
    """The words by language. With LANG_ALL, TITLE and its like count for nothing."""
    by_language = php.as_map(call.get("LANG_ALL")) or {}
    if by_language:
        return {language: _words(php.as_map(given) or {}) for language, given in by_language.items()}
    words = _words({name: call.get(name) for name in _WORDS})
    return {portal.settings.language: words if words["TITLE"] else words | {"TITLE": application.title}}


def _words(given: Mapping[str, object]) -> dict[str, str]:
    return {name: (php.to_string(given.get(name)) or "").strip() for name in _WORDS}


def unbind_placement(_portal: Portal, call: RestCall) -> Result:
    """`placement.unbind`: one handler of a place, or all of them."""
    application = _administered(call)
    code, address = _needed(call, "PLACEMENT").upper(), php.to_string(call.get("HANDLER"))
    gone = [each for each in application.placements if each.code == code and address in ("", None, each.handler)]
    application.placements[:] = [each for each in application.placements if each not in gone]
    return Result({"count": len(gone)})


def list_bound_placements(_portal: Portal, call: RestCall) -> Result:
    """`placement.get`: what this application has bound."""
    return Result(
        [
            {
                "id": each.id,
                "placement": each.code,
                "userId": 0,
                "handler": each.handler,
                "options": [],
                "title": each.title,
                "description": each.description,
                "langAll": each.titles,
            }
            for each in _administered(call).placements
        ]
    )


def list_placements(portal: Portal, call: RestCall) -> Result:
    """`placement.list`: the codes of a scope, of all scopes, or of those that the application has."""
    call.caller.require_application()
    places = places_of(portal.settings).values()
    if call.get("SCOPE") is not None:
        wanted = [each.code for each in places if each.scope == php.to_string(call.get("SCOPE"))]
    elif php.is_truthy(call.get("FULL")):
        wanted = [each.code for each in places]
    else:
        wanted = [each.code for each in places if each.scope in ("", *call.caller.scope)]
    return Result(wanted)


def bind_event(portal: Portal, call: RestCall) -> Result:
    """`event.bind`. A user who is no administrator binds for himself."""
    application = call.caller.require_application()
    name, address = _needed(call, "EVENT").upper(), _address(_needed(call, "HANDLER"))
    if php.to_string(call.get("EVENT_TYPE")) == "offline":
        call.caller.require_admin()
        raise RestError("ERROR_CORE", "Unable to set event handler: there are no offline events here")
    if name not in EVENTS:
        raise RestError("ERROR_EVENT_NOT_FOUND")
    user = call.caller.user
    user_id = php.to_int(call.get("AUTH_TYPE"))
    if not user.is_admin and user_id not in (0, user.id):
        raise RestError("ACCESS_DENIED")
    user_id = user_id if user.is_admin else user.id
    bound = [(each.event, each.address, each.user_id) for each in application.event_handlers]
    if (name, address, user_id) in bound:
        raise RestError("ERROR_CORE", f"Unable to set event handler: {_TWICE}")
    application.event_handlers.append(EventHandler(portal.applications.next_number(), name, address, user_id))
    return Result(value=True)


def unbind_event(_portal: Portal, call: RestCall) -> Result:
    """`event.unbind`: for every user, or for the one of `auth_type`."""
    name, address = _needed(call, "EVENT").upper(), _needed(call, "HANDLER")
    users = None if call.get("AUTH_TYPE") is None else php.to_int(call.get("AUTH_TYPE"))
    gone = [
        each
        for each in _seen_handlers(call)
        if (each.event, each.address) == (name, address) and users in (None, each.user_id)
    ]
    handlers = call.caller.require_application().event_handlers
    handlers[:] = [each for each in handlers if each not in gone]
    return Result({"count": len(gone)})


def list_bound_events(_portal: Portal, call: RestCall) -> Result:
    """`event.get`."""
    return Result(
        [
            {"event": each.event, "handler": each.address, "auth_type": str(each.user_id), "offline": 0}
            for each in _seen_handlers(call)
        ]
    )


def _seen_handlers(call: RestCall) -> list[EventHandler]:
    """The handlers that the caller may see and unbind: all for an administrator, else his own."""
    application, user = call.caller.require_application(), call.caller.user
    return [each for each in application.event_handlers if user.is_admin or each.user_id == user.id]


def list_events(_portal: Portal, call: RestCall) -> Result:
    """`events`: the names."""
    call.caller.require_application()
    return Result(list(EVENTS))


def send_test_event(portal: Portal, call: RestCall) -> Result:
    """`event.test`: an event with what was passed, for the application's own handler of ONAPPTEST."""
    application = call.caller.require_application()
    passed = {name: value for name, value in call.parameters.items() if name not in ("AUTH", "ACCESS_TOKEN")}
    send(prepare(portal, application, TEST, {"QUERY": passed}, call.caller.user.id))
    return Result(1)


def _administered(call: RestCall) -> Application:
    """The application that calls, by the token of an administrator."""
    application = call.caller.require_application()
    call.caller.require_admin()
    return application


def _needed(call: RestCall, name: str) -> str:
    value = php.to_string(call.get(name))
    if not value:
        raise RestError("ERROR_ARGUMENT", f"Argument '{name}' is null or empty")
    return value


def _address(given: str) -> str:
    """The address of a handler. Only its form is checked: nobody tries whether anything answers there."""
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https"):
        raise RestError("ERROR_UNSUPPORTED_PROTOCOL")
    if "." not in (parts.hostname or ""):
        raise RestError("ERROR_WRONG_HANDLER_URL")
    return given
