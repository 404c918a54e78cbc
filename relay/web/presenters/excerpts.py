"""The beginning of what somebody has sent, as much as a page can show. Pure: it reads neither request nor record.

Whatever is shown is masked value by value, and set out in lines; both cost time that a sender must not decide about.
What is cut is cut before it is masked, and between two values, so that half an address cannot pass as none.
"""

from __future__ import annotations

import re
from typing import Any

from relay.core.phones import find_phones

MOST_VALUES, MOST_CHARACTERS = 1_000, 100_000
FEW_VALUES, FEW_CHARACTERS = 50, 5_000
"""Of one value of a call."""
LONGEST_TEXT = 10_000
_BORDERS = re.compile(r"[\"\n&;,<>]")
_LOOKED_BACK = 1_000
"""Characters within which a text is cut at a border; no address or number is as long."""


def excerpt(value: Any, values: int = MOST_VALUES, characters: int = MOST_CHARACTERS) -> tuple[Any, bool]:
    """JSON with its first values, and whether there is more of it; where it was cut, it says how much."""
    room = _Room(values, characters)
    return room.fit(value), room.was_short


def excerpt_of_text(text: str, characters: int = MOST_CHARACTERS) -> tuple[str, bool]:
    """The beginning of a text, and whether there is more of it."""
    if len(text) <= characters:
        return text, False
    borders = [match.start() for match in _BORDERS.finditer(text, max(0, characters - _LOOKED_BACK), characters)]
    if borders:
        return text[: borders[-1]], True
    cut = max(0, characters - _LOOKED_BACK)
    beyond = text[: cut + _LOOKED_BACK]
    return text[: next((one.begin for one in find_phones(beyond) if one.begin < cut < one.end), cut)], True


class _Room:
    def __init__(self, values: int, characters: int) -> None:
        self._values = values
        self._characters = characters
        self.was_short = False

    def fit(self, value: Any) -> Any:
        self._values -= 1
        if isinstance(value, dict):
            return self._fit_map(value)
        if isinstance(value, list | tuple):
            return self._fit_list(value)
        if isinstance(value, str):
            return self._fit_text(value)
        self._characters -= 20
        return value

    def _fit_map(self, whole: dict[str, Any]) -> dict[str, Any]:
        fitting: dict[str, Any] = {}
        for name, inner in whole.items():
            if self._is_full():
                fitting["…"] = f"{len(whole) - len(fitting)} more"
                break
            fitting[self._fit_text(str(name))] = self.fit(inner)
        return fitting

    def _fit_list(self, whole: list[Any] | tuple[Any, ...]) -> list[Any]:
        fitting: list[Any] = []
        for inner in whole:
            if self._is_full():
                fitting.append(f"… {len(whole) - len(fitting)} more")
                break
            fitting.append(self.fit(inner))
        return fitting

    def _fit_text(self, text: str) -> str:
        fitting, is_cut = excerpt_of_text(text, min(LONGEST_TEXT, max(0, self._characters)))
        self._characters -= len(fitting)
        if not is_cut:
            return fitting
        self.was_short = True
        return f"{fitting}… {len(text) - len(fitting)} characters more"

    def _is_full(self) -> bool:
        is_full = self._values <= 0 or self._characters <= 0
        self.was_short = self.was_short or is_full
        return is_full
