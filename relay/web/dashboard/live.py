"""How a page refreshes itself: the browser asks for the same page again every few seconds.

A view says how often. With JavaScript, static/relay.js fetches the page and replaces the parts marked `data-fresh`,
until an answer asks for no more. Without JavaScript, the browser reloads a page that waits for an answer (a `refresh`
in `<noscript>`). A page that people stay on only says that it has to be reloaded: losing one's place every few seconds
would be worse.

Nothing is pushed. A stream would hold a connection for every open tab, delay the end of the process and need a second
way for proxies that buffer, and the page would have to be fetched all the same. A page costs some milliseconds, a
hidden tab asks for none, and every answer is complete, so that nothing can get out of step.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Freshness:
    """every_s: seconds between two looks; reloads: whether a browser without JavaScript loads the page again, too."""

    every_s: int
    reloads: bool


OVERVIEW = Freshness(every_s=6, reloads=False)
"""A page that somebody leaves open. Longer than the server keeps an idle connection (5 s, config/gunicorn.conf.py)."""
AWAITED = Freshness(every_s=2, reloads=True)
"""A page that waits for an answer, or shows how far something is, until it is there."""
