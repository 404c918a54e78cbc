"""Checks a file of another tool against the schema of that tool, as the package check-jsonschema ships it."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema_rs
from ruamel.yaml import YAML


def mistakes_in(path: Path, schema: str) -> list[str]:
    """What does not fit. schema: the name of a file in the package, such as `compose-spec.json`.

    Read as YAML 1.2, in which `on` is text, as GitHub reads it.
    """
    text = (files("check_jsonschema") / "builtin_schemas" / "vendor" / schema).read_text("utf-8")
    found = jsonschema_rs.validator_for(json.loads(text)).iter_errors(YAML(typ="safe").load(path))
    return [f"{'/'.join(map(str, one.instance_path))}: {one.message}" for one in found]
