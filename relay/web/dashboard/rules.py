"""The rules in force, and a bench to try them on: a pasted body, or one that has come. Records and sends nothing."""

from __future__ import annotations

from typing import Any

from flask import abort, render_template, request

from relay.core.errors import RelayError, UnreadableError, UnsupportedTypeError
from relay.core.ids import utc_now
from relay.operations.preview import RulePreview, read_given, try_rules
from relay.operations.rule_text import content_of
from relay.store.operators.drafts import Draft
from relay.web.auth import is_operator
from relay.web.dashboard.frame import blueprint, for_viewers, who
from relay.web.dashboard.rule_changes import rule_files
from relay.web.language import N_, _, said
from relay.web.presenters.event_details import details_of, rule_named
from relay.web.presenters.masking import Masking
from relay.web.presenters.portals import drift_of
from relay.web.services import services

LONGEST_BODY = 2_000_000
CONTENT_TYPES = ("application/json", "application/x-www-form-urlencoded", "text/plain")


@blueprint.get("/rules")
def rules() -> Any:
    """Every rule with what became of it."""
    store, book = services().store, services().rules
    presence = store.statistics.of_rules([rule.name for rule in book.all()])
    published = store.rules.read()
    drift = [one for name in services().portals for one in drift_of(name)]
    checked = {name for name in services().portals if store.portal(name).checked_rules() == book.digest}
    rows = [
        (
            rule,
            presence[rule.name],
            [one for one in drift if one.rule == rule.name],
            N_("fits") if rule.requirement.portal in checked else N_("not checked yet"),
        )
        for rule in book.all()
    ]
    drafts = store.operators.drafts.all(who()) if is_operator() else []
    return render_template(
        "rules.html",
        rows=rows,
        digest=book.digest,
        published=published[0] if published else None,
        sources=sorted(services().sources),
        since=services().in_force.loaded.since,
        waiting=store.files.waiting(utc_now()),
        is_writable=rule_files().is_writable,
        drafts=[_unfinished(one) for one in drafts if one.differs],
    )


def _unfinished(draft: Draft) -> dict[str, Any]:
    """The title of a draft, and the query with which the studio opens it."""
    kind, _, name = draft.subject.partition(":")
    return {
        "title": content_of(draft.text).get("name") or name,
        "query": {"event_id" if kind == "event" else kind: name},
    }


@blueprint.get("/rules/try")
def bench() -> Any:
    """The bench; with an event in the query, the result of the rules."""
    event_id = request.args.get("event", "").strip().lower()
    source = request.args.get("source", "")
    if not event_id:
        return _bench(source=source)
    looked = details_of(services().record.event(event_id))
    return _bench(
        source=looked.event.source,
        event_id=event_id,
        tried=looked.tried,
        error=looked.unreadable and _("The body cannot be read: %(why)s.", why=looked.unreadable),
        masking=looked.masking,
    )


@blueprint.post("/rules/try")
@for_viewers
def try_body() -> Any:
    """Try the rules of a source on a pasted body."""
    request.max_content_length = request.max_form_memory_size = LONGEST_BODY
    source = services().sources.get(request.form.get("source", ""))
    if source is None:
        abort(400, _("choose a source"))
    kind, body = request.form.get("content_type", CONTENT_TYPES[0])[:200], request.form.get("body", "")
    rules, given = services().rules.for_source(source.name), request.form.get("given", "")[:1000]
    tried: list[RulePreview] = []
    error = None
    try:
        known = read_given(given.replace(",", " ").split(), rules)
        tried = try_rules(source, rules, kind, body.encode("utf-8", "surrogatepass"), {}, given=known)
    except (UnreadableError, UnsupportedTypeError) as unread:
        error = _("The body cannot be read: %(why)s.", why=said(unread))
    except RelayError as wrong:
        error = _("Results of steps: %(why)s.", why=said(wrong))
    # The person who pasted the body knows its content.
    masking = Masking(revealed=True)
    return _bench(
        source=source.name,
        tried=tuple(tried),
        error=error,
        masking=masking,
        body=body,
        content_type=kind,
        given=given,
    )


def _bench(
    *,
    source: str,
    event_id: str = "",
    tried: tuple[RulePreview, ...] | None = None,
    error: str | None = None,
    masking: Masking | None = None,
    body: str = "",
    content_type: str = CONTENT_TYPES[0],
    given: str = "",
) -> Any:
    return render_template(
        "bench.html",
        sources=sorted(services().sources),
        content_types=CONTENT_TYPES,
        source=source,
        event_id=event_id,
        tried=tried,
        error=error,
        masking=masking or Masking(),
        body=body,
        content_type=content_type,
        given=given,
        has_steps=any(rule.steps for rule in services().rules.all()),
        rule_named=rule_named,
    )
