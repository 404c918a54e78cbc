"""The frame of every page: the guard before it, the table of pages, and the values and filters of all templates.

The guard protects every route of the blueprint by default: a route needs a session, and one that changes something
needs our origin and an operator. A view can ask for less only with a decorator of this module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from flask import Blueprint, abort, current_app, g, redirect, render_template, request, url_for

from relay import __version__
from relay.core.errors import RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.labels import name_of_alert, name_of_reason
from relay.core.phrases import is_ours
from relay.core.reasons import explain, explain_attempt, explain_reason
from relay.health.assessment import OpenIssue, assess, take_snapshot
from relay.health.words import span_of
from relay.web.auth import BACKGROUND, Role, identify, refuse_other_sites
from relay.web.language import N_, _, language_now, languages, say, say_fault
from relay.web.presenters.audit import actor, deed, note_of
from relay.web.presenters.event_details import end_of, progress_of, story_of_comment, story_of_end, title_of
from relay.web.presenters.masking import FEW_CHARACTERS, FEW_VALUES, excerpt, pretty
from relay.web.presenters.titles import document_of, template_with_number
from relay.web.services import services
from relay.web.zone import zone_now

blueprint = Blueprint("dashboard", __name__)
SAFE = {"GET", "HEAD", "OPTIONS"}
MOST_COUNTED = 999


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    view: the name of its function. paths: where the tests look at it; `{event}`, `{delivery}`, `{rejected}`,
    `{uncertain}`, `{bulk}` and `{question}` are ids. header: its name at the side, and group: under which heading;
    empty: other pages lead to it.
    """

    view: str
    paths: tuple[str, ...] = ()
    header: str = ""
    group: str = ""


WORK, CONFIGURE, SYSTEM = N_("Work"), N_("Configure"), N_("System")
PAGES = (
    Page("index", ("/", "/?span=week"), N_("Now"), WORK),
    Page("needs", ("/needs",), N_("Needs"), WORK),
    Page(
        "events",
        ("/events", "/events?tab=person", "/events?state=dead&source=website", "/events?q=nobody@example.com"),
        N_("Events"),
        WORK,
    ),
    Page("bulk", ("/bulk", "/bulk?state=dead", "/bulk?state=rejected", "/bulk?state=uncertain"), N_("Bulk"), WORK),
    Page("numbers", ("/numbers",), N_("Numbers"), SYSTEM),
    Page("rules", ("/rules",), N_("Rules"), CONFIGURE),
    Page("sources", ("/sources", "/sources?open=website"), N_("Sources"), CONFIGURE),
    Page("portals", ("/portals",), N_("Portals"), CONFIGURE),
    Page("alerts", ("/alerts",), N_("Alerts"), CONFIGURE),
    Page("log", ("/log",), N_("Log"), SYSTEM),
    Page("event", ("/events/{event}", "/events/{rejected}")),
    Page("confirm_event", ("/events/{rejected}/replay",)),
    Page("confirm_leaving", ("/events/{rejected}/leave",)),
    Page(
        "confirm",
        (
            "/deliveries/{delivery}/acts/replay",
            "/deliveries/{delivery}/acts/replay-current",
            "/deliveries/{uncertain}/acts/settle-started",
        ),
    ),
    Page("edit"),  # only of an event that the session has revealed
    Page("question", ("/questions/{question}",)),
    Page("one_bulk", ("/bulk/{bulk}",)),
    Page("new_source", ("/sources/add", "/sources/add?q=form", "/sources/add?profile=stripe&name=shop")),
    Page("rotation", ("/sources/website/secret",)),
    Page("new_portal", ("/portals/add",)),
    Page("connect_portal", ("/portals/main/connect",)),
    Page("connect_application", ("/portals/main/application",)),
    Page("confirm_switch", ("/portals/main/pause", "/portals/main/resume")),
    Page("bench", ("/rules/try", "/rules/try?event={event}")),
    Page("studio", ("/studio?event_id={event}", "/studio?rule=callback")),
    Page("rule_changes", ("/rules/changes",)),
    Page("rule_change"),  # only after a change of the configuration
    Page("erase", ("/erase",)),
    Page("sessions", ("/sessions",)),
    Page("login", ("/login",)),
)
"""Every page of the dashboard; those with a name at the side, in its order."""
PAGE_GROUPS = {
    group: [page for page in PAGES if page.header and page.group == group] for group in (WORK, CONFIGURE, SYSTEM)
}
V = TypeVar("V", bound=Callable[..., Any])


def for_anybody(view: V) -> V:
    """A view that needs no session. If it changes something, it still needs our origin."""
    view.asks = "nothing"  # type: ignore[attr-defined] # read by `guard`
    return view


def for_viewers(view: V) -> V:
    """A view that changes nothing although it is a POST."""
    view.asks = "session"  # type: ignore[attr-defined] # read by `guard`
    return view


def keeps_form(longest: int) -> Callable[[V], V]:
    """A form that is not lost when the session has ended. longest: bytes of it."""

    def mark(view: V) -> V:
        view.longest_form = longest  # type: ignore[attr-defined] # read by `guard`
        return view

    return mark


def for_operators(view: V) -> V:
    """A page for operators only."""
    view.asks = "operator"  # type: ignore[attr-defined] # read by `guard`
    return view


@blueprint.before_request
def guard() -> Any:
    """Let a request pass, or redirect it to the login; 403 for another site's, and beyond a viewer's rights."""
    view = current_app.view_functions[request.endpoint or ""]
    asks = getattr(view, "asks", "operator" if request.method not in SAFE else "session")
    return admit(asks, getattr(view, "longest_form", 0))


def admit(asks: str, longest_form: int) -> Any:
    """Check a request for a view that asks for "nothing", a "session" or an "operator"; None lets it pass."""
    changes = request.method not in SAFE
    if changes:
        refuse_other_sites()
    if asks == "nothing":
        return None
    visitor = identify(services().guard)
    if visitor is None and changes and longest_form:
        return _ended(longest_form), 401
    if visitor is None:
        target = request.full_path.rstrip("?") if not changes else url_for("dashboard.index")
        return redirect(url_for("dashboard.login", next=target), 303)
    g.role, g.who = visitor.role, visitor.name
    if asks == "operator" and g.role is not Role.OPERATOR:
        abort(403, _("a viewer sees everything and changes nothing: this is for operators"))
    return None


def _ended(longest_form: int) -> str:
    """The page of a form whose session has ended: all of it can be sent again after a login in another window."""
    request.max_content_length = request.max_form_memory_size = longest_form
    return render_template("ended.html", fields=list(request.form.items(multi=True)))


def way_back() -> str:
    """The path that the language link returns to: this page, or after a form the nearest page above it.

    An address that is not ours is not repeated.
    """
    if request.url_rule is None:
        return url_for("dashboard.index")
    if request.method in SAFE:
        return request.full_path
    adapter, path = current_app.create_url_adapter(request), request.path
    while path and adapter and "GET" not in adapter.allowed_methods(path):
        path = path.rpartition("/")[0]
    return path or url_for("dashboard.index")


def who() -> str:
    """The actor for the audit log: a role, or the name that a trusted proxy gave."""
    return str(g.who)


def open_issues() -> list[OpenIssue]:
    """All open issues, the worst first; read once a request, with the snapshot in `g.snapshot`.

    Raises RecordUnavailableError.
    """
    if "open_issues" not in g:
        here, now = services(), utc_now()
        g.snapshot = take_snapshot(here.store, here.portals, here.sources, now, here.spooler.held())
        g.open_issues = assess(g.snapshot, here.thresholds, now)
    found: list[OpenIssue] = g.open_issues
    return found


def waiting_count() -> str:
    """The number beside *Needs*: all that wait for a person; empty: none, or the record cannot be read now."""
    if "waiting_count" not in g:  # beside two links, of which a screen shows one
        g.waiting_count = _counted()
    return str(g.waiting_count)


def _counted() -> str:
    record = services().record
    try:
        count = record.unresolved_rejected() + record.unresolved_dead() + record.unresolved_uncertain()
    except RecordUnavailableError:
        return ""
    return f"{MOST_COUNTED}+" if count > MOST_COUNTED else str(count or "")


@blueprint.app_context_processor
def furnish() -> dict[str, Any]:
    """The values that every template may use."""
    role = g.get("role")
    return {
        "role": role,
        "version": __version__,
        "who": g.get("who"),
        "may_act": role is Role.OPERATOR,
        "is_background": BACKGROUND in request.headers,
        "pages": PAGES,
        "page_groups": PAGE_GROUPS,
        "waiting_count": waiting_count,
        "language": language_now(),
        "languages": languages(),
        "zone": zone_now(),
        "way_back": way_back,
        "explain": lambda code, verdict=None: say(explain(code, verdict)),
        "explain_reason": lambda state, reason: say(explain_reason(state, reason)),
        "explain_attempt": lambda attempt, kind: say(explain_attempt(attempt, kind)),
        "progress_of": progress_of,
        "end_of": end_of,
        "story_of_end": story_of_end,
        "story_of_comment": story_of_comment,
        "now": utc_now(),
    }


@blueprint.app_template_filter("beginning")
def beginning_filter(value: Any) -> Any:
    """The beginning of a value of a call, as much as a page can show."""
    return excerpt(value, FEW_VALUES, FEW_CHARACTERS)[0]


@blueprint.app_template_filter("pretty")
def pretty_filter(value: Any) -> str:
    """JSON for people."""
    return pretty(value)


@blueprint.app_template_filter("ago")
def ago(moment: datetime | None) -> str:
    """How long ago, in words."""
    return _("never") if moment is None else _("%(span)s ago", span=span_of(utc_now() - moment))


blueprint.add_app_template_filter(lambda span: say(span_of(span)), "span")
blueprint.add_app_template_filter(lambda reason: say(name_of_reason(reason)), "reason")
blueprint.add_app_template_filter(lambda kind: say(name_of_alert(kind)), "alert_kind")
blueprint.add_app_template_filter(say_fault, "fault")
blueprint.add_app_template_filter(deed, "deed")
blueprint.add_app_template_filter(actor, "actor")
blueprint.add_app_template_filter(note_of, "note")
blueprint.add_app_template_filter(title_of, "step_title")
blueprint.add_app_template_filter(document_of, "document")
blueprint.add_app_template_filter(lambda call: document_of(call, names_steps=True), "document_of_rule")
blueprint.add_app_template_filter(template_with_number)
blueprint.add_app_template_test(lambda drift: drift.is_serious, "serious")
blueprint.add_app_template_test(is_ours, "ours")
