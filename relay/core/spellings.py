"""Spellings of one text by senders: as it is, escaped in JSON or XML, percent-encoded; and numbers as text. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from urllib.parse import unquote_plus

_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
XML_REFERENCE = r"&(?:#0*[0-9]{1,7}|#x0*[0-9a-fA-F]{1,6}|amp|lt|gt|quot|apos);"
"""How XML writes a character beside the character itself."""
_REFERENCE = re.compile(XML_REFERENCE)
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


def written(value: Any) -> str:
    """Write a value as text. Numbers have no exponent, as people and templates write them: 0.00001, not 1e-05.

    A number with more than 21 digits before its point, or as many zeros after it, keeps the exponent: it is no amount.
    """
    if isinstance(value, float) and "e" in (text := repr(value)) and 1e-21 < abs(value) < 1e21:
        return f"{Decimal(text):f}"
    return str(value)


def referred(reference: str) -> str:
    """The character of an XML_REFERENCE; one that is no character stays as it is."""
    name = reference[1:-1]
    if not name.startswith("#"):
        return _NAMED[name]
    # Python refuses to read thousands of digits, and zeros before a number are digits.
    number = int(name.lstrip("#x0") or "0", 16 if name.startswith("#x") else 10)
    return chr(number) if number <= 0x10FFFF else reference


def forms_of(text: str) -> list[str]:
    """The text, and its decoded forms if it is escaped or encoded."""
    forms = [text]
    if "\\u" in text:
        forms.append(_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text))
    if "&" in text and ";" in text:
        forms.append(_REFERENCE.sub(lambda match: referred(match[0]), text))
    return forms + [unquote_plus(form) for form in forms if "%" in form]
