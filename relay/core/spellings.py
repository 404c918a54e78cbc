"""Spellings of one text by senders: as it is, escaped in JSON or XML, percent-encoded; and numbers as text. Pure."""

from __future__ import annotations

import html
import re
from decimal import Decimal
from typing import Any
from urllib.parse import unquote_plus

_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#x[0-9a-fA-F]{1,6}|amp|lt|gt|quot|apos);")


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
    if "&" in text and ";" in text:
        forms.append(_REFERENCE.sub(lambda match: html.unescape(match[0]), text))
    return forms + [unquote_plus(form) for form in forms if "%" in form]
