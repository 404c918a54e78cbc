"""The JSON Schemas of the files that an operator writes, by name. They are for editors, and say nothing of a relay."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from marshmallow import Schema

from relay.configuration.alerts import AlertsSchema
from relay.configuration.json_schema import JsonSchema, either, schema_of_file
from relay.configuration.portals import PortalsSchema
from relay.core.errors import NotFoundError
from relay.rules.schemas import RuleSchema
from relay.sources.loading import Profiles
from relay.sources.schemas import ProfileSchema, SourcesSchema

FILES: Mapping[str, tuple[Callable[[], Schema], str]] = {
    "sources": (SourcesSchema, "sources.yaml of the relay"),
    "profiles": (ProfileSchema, "A profile of the relay"),
    "portals": (PortalsSchema, "portals.yaml of the relay"),
    "rules": (RuleSchema, "A rule of the relay"),
    "alerts": (AlertsSchema, "alerts.yaml of the relay"),
}
"""The schema and the title by name: that of a file, or of the folder of such files."""
FOLDER = "schemas"
"""Beside the files that name them."""
SUFFIX = ".json"


@cache
def schema_text(name: str) -> str:
    """The JSON Schema of this name. Raises NotFoundError."""
    if name not in FILES:
        raise NotFoundError(f"no schema {name!r}: expected one of {', '.join(FILES)}")
    make, title = FILES[name]
    schema = schema_of_file(make(), title)
    if name == "sources":
        _name_profiles(schema)
    return json.dumps(schema, ensure_ascii=False, indent=1) + "\n"


def _name_profiles(schema: JsonSchema) -> None:
    """Let an editor offer the shipped profiles. An operator may have others."""
    keys: dict[str, Any] = schema["properties"]["sources"]["additionalProperties"]["properties"]
    keys["profile"] = either({"enum": Profiles(None).names}, keys["profile"])


def modeline(name: str, where: str) -> str:
    """The comment that names a file's schema to an editor. where: the schemas' folder, as the file sees it."""
    return f"# yaml-language-server: $schema={where}/{name}{SUFFIX}\n"
