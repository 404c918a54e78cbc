"""The studio: a captured event becomes a rule. Portal, template, values, the text and its mistakes, trial, activation.

The page is one form, and the text in it is the truth: each act sends all of it and gets the page anew. static/studio.js
does so in the background; without it, the same buttons do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Response, abort, redirect, render_template, request, url_for

from relay.core.errors import ChangedError, ConfigError, NotFoundError, NotWritableError
from relay.core.phrases import phrase
from relay.operations.drafting import WHEN, add_condition, choose, draft, equals, field_mapping, map_value, rule_name
from relay.operations.rule_text import UneditableError, line, put
from relay.web.dashboard.frame import blueprint, for_operators, who
from relay.web.language import _
from relay.web.presenters.studio import (
    Captured,
    Known,
    StudioForm,
    captured_of,
    known_of,
    masking_of_trial,
    mistakes_in,
    rule_files,
    said_of,
    trial_of,
    view_of,
)
from relay.web.services import services

LONGEST_FORM = 300_000
LONGEST_NUMBER = 9
"""Digits of the number of a value in an event."""
Edit = Callable[[StudioForm, Captured, Known], StudioForm]


@blueprint.get("/studio")
@for_operators
def studio() -> Any:
    """A draft: of an event, of a source, or the file of a rule."""
    form = StudioForm.read(request.args)
    captured = captured_of(form)
    return _page(_edited(form) if form.rule else _drafted(form, captured), captured)


@blueprint.post("/studio")
def shape_rule() -> Any:
    """The page after an act that changes nothing but the text in it."""
    form = _sent()
    captured, known = captured_of(form), known_of(form)
    said = ""
    if request.form.get("act") == "try":
        return _page(form, captured, tries=True)
    try:
        form = _edit(form, captured, known)
    except (UneditableError, NotFoundError) as error:
        said = said_of(error)
    return _page(form, captured, said=said)


@blueprint.post("/studio/templates")
def ask_templates() -> Any:
    """Ask the portal which templates it has; a worker does."""
    form = _sent()
    if form.portal not in services().portals:
        abort(400, _("choose a portal"))
    asked = services().operator_acts.ask_templates(form.portal, who())
    form = replace(form, question_id=asked.id)
    try:
        form = replace(form, text=put(form.text, ("start", "portal"), form.portal))
    except UneditableError as error:
        return _page(form, captured_of(form), said=said_of(error))
    return _page(form, captured_of(form))


@blueprint.post("/studio/activate")
def activate_rule() -> Any:
    """Write the file. Web processes take it up by themselves."""
    form = _sent()
    if mistakes_in(form):
        return _page(form, captured_of(form), said=_("Mend the marked lines first: nothing was written.")), 422
    try:
        digest = form.digest if form.name == form.rule else None
        change = rule_files().write(form.name, form.text, who(), digest or None)
    except ConfigError as error:
        return _page(form, captured_of(form), said=said_of(error)), 422
    except (ChangedError, NotWritableError) as error:
        return _page(form, captured_of(form), said=said_of(error)), 409
    if change.id is None:
        return _page(form, captured_of(form), said=_("The file says this already."))
    return redirect(url_for("dashboard.rule_change", change_id=change.id, event=form.event_id or None), 303)


@blueprint.post("/studio/file")
def rule_file() -> Any:
    """The text as a file, where it has to be copied into config/rules by hand."""
    form = _sent()
    answer = Response(form.text, content_type="application/octet-stream")
    name = form.name if form.name.replace("-", "").replace("_", "").isalnum() and form.name.isascii() else "rule"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}.yaml"'
    return answer


def _sent() -> StudioForm:
    request.max_content_length = request.max_form_memory_size = LONGEST_FORM
    return StudioForm.read(request.form)


def _edited(form: StudioForm) -> StudioForm:
    """The file of a rule as it is. Raises NotFoundError."""
    file = rule_files().read(form.rule)
    named = services().rules.all()
    rule = next((one for one in named if one.name == form.rule), None)
    portal = rule.requirement.portal if rule else min(services().portals, default="")
    return replace(form, text=file.text, digest=file.digest, portal=portal, source=rule.source if rule else "")


def _drafted(form: StudioForm, captured: Captured) -> StudioForm:
    source = services().record.event(form.event_id).source if form.event_id else form.source
    if source not in services().sources:
        raise NotFoundError(phrase("no source %(source)r: choose one that is in force", source=source))
    portal = form.portal if form.portal in services().portals else min(services().portals, default="")
    name = rule_name(source, captured.tree, {rule.name for rule in services().rules.all()})
    text = draft(name, source, portal, captured.tree, form.event_id)
    return replace(form, source=source, portal=portal, text=text)


def _edit(form: StudioForm, captured: Captured, known: Known) -> StudioForm:
    """The form after the button that was pressed. Raises UneditableError and NotFoundError."""
    if number := request.form.get("put", ""):
        return _put(form, captured, known, number)
    if request.form.get("act") == "template":
        wanted = next((one for one in known.templates if str(one.id) == form.template), None)
        if wanted is None:
            raise NotFoundError(phrase("choose a template first"))
        text = choose(form.text, wanted, captured.tree)
        slots = field_mapping(text, wanted)
        holding = {slot.key for slot in slots.start if slot.holds}
        onto = slots.next_empty(form.onto) if form.onto in holding else form.onto
        return replace(form, text=text, onto=onto)
    if request.form.get("act") == "source" and form.source in services().sources:
        return replace(form, text=put(form.text, ("source",), line(form.source)))
    return form


def _put(form: StudioForm, captured: Captured, known: Known, number: str) -> StudioForm:
    is_number = number.isdecimal() and len(number) <= LONGEST_NUMBER
    node = captured.tree.find(int(number)) if captured.tree and is_number else None
    if node is None:
        raise NotFoundError(phrase("the event has no such value"))
    template = known.chosen(form.text)
    if form.onto == WHEN and captured.masking.value(node.value, node.name) != node.value:
        # What is masked does not come into a file by a click: that something stands there is asked instead.
        text = add_condition(form.text, node.path)
    elif form.onto == WHEN:
        text = add_condition(form.text, equals(node))
    else:
        text = map_value(form.text, node, form.onto, template)
    return replace(form, text=text, onto=field_mapping(text, template).next_empty(form.onto))


def _page(form: StudioForm, captured: Captured, *, said: str = "", tries: bool = False) -> str:
    trial, why_not = trial_of(form) if tries else (None, "")
    return render_template(
        "studio.html",
        **view_of(form, captured, known_of(form)),
        said=said or why_not,
        trial=trial,
        masking=masking_of_trial(form, captured) if trial else captured.masking,
    )
