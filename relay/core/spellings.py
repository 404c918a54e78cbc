"""The forms in which senders write one text: as it is, in JSON's escapes, percent-encoded. Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def forms_of(text: str) -> list[str]:
    """The text, and what it says where it is escaped or encoded."""
    forms = [text]
    if "\\u" in text:
        forms.append(_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text))
    return forms + [unquote_plus(form) for form in forms if "%" in form]
