"""Spellings of one text by senders: as it is, in JSON's escapes, percent-encoded; and numbers as text. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from urllib.parse import unquote_plus

_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def written(value: Any) -> str:
    """Write a value as text. Numbers have no exponent, as people and templates write them: 0.00001, not 1e-05.

    A number with more than 21 digits before its point, or as many zeros after it, keeps the exponent: it is no amount.
    """
    if isinstance(value, float) and "e" in (text := repr(value)) and 1e-21 < abs(value) < 1e21:
        return f"{Decimal(text):f}"
    return str(value)


def forms_of(text: str) -> list[str]:
    """The text, and its decoded forms if it is escaped or encoded."""
    forms = [text]
    if "\\u" in text:
        forms.append(_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text))
    return forms + [unquote_plus(form) for form in forms if "%" in form]
