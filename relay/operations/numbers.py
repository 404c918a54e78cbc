"""Telephone numbers as people type them, by libphonenumber's plans (daviddrysdale). Pure; too slow for the door."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import phonenumbers
from phonenumbers import MatchType, PhoneNumberFormat

NUMBER = re.compile(r"(?<![\w.,+-])(?:\+|00)?\(?[0-9](?:[ ().\u00a0/-]{0,3}[0-9]){5,14}(?!\w)")
"""What may be a number, anywhere in a text."""
LONGEST = 40


def spellings_of(typed: str, regions: Iterable[str]) -> list[str]:
    """What was typed, and where it is a number the other ways to dial it: from abroad, and within each region."""
    return list(dict.fromkeys([typed, *_dialled(typed, regions)]))


def is_same_number(one: str, other: str) -> bool:
    """Whether both may be dialled to reach the same person; a number without its country fits that of any."""
    return bool(phonenumbers.is_number_match(one, other) > MatchType.NO_MATCH)


def _dialled(typed: str, regions: Iterable[str]) -> Iterator[str]:
    if len(typed) > LONGEST or not NUMBER.fullmatch(typed.strip()):
        return
    for region in (None, *sorted(regions)):
        try:
            number = phonenumbers.parse(typed, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_possible_number(number):
            yield phonenumbers.format_number(number, PhoneNumberFormat.E164)
            yield phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
