"""How a page keeps itself fresh: the browser asks for the same page again every few seconds, and there is no other way.

A view says how often. With JavaScript, static/relay.js fetches the page as it is now and puts in the parts marked
`data-fresh`; the first answer that asks for no more ends it. Without, a page that waits for an answer is loaded again
by the browser (a `refresh` in `<noscript>`), and a page that people stay on says that it has to be reloaded: to lose
one's place every few seconds would be worse.

Nothing is pushed: a stream would hold a connection of the server for every open tab, delay the end of its process,
need something else beside it for proxies that buffer, and the page would have to be fetched all the same. A page costs
some milliseconds, a hidden tab asks for none, and every answer is whole, so that nothing can get out of step.
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
