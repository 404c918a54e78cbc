"""How two values differ, in words: masked, they may look alike. The words tell nothing of the values themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from relay.web.language import N_
from relay.web.presenters.masking import FEW_CHARACTERS, FEW_VALUES, Masking, excerpt

FEWEST_DIGITS = 5
"""Digits of a number that may be written in several ways, such as a telephone number."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One part of a call before and after a change, as a page shows it. None: there is no such value.

    kind: the kind of the change, to translate; empty where both values are shown as they are.
    """

    name: str
    before: Any
    after: Any
    kind: str


def differences_of(parts: Iterable[tuple[str, Any, Any]], masking: Masking) -> list[Difference]:
    """The parts of a call, masked. parts: the name, and the values before and after."""
    found = []
    for name, before, after in parts:
        raw = [excerpt(value, FEW_VALUES, FEW_CHARACTERS)[0] for value in (before, after)]
        shown = [masking.value(value, name) for value in raw]
        kind = "" if shown == raw else kind_of_change(before, after)
        found.append(Difference(name, shown[0], shown[1], kind))
    return found


def kind_of_change(before: Any, after: Any) -> str:
    """The kind of the change as a text to translate."""
    if before is None or after is None:
        return N_("is added") if before is None else N_("is left out")
    if not isinstance(before, str) or not isinstance(after, str):
        return N_("another value") if type(before) is type(after) else N_("another type of value")
    if before.split() == after.split():
        return N_("other blanks")
    if before.casefold() == after.casefold():
        return N_("other capitals")
    digits = ["".join(filter(str.isdigit, text)) for text in (before, after)]
    if digits[0] == digits[1] and len(digits[0]) >= FEWEST_DIGITS:
        return N_("the same digits, written differently")
    if before in after:
        return N_("more text around it")
    return N_("a part of it") if after in before else N_("another value")
