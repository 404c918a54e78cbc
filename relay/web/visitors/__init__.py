"""What people see who fill in a form in a browser: thanks, or what is wrong, as a page in their language.

It may not know the record, the rules or who may come in: a Source and an answer for machines come in, a page goes out.
"""

from relay.web.visitors.answers import dress, is_visit, thank

__all__ = ["dress", "is_visit", "thank"]
