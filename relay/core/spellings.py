"""The forms in which senders write one text: as it is, in JSON's escapes, percent-encoded; numbers as text. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from urllib.parse import unquote_plus

_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def written(value: Any) -> str:
    """A value as text. A number has no exponent, as people and templates write it: 0.00001, not 1e-05.

    One of more than 21 digits before its point, or of as many noughts behind it, keeps it, for it is no amount.
    """
    if isinstance(value, float) and "e" in (text := repr(value)) and 1e-21 < abs(value) < 1e21:
        return f"{Decimal(text):f}"
    return str(value)


def forms_of(text: str) -> list[str]:
    """The text, and what it says where it is escaped or encoded."""
    forms = [text]
    if "\\u" in text:
        forms.append(_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text))
    return forms + [unquote_plus(form) for form in forms if "%" in form]
