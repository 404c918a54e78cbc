"""Pages inside Bitrix24: what a local application of a portal shows in its frame, and the events that it sends.

A browser posts a user's tokens here, with fields that anybody can change. They are sealed to the workers at once, and
this process cannot open them again; a worker finds out who that is and what they may see. Until then a page shows
nothing of the record. The pages need no cookie and no login, and only the portal's own pages may frame them.
"""

from relay.web.application.routes import blueprint

__all__ = ["blueprint"]
