"""The catalogues say what the pages say: all of it, nothing else, and with the same places for values."""

from __future__ import annotations

import re

import pytest
from babel.messages.catalog import Catalog, Message

from tests.support.words import is_quoted, languages, read, strings_of, wanted_in

LATIN = re.compile(r"[\w{}\[\]*@&=./:+-]*[A-Za-z][\w{}\[\]*@&=./:+-]*")
MARKUP = re.compile(r"<code>.*?</code>|<[^>]*>|&[a-z]+;|%\(\w+\)[sr]")
PLACE = re.compile(r"%(?:\((\w+)\)[sr]|%)|%")


@pytest.mark.parametrize("language", languages())
def test_everything_that_pages_say_is_translated_and_nothing_else(language: str) -> None:
    """Where it fails: `make words`, then fill what is empty."""
    catalog = read(language)
    assert not catalog.obsolete
    assert keys(catalog) == keys(wanted_in(catalog))
    assert [one.id for one in texts(catalog) if one.fuzzy or not all(strings_of(one))] == []


@pytest.mark.parametrize("language", languages())
def test_a_translation_has_every_plural_form_and_the_places_of_its_original(language: str) -> None:
    catalog = read(language)
    for one in texts(catalog):
        forms = strings_of(one)
        assert len(forms) == (catalog.num_plurals if one.pluralizable else 1), one.id
        originals = [one.id] if isinstance(one.id, str) else list(one.id)
        for form in forms:
            assert places(form) in [places(original) for original in originals], one.id


def test_a_russian_text_has_no_english_word_but_names_and_what_is_typed_so() -> None:
    """A word that is to stay as it is belongs into a table of `tests/support/words.py`."""
    found = {}
    for one in texts(read("ru")):
        said = MARKUP.sub(" ", " ".join(strings_of(one)))
        if words := [word for word in LATIN.findall(said) if not is_quoted(word.strip(".,:-"))]:
            found[one.id] = words
    assert found == {}


def keys(catalog: Catalog) -> set[tuple[object, object]]:
    return {(one.context, one.id) for one in texts(catalog)}


def texts(catalog: Catalog) -> list[Message]:
    return [one for one in catalog if one.id]


def places(text: str) -> set[str]:
    return {match[0] for match in PLACE.finditer(text)}
