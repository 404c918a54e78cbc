"""Erasing a person: find what holds an address, a number or a name, show it, and remove it on an operator's word.

The same operation as `python -m relay erase`. It searches the whole record while a browser waits; a larger record needs
the terminal. The value that is searched for is in no URL, no log and no message.
"""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, render_template, request, url_for

from relay.core.errors import ArchiveError
from relay.core.phrases import phrase
from relay.operations.erase import SHORTEST, Eraser, NotErasableError, Traces
from relay.store.archive.archive import Archive
from relay.web.dashboard.frame import blueprint, for_operators, who
from relay.web.language import _, said
from relay.web.services import services

LARGEST = 100_000
"""Events: a browser waits some ten seconds for them, and a proxy before us not much longer."""
LONGEST = 200
SHOWN = 10


@blueprint.get("/erase")
@for_operators
def erase() -> Any:
    """The form."""
    return _page(_eraser())


@blueprint.post("/erase/found")
def find_person() -> Any:
    """Show what holds the value; remove nothing."""
    eraser, value = _eraser(), _value()
    try:
        return _page(eraser, value, _find(eraser, value))
    except (NotErasableError, ArchiveError) as error:
        return _page(eraser, value, fault=said(error)), 422


@blueprint.post("/erase")
def erase_person() -> Any:
    """Remove it, and search again."""
    eraser, value = _eraser(), _value()
    try:
        traces = _find(eraser, value)
        eraser.erase(value, traces, who(), cancel="cancel" in request.form)
        left = _find(eraser, value)
    except (NotErasableError, ArchiveError) as error:
        return _page(eraser, value, fault=said(error)), 409
    if left or eraser.is_marked(value):
        return _page(eraser, value, left, fault=_("Something has arrived meanwhile: erase it once more")), 409
    for server in eraser.store.traces.rewrite_file():
        flash(_("The file of %(server)s still holds it: send it BGREWRITEAOF.", server=server))
    flash(_("Erased: %(what)s. Searched again: found nowhere.", what=traces.in_words))
    return redirect(url_for("dashboard.erase"), 303)


def _page(eraser: Eraser, value: str = "", traces: Traces | None = None, fault: str = "") -> Any:
    return render_template(
        "erase.html",
        value=value,
        traces=traces,
        sample=traces.events[:SHOWN] if traces else (),
        fault=fault,
        archive=eraser.archive and eraser.archive.folder,
        elsewhere=eraser.elsewhere(),
        is_too_large=eraser.record.event_count() > LARGEST,
        shortest=SHORTEST,
        longest=LONGEST,
    )


def _eraser() -> Eraser:
    """With the archive, where this machine has one."""
    settings = services().settings
    archive = Archive(settings.archive) if settings.archive and settings.archive.exists() else None
    return Eraser(services().store, services().persons, archive)


def _value() -> str:
    return request.form.get("value", "").strip()[:LONGEST]


def _find(eraser: Eraser, value: str) -> Traces:
    """Raises NotErasableError, ArchiveError, RecordUnavailableError."""
    if eraser.record.event_count() > LARGEST:
        raise NotErasableError(phrase("the record is too large to be looked through while a browser waits"))
    return eraser.find(value, lambda _seen, _total: None)
