"""Random secrets for `demo` and `up` if the environment has none, and for `init`: made once, in files for their owner
only.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from relay.configuration.files import Mistakes, kept_secret_file, read_yaml
from relay.configuration.sealing import KEY, PUBLIC_KEY, Opener, SealError, new_seal_key
from relay.configuration.settings import PLACE, read_secret
from relay.core.errors import ConfigError, Mistake
from relay.core.faults import fault
from relay.sources.loading import OWN_PROFILES, Profiles

WEB_SECRETS = ("RELAY_SECRET_KEY", "RELAY_DASHBOARD_PASSWORD", "RELAY_API_TOKEN")


def fill_in(environ: MutableMapping[str, str], names: Iterable[str], path: Path) -> list[str]:
    """Set each missing variable from the file, or to a new secret. Returns the names whose value is in the file."""
    kept = kept_secrets(path)
    missing = [name for name in names if not _is_set(environ, name)]
    fresh = {name: MADE_BY.get(name, new_secret)() for name in missing if name not in kept}
    if fresh:
        _write(path, kept | fresh)
    for name in missing:
        environ[name] = fresh.get(name) or kept[name]
    return missing


def tell_public_key(environ: MutableMapping[str, str]) -> None:
    """Set the public half of the workers' key, for the web process, if it is not set. Raises ConfigError."""
    if _is_set(environ, PUBLIC_KEY):
        return
    try:
        environ[PUBLIC_KEY] = Opener.from_text(read_secret(environ, KEY) or "").public_text
    except SealError:
        raise ConfigError([Mistake(PLACE, 0, fault("seal_key_wrong", name=KEY))]) from None


def new_secret() -> str:
    """A random secret: 32 characters that a header, an address and a form take."""
    return secrets.token_urlsafe(24)


MADE_BY: Mapping[str, Callable[[], str]] = {KEY: new_seal_key}
"""Secrets of another form than `new_secret` makes."""


def _is_set(environ: Mapping[str, str], name: str) -> bool:
    file = kept_secret_file(environ, name)
    return bool(environ.get(name) or environ.get(f"{name}_FILE") or (file and file.exists()))


def kept_secrets(path: Path) -> dict[str, str]:
    """The secrets in the file; empty if there is no file."""
    if not path.exists():
        return {}
    lines = path.read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def source_secrets(sources_file: Path) -> list[str]:
    """The environment variables of sources.yaml whose secret can be generated; empty if the file cannot be read.

    Excluded are secrets that a sender makes: a public key, a name with a password, a key of bytes. Checks come later.
    """
    try:
        sources = _content_of(sources_file)["sources"].values()
        return [name for source in sources for name in _made_up(source, sources_file.parent)]
    except (AttributeError, KeyError, TypeError):
        return []


def _made_up(source: Mapping[str, Any], folder: Path) -> list[str]:
    ways = _ways(source.get("verify") or _verify_of_profile(str(source.get("profile")), folder))
    shared = source.get("secrets") or []
    names = [*(shared if ways and all(map(_is_text, ways)) else [])]
    names += [name for way in ways if _is_text(way) for name in way.get("secrets") or []]
    return [str(name) for name in [*names, *filter(None, [source.get("verify_token")])]]


def _verify_of_profile(name: str, folder: Path) -> Any:
    file = Profiles(folder / OWN_PROFILES).file(name)
    return _content_of(file)["verify"] if file else []


def _content_of(file: Path) -> Any:
    read = read_yaml(file, Mistakes())
    return read.content if read else None


def _ways(verify: Any) -> list[Mapping[str, Any]]:
    return verify if isinstance(verify, list) else [verify]


def _is_text(way: Mapping[str, Any]) -> bool:
    return way.get("kind") in {"token", "hmac", "hash"} and way.get("key", "text") == "text"


def _write(path: Path, values: dict[str, str]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = "# Made by `python -m relay`. Delete a line to have a new secret made.\n"
    write_whole(path, text + "".join(f"{name}={value}\n" for name, value in values.items()))


def write_whole(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file under another name and rename it: a kill leaves the old file or the new one, never half of it.

    mode: its permissions; by default only its owner reads it. Raises OSError.
    """
    fresh = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)  # a file that a kill has left may have others
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
