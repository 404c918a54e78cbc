"""What people see who fill in a form in a browser: thanks, or what is wrong, as a page in their language.

It may not know the record, the rules or who may come in: a Source comes in with an answer for
machines, or with faults, and a page goes out.
"""

from relay.web.visitors.answers import dress, is_visit, tell_faults, thank

__all__ = ["dress", "is_visit", "tell_faults", "thank"]
