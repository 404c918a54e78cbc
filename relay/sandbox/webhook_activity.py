"""The activity "Webhook" as the last one of a template: it calls an address that it was given, and the workflow ends.

Facts (source: bizproc/activities/bitrix/webhookactivity): http and https only, a host with a dot, a form with
`document_id[0]` to `[2]` as the body, sent once by the queue server, never repeated, and nobody looks at the answer.
That server is why this waits outside of the portal's lock, in a thread of its own.
"""

from __future__ import annotations

import contextlib
import threading
from http.client import HTTPException
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from relay.sandbox import php
from relay.sandbox.portal import Portal
from relay.sandbox.templates import Template
from relay.sandbox.workflows import Workflow

PATIENCE_S = 10.0


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Whoever answers with another address is not asked there."""


def end_with_webhook(portal: Portal, workflow: Workflow, template: Template) -> None:
    """Let a workflow come to its end by itself, if its template says so."""
    if not template.webhook_parameter:
        return
    address = php.to_string(workflow.parameters.get(template.webhook_parameter)) or ""
    if template.query:
        address += ("&" if "?" in address else "?") + template.query
    timer = threading.Timer(template.after_s, _end, (portal, workflow, address))
    timer.daemon = True
    timer.start()


def _end(portal: Portal, workflow: Workflow, address: str) -> None:
    with portal.lock:
        if workflow.state(portal.clock()) in {"terminated", "killed"}:
            return
        workflow.end("completed", portal.clock())
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or "." not in (parts.hostname or ""):
        return
    body = urlencode({f"document_id[{index}]": member for index, member in enumerate(workflow.document)})
    with contextlib.suppress(OSError, HTTPException):
        build_opener(_NoRedirects).open(Request(address, body.encode()), timeout=PATIENCE_S).close()  # noqa: S310 - see above
