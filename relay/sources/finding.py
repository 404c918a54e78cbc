"""Finds the profile of a sender, by what people call it, by kind and by country. Reads no file."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from relay.sources.loading import Profile


def find_profiles(
    profiles: Iterable[Profile], text: str = "", *, kind: str | None = None, country: str | None = None
) -> list[Profile]:
    """The profiles in whose names every word of the text stands, in any case and without accents, by their titles.

    kind: one of schemas.KINDS; country: two letters; None, or empty: any. A sender that names this country comes before
    those that are used everywhere.
    """
    words, country = _folded(text).split(), (country or "").upper()
    found = [
        profile
        for profile in profiles
        if (not kind or profile.kind == kind)
        and (not country or not profile.countries or country in profile.countries)
        and all(word in _called(profile) for word in words)
    ]
    return sorted(found, key=lambda one: (bool(country) and not one.countries, one.title.casefold()))


def _called(profile: Profile) -> str:
    return _folded("\n".join((profile.name, profile.title, *profile.names)))


def _folded(text: str) -> str:
    """Without case, and without marks on letters: people leave out those of é, ü and the Russian io."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
