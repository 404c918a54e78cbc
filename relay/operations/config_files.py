"""Writes sources.yaml, portals.yaml and the secrets of senders for people in a browser.

A file is replaced as a whole or not at all, by one writer at a time, and with what stands in it now; its comments stay.
A secret is on disk before the file that names it. A process that is killed in between leaves a secret that nothing
names, which the next try replaces. Web processes notice changed files and put them in force (relay/operations/
in_force.py). No credential of a portal is written or read here.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from relay.configuration.fields import NAME
from relay.configuration.files import (
    KEPT_SECRET,
    Mistakes,
    file_elsewhere,
    instead_of_files,
    kept_folder,
    kept_secret_file,
)
from relay.configuration.portals import load_portals
from relay.configuration.whole_files import alone, not_writable, ready_to_replace, sync, text_of
from relay.core.errors import ConfigError, NotFoundError
from relay.core.ids import utc_now
from relay.core.phrases import phrase
from relay.operations.operator_acts import RefusedError
from relay.operations.rule_text import UneditableError, content_of, put, scalar
from relay.sources.loading import Profile, load_sources, weakness_of
from relay.store import Store
from relay.store.operators.audit_log import Act

SOURCES, PORTALS = "sources.yaml", "portals.yaml"
SECRET_MODE = 0o600
LONGEST_SECRET = 8_000
"""Characters; a public key in PEM has a few hundred."""
MOST_NAMES = 100
SENDER_GIVES = phrase("the sender gives this secret: enter it")
BY_HAND = phrase("this cannot be put there by a click: write it into the text by hand")


def made_up() -> str:
    """A new secret: 32 characters of A-Z, a-z, 0-9, - and _, which every sender takes."""
    return secrets.token_urlsafe(24)


class ConfigFiles:
    """The files of the sources and the portals. environ: of the web process; it may name the folder RELAY_SECRETS."""

    def __init__(self, store: Store, config: Path, environ: Mapping[str, str]) -> None:
        self._store, self._config, self._environ = store, config, environ

    def sources_written(self) -> Sequence[str]:
        """The names in sources.yaml as it is on disk, which may not be in force yet. Raises NotWritableError."""
        return list(_table(text_of(self._config / SOURCES) or "", "sources"))

    def portals_written(self) -> Sequence[str]:
        """The same of portals.yaml."""
        return list(_table(text_of(self._config / PORTALS) or "", "portals"))

    def application_written(self, portal: str) -> str:
        """The client_id of a portal's application in the file as it is on disk; empty: it has none."""
        entry = _table(text_of(self._config / PORTALS) or "", "portals").get(portal)
        return str(entry.get("application", "")) if isinstance(entry, dict) else ""

    def secrets_written(self, source: str) -> Sequence[str]:
        """The variables of a source's secrets, the older one first. Raises NotFoundError, UneditableError."""
        return _secrets_of(text_of(self._config / SOURCES) or "", source)[1]

    def read_only(self, *, with_secrets: bool) -> list[Path]:
        """The folders of the configuration, and of senders' secrets, that cannot be written, such as in Kubernetes."""
        kept = kept_folder(self._environ, "web") if with_secrets else None
        folders = [self._config, *([kept] if kept else [])]
        return [folder for folder in folders if not os.access(folder, os.W_OK)]

    @property
    def keeps_secrets(self) -> bool:
        """Whether there is a folder for the secrets of senders."""
        return bool(self._environ.get("RELAY_SECRETS"))

    def add_source(self, profile: Profile, name: str, given: Mapping[str, str], who: str) -> dict[str, str]:
        """Add a source that uses this profile. Returns the secrets that were made here, by their word in the steps.

        given: secrets by that word. A missing one is made if it is entered at the sender; else it is asked for.
        Raises RefusedError, ConfigError with the mistakes of the file, UneditableError, NotWritableError,
        RecordUnavailableError.
        """
        with self._editing(SOURCES) as text:
            self._check_name(name, _table(text, "sources"))
            variables = profile.variables(name)
            made = {word: made_up() for word in variables if not given.get(word) and profile.is_entered(word)}
            values = {}
            for word, variable in variables.items():
                if not given.get(word) and word not in made:
                    raise RefusedError(SENDER_GIVES)
                values[variable] = made.get(word) or self._checked(variable, given[word], profile.is_entered(word))
            for variable in variables.values():
                self._check_unused(variable, text)
            edited = put(text, ("sources", name), profile.value(name))
            self._write(SOURCES, edited, values, Act(utc_now(), who, "add source", name, profile.name), name)
            return made

    def add_secret(self, name: str, profile: Profile | None, given: str, who: str) -> str:
        """Add a second secret to a source, so that both are valid. Returns it.

        profile: of the source. given: empty, one is made, unless the sender gives it.

        Raises NotFoundError, and what add_source raises.
        """
        with self._editing(SOURCES) as text:
            place, names = _secrets_of(text, name)
            if len(names) != 1:
                raise RefusedError(phrase("there are two secrets already: end their change first"))
            if not given and profile and not profile.is_entered("secret"):
                raise RefusedError(SENDER_GIVES)
            variable = self._free(names[0], text)
            secret = self._checked(variable, given, is_entered=True) if given else made_up()
            edited = put(text, place, f"[{names[0]}, {variable}]")
            self._write(SOURCES, edited, {variable: secret}, Act(utc_now(), who, "add secret", name, ""), name)
            return secret

    def keep_secret(self, name: str, kept: str, who: str) -> None:
        """Keep one of a source's secrets, and forget the others. kept: its variable.

        Raises NotFoundError, and what add_source raises.
        """
        with self._editing(SOURCES) as text:
            place, names = _secrets_of(text, name)
            if kept not in names or len(names) < 2:
                raise RefusedError(phrase("this secret is not one of two any more: look again"))
            edited = put(text, place, f"[{kept}]")
            self._write(SOURCES, edited, {}, Act(utc_now(), who, "end secret", name, ""), name)
            for variable in names:
                if variable != kept and not _names(edited, variable):
                    self._forget(variable)

    def add_portal(self, name: str, plan: str, who: str) -> None:
        """Add a portal. Its credential is the workers' own affair. Raises what add_source raises."""
        with self._editing(PORTALS) as text:
            self._check_name(name, _table(text, "portals"))
            edited = put(text, ("portals", name), f"{{plan: {plan}}}")
            self._write(PORTALS, edited, {}, Act(utc_now(), who, "add portal", name, plan))

    def connect_portal(self, name: str, application: str, expect: str, card: Sequence[str], who: str) -> None:
        """Connect a portal by a local application. Raises NotFoundError, and what add_source raises.

        application: its client_id, which is no secret. expect: the portal's host; empty: as it is. card: the kinds of
        documents whose card gets a tab; none: as they are.
        """
        with self._editing(PORTALS) as text:
            if name not in _table(text, "portals"):
                raise NotFoundError(phrase("no portal %(name)r", name=name))
            values = {
                "application": scalar(application),
                "expect": scalar(expect) if expect else "",
                "card": f"[{', '.join(map(scalar, card))}]" if card else "",
            }
            edited = text
            for key, value in values.items():
                edited = put(edited, ("portals", name, key), value) if value else edited
            self._write(PORTALS, edited, {}, Act(utc_now(), who, "connect portal", name, application))

    @contextmanager
    def _editing(self, file: str) -> Iterator[str]:
        """The text of a file, while nobody else writes in the folder."""
        with alone(self._config):
            yield text_of(self._config / file) or ""

    def _check_name(self, name: str, taken: Mapping[str, Any]) -> None:
        if not NAME.fullmatch(name):
            raise RefusedError(phrase("a name begins with a-z and has a-z, 0-9, - and _, 64 characters at most"))
        if name in taken:
            raise RefusedError(phrase("%(name)s is there already: choose another name", name=name))

    def _check_unused(self, variable: str, text: str) -> None:
        if _names(text, variable) or self._is_set(variable):
            raise RefusedError(
                phrase("the secret %(variable)s is there already: choose another name", variable=variable)
            )

    def _is_set(self, variable: str) -> bool:
        return bool(self._environ.get(variable) or file_elsewhere(self._environ, variable))

    def _free(self, name: str, text: str) -> str:
        """A variable for another secret beside this one that nothing uses."""
        first = re.sub(r"_(NEXT|[0-9]+)$", "", name)[:90]
        candidates = [first, f"{first}_NEXT", *(f"{first}_{number}" for number in range(2, MOST_NAMES))]
        for variable in candidates:
            if KEPT_SECRET.fullmatch(variable) and not _names(text, variable) and not self._is_set(variable):
                return variable
        raise UneditableError(BY_HAND)

    def _checked(self, variable: str, secret: str, is_entered: bool) -> str:
        secret = secret.strip()
        if not secret or len(secret) > LONGEST_SECRET or not secret.replace("\r", "").replace("\n", "").isprintable():
            raise RefusedError(phrase("a secret is printable text, %(most)s characters at most", most=LONGEST_SECRET))
        if is_entered and (weak := weakness_of(variable, secret)):
            raise RefusedError(weak)
        return secret

    def _write(self, file: str, text: str, values: Mapping[str, str], act: Act, source: str | None = None) -> None:
        """Write the secrets, then the file that names them, if it has no mistake. source: whose secrets are needed."""
        path = self._config / file
        with ready_to_replace(path, text) as draft:
            written = []
            try:
                for variable, secret in values.items():
                    self._keep(variable, secret)
                    written.append(variable)
                self._check(path, text, source)
                self._store.operators.log(act)
                if draft:
                    draft.replace(path)
            except BaseException:
                for variable in written:
                    self._forget(variable)
                raise
            sync(path.parent)

    def _check(self, path: Path, text: str, source: str | None) -> None:
        mistakes = Mistakes()
        with instead_of_files({path: text.encode("utf-8", "surrogateescape")}):
            if source is None:
                load_portals(path, mistakes)
            else:
                load_sources(path, self._environ, mistakes, only=source)
        if mistakes:
            raise ConfigError(tuple(mistakes))

    def _keep(self, variable: str, secret: str) -> None:
        path = kept_secret_file(self._environ, variable)
        if path is None:
            raise RefusedError(
                phrase("there is no folder for secrets: set RELAY_SECRETS in the web process's environment")
            )
        with ready_to_replace(path, secret, SECRET_MODE) as draft:
            assert draft  # noqa: S101 - for the type checker
            try:
                draft.replace(path)
                sync(path.parent)
            except OSError as error:
                raise not_writable(path, error) from None

    def _forget(self, variable: str) -> None:
        if path := kept_secret_file(self._environ, variable):
            with suppress(OSError):
                path.unlink()


def _table(text: str, name: str) -> Mapping[str, Any]:
    found = content_of(text).get(name)
    return found if isinstance(found, dict) else {}


def _names(text: str, variable: str) -> bool:
    """Whether a text names this variable anywhere."""
    return bool(re.search(rf"(?<![A-Z0-9_]){variable}(?![A-Z0-9_])", text))


def _secrets_of(text: str, name: str) -> tuple[tuple[str, ...], list[str]]:
    """The place of a source's list of secrets, and the names in it. Raises NotFoundError, UneditableError."""
    entry = _table(text, "sources").get(name)
    if not isinstance(entry, dict):
        raise NotFoundError(phrase("no source %(name)r", name=name))
    verify = entry.get("verify")
    for place, held in ((("secrets",), entry), (("verify", "secrets"), verify)):
        found = held.get("secrets") if isinstance(held, dict) else None
        if isinstance(found, list) and found:
            return ("sources", name, *place), [str(one) for one in found]
    raise UneditableError(BY_HAND)
