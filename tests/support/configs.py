"""Small configurations of a test's own: sources, and rules that make one call of an event."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

PORTALS = {"portals": {"main": {"plan": "standard"}}}


def rule_of(source: str, when: str | None = None, **extract: str) -> dict[str, Any]:
    """A rule that makes one call of an event, with what it extracts as parameters."""
    values = {name: {"from": path, "type": "string"} for name, path in extract.items()}
    parameters = {name.capitalize(): f"{{{name}}}" for name in extract}
    start = {"portal": "main", "template_id": 1, "document_id": {"lead": "1"}, "parameters": parameters}
    return {"name": source, "source": source, "extract": values, "start": start, **({"when": when} if when else {})}


def write_config(
    folder: Path, sources: Mapping[str, Any], rules: list[dict[str, Any]], profiles: Mapping[str, Any] | None = None
) -> Path:
    """A folder with a configuration."""
    (folder / "rules").mkdir(parents=True)
    (folder / "profiles").mkdir()
    (folder / "portals.yaml").write_text(yaml.safe_dump(PORTALS), "utf-8")
    (folder / "sources.yaml").write_text(yaml.safe_dump({"sources": dict(sources)}, allow_unicode=True), "utf-8")
    for rule in rules:
        (folder / "rules" / f"{rule['name']}.yaml").write_text(yaml.safe_dump(rule), "utf-8")
    for name, profile in (profiles or {}).items():
        (folder / "profiles" / f"{name}.yaml").write_text(yaml.safe_dump(profile), "utf-8")
    return folder
