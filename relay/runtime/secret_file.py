"""Random secrets for `demo` and `up` where the environment has none: made once, kept in a file for its owner only."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, MutableMapping
from pathlib import Path

import yaml

WEB_SECRETS = ("RELAY_SECRET_KEY", "RELAY_DASHBOARD_PASSWORD", "RELAY_API_TOKEN")


def fill_in(environ: MutableMapping[str, str], names: Iterable[str], path: Path) -> list[str]:
    """Set each name that is not set, from the file or anew. Returns the names whose value is in the file."""
    kept = _read(path)
    missing = [name for name in names if not environ.get(name) and not environ.get(f"{name}_FILE")]
    fresh = {name: secrets.token_urlsafe(24) for name in missing if name not in kept}
    if fresh:
        _write(path, kept | fresh)
    for name in missing:
        environ[name] = fresh.get(name) or kept[name]
    return missing


def kept_secret(path: Path, name: str) -> str | None:
    """A secret that is in the file; None where there is none."""
    return _read(path).get(name)


def source_secrets(sources_file: Path) -> list[str]:
    """The environment variables that sources.yaml names; none where it cannot be read (checking comes later)."""
    try:
        document = yaml.safe_load(sources_file.read_text("utf-8"))
        sources = document["sources"].values()
        return [str(name) for source in sources for name in source.get("verify", {}).get("secrets", [])]
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return []


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    lines = path.read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def _write(path: Path, values: dict[str, str]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = "# Made by `python -m relay`. Delete a line to have a new secret made.\n"
    text += "".join(f"{name}={value}\n" for name, value in values.items())
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)
