"""The files of a configuration of one's own: portal, first source, first rule, the environment. Writes nothing.

What is there already is added to, never replaced: a text is the one on disk with what it lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from relay.configuration.files import Mistakes, instead_of_files
from relay.configuration.portals import variable_prefix
from relay.core.plan import WITH_COMMUNICATIONS
from relay.operations.deciding import contexts_of
from relay.operations.drafting import MADE, Node, Tree, draft, placed_in, take, tree_of
from relay.operations.editor_schemas import FOLDER, modeline
from relay.operations.rule_text import content_of, filled, has, put, scalar
from relay.operations.sampling import sample_event
from relay.sources import Source, load_sources
from relay.sources.loading import OWN_PROFILES, Profile, Profiles

PORTALS = """\
# Where calls go. No credential stands here: the workers read PORTAL_<NAME>_WEBHOOK_URL from their environment.
# Every key is explained in config/guide/portals.md of the relay.
portals:
"""
SOURCES = """\
# Who may send. Each source has an address: POST /hooks/<source>. Secrets are never written here: `secrets` lists names
# of environment variables. Every key is explained in config/guide/senders.md of the relay.
sources:
"""
RULE = """\
# The first rule, drafted from a sample of the sender: {what}. Change it as you like; `rules check` finds mistakes.
# Every key is explained in config/guide/rules.md of the relay.
"""
ENVIRONMENT = """\
# The environment of the relay's processes: plain lines, for a shell, systemd's EnvironmentFile and compose. It holds no
# secret, only the folder of secrets, each of which is a file: those of the web process in web, the workers' in workers.
"""
_PERSON = re.compile(r"(full_?)?name|fio|фио|имя", re.IGNORECASE)
_COMMENT = re.compile(r"comments?|message|text|question|комментарий|сообщение", re.IGNORECASE)
_PHONE = re.compile(r"phone|tel|mobile|телефон", re.IGNORECASE)
_EMAIL = re.compile(r"e?-?mail|почта", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wishes:
    """The wishes of the person who runs `init`.

    template: None if it is not known yet. document: what the first rule makes.
    """

    portal: str
    source: str
    profile: Profile
    template: int | None
    document: str


@dataclass(frozen=True, slots=True)
class NeededSecret:
    """A secret that a source needs. is_given: its sender makes it. is_pair: a name and a password with a colon."""

    variable: str
    is_given: bool
    is_pair: bool


def portals_text(before: str | None, portal: str) -> str:
    """portals.yaml with this portal. Raises UneditableError."""
    text = modeline("portals", FOLDER) + PORTALS if before is None else before
    return text if has(text, ("portals", portal)) else put(text, ("portals", portal), "{plan: standard}")


def sources_text(before: str | None, wishes: Wishes) -> str:
    """sources.yaml with this source. Raises UneditableError."""
    text = modeline("sources", FOLDER) + SOURCES if before is None else before
    place = ("sources", wishes.source)
    return text if has(text, place) else put(text, place, wishes.profile.value(wishes.source))


def rule_text(config: Path, sources: str, wishes: Wishes, now: datetime) -> str:
    """A rule for events like the sample of the profile: it starts the template on what the event names, or on a new
    document made of the event. sources: the text of sources.yaml. Raises ConfigError.
    """
    source = source_of(config, sources, wishes.source)
    contexts = contexts_of(source, sample_event(source, wishes.profile, now))
    tree = tree_of(contexts[0], places=wishes.profile.places) if contexts else None
    text = put(
        draft(wishes.source, wishes.source, wishes.portal, tree), ("start", "template_id"), str(wishes.template or 0)
    )
    what = "it starts a template on the document that the event names"
    if not has(text, ("start", "document_id")):
        text, what = _made(text, tree, wishes), f"it makes a {wishes.document} and starts a template on it"
    head, body = text.split("\n", 1)
    return f"{head}\n{RULE.format(what=what)}{body}"


def source_of(config: Path, sources: str, name: str) -> Source:
    """A source of this text of sources.yaml, without its secrets. Raises ConfigError."""
    path = config / "sources.yaml"
    with instead_of_files({path: sources.encode("utf-8")}):
        return load_sources(path, None)[name]


def _made(text: str, tree: Tree | None, wishes: Wishes) -> str:
    kind = wishes.document
    place = ("make", kind, kind)
    if "title" in MADE[kind]:
        text = put(text, (*place, "title"), scalar(f"From {wishes.source}"))
    for field, leaf in _fields_of(kind, tree) if tree else ():
        text, value = take(text, leaf)
        text = put(text, (*place, field), filled(value))
    if not has(text, place):
        text = put(text, (*place, MADE[kind][0]), scalar(f"From {wishes.source}"))
    return put(text, ("start", "document_id"), f"{{{kind}: {filled(kind)}}}")


def _fields_of(kind: str, tree: Tree) -> Iterable[tuple[str, Node]]:
    """The fields of a new document, each with the value that the profile knows, else the first that is called so."""
    body = [leaf for leaf in tree.leaves() if leaf.keys[0] == "body" and isinstance(leaf.value, str) and leaf.value]
    wanted = {"name": _PERSON, "phone": _PHONE, "email": _EMAIL, "comments": _COMMENT}
    found = {field: next((leaf for leaf in body if like.fullmatch(leaf.name)), None) for field, like in wanted.items()}
    if not found["phone"] and not found["email"]:
        found["name"] = None  # of a thing, not of a person
    found |= placed_in(tree)
    takes = {*MADE[kind], *(("phone", "email") if kind in WITH_COMMUNICATIONS else ())}
    return [(field, leaf) for field, leaf in found.items() if leaf and field in takes]


def secrets_of(config: Path, sources: str) -> list[NeededSecret]:
    """The secrets of every source in this text of sources.yaml, each once."""
    profiles = Profiles(config / OWN_PROFILES)
    found: dict[str, NeededSecret] = {}
    for entry in content_of(sources).get("sources", {}).values():
        profile = profiles.get(str(entry.get("profile")), Mistakes()) if isinstance(entry, dict) else None
        given = profile.sender_makes if profile else ()
        is_pair = profile is not None and profile.takes_pair
        for key, variables in _variables(entry):
            for variable in variables:
                found.setdefault(variable, NeededSecret(variable, key in given, is_pair))
    return list(found.values())


def _variables(entry: object) -> Iterable[tuple[str, list[str]]]:
    """The variables that an entry names, by the name of the secret in a profile."""
    if not isinstance(entry, dict):
        return []
    verify = entry.get("verify")
    ways = [one for one in (verify if isinstance(verify, list) else [verify]) if isinstance(one, dict)]
    lists = [one["secrets"] for one in (entry, *ways) if isinstance(one.get("secrets"), list)]
    named = [(key, [entry[key]]) for key in ("verify_token", "confirmation") if isinstance(entry.get(key), str)]
    own = entry["named"].items() if isinstance(entry.get("named"), dict) else ()
    named += [(str(key), [str(variable)]) for key, variable in own]
    return [("secret", [str(name) for names in lists for name in names]), *named]


def portal_variable(portal: str) -> str:
    """The variable with the address of a portal's inbound webhook."""
    return f"{variable_prefix(portal)}WEBHOOK_URL"


def environment_text(before: str | None, variables: Mapping[str, str]) -> str:
    """.env with these variables: a line that is there and says something else is replaced, one that is not is added."""
    lines = (ENVIRONMENT if before is None else before).splitlines()
    for name, value in variables.items():
        at = next((place for place, line in enumerate(lines) if line.startswith(f"{name}=")), len(lines))
        lines[at : at + 1] = [f"{name}={value}"]
    return "\n".join(lines) + "\n"


def variables_in(text: str) -> dict[str, str]:
    """The variables of such a text."""
    lines = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, equals, value in lines if equals}
