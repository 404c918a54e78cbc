"""Edit and replay: an operator changes a body, sees the call that it makes, and has it delivered.

The original stays as it came; the edited body becomes an event of its own, which names the original.
"""

from __future__ import annotations

from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for

from relay.core.errors import InvalidEventError, RelayError
from relay.core.events import Event, Intent
from relay.core.ids import DELIVERY_PREFIX
from relay.operations.deciding import errors_of
from relay.web.auth import is_revealed
from relay.web.dashboard.frame import blueprint, for_operators, who
from relay.web.language import _, said
from relay.web.presenters.event_details import lines_of, readable, rule_named
from relay.web.presenters.masking import Masking
from relay.web.services import services

LONGEST_BODY = 200_000
"""Characters that a text field can carry well; a larger body is mended at its sender."""


@blueprint.get("/edits/<wanted>")
@for_operators
def edit(wanted: str) -> Any:
    """The body of an event, or of a delivery's event, to be changed."""
    event = _event(wanted)
    return _page(wanted, event, _text(event))


@blueprint.post("/edits/<wanted>/try")
def try_edit(wanted: str) -> Any:
    """Show the call that the changed body makes; nothing is recorded or sent."""
    event, text = _event(wanted), _given()
    try:
        _, decisions = services().operator_acts.replayer.edited(wanted, _bytes(text, event))
    except InvalidEventError as error:
        return _page(wanted, event, text, errors=error.errors)
    except RelayError as error:
        return _page(wanted, event, text, fault=said(error))
    intents = [intent for one in decisions for intent in one.intents]
    errors = errors_of(one for each in decisions for one in each.unfilled)
    return _page(wanted, event, text, intents=intents, errors=errors)


@blueprint.post("/edits/<wanted>")
def replay_edited(wanted: str) -> Any:
    """Do it."""
    event = _event(wanted)
    made = services().operator_acts.replay_edited(wanted, who(), _bytes(_given(), event))
    flash(_("Deliveries were made from the edited body: %(names)s.", names=", ".join(one.id for one in made)))
    return redirect(url_for("dashboard.event", event_id=made[0].event_id), 303)


def _page(
    wanted: str,
    event: Event,
    text: str,
    *,
    intents: list[Intent] | None = None,
    errors: dict[str, list[str]] | None = None,
    fault: str = "",
) -> Any:
    record, masking = services().record, Masking(revealed=True)
    old = record.delivery(wanted) if wanted.startswith(DELIVERY_PREFIX) else None
    calls = [
        (one.rule, lines_of(old.call if old else one.call, rule_named(one.rule), one.call if old else None, masking))
        for one in intents or ()
    ]
    page = render_template(
        "edit.html",
        wanted=wanted, event=event, text=text, calls=calls, has_old=old is not None, errors=errors or {}, fault=fault,
    )  # fmt: skip
    return page, 422 if fault or (errors and not intents) else 200


def _event(wanted: str) -> Event:
    """The event, which this session must have revealed: its body is shown as it is."""
    record = services().record
    event = record.event(record.delivery(wanted).event_id if wanted.startswith(DELIVERY_PREFIX) else wanted)
    if not is_revealed(event.id):
        abort(403, _("reveal the event first, on its page"))
    return event


def _text(event: Event) -> str:
    if len(event.body) > LONGEST_BODY or b"\0" in event.body:
        abort(409, _("this body is too large, or no text: it cannot be edited here"))
    if "json" in event.content_type.lower():
        text, is_cut = readable(event, Masking(revealed=True))
        if not is_cut:
            return text
    try:
        return event.body.decode("utf-8")
    except UnicodeDecodeError:
        abort(409, _("this body is no text in UTF-8: it cannot be edited here"))


def _given() -> str:
    request.max_content_length = request.max_form_memory_size = 4 * LONGEST_BODY
    return request.form.get("body", "")[:LONGEST_BODY]


def _bytes(text: str, event: Event) -> bytes:
    """With the ends of lines that the event has, as a multipart form needs its own: browsers send CR LF always."""
    text = text.replace("\r\n", "\n")
    return (text.replace("\n", "\r\n") if b"\r\n" in event.body else text).encode("utf-8", "surrogatepass")
