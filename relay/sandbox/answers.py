"""The answers of the portal: results, errors with the official codes, texts and statuses, and the bytes on the wire.

The statuses have two columns because the vendor's source and its documentation disagree (system-errors.md against
rest/lib/oauthexception.php); a setting chooses the column. Some texts are localised, so that no client can match them.
May not read the portal's state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from xml.etree import ElementTree as ET

from relay.sandbox import php

_TEXTS: Mapping[str, Mapping[str, str]] = {
    "crowd": {
        "en": "A document can be handled by {limit} processes at most.",
        "ru": "Документ может обрабатываться не более чем {limit} процессами.",
    },
    "not_running": {"en": "The business process is not found.", "ru": "Бизнес-процесс не найден."},
    "script": {"en": "A script template cannot be started.", "ru": "Нельзя запустить шаблон скрипта."},
}


def say(text: str, language: str) -> str:
    """The text in "en" or "ru"."""
    return _TEXTS[text][language]


StatusColumn = Literal["source", "docs"]
Connection = Literal["keep", "reset", "truncate"]

CONNECTION = "relay.sandbox.connection"
"""Name in the WSGI environment under which the server learns what to do to the connection."""

JSON_TYPE = "application/json; charset=utf-8"
XML_TYPE = "text/xml; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class KnownError:
    """A row of system-errors.md: the status in the PHP source, the one in the docs, and the text."""

    source: int
    docs: int
    description: str


KNOWN_ERRORS: Mapping[str, KnownError] = {
    "QUERY_LIMIT_EXCEEDED": KnownError(503, 503, "Too many requests"),
    "OPERATION_TIME_LIMIT": KnownError(429, 429, "Method is blocked due to operation time limit."),
    "OVERLOAD_LIMIT": KnownError(401, 503, "REST API is blocked due to overload."),
    "INTERNAL_SERVER_ERROR": KnownError(500, 500, "Internal server error"),
    "ERROR_UNEXPECTED_ANSWER": KnownError(500, 500, "Server returned an unexpected response."),
    "expired_token": KnownError(401, 401, "The access token provided has expired."),
    "invalid_token": KnownError(401, 401, "Unable to get application by token"),
    "NO_AUTH_FOUND": KnownError(401, 401, "Wrong authorization data"),
    "INVALID_CREDENTIALS": KnownError(401, 403, "Invalid request credentials"),
    "insufficient_scope": KnownError(
        401, 403, "The request requires higher privileges than provided by the webhook token"
    ),
    "authorization_error": KnownError(401, 401, "Unable to authorize user"),
    "user_access_error": KnownError(401, 403, "The user does not have access to the application."),
    "ACCESS_DENIED": KnownError(403, 403, "Access denied!"),
    "PAYMENT_REQUIRED": KnownError(401, 401, "Subscription has been ended"),
    "ERROR_OAUTH": KnownError(401, 401, "Application not installed"),
    "NOT_INSTALLED": KnownError(401, 401, "Application not installed"),
    "APPLICATION_NOT_FOUND": KnownError(401, 401, "Application not found"),
    "CONNECTION_ERROR": KnownError(401, 401, "Error connecting to authorization server"),
    "PORTAL_DELETED": KnownError(403, 500, "Portal was deleted"),
    "ERROR_METHOD_NOT_FOUND": KnownError(404, 404, "Method not found!"),
    "INVALID_REQUEST": KnownError(401, 400, "Https required."),
    "WRONG_LICENSE": KnownError(403, 403, "Feature is not available on the current plan"),
    "WRONG_AUTH_TYPE": KnownError(403, 403, "Current authorization type is denied for this method"),
    "allowed_only_intranet_user": KnownError(403, 403, "Only intranet users are allowed"),
    "METHOD_CONFIRM_WAITING": KnownError(401, 401, "Waiting for confirmation"),
    "METHOD_CONFIRM_DENIED": KnownError(403, 403, "Method call denied"),
    "ERROR_BATCH_METHOD_NOT_ALLOWED": KnownError(400, 405, "Method is not allowed for batch usage"),
    "ERROR_BATCH_LENGTH_EXCEEDED": KnownError(400, 400, "Max batch length exceeded"),
    "ERROR_CORE": KnownError(400, 400, "Internal error"),
    "ERROR_ARGUMENT": KnownError(400, 400, "Wrong argument"),
    "INVALID_ARG_VALUE": KnownError(400, 400, "Wrong argument value"),
    "ERROR_NOT_FOUND": KnownError(400, 400, "Not found"),
    "NOT_FOUND": KnownError(400, 400, "Not found"),
    "INTERNAL_WRONG_TRANSPORT": KnownError(500, 500, "Wrong transport"),
    "INTERNAL_WRONG_HANDLER_CLASS": KnownError(500, 500, "Wrong handler class"),
    "ERROR_WRONG_WORKFLOW_ID": KnownError(400, 400, "Template not found"),
    "ERROR_SELECT_VALIDATION_FAILURE": KnownError(400, 400, "Select must be an array of field names"),
    "MESSAGE_EMPTY": KnownError(400, 400, "Message can't be empty"),
    "USER_ID_EMPTY": KnownError(400, 400, "User ID can't be empty"),
    "USER_NOT_FOUND": KnownError(400, 400, "User not found"),
    "CHAT_ID": KnownError(400, 400, "Error creating message"),
    "ACCESS_ERROR": KnownError(400, 400, "Action unavailable"),
    "": KnownError(400, 400, "Wrong DOCUMENT_ID!"),
}

APPLICATION_ERRORS: Mapping[str, KnownError] = {
    "ERROR_PLACEMENT_NOT_FOUND": KnownError(400, 200, "Placement not found"),
    "ERROR_PLACEMENT_USER_MODE": KnownError(400, 200, "User mode is not available."),
    "ERROR_EVENT_NOT_FOUND": KnownError(400, 400, "Event not found"),
    "ERROR_UNSUPPORTED_PROTOCOL": KnownError(400, 200, "Unsupported event handler protocol"),
    "ERROR_WRONG_HANDLER_URL": KnownError(400, 200, "Wrong handler URL"),
    "OWNER_NOT_FOUND": KnownError(400, 400, "Owner was not found"),
}
"""Errors that only placement.*, event.* and crm.timeline.* answer with."""

CRM_ERRORS: Mapping[str, KnownError] = {
    "Access denied": KnownError(403, 403, "User does not have permission to read CRM entities"),
    "100": KnownError(400, 400, "Could not find value for parameter {fields}"),
    "CRM_FIELD_ERROR_REQUIRED": KnownError(400, 400, 'The "Name" field is required'),
    "CRM_FIELD_ERROR_VALUE_NOT_VALID": KnownError(400, 400, 'Invalid value for field "Title"'),
    "CREATE_DYNAMIC_ITEM_RESTRICTED": KnownError(
        400, 400, "You cannot create a new item due to your plan restrictions"
    ),
    "ENTITY_TYPE_NOT_SUPPORTED": KnownError(400, 400, "Entity type INVOICE is not supported"),
}
"""Errors that only the CRM's methods answer with (crm/universal/crm-item-add.md and its neighbours)."""


class RestError(Exception):
    """A method or the entrance refuses: `{"error", "error_description"}`, never with a `time` block.

    code may be the empty string: the engine's own errors really have that code (bizproc/lib/restservice.php).
    """

    def __init__(self, code: str, description: str | None = None, status: int | None = None) -> None:
        tables = KNOWN_ERRORS, CRM_ERRORS, APPLICATION_ERRORS
        known = next((table[code] for table in tables if code in table), KnownError(400, 400, code))
        self.code = code
        self.description = known.description if description is None else description
        self._statuses = {"source": status or known.source, "docs": status or known.docs}
        super().__init__(f"{code}: {self.description}")

    def status(self, column: StatusColumn) -> int:
        """The HTTP status, as the source has it or as the docs have it."""
        return self._statuses[column]

    def body(self) -> dict[str, str]:
        """The two members of every error answer."""
        return {"error": self.code, "error_description": self.description}


class PhpError(Exception):
    """A PHP TypeError: no `catch (Exception)` stops it, so the whole request ends as HTTP 500 without JSON."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a method.

    total and next stand beside `result`. seconds: duration of the first leg; the caller waits for it.
    billed_s: processing time that is counted, though nobody waits for it.
    """

    value: object
    total: int | None = None
    next: int | None = None
    seconds: float = 0.0
    billed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as it is sent.

    connection: "keep", or "reset" (nothing is sent), or "truncate" (half of the body is sent, then it is closed).
    code: the error code, for the request log; None for a success.
    """

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)
    connection: Connection = "keep"
    code: str | None = None


def json_reply(status: int, answer: object, code: str | None = None) -> Reply:
    """A JSON answer as the portal writes it."""
    return Reply(status, json.dumps(answer, ensure_ascii=False).encode(), code=code)


def as_xml(reply: Reply) -> Reply:
    """The same answer in XML (settings/how-to-call-rest-api/general-principles.md).

    The docs do not name the members of a list; here they are `item`.
    """
    root = ET.Element("response")
    _write_into(root, json.loads(reply.body))
    return replace(reply, body=ET.tostring(root, "utf-8", xml_declaration=True), content_type=XML_TYPE)


def _write_into(element: ET.Element, value: object) -> None:
    if isinstance(value, dict):
        for name, member in value.items():
            _write_into(ET.SubElement(element, name), member)
    elif isinstance(value, list):
        for member in value:
            _write_into(ET.SubElement(element, "item"), member)
    elif value is not None:
        element.text = php.to_string(value)


def error_reply(error: RestError, column: StatusColumn) -> Reply:
    """An error answer."""
    return json_reply(error.status(column), error.body(), error.code)


def html_reply(status: int, title: str) -> Reply:
    """A front end's error page, in the manner of nginx."""
    head = f"<html>\r\n<head><title>{status} {title}</title></head>\r\n"
    body = f"<body>\r\n<center><h1>{status} {title}</h1></center>\r\n</body>\r\n</html>\r\n"
    return Reply(status, (head + body).encode(), HTML_TYPE)
