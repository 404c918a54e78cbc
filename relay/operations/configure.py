"""Reads a whole configuration: the environment, and portals, sources and rules with their references to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from relay.configuration.files import Mistakes, collecting, names_in
from relay.configuration.portals import Portal, load_portals
from relay.configuration.settings import Settings
from relay.core import otel
from relay.rules import RuleBook, load_rules
from relay.sources import Source, load_sources


@dataclass(frozen=True, slots=True)
class Config:
    """The checked content of the configuration folder."""

    portals: Mapping[str, Portal]
    sources: Mapping[str, Source]
    rules: RuleBook


def load_all(environ: Mapping[str, str], mistakes: Mistakes | None = None) -> tuple[Settings, Config]:
    """Read the web process's environment, and the folder that it names.

    mistakes: a collector; without one, ConfigError is raised with every mistake.
    """
    with collecting(mistakes) as found:
        settings = Settings.from_environment(environ, web=True, mistakes=found)
        with found.catching():
            otel.check(environ)
        if not settings.config.is_dir():  # noted already: mistakes about its missing files would add nothing
            return settings, Config({}, {}, RuleBook([], ""))
        return settings, load_config(settings.config, environ, found, base=settings.public_url or "")


def load_config(
    folder: Path,
    environ: Mapping[str, str] | None,
    mistakes: Mistakes | None = None,
    *,
    rules: Path | None = None,
    base: str | None = None,
) -> Config:
    """Read portals, sources and rules of a folder; after a mistake, only some of them.

    environ: None: no secret is read (relay/sources/loading.py). rules: one rule's file to read instead of the folder's.
    base: see load_rules. mistakes: a collector; without one, ConfigError is raised with the mistakes of all files.
    """
    portals_file, sources_file = folder / "portals.yaml", folder / "sources.yaml"
    with collecting(mistakes) as found:
        return Config(
            portals=load_portals(portals_file, found),
            sources=load_sources(sources_file, environ, found),
            rules=load_rules(
                rules or folder / "rules",
                # Names in a file that cannot be read are unknown, which is no mistake of the rules.
                sources=names_in(sources_file, "sources"),
                portals=names_in(portals_file, "portals"),
                mistakes=found,
                base=base,
            ),
        )
