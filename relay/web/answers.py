"""The answer to a webhook: JSON for a program, a page for a person who sent a form.

A page repeats nothing of the request. It takes two things from the headers: the visitor's language, and the page
before, which is linked only if sources.yaml names its origin. The policy lets nothing on a page run and nothing be
fetched. The translations are in relay/web/translations/*.po, with the context "visitor". A language may have these
texts alone: then forms speak it, and the dashboard does not.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from flask import Response, render_template, request

from relay.core.faults import Fault, codes_of
from relay.core.phrases import listed
from relay.operations.ingest import Ingested, Probed
from relay.sources import Source
from relay.sources.answers import PLAIN, Rendered
from relay.web.language import ENGLISH, catalogue_of, catalogues
from relay.web.problems import problem

CACHE = "Cache-Control"
PROTECTION = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    CACHE: "no-store",
}
STYLE = files("relay.web").joinpath("templates", "visitor.css").read_text("utf-8")
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode("utf-8")).digest()).decode("ascii")
OF_STATUS: Mapping[int, str] = {
    400: "unreadable",
    408: "incomplete",
    413: "large",
    415: "unreadable",
    429: "busy",
    500: "away",
    503: "away",
}
"""The text for a status; any other status says that the form was refused."""
KEPT_HEADERS = ("Allow", "Retry-After")
CONTEXT = "visitor"
LANGUAGES = (ENGLISH, *catalogues())
"""Language tags (BCP 47); the first is used if the visitor accepts none of them."""
SAYINGS: Mapping[str, tuple[str, str]] = {
    "thanks": ("Thank you", "Your form has arrived."),
    "fields": (
        "Please check your entries",
        "The form was not accepted. These entries are missing or not right:",
    ),
    "unreadable": ("The form could not be read", "Please send it again. If that does not help, tell the site."),
    "incomplete": ("The form did not arrive in full", "Please check your connection and send it again."),
    "large": (
        "That is too large",
        "Please shorten your text or choose smaller files, and send the form again.",
    ),
    "busy": ("Too many forms are arriving", "Yours was not saved. Please send it again in a minute."),
    "away": ("The form could not be saved", "Please send it again in a few minutes."),
    "refused": (
        "The form was not accepted",
        "It cannot be sent from this page. Please tell the site’s owner.",  # noqa: RUF001 - as it is printed
    ),
}
"""Title and text, by what has happened."""
BACK = "Back to the site"
WAY_BACK = "Your browser’s Back button takes you to the form; what you typed is usually still there."  # noqa: RUF001
ENTRIES: Mapping[str, str] = {
    "missing": "please fill this in",
    "missing_for_document": "please fill this in",
    "expected_email": "please enter an e-mail address",
    "expected_phone": "please enter a phone number of %(least)s to %(most)s digits",
    "expected_url": "please enter an address that begins with http:// or https://",
    "expected_whole_number": "please enter a whole number",
    "expected_number": "please enter a number",
    "expected_date": "please enter a date",
    "expected_datetime": "please enter a date",
    "expected_choice": "please choose one of: %(names)s",
    "expected_between": "please enter a number from %(least)s to %(most)s",
    "expected_at_least": "please enter at least %(least)s",
    "expected_at_most": "please enter at most %(most)s",
    "expected_at_most_characters": "at most %(most)s characters, please",
    "expected_at_most_entries": "please choose at most %(most)s",
}
"""The message for a wrong entry, by the code of the fault (core/catalogue.py)."""
OTHER = "this does not fit"
"""The message for any other fault."""


def protect(response: Response, *, is_kept: bool = False) -> Response:
    """Add the headers of every answer: no framing, no inline code, no caching. is_kept: it may be cached."""
    headers = response.headers
    present = {name.lower() for name, _ in headers}
    for name, value in PROTECTION.items():
        if name.lower() not in present and not (is_kept and name == CACHE):
            headers.add(name, value)
    return response


def answer_to(source: Source, outcome: Ingested | Probed) -> Response:
    """The answer to a request of this source."""
    if isinstance(outcome, Probed):
        return _rendered(outcome.answer)
    if outcome.is_rejected and source.on_invalid != "accept":
        if is_visit(source):
            return tell_faults(source, outcome.errors)
        detail = "no rule could use the event; it is kept and can be replayed"
        return problem(422, detail, errors=outcome.errors, codes=codes_of(outcome.errors), **_named(outcome))
    if is_visit(source):
        return thank(source)
    if outcome.answer:
        return _rendered(outcome.answer)
    return Response(
        json.dumps(outcome.to_wire(), sort_keys=True), source.success_status, content_type="application/json"
    )


def refusal_of(source: Source) -> Response:
    """The answer to an unverified sender, which says nothing else. Some senders, such as Xero, want no body."""
    if source.answer and source.answer.is_empty:
        return Response(b"", 401, content_type=PLAIN)
    return problem(401, "not verified")


def _named(outcome: Ingested) -> dict[str, Any]:
    wire = outcome.to_wire()
    return {name: wire[name] for name in ("event_id", "events") if name in wire}


def _rendered(answer: Rendered) -> Response:
    """The answer that a source or a profile defines. `protect` keeps a browser from taking it for something else."""
    return Response(answer.body, answer.status, dict(answer.headers), content_type=answer.content_type)


def is_visit(source: Source) -> bool:
    """Whether a person waits for the answer: a browser that navigates, not a script that fetches."""
    if source.form is None:
        return False
    # Sec-Fetch-Mode: Fetch Metadata, section 2.2. Every browser sends it today; those that do not say what they accept.
    if mode := request.headers.get("Sec-Fetch-Mode"):
        return mode == "navigate"
    return request.accept_mimetypes.best_match(("application/json", "text/html")) == "text/html"


def thank(source: Source) -> Response:
    """The page after a form has arrived: the one that sources.yaml names, or ours."""
    if source.thanks:
        return Response(status=303, headers={"Location": source.thanks})
    return _page(source, 200, "thanks")


def tell_faults(source: Source, errors: Mapping[str, Sequence[str]]) -> Response:
    """The page after a form that no rule could use: the faults, entry by entry."""
    return _page(source, 422, "fields", errors)


def dress(source: Source, answer: Response) -> Response:
    """An error as a page if a person waits for it; any other answer unchanged."""
    if answer.mimetype != "application/problem+json" or not is_visit(source):
        return answer
    page = _page(source, answer.status_code, OF_STATUS.get(answer.status_code, "refused"))
    page.headers.update({name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers})
    return page


def _page(source: Source, status: int, saying: str, errors: Mapping[str, Sequence[str]] | None = None) -> Response:
    words = Words(request.accept_languages.best_match(LANGUAGES, LANGUAGES[0]))
    title, text = SAYINGS[saying]
    content = render_template(
        "visitor.html",
        language=words.language,
        style=STYLE,
        is_good=saying == "thanks",
        title=words.say(title),
        text=words.say(text),
        errors={name: [words.of_entry(one) for one in messages] for name, messages in (errors or {}).items()},
        # On the way back, the browser keeps what was typed; a link would lead to an empty form.
        way_back=None if saying == "thanks" else words.say(WAY_BACK),
        page_before=_page_before(source.origins) if saying == "thanks" else None,
        back=words.say(BACK),
    )
    around = " ".join(source.origins) or "'none'"
    headers = {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
            f"frame-ancestors {around}"
        ),
        "Content-Language": words.language,
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex",
    }
    return Response(content, status, headers)


def _page_before(origins: Sequence[str]) -> str | None:
    """The page with the form, if its origin is one that may be linked."""
    address = request.headers.get("Referer", "")
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return address if f"{parts.scheme}://{parts.netloc}" in origins else None


@dataclass(frozen=True, slots=True)
class Words:
    """One language."""

    language: str

    def say(self, text: str) -> str:
        """One of the texts above."""
        return catalogue_of(self.language).pgettext(CONTEXT, text)

    def of_entry(self, fault: str) -> str:
        """The message for a wrong entry. An operator's own words in it, such as choices, stay as they are."""
        if not isinstance(fault, Fault):
            return self.say(OTHER)
        return self.say(ENTRIES.get(fault.code, OTHER)) % {name: listed(value) for name, value in fault.values.items()}
