"""Turns the door's answers for machines into pages for people. A machine gets what it got before.

Nothing of the request stands on a page but what its headers say of its language and of the page before it, which is
linked only where sources.yaml names its origin. The policy lets nothing of a page run, and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from urllib.parse import urlsplit

from flask import Response, render_template, request

from relay.sources import Source
from relay.web.visitors.words import BACK, LANGUAGES, SAYINGS, WAY_BACK, Words

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
"""What is said with a status; with any other, that the form was refused."""
KEPT_HEADERS = ("Allow", "Retry-After")


def is_visit(source: Source) -> bool:
    """Whether a person waits for the answer: a browser that goes to another page, not a script that asks."""
    if source.form is None:
        return False
    # Sec-Fetch-Mode: Fetch Metadata, section 2.2. Every browser sends it today; those that do not say what they accept.
    if mode := request.headers.get("Sec-Fetch-Mode"):
        return mode == "navigate"
    return request.accept_mimetypes.best_match(("application/json", "text/html")) == "text/html"


def thank(source: Source) -> Response:
    """What follows on a form that has arrived: the page that sources.yaml names, or one of ours."""
    if source.thanks:
        return Response(status=303, headers={"Location": source.thanks})
    return _page(source, 200, "thanks")


def tell_faults(source: Source, errors: Mapping[str, Sequence[str]]) -> Response:
    """What follows on a form that no rule could use: what is wrong, entry by entry."""
    return _page(source, 422, "fields", errors)


def dress(source: Source, answer: Response) -> Response:
    """The page of an error where a person waits for it; any other answer as it is."""
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
    """The page that the form stands on, where it is one of ours to link."""
    address = request.headers.get("Referer", "")
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return address if f"{parts.scheme}://{parts.netloc}" in origins else None
