"""Secrets of senders that are easily guessed, or that open two sources: a warning, for some senders make their own.

Tells none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from relay.configuration.files import Place, read_yaml
from relay.configuration.mistakes import Mistakes
from relay.configuration.settings import FEWEST_DIFFERENT, read_secret
from relay.core.errors import ConfigError, Mistake
from relay.core.faults import Fault, fault

SHORTEST = 12
"""Characters; random ones of a sender are longer."""


def warn_of_secrets(sources_file: Path, environ: Mapping[str, str]) -> list[Mistake]:
    """Those that are set here, by the line where they are named; none where the file cannot be read."""
    config = read_yaml(sources_file, Mistakes())
    sources = config.content.get("sources") if config and isinstance(config.content, dict) else None
    if config is None or not isinstance(sources, dict):
        return []
    found: list[Mistake] = []
    opened: dict[str, tuple[str, str]] = {}
    for source, entry in sources.items():
        for place, name in _names_in(entry, ("sources", source)):
            secret = None
            with suppress(ConfigError):  # which is said when it is needed
                secret = read_secret(environ, name)
            if secret is None:
                continue
            line = next(config.lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in config.lines)
            first, other = opened.setdefault(secret, (source, name))
            wrong = [_weakness(name, secret)]
            if first != source:
                wrong.append(fault("secret_of_two_sources", name=name, other=other))
            found += [Mistake(str(sources_file), line, one) for one in wrong if one]
    return list(dict.fromkeys(found))


def _weakness(name: str, secret: str) -> Fault | None:
    password = secret.partition(":")[2] or secret
    if len(password) >= SHORTEST and len(set(password)) >= FEWEST_DIFFERENT:
        return None
    return fault("secret_easily_guessed", name=name, least=SHORTEST, differ=FEWEST_DIFFERENT)


def _names_in(content: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(content, list):
        for index, one in enumerate(content):
            yield from _names_in(one, (*place, index))
    for key, inner in content.items() if isinstance(content, dict) else ():
        if key == "secrets" and isinstance(inner, list):
            yield from (((*place, key, index), name) for index, name in enumerate(inner) if isinstance(name, str))
        elif key == "verify_token" and isinstance(inner, str):
            yield (*place, key), inner
        else:
            yield from _names_in(inner, (*place, key))
