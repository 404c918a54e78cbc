"""Makes sources of config/sources.yaml and the environment. The only place where a source's secrets are read."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relay.configuration.files import ConfigFile, Place, read_yaml
from relay.configuration.mistakes import Mistakes, collecting
from relay.configuration.settings import read_named_secret
from relay.sources.dedup import Dedup
from relay.sources.schemas import SourcesSchema
from relay.sources.secret_names import is_secret_name
from relay.sources.source import MAX_BODY, OPEN_LIMIT, OPEN_MAX_BODY, Limit, Source
from relay.sources.verifiers import Clock, HmacVerifier, NoVerifier, TokenVerifier, Verifier
from relay.sources.visitors import Form


def load_sources(path: Path, environ: Mapping[str, str], mistakes: Mistakes | None = None) -> dict[str, Source]:
    """The sources of this file by name; none if it has any mistake, a missing secret among them.

    Mistakes are added to those that were handed down; else ConfigError is raised with every one.
    """
    with collecting(mistakes) as found:
        config = read_yaml(path, found)
        if config is None:
            return {}
        entries = config.check(SourcesSchema()).get("sources", {})
        checks = _Checks(config, environ)
        keys = {name: checks.check(("sources", name), entry) for name, entry in entries.items()}
        if not config.is_right:
            return {}
        return {name: _source(name, entry, keys[name]) for name, entry in entries.items()}


class _Checks:
    """What the schema of a source cannot see. Of an entry with mistakes, any key may be missing."""

    def __init__(self, config: ConfigFile, environ: Mapping[str, str]) -> None:
        self.config = config
        self.environ = environ

    def check(self, place: Place, entry: Mapping[str, Any]) -> tuple[bytes, ...]:
        """Note what is wrong with a source. Returns its keys; those that could not be read are missing."""
        verify, dedup = entry.get("verify", {}), entry.get("dedup") or {}
        header = (dedup.get("header") or "").lower()
        if header and (is_secret_name(header) or header == (verify.get("header") or "").lower()):
            wrong = "this header is a secret and is not kept: expected one that only identifies"
            self.config.add_mistake((*place, "dedup", "header"), wrong)
        if entry.get("thanks") and entry.get("form") is None:
            self.config.add_mistake((*place, "thanks"), "expected form beside it: only a browser is sent somewhere")
        place = (*place, "verify", "secrets")
        keys = [self._key(place, name, verify.get("key") == "base64") for name in verify.get("secrets", ())]
        return tuple(key for key in keys if key is not None)

    def _key(self, place: Place, name: str, is_base64: bool) -> bytes | None:
        missing = f"{name} is not set (nor {name}_FILE): expected the secret that the sender was given"
        secret = read_named_secret(self.config, place, self.environ, name, missing)
        if secret is None:
            return None
        return self._decoded(place, secret) if is_base64 else secret.encode("utf-8")

    def _decoded(self, place: Place, secret: str) -> bytes | None:
        try:
            # Standard Webhooks writes its keys as whsec_ and base64.
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            self.config.add_mistake(place, "a secret is not base64, as key says it is")
            return None


def _source(name: str, entry: Mapping[str, Any], keys: tuple[bytes, ...]) -> Source:
    is_open = entry["verify"]["kind"] == "none"
    limit = (
        Limit(entry["limit"]["events"], entry["limit"]["size"], entry["limit"]["at_once"]) if entry["limit"] else None
    )
    return Source(
        name=name,
        verifier=_verifier(entry["verify"], keys),
        dedup=_dedup(entry["dedup"]) if entry["dedup"] else None,
        max_body=entry["max_body"] or (OPEN_MAX_BODY if is_open else MAX_BODY),
        limit=limit or (OPEN_LIMIT if is_open else None),
        success_status=entry["success_status"],
        methods=entry["methods"],
        on_invalid=entry["on_invalid"],
        json_field=entry["json_field"],
        form=Form(entry["form"]["honeypot"], entry["form"]["min_fill"]) if entry["form"] else None,
        thanks=entry["thanks"],
        origins=entry["origins"],
    )


def _verifier(verify: Mapping[str, Any], keys: tuple[bytes, ...]) -> Verifier:
    if verify["kind"] == "none":
        return NoVerifier()
    return _token(verify, keys) if verify["kind"] == "token" else _hmac(verify, keys)


def _dedup(dedup: Mapping[str, Any]) -> Dedup:
    header = dedup["header"].lower() if dedup["header"] else None
    return Dedup(dedup["window_s"], dedup["search"], header, dedup["whole_body"])


def _token(verify: Mapping[str, Any], secrets: tuple[bytes, ...]) -> TokenVerifier:
    header = verify["header"].lower() if verify["header"] else None
    prefix = verify["prefix"]
    if prefix is None:
        prefix = "Bearer " if header == "authorization" else ""
    return TokenVerifier(secrets, header, verify["query"], prefix)


def _hmac(verify: Mapping[str, Any], secrets: tuple[bytes, ...]) -> HmacVerifier:
    clock, parts = verify["timestamp"], verify["parts"]
    separator = verify["separator"] or ("," if parts else None)
    return HmacVerifier(
        secrets=secrets,
        proof_header=verify["header"].lower(),
        algorithm=verify["algorithm"],
        encoding=verify["encoding"],
        prefix=verify["prefix"],
        template=verify["signed"],
        separator=separator,
        parts=(parts["signature"], parts["timestamp"]) if parts else None,
        clock=Clock(clock["header"], 1000 if clock["unit"] == "ms" else 1, clock["tolerance"]) if clock else None,
        id_header=verify["id_header"],
        key=verify["key"],
    )
