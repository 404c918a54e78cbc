"""Telephone numbers: finds them in a text, and writes one as it is compared, dialled or looked for. Pure.

Masking, search, erasing, rules and questions to a CRM all use this module. Finding takes linear time, because texts may
be a megabyte of anything. Dialling follows libphonenumber's plans (daviddrysdale); it is slow and reads short texts
only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache

import phonenumbers
from phonenumbers import MatchType, PhoneNumberFormat, ValidationResult

REGIONS = frozenset(phonenumbers.SUPPORTED_REGIONS)
"""Countries by their two letters (ISO 3166) whose way of dialling is known."""
SHORTEST, SHORTEST_ABROAD, SHORTEST_LOCAL, LONGEST = 10, 9, 7, 15
"""Digits of a number in a text; after a plus; of a number within a town; of any number (ITU-T E.164)."""
LONGEST_TYPED = 64
"""Characters of a value that is one number."""
TAIL = 9
"""The last digits of a number, which are the same at home, abroad and in every spelling. Two people rarely share
them.
"""
_BLANKS, _DASHES = " \u00a0\u2007\u2009\u202f", "\u2010\u2011\u2012\u2013\u2014\u2212-"
_BETWEEN = rf"[{_BLANKS}()./_{_DASHES}]{{0,3}}+"
"""Characters that may separate two digits of a number. A plus begins another number."""
_NOT_DIALLED = str.maketrans(
    "",
    "",
    f"{_BLANKS}{_DASHES}().,/\t"
    # Marks of text direction, which are copied along with a number from contacts.
    "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff",
)
_DIALLED = re.compile(rf"\+?[0-9]{{{SHORTEST_LOCAL},{LONGEST}}}")
_DATE = (
    r"(?<![0-9])(?<![0-9][-._])(?:(?:19|20)[0-9]{2}[-./][0-9]{2}[-./][0-9]{2}"
    r"|[0-9]{2}[-./][0-9]{2}[-./](?:19|20)[0-9]{2})(?![0-9])"
)
_ROW = re.compile(
    # It does not begin within a word, an id such as ORDER-123 or a time, unless a whole number follows.
    r"(?:(?P<plus>\+|%2[Bb])|(?:(?<!\w)(?<!\w-)|(?<=тел)|(?<=tel)|(?<=phone))(?:(?<![0-9]:)|(?=[0-9]{10})))"
    rf"(?!{_DATE})\(?(?P<digits>[0-9]++(?:{_BETWEEN}(?!{_DATE})[0-9]++)*+)"
    rf"|{_DATE}"
)
"""Digits in a row, up to the next date; or a date."""
_BEFORE = 4
"""Characters of a row before its first digit: `%2B(`."""
_GROUP = re.compile(r"[0-9]+")
_GLUED = re.compile(r"(?!доб|вн|ext|x[0-9])\w", re.IGNORECASE)
"""A word that continues after digits, except one that introduces an extension."""
_UNIX_TIME = re.compile(r"1[0-9]{9}(?:[0-9]{3})?")
_ELEVEN = re.compile(r"(?:[78][3-9]|1[2-9])[0-9]{9}")
"""A whole number of Russia, Kazakhstan or North America: all of theirs have eleven digits."""


@dataclass(frozen=True, slots=True)
class Phone:
    """A number in a text: where it is, how it is written, its digits.

    More than LONGEST digits are several numbers that cannot be told apart, or the number of a card.
    """

    begin: int
    end: int
    text: str = field(repr=False)
    digits: str = field(repr=False)

    @property
    def is_one(self) -> bool:
        """Whether it can be dialled."""
        return len(self.digits) <= LONGEST


def find_phones(text: str, shortest: int = SHORTEST) -> Iterator[Phone]:
    """Find the numbers in a text, in order.

    In a row of digits, a number ends when it is complete or when the next one begins. shortest: the digits of a number
    without a plus; next to such a number, a local number counts, too.
    """
    enough = _enough(min(shortest, SHORTEST_ABROAD)).search(text)
    for row in _ROW.finditer(text, max(0, enough.start() - _BEFORE)) if enough else ():
        if row["digits"]:
            yield from _phones_in(text, row, shortest)


def digits_of(typed: str) -> str | None:
    """The number in a value, without punctuation: an optional plus, then 7 to 15 digits; None if it is not one
    number.
    """
    digits = typed.translate(_NOT_DIALLED)
    return digits if len(typed) <= LONGEST_TYPED and _DIALLED.fullmatch(digits) else None


def tail_of(typed: str) -> str | None:
    """The last TAIL digits of a number, which all its spellings share; None if the value is no number of that
    length.
    """
    digits = (digits_of(typed) or "").lstrip("+")
    return digits[-TAIL:] if len(digits) >= TAIL else None


def e164_of(typed: str, region: str) -> str | None:
    """The E.164 form of a value, such as +79991234567, as people in the region dial it; None if it is not a number.

    It must have a possible length with its area code: a local number such as 123-45-67 would become a number of another
    town. It need not be valid: plans change faster than their copies.
    """
    if len(typed) > LONGEST_TYPED or not (number := _parsed(typed, region)):
        return None
    if phonenumbers.is_possible_number_with_reason(number) != ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def ways_to_dial(typed: str, regions: Iterable[str]) -> list[str]:
    """The typed text, and if it is a number, other ways to dial it: from abroad, and within each region."""
    found = [typed]
    for region in (None, *sorted(regions)) if digits_of(typed) else ():
        if (number := _parsed(typed, region)) and phonenumbers.is_possible_number(number):
            found += [
                phonenumbers.format_number(number, way) for way in (PhoneNumberFormat.E164, PhoneNumberFormat.NATIONAL)
            ]
    return list(dict.fromkeys(found))


def ways_to_write(phone: str) -> list[str]:
    """Every way in which a CRM may store a number: as it is, +digits, digits, national."""
    digits = re.sub(r"\D", "", phone)
    if len(digits) == 11 and digits[0] == "8":  # the trunk prefix of Russia and Kazakhstan, whose country code is 7
        digits = f"7{digits[1:]}"
    national = [f"8{digits[1:]}"] if len(digits) == 11 and digits[0] == "7" else []
    return list(dict.fromkeys([phone.strip(), *([f"+{digits}", digits] if digits else []), *national]))


def is_same_phone(one: str, other: str) -> bool:
    """Whether both may reach the same person. A number without a country matches one of any country."""
    return bool(phonenumbers.is_number_match(one, other) > MatchType.NO_MATCH)


def _parsed(typed: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(typed, region)
    except phonenumbers.NumberParseException:
        return None


@cache
def _enough(count: int) -> re.Pattern[str]:
    """A pattern of this many digits in a row. It is tried first: most texts have none, and it is much faster than
    _ROW.
    """
    return re.compile(rf"[0-9](?:{_BETWEEN}[0-9]){{{count - 1}}}")


def _phones_in(text: str, row: re.Match[str], shortest: int) -> list[Phone]:
    """The numbers in a row of digits; empty if none is long enough."""
    groups = _whole_words(text, [match.span() for match in _GROUP.finditer(text, *row.span("digits"))])
    found, is_any_whole = [], False
    for first, last in _divide([text[begin:end] for begin, end in groups], is_abroad=bool(row["plus"])):
        begin, end = groups[first][0] if first else row.start(), groups[last - 1][1]
        is_abroad = bool(row["plus"]) and not first
        digits = "".join(_GROUP.findall(text, groups[first][0], end))
        if last - first == 1 and not is_abroad and (len(digits) > LONGEST or _UNIX_TIME.fullmatch(digits)):
            continue  # an id, or a moment
        is_any_whole = is_any_whole or len(digits) >= (SHORTEST_ABROAD if is_abroad else shortest)
        found.append(Phone(begin, end, text[begin:end], digits))
    return [phone for phone in found if len(phone.digits) >= SHORTEST_LOCAL] if is_any_whole else []


def _whole_words(text: str, groups: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The groups of digits, without those of a word that continues in letters, such as a hexadecimal id."""
    if groups and _GLUED.match(text, groups[-1][1]):
        after, _ = groups.pop()
        while groups and text[groups[-1][1] : after] == "-" and after - groups[-1][0] <= SHORTEST:
            after, _ = groups.pop()
    return groups


def _divide(groups: list[str], *, is_abroad: bool) -> Iterator[tuple[int, int]]:
    """Split a row of digits into numbers, by the groups in which it is written."""
    first, count, rest = 0, 0, sum(map(len, groups))
    for place, group in enumerate(groups):
        is_unbroken = len(group) >= SHORTEST
        # Only a country code or a trunk prefix is written before that many digits without a break.
        is_prefixed = count <= 3 and (len(group) == SHORTEST or (is_abroad and not first))
        if count and is_unbroken and not is_prefixed:
            yield first, place
            first, count = place, 0
        count += len(group)
        rest -= len(group)
        is_whole = count == 11 and _ELEVEN.fullmatch("".join(groups[first : place + 1]))
        if is_unbroken or is_whole or min(count, rest) >= SHORTEST:
            yield first, place + 1
            first, count = place + 1, 0
    if count:
        yield first, len(groups)
