"""The texts of pages in the visitor's language: the one chosen in the header, else the browser's, else English.

English stands in the code; translations/<language>.po has the others and is read when a process starts. A further file
there is a further language. The API, the command line and logs are English and do not use this module. A text that
others wrote is shown so that no character in it is invisible or turns the text around it; the filter `as_it_is` leaves
one alone that a form sends back.
"""

from __future__ import annotations

import gettext
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import Any

from babel.core import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from flask import Flask, g, has_request_context, request
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from relay.core.faults import from_text
from relay.core.phrases import Moment, Phrase
from relay.core.printing import seen
from relay.web.zone import typed

ENGLISH = "en"
COOKIE = "language"
"""The cookie that the link in the header sets."""
_AS_WRITTEN = gettext.NullTranslations()
_SAYING = ("gettext", "ngettext", "pgettext", "npgettext")


def speak(app: Flask) -> None:
    """Give templates `{% trans %}`, `_`, `ngettext` and the filter `say`, in the language of a request."""
    catalogues()
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.policies["ext.i18n.trimmed"] = True
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined] # which the extension adds
        lambda text: _catalogue().gettext(text),
        lambda one, many, count: _catalogue().ngettext(one, many, count),
        newstyle=True,
        pgettext=lambda context, text: _catalogue().pgettext(context, text),
        npgettext=lambda context, one, many, count: _catalogue().npgettext(context, one, many, count),
    )
    app.jinja_env.filters["say"] = say


def _(text: str, **values: Any) -> str:
    """A text of the code, with values for its `%(name)s`."""
    found = _catalogue().gettext(text)
    return found % _spoken(values) if values else found


def ngettext(one: str, many: str, count: int, **values: Any) -> str:
    """A text that depends on a number, which is `%(count)s` in it."""
    return _catalogue().ngettext(one, many, count) % _spoken({"count": count, **values})


def N_(text: str) -> str:  # noqa: N802 - gettext's own name for it
    """Mark a text of a table, which is translated where it is shown."""
    return text


def say(text: Any) -> str:
    """A text of the core in the page's language: a marked text, a phrase, or a member of an enumeration.

    A member is looked up under its enumeration's name, because the same word can mean two things.
    """
    catalogue = _catalogue()
    if isinstance(text, Phrase):
        if text.plural:
            return catalogue.ngettext(text.message, text.plural, text.number) % _spoken(text.values)
        return catalogue.gettext(text.message) % _spoken(text.values)
    if isinstance(text, Enum):
        return catalogue.pgettext(type(text).__name__, str(text.value))
    return catalogue.gettext(text) if text else ""


def say_fault(text: str) -> str:
    """A fault, or its form on record (core/faults.py), translated; a text of an earlier version as it is."""
    fault = text if isinstance(text, Phrase) else from_text(text)
    return say(fault) if isinstance(fault, Phrase) else fault


def said(error: Exception) -> str:
    """The message of an error, in the page's language."""
    return say(error.args[0]) if error.args and isinstance(error.args[0], Phrase) else str(error)


def language_now() -> str:
    """The language of this request, as in `lang`; outside of one, English."""
    if not has_request_context():
        return ENGLISH
    if "language" not in g:
        chosen = request.cookies.get(COOKIE)
        spoken = list(languages())
        g.language = chosen if chosen in spoken else request.accept_languages.best_match(spoken, ENGLISH)
    return str(g.language)


def speak_in(tag: str) -> None:
    """Answer this request in a language (BCP 47), if pages speak it; else in the browser's."""
    spoken = list(languages())
    g.language = tag if tag in spoken else request.accept_languages.best_match(spoken, ENGLISH)
    g.pop("catalogue", None)


def country_named(code: str) -> str:
    """The name of a country (ISO 3166-1, two letters) in the page's language; the code, if it is none."""
    return str(Locale.parse(language_now(), sep="-").territories.get(code, code))


@cache
def languages() -> Mapping[str, str]:
    """Every language of the dashboard, with its own name. A file without that name is for visitors of forms only."""
    names = {language: one.pgettext("this language, in itself", "English") for language, one in catalogues().items()}
    return {ENGLISH: "English"} | {language: name for language, name in names.items() if name != "English"}


@cache
def catalogues() -> Mapping[str, gettext.GNUTranslations]:
    """The catalogues in translations/, by language."""
    found = [file for file in files("relay.web").joinpath("translations").iterdir() if file.name.endswith(".po")]
    read = {file.name.removesuffix(".po"): file.read_bytes() for file in found}
    return {language: _read(language, content) for language, content in sorted(read.items())}


def _read(language: str, content: bytes) -> gettext.GNUTranslations:
    compiled = BytesIO()
    write_mo(compiled, read_po(BytesIO(content), locale=language.replace("-", "_")))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def catalogue_of(language: str) -> gettext.NullTranslations:
    """The translations of a language; for English, or without a file, the texts as they are written."""
    return catalogues().get(language, _AS_WRITTEN)


def _catalogue() -> gettext.NullTranslations:
    """The translations for this request, looked up once."""
    if not has_request_context():
        return _AS_WRITTEN
    if "catalogue" not in g:
        g.catalogue = catalogue_of(language_now())
    found: gettext.NullTranslations = g.catalogue
    return found


def _spoken(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _spoken_value(value) for name, value in values.items()}


def _spoken_value(value: Any) -> Any:
    if isinstance(value, Moment):
        return typed(value.at)
    if isinstance(value, tuple):
        return ", ".join(str(_spoken_value(one)) for one in value)
    return say(value) if isinstance(value, Phrase | Enum) else value


def show_what_is_there(app: Flask) -> None:
    """Make invisible and text-turning characters visible in every value of a template. Call it after `speak`."""
    environment = app.jinja_env
    environment.finalize = _seen
    environment.filters["as_it_is"] = lambda text: Markup(escape(text))  # noqa: S704 - it is escaped
    for name in _SAYING:
        environment.globals[name] = _with_seen_values(environment.globals[name])


def _seen(value: Any) -> Any:
    # Every value of every page passes here, and nearly all are ASCII, where nothing misleads.
    if not isinstance(value, str) or value.isascii() or isinstance(value, Markup):
        return value
    return seen(value)


def _with_seen_values(say: Any) -> Callable[..., Any]:
    @pass_context
    def saying(context: Context, *texts: Any, **values: Any) -> Any:
        return say(context, *texts, **{name: _seen(value) for name, value in values.items()} if values else {})

    return saying
