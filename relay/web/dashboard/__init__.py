"""The dashboard for people: what needs them now, what came, what became of it, and how to put it right.

Pages are made on the server and work without JavaScript. Importing a module of this package adds its routes to the one
blueprint, whose guard (frame.py) stands before all of them.
"""

from relay.web.dashboard import (  # noqa: F401 - each adds its routes
    acts,
    alerts,
    bulk,
    edit,
    erase,
    event_page,
    exports,
    front,
    languages,
    lists,
    logs,
    needs,
    numbers,
    portals,
    rules,
    sessions,
    sources,
    studio,
    studio_changes,
)
from relay.web.dashboard.frame import blueprint

__all__ = ["blueprint"]
