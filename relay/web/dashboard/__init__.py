"""The dashboard for people: open issues, events, deliveries, and the acts that put things right.

Pages are made on the server and work without JavaScript. Every module of this package adds its routes to the one
blueprint. Its guard (frame.py) stands before all of them, and its table PAGES names every page.
"""

from importlib import import_module
from pkgutil import iter_modules

from relay.web.dashboard.frame import blueprint

__all__ = ["blueprint"]

for _found in iter_modules(__path__):
    import_module(f"{__name__}.{_found.name}")
