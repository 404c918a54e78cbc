"""The form in which a phone or an e-mail is looked for: what an item has and what is asked for are brought into it.

Facts: NormalizePhone of the main module, normalizePhone and prepareCodes of DuplicateCommunicationCriterion (source).
"""

from __future__ import annotations

import re

LONG = 10
"""Digits from which on a number is taken for one with a country or trunk prefix."""
_NOT_DIALLED = re.compile(r"[^0-9#*,;]")
_EXTENSION = re.compile(r"([0-9]+)[;#]*[0-9,]*")


def code_of(kind: str, value: str) -> str:
    """The form of a value of PHONE or EMAIL; the value itself where nothing is left of it."""
    return (normalize_phone(value) if kind == "PHONE" else value.strip().lower()) or value


def normalize_phone(value: str) -> str:
    """Digits without trunk prefix and extension: `8 (912) 345-67-89` and `+79123456789#12` are 79123456789.

    A number with fewer than ten digits keeps them all, so `+49 30 123` and `030 123` stay apart.
    """
    if len(value) >= LONG and value.startswith("+8"):
        value = f"00{value[1:]}"  # so that the 8 of a country is not taken for Russia's trunk prefix
    return _EXTENSION.sub(r"\1", _without_prefix(_NOT_DIALLED.sub("", value)))


def _without_prefix(digits: str) -> str:
    if len(digits) < LONG or digits.startswith(("80", "81", "82")):
        return digits
    for prefix in ("00", "011"):
        if digits.startswith(prefix):
            return digits.removeprefix(prefix)
    return f"7{digits[1:]}" if digits.startswith("8") else digits.removeprefix("0")
