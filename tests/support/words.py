"""What pages say, gathered from the code: `make words` writes it into the catalogues, and a test holds them to it.

Marked texts are found in templates and in Python; the core's tables, which know of no language, are read as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

from relay.core.catalogue import MESSAGES
from relay.core.events import CallbackState
from relay.core.findings import WORDS as FINDINGS
from relay.core.labels import ALERTS, REASONS
from relay.core.lifecycle import BulkAct, EventState, State, Verdict
from relay.core.plan import StepKind
from relay.core.reasons import BY_CODE, BY_POLICY, BY_VERDICT, IN_DOUBT, OF_PORTAL, OF_REFUSAL
from relay.core.templates import WORDS as DRIFTS
from relay.health.assessment import TOPOLOGY_WORDS
from relay.health.words import ISSUES, MORE_WORDS
from relay.operations.operator_acts import ACTS, Act
from relay.sources.schemas import KINDS
from relay.store.operators.bulk_replays import BulkState
from relay.store.portals.gate import GateState
from relay.store.record.ledger import IMBALANCES
from relay.web import answers
from relay.web.auth import Role
from relay.web.dashboard.numbers import GROUPS
from relay.web.presenters import typed_times

STEP_STATES = ("done", "next", "waiting", "ended", "skipped")
ROOT = Path(__file__).parents[2]
TRANSLATIONS = ROOT / "relay" / "web" / "translations"
KEYWORDS = {
    "_": None,
    "N_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
    "phrase": None,
    "phrases": (1, 2),
}
TABLES = (
    MESSAGES,
    REASONS,
    ALERTS,
    BY_CODE,
    OF_PORTAL,
    OF_REFUSAL,
    IN_DOUBT,
    BY_POLICY,
    BY_VERDICT,
    DRIFTS,
    {code: one.title for code, one in ISSUES.items() if not one.titles},
    {code: one.cause for code, one in ISSUES.items() if one.cause},
    FINDINGS,
    TOPOLOGY_WORDS,
    KINDS,
)
ENUMERATIONS = (State, EventState, Verdict, GateState, BulkAct, BulkState, StepKind, Role, CallbackState)
WORDS = (*GROUPS, *MORE_WORDS, *IMBALANCES, "idle", "busy", "today", "yesterday", "paused by a person", *STEP_STATES)
"""Others, which pages show as they are called in the code."""
CODE = re.compile(r"[_\d{}\[\]@=*&/]|\w[.:]+\w|[A-Z][A-Z-]+|[a-z][A-Z]|^x-")
"""A word with one of these, or in capitals, is a variable, an address, a path, an id or a constant."""
NAMES = (
    "relay Bitrix24 JMESPath Sentinel Basic Bearer Referrer-Policy NaN Infinity gzip deflate multipart urlencoded hex "
    "redis-cli Compose systemd python crm bizproc http https csv jsonl starttls no-referrer id Id a-z xn www"
)
"""Programs, formats and standards, which are called so in Russian too: they may stand anywhere in a text."""
IN_FILES = (
    "addresses answer body by claim client day extract false field fields find form from given hash header "
    "integer key kind m max method ms name named needs no none nothing open origins portal price profile query "
    "rules s salt secret signed state stop t text timestamp title tls true unit until url value values verify "
    "when within xml yes"
)
"""Keys and values of our files, which a Russian text quotes as they are written there."""
ELSEWHERE = (
    "api callback cancel code current ignored original rejected restore contactId entityTypeId always appendfsync "
    "appendonly min-replicas-max-lag min-replicas-to-write redis replica-priority no-referrer placement"
)
"""Words of the API and the terminal, fields of Bitrix24, settings of servers, values of headers: quoted likewise."""
HEADER = """msgid ""
msgstr ""
"Language: {language}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {plurals}\\n"

"""
"""Without a date: a file that says the same is the same."""
Found = tuple[str | tuple[str, ...], str | None]
"""A text, or the two of one that depends on a number; and its context."""


def said() -> Catalog:
    """Everything that pages say, in English."""
    catalog = Catalog()
    for message, context in (*_marked(), *_tables()):
        catalog.add(message, context=context)
    return catalog


def said_to_visitors() -> Catalog:
    """What of it visitors see who send a form."""
    catalog = Catalog()
    for message, context in _of_visitors():
        catalog.add(message, context=context)
    return catalog


def is_for_visitors_only(catalog: Catalog) -> bool:
    """Whether a language is spoken to visitors, and not on the dashboard: only their texts are in its file."""
    contexts = {one.context for one in catalog if one.id}
    return contexts == {answers.CONTEXT}


def wanted_in(catalog: Catalog) -> Catalog:
    """What has to be in a language's file."""
    return said_to_visitors() if is_for_visitors_only(catalog) else said()


def read(language: str) -> Catalog:
    """A catalogue as its file is."""
    with (TRANSLATIONS / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language.replace("-", "_"))


def languages() -> list[str]:
    """Every language that has a file."""
    return sorted(file.stem for file in TRANSLATIONS.glob("*.po"))


def strings_of(message: Message) -> tuple[str, ...]:
    """The translation, or the one of each plural form; empty where there is none."""
    string = message.string or ""
    return (string,) if isinstance(string, str) else tuple(one or "" for one in string)


def is_name(word: str) -> bool:
    """Whether a word of Latin letters is the same in every language."""
    return word in NAMES.split() or bool(CODE.search(word))


def is_quoted(word: str) -> bool:
    """Whether a Russian text may have this word, because it is typed, or read in a file, just so."""
    return is_name(word) or word in f"{IN_FILES} {ELSEWHERE}".split()


def _marked() -> Iterator[Found]:
    for method, pattern in (("jinja2.ext:babel_extract", "*.html"), ("python", "*.py")):
        options = {"trimmed": "true", "newstyle_gettext": "true", "silent": "false"}
        for path in sorted((ROOT / "relay").rglob(pattern)):
            with path.open("rb") as file:
                for _, message, _, context in extract(method, file, KEYWORDS, options=options):
                    yield message, context


def _tables() -> Iterable[Found]:
    for table in TABLES:
        yield from ((text, None) for text in table.values())
    yield from ((text, None) for act in ACTS for text in _texts_of(act) if text)
    yield from (((one.title, one.titles), None) for one in ISSUES.values() if one.titles)
    yield from ((word, None) for word in WORDS)
    yield from ((word, typed_times.CONTEXT) for word in typed_times.WORDS)
    for enumeration in ENUMERATIONS:
        yield from _members(enumeration)
    yield from _of_visitors()


def _of_visitors() -> Iterator[Found]:
    texts = [text for saying in answers.SAYINGS.values() for text in saying]
    for text in (*texts, *answers.ENTRIES.values(), answers.OTHER, answers.BACK, answers.WAY_BACK):
        yield text, answers.CONTEXT


def _texts_of(act: Act) -> tuple[str, ...]:
    many = (act.many.button, act.many.says, act.many.progress) if act.many else ()
    return (act.button, act.says, act.done, *many)


def _members(enumeration: type[Enum]) -> Iterator[Found]:
    return ((str(one.value), enumeration.__name__) for one in enumeration)


def _write(language: str) -> None:
    catalog = read(language)
    # A text that is like another is another: its translation is not guessed.
    catalog.update(wanted_in(catalog), no_fuzzy_matching=True)
    content = BytesIO()
    write_po(content, catalog, width=0, no_location=True, omit_header=True, sort_output=True, ignore_obsolete=True)
    header = HEADER.format(language=language, plurals=catalog.plural_forms)
    (TRANSLATIONS / f"{language}.po").write_text(header + content.getvalue().decode(), "utf-8")
    missing = sum(1 for one in catalog if one.id and not all(strings_of(one)))
    print(f"{language}: {len(catalog)} texts, {missing} without a translation")  # noqa: T201 - for who has asked


if __name__ == "__main__":
    for each in languages():
        _write(each)
